/* lockstep info: models and checkpoints. */
#include "info.h"
#include "lockstep/checkpoint.h"

#include <stdlib.h>

static void print_progress(const ls_progress *progress) {
  const ls_progress p = *progress;
  printf(
      "progress     %llu epochs finished and %llu samples of the next; step %llu; %llu samples in total; "
      "%.1f s\n",
      (unsigned long long)p.epoch, (unsigned long long)p.epoch_samples, (unsigned long long)p.step,
      (unsigned long long)p.samples, p.total_seconds + p.epoch_seconds);
  if (p.skipped_steps)
    printf("skipped      %llu steps with a loss or gradient that was not finite\n",
           (unsigned long long)p.skipped_steps);
  if (p.best_epoch)
    printf("best         epoch %llu: %.6g\n", (unsigned long long)p.best_epoch, p.best_value);
}

static void print_head(const ls_modelfile *saved, const char *path, const char *version,
                       const ls_progress *progress) {
  char shape[128];
  printf("%s: a Lockstep %s, format %llu, written by Lockstep %s; the digest is valid\n", path,
         saved->is_checkpoint ? "checkpoint" : "model", (unsigned long long)saved->version, version);
  printf("inputs       %zu features of shape %s", saved->n_inputs,
         ls_shape_describe(&saved->input, shape, sizeof shape));
  if (saved->x.type) printf("; in training %s from %g to %g", saved->x.type, saved->x.low, saved->x.high);
  printf("\n");
  if (saved->window > 0)
    printf("window       %llu samples, in which training shuffled\n", (unsigned long long)saved->window);
  app_info_print_list("classes      ", saved->classes, saved->n_classes);
  app_info_print_list("features     ", saved->features, saved->n_features);
  if (saved->is_checkpoint) print_progress(progress);
}

static ls_status print_text(const ls_modelfile *saved, const char *path, const char *version,
                            const ls_progress *progress) {
  info_tally model = {.is_model = true};
  info_tally state = {0};
  print_head(saved, path, version, progress);
  printf("parameters\n");
  LS_TRY(app_info_print_arrays(saved->store, "/model", &model));
  printf("  %.0f in total\n", model.n_elements);
  if (saved->is_checkpoint) printf("optimizer\n");
  if (saved->is_checkpoint) LS_TRY(app_info_print_arrays(saved->store, "/optimizer", &state));
  printf("config\n%s", saved->config);
  return LS_OK;
}

/* ------------------------------------------------------------------------- JSON */

static void print_json_progress(const ls_progress *p) {
  app_json_open("progress", '{');
  APP_JSON_COUNTS({"epoch", (double)p->epoch}, {"epoch_samples", (double)p->epoch_samples},
                  {"step", (double)p->step}, {"samples", (double)p->samples},
                  {"skipped_steps", (double)p->skipped_steps});
  APP_JSON_NUMBERS({"seconds", p->total_seconds + p->epoch_seconds});
  if (p->best_epoch) {
    APP_JSON_COUNTS({"best_epoch", (double)p->best_epoch});
    APP_JSON_NUMBERS({"best_value", p->best_value});
  }
  app_json_close('}');
}

/* The config, which the file has as text. */
static ls_status print_json_config(const ls_modelfile *saved, const char *path) {
  ls_config *config = NULL;
  const ls_status status = ls_config_create(saved->config, path, &config);
  if (status == LS_OK) app_json_node("config", ls_config_root(config));
  ls_config_destroy(&config);
  return status == LS_ERR_CONFIG ? ls_fail(LS_ERR_MODEL, "%s", ls_message()) : status;
}

static void print_json_head(const ls_modelfile *saved, const char *path, const char *version) {
  app_json_text("path", path);
  app_json_text("type", saved->is_checkpoint ? "checkpoint" : "model");
  APP_JSON_COUNTS({"format", (double)saved->version});
  app_json_text("version", version);
  APP_JSON_COUNTS({"n_inputs", (double)saved->n_inputs});
  app_json_dims("input_shape", &saved->input);
  if (saved->x.type) {
    app_json_text("x_type", saved->x.type);
    APP_JSON_NUMBERS({"x_low", saved->x.low}, {"x_high", saved->x.high});
  }
  if (saved->window > 0) APP_JSON_COUNTS({"window", (double)saved->window});
  app_json_texts("classes", saved->classes, saved->n_classes);
  app_json_texts("features", saved->features, saved->n_features);
}

static ls_status print_json(const ls_modelfile *saved, const char *path, const char *version,
                            const ls_progress *progress) {
  info_tally model = {.json = true, .is_model = true};
  info_tally state = {.json = true};
  app_json_open(NULL, '{');
  print_json_head(saved, path, version);
  if (saved->is_checkpoint) print_json_progress(progress);
  app_json_open("parameters", '[');
  LS_TRY(app_info_print_arrays(saved->store, "/model", &model));
  app_json_close(']');
  APP_JSON_COUNTS({"n_parameters", model.n_elements});
  if (saved->is_checkpoint) {
    app_json_open("optimizer", '[');
    LS_TRY(app_info_print_arrays(saved->store, "/optimizer", &state));
    app_json_close(']');
  }
  LS_TRY(print_json_config(saved, path));
  app_json_close('}');
  printf("\n");
  return LS_OK;
}

ls_status app_info_print_saved(const char *path, bool json) {
  ls_modelfile *saved = NULL;
  ls_progress progress = {0};
  char *version = NULL;
  ls_status status = ls_modelfile_open(path, &saved);
  if (status == LS_OK) status = ls_store_read_text(saved->store, "/", "lockstep_version", &version);
  if (status == LS_OK && saved->is_checkpoint) status = ls_checkpoint_read_progress(saved, &progress);
  if (status == LS_OK) status = (json ? print_json : print_text)(saved, path, version, &progress);
  free(version);
  ls_modelfile_close(&saved);
  return status;
}
