/* What a sweep's directory says about the sweep: sweep.yaml and base.yaml, both with all defaults. */
#include "internal.h"
#include "lockstep/store.h"

#include <stdlib.h>
#include <string.h>

/* Keys of which other values would give other trials. The last two only with search: halving; otherwise
 * more trials continue the sequence. */
static const char *const sweep_keys[][2] = {{"parameters", NULL}, {"search", NULL},  {"seed", NULL},
                                            {"monitor", NULL},    {"halving", NULL}, {"trials", NULL}};
static const char *const base_keys[][2] = {{"seed", NULL},
                                           {"metrics", NULL},
                                           {"model", NULL},
                                           {"optimizer", NULL},
                                           {"schedule", NULL},
                                           {"penalty", NULL},
                                           {"train", "epochs"},
                                           {"train", "batch_size"},
                                           {"train", "accumulate"},
                                           {"train", "max_steps"},
                                           {"train", "ema"},
                                           {"train", "monitor"},
                                           {"train", "early_stopping"},
                                           {"train", "clip_grad_norm"},
                                           {"train", "clip_grad_value"},
                                           {"train", "reproducible"},
                                           {"train", "lanes"},
                                           {"train", "on_nan"},
                                           {"train", "max_skipped"},
                                           {"train", "class_weight"},
                                           {"data", "x"},
                                           {"data", "y"},
                                           {"data", "layout"},
                                           {"data", "shape"},
                                           {"data", "normalize"},
                                           {"data", "standardize_targets"},
                                           {"data", "shuffle"},
                                           {"data", "window"},
                                           {"data", "augment"},
                                           {"comm", "gradient_type"}};

static const ls_node *find(ls_config *config, const char *const key[2]) {
  const ls_node *const node = ls_node_find(ls_config_root(config), key[0]);
  return node && key[1] ? ls_node_find(node, key[1]) : node;
}

static ls_status fail_differs(const char *path, const char *difference) {
  return ls_fail(LS_ERR_CONFIG,
                 "%s: cannot resume with this sweep: %s as in the directory; restore the value, or "
                 "start a new sweep with a different output or --overwrite",
                 path, difference);
}

/* Compares n keys with those of a saved config. */
static ls_status compare(ls_config *now, ls_config *then, const char *path, const char *const keys[][2],
                         size_t n) {
  char difference[300];
  for (size_t i = 0; i < n; i++)
    if (ls_node_differ(find(now, keys[i]), find(then, keys[i]), difference, sizeof difference))
      return fail_differs(path, difference);
  return LS_OK;
}

/* Compares the sweep file with the saved one. */
static ls_status compare_sweep(const sweep_plan *plan, const char *path) {
  const size_t n = sizeof sweep_keys / sizeof sweep_keys[0] - (plan->search == SWEEP_HALVING ? 0 : 2);
  char *text = NULL;
  ls_config *then = NULL;
  if (!ls_rundir_exists(path)) return LS_OK;
  ls_status status = ls_config_load(path, &text);
  if (status == LS_OK) status = ls_config_create(text, path, &then);
  if (status == LS_OK) status = compare(plan->config, then, path, sweep_keys, n);
  ls_config_destroy(&then);
  free(text);
  return status;
}

/* The checkpoint of a trial, on whose data it depends; *out: NULL if there is none. The caller closes it.
 */
static ls_status find_checkpoint(const sweep_plan *plan, const char *folder, ls_modelfile **out) {
  ls_status status = LS_OK;
  *out = NULL;
  for (uint64_t i = 0; status == LS_OK && !*out && i < plan->trials; i++) {
    char *const trial = sweep_trial_folder(folder, i);
    char *const checkpoints = trial ? ls_format("%s/checkpoints", trial) : NULL;
    status = checkpoints ? ls_checkpoint_try_find(checkpoints, out) : ls_fail_memory("a path", 0);
    free(checkpoints);
    free(trial);
    ls_heartbeat();
  }
  return status;
}

/* Whether trials may have data other than those of the base. */
static bool varies_data(const sweep_plan *plan) {
  for (size_t k = 0; k < plan->n_parameters; k++)
    if (strncmp(plan->parameters[k].key, "data.", 5) == 0) return true;
  return false;
}

/* Compares the data of the base, which may have moved or have been replaced, with those of its trials. */
static ls_status compare_data(const sweep_plan *plan, const ls_setup *data, const ls_job *then,
                              const char *folder, const char *path) {
  static const char *const keys[][2] = {{"data", "train"}, {"data", "validation"}};
  ls_modelfile *saved = NULL;
  char difference[200];
  snprintf(difference, sizeof difference, "data.validation is the fraction %g, not %g",
           data->job->data.validation_fraction, then->data.validation_fraction);
  if (data->job->data.validation_fraction != then->data.validation_fraction)
    return fail_differs(path, difference);
  if (varies_data(plan)) return compare(data->job->config, then->config, path, keys, 2);
  ls_status status = find_checkpoint(plan, folder, &saved);
  if (status == LS_OK && saved) status = ls_train_check_data(data, saved);
  ls_modelfile_close(&saved);
  return status;
}

/* Compares the base with the saved one. */
static ls_status compare_base(const sweep_plan *plan, const ls_setup *data, const char *folder,
                              const char *path) {
  const ls_job *const base = data->job;
  char *text = NULL;
  ls_job *then = NULL;
  char difference[300];
  if (!ls_rundir_exists(path)) return LS_OK;
  ls_status status = ls_config_load(path, &text);
  if (status == LS_OK) status = ls_job_create_saved(text, path, &then);
  if (status == LS_OK)
    status = compare(base->config, then->config, path, base_keys, sizeof base_keys / sizeof base_keys[0]);
  if (status == LS_OK && !ls_job_same_loss(base, then)) {
    const char *const key[] = {"loss", NULL};
    (void)ls_node_differ(find(base->config, key), find(then->config, key), difference, sizeof difference);
    status = fail_differs(path, difference);
  }
  if (status == LS_OK) status = compare_data(plan, data, then, folder, path);
  ls_job_destroy(&then);
  free(text);
  return status;
}

static ls_status write_config(const ls_config *config, const char *path) {
  ls_text_file file;
  char *text = NULL;
  LS_TRY(ls_config_print(config, &text));
  const ls_status status = ls_text_begin(&file, path);
  if (status == LS_OK) fputs(text, file.stream);
  free(text);
  return ls_text_end(&file, status);
}

ls_status sweep_check_config(const sweep_plan *plan, const ls_setup *data, const char *folder,
                             const char *own) {
  char *const sweep_path = ls_format("%s/sweep.yaml", own);
  char *const base_path = ls_format("%s/base.yaml", own);
  ls_status status = sweep_path && base_path ? LS_OK : ls_fail_memory("a path", strlen(own));
  if (status == LS_OK) status = compare_sweep(plan, sweep_path);
  if (status == LS_OK) status = compare_base(plan, data, folder, base_path);
  free(sweep_path);
  free(base_path);
  return status;
}

ls_status sweep_save_config(const sweep_plan *plan, const ls_setup *data, const char *own) {
  char *const sweep_path = ls_format("%s/sweep.yaml", own);
  char *const base_path = ls_format("%s/base.yaml", own);
  ls_status status = sweep_path && base_path ? LS_OK : ls_fail_memory("a path", strlen(own));
  if (status == LS_OK) status = write_config(data->job->config, base_path);
  if (status == LS_OK) status = write_config(plan->config, sweep_path);
  free(sweep_path);
  free(base_path);
  return status;
}
