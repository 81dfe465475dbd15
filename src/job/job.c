/* A config, read by all rooms and checked. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

const ls_key ls_top_keys[] = {
    LS_COUNT_KEY("seed", ls_train_config, seed, "1", 0, 1e15, "random seed"),
    LS_TEXT_KEY("output", ls_train_config, output, "run directory, relative to the working directory"),
    LS_CHOICE_KEY("loss", ls_train_config, loss, NULL, ls_loss_names, "loss function to minimize",
                  .flags = LS_KEY_REQUIRED),
    LS_NODE_KEY(
        "metrics", ls_train_config, metrics,
        "additional columns of metrics.csv: a list of top_K (any K), precision, recall, f1, roc_auc "
        "(class means), mse, mae"),
    LS_SECTION_KEY("data", "datasets, see data.*"),
    LS_SECTION_KEY("model", "list of layers, see model.N.*"),
    LS_SECTION_KEY("optimizer", "optimizer, see optimizer.*"),
    LS_SECTION_KEY("schedule", "learning rate schedule, see schedule.*"),
    LS_SECTION_KEY("penalty", "penalties on the weights, see penalty.*"),
    LS_SECTION_KEY("train", "training loop, see train.*"),
    LS_SECTION_KEY("checkpoint", "checkpoints, see checkpoint.*"),
    LS_SECTION_KEY("comm", "communication between ranks, see comm.*"),
    {0},
};

static const ls_key early_stopping_keys[] = {
    LS_COUNT_KEY("patience", ls_train_config, patience, "0", 0, 1e9,
                 "epochs without improvement of train.monitor before training ends; 0: no early stopping"),
    LS_REAL_KEY("min_delta", ls_train_config, min_delta, "0", 0, 1e9,
                "change that an improvement must exceed"),
    {0},
};

static const char *const on_nan_names[] = {[LS_ON_NAN_STOP] = "stop", [LS_ON_NAN_SKIP] = "skip", NULL};

const ls_key ls_train_keys[] = {
    LS_COUNT_KEY("epochs", ls_train_config, epochs, "10", 1, 1e9, "passes over the training data"),
    LS_COUNT_KEY("batch_size", ls_train_config, batch_size, "32", 1, 1e9,
                 "samples per batch over all ranks; full: all samples", .word = "full"),
    LS_COUNT_KEY("accumulate", ls_train_config, accumulate, "1", 1, 1e6,
                 "batches whose gradients are summed for one step"),
    LS_COUNT_KEY("max_steps", ls_train_config, max_steps, NULL, 0, 1e12,
                 "total number of steps after which training ends; 0: only write the initial model"),
    LS_TIME_KEY(
        "max_time", ls_train_config, max_time, NULL,
        "time limit, counted from the start of the process, in seconds or as in 3h50m; the run saves a "
        "checkpoint before it and exits with code 75"),
    LS_TEXT_KEY(
        "monitor", ls_train_config, monitor,
        "column of metrics.csv that selects the best epoch; default val_loss, or train_loss without "
        "validation"),
    LS_MAP_KEY("early_stopping", early_stopping_keys, "early stopping"),
    LS_REAL_KEY("clip_grad_norm", ls_train_config, clip_grad_norm, "0", 0, 1e30,
                "maximum norm of the gradient; 0: no limit"),
    LS_REAL_KEY("clip_grad_value", ls_train_config, clip_grad_value, "0", 0, 1e30,
                "maximum magnitude of each gradient element, applied after clip_grad_norm; 0: no limit"),
    LS_CHOICE_KEY("on_nan", ls_train_config, on_nan, "stop", on_nan_names,
                  "reaction to a loss or gradient that is not finite: stop the run, or skip the step"),
    LS_COUNT_KEY("max_skipped", ls_train_config, max_skipped, "10", 0, 1e12,
                 "maximum number of steps that on_nan: skip may skip in total"),
    LS_BOOL_KEY("reproducible", ls_train_config, reproducible, "false",
                "same bits for any number of ranks, given the same program and type of processor"),
    LS_COUNT_KEY("lanes", ls_train_config, lanes, "8", 1, LS_LANES_MAX,
                 "parts of a batch in reproducible mode, a power of two; the maximum number of ranks that "
                 "have work"),
    LS_BOOL_KEY(
        "diagnostics", ls_train_config, diagnostics, "true",
        "gradients and dead units of each layer after each epoch, in diagnostics.csv and as warnings"),
    LS_NODE_KEY("class_weight", ls_train_config, class_weight,
                "per-class sample weights: balanced, or a list of numbers"),
    LS_COUNT_KEY("log_every", ls_train_config, log_every, "0", 0, 1e12,
                 "steps between log lines; 0: one line per epoch"),
    {0},
};

ls_task ls_task_of(ls_loss loss) {
  switch (loss) {
  case LS_CATEGORICAL_CROSS_ENTROPY: return LS_TASK_CLASSES;
  case LS_BINARY_CROSS_ENTROPY: return LS_TASK_LABELS;
  case LS_MSE: break;
  }
  return LS_TASK_REGRESSION;
}

ls_target_kind ls_target_of(ls_loss loss) {
  switch (loss) {
  case LS_CATEGORICAL_CROSS_ENTROPY: return LS_TARGET_CLASSES;
  case LS_BINARY_CROSS_ENTROPY: return LS_TARGET_LABELS;
  case LS_MSE: break;
  }
  return LS_TARGET_VALUES;
}

void ls_job_destroy(ls_job **job) {
  if (!*job) return;
  ls_model_destroy(&(*job)->model);
  ls_optim_destroy(&(*job)->optim);
  ls_config_destroy(&(*job)->config);
  free(*job);
  *job = NULL;
}

/* `output='DIR'`, quoted as YAML wants it; owned by the caller. */
static char *quote_output(const char *output) {
  const size_t size = 2 * strlen(output) + sizeof "output=''";
  char *const text = ls_calloc(size, 1);
  if (!text) return NULL;
  ls_append(text, size, "output='");
  for (const char *c = output; *c; c++) ls_append(text, size, "%s%c", *c == '\'' ? "'" : "", *c);
  ls_append(text, size, "'");
  return text;
}

/* --output goes into the document, so that the resolved config shows it. */
static ls_status override_output(ls_config *config, const char *output) {
  char *const assignment = quote_output(output);
  const ls_status status =
      assignment ? ls_config_override(config, assignment) : ls_fail_memory("a path", strlen(output));
  free(assignment);
  return status;
}

/* Whether there is anything to validate on. */
static bool has_validation(const ls_job *job) {
  return job->data.validation || job->data.validation_fraction > 0.0;
}

/* The column to watch: one of metrics.csv. A default goes into the document, as a run that goes on compares
 * it. */
static ls_status choose_monitor(ls_job *job, const ls_node *section) {
  const char *columns[LS_COLUMNS_MAX + 1] = {NULL};
  if (ls_node_find(ls_config_root(job->config), "train") != section)
    return LS_OK; /* not a map: already reported */
  for (int i = 0; i < ls_columns_count(job); i++) columns[i] = ls_column_name(job, i);
  if (!job->train.monitor) {
    const ls_status status = ls_config_override(
        job->config, has_validation(job) ? "train.monitor=val_loss" : "train.monitor=train_loss");
    if (status == LS_OK) job->train.monitor = ls_node_text(ls_node_find(section, "monitor"));
    return status;
  }
  const ls_node *const node = ls_node_find(section, "monitor");
  if (ls_config_choose(job->config, node, "monitor", columns) < 0) return LS_OK;
  if (strncmp(job->train.monitor, "val_", 4) == 0 && !has_validation(job))
    ls_config_error(job->config, node, "no validation data; set data.validation or choose another column");
  return LS_OK;
}

static void check_least_rate(const ls_job *job) {
  const ls_node *const section = ls_node_find(ls_config_root(job->config), "schedule");
  const double lr = job->optim ? job->optim->type->lr(job->optim) : 0.0;
  if (job->optim && job->schedule.min_lr > lr)
    ls_config_error(job->config, section ? ls_node_find(section, "min_lr") : NULL,
                    "out of range; must be at most optimizer.lr, %g", lr);
}

static void check_early_stopping(ls_job *job, const ls_node *section) {
  const ls_node *const map = ls_node_find(section, "early_stopping");
  if (map && job->train.min_delta > 0.0 && job->train.patience == 0)
    ls_config_error(job->config, map,
                    "min_delta has no effect without patience; set patience, for example to 5");
}

/* Only mse has targets to standardise. */
static void check_targets(const ls_job *job) {
  const ls_node *const root = ls_config_root(job->config);
  if (job->data.standardize_targets && ls_node_find(root, "loss") && job->train.loss != LS_MSE)
    ls_config_error(job->config, ls_node_find(ls_node_find(root, "data"), "standardize_targets"),
                    "targets of this loss cannot be standardised; must be used with the loss mse");
}

/* The reproducible mode sums the lanes in a fixed tree. */
static void check_reproducible_sums(ls_job *job, const ls_node *section) {
  const ls_node *const key = ls_node_find(section, "reproducible");
  if (job->train.reproducible && job->sync.mode > LS_SYNC_ALLREDUCE)
    ls_config_error(job->config, key, "cannot be combined with comm.mode: %s; remove that key",
                    ls_sync_mode_names[job->sync.mode]);
  if (job->train.reproducible && job->sync.gradient_type != LS_GRADIENT_F32)
    ls_config_error(job->config, key,
                    "cannot be combined with comm.gradient_type: bfloat16; remove that key");
}

static void check_lanes(ls_job *job, const ls_node *section) {
  const uint64_t lanes = job->train.lanes;
  if (lanes > 0 && (lanes & (lanes - 1)) != 0)
    ls_config_error(job->config, ls_node_find(section, "lanes"),
                    "not a power of two; must be 1, 2, 4, ...");
  const char *const monitor = job->train.monitor;
  if (job->train.reproducible && monitor &&
      (strcmp(monitor, "seconds") == 0 || strcmp(monitor, "samples_per_second") == 0))
    ls_config_error(job->config, ls_node_find(section, "monitor"),
                    "measures time, which differs between runs; cannot be used with train.reproducible");
  if (job->train.reproducible && job->sync.threads > 1)
    ls_config_error(
        job->config, ls_node_find(section, "reproducible"),
        "cannot be combined with comm.threads: %llu; must be 1 BLAS thread per rank; use more ranks",
        (unsigned long long)job->sync.threads);
  check_reproducible_sums(job, section);
}

/* Each module reads its section. Collects errors. */
static ls_status read_parts(ls_job *job, const char *path) {
  ls_config *const config = job->config;
  ls_node *const root = ls_config_root(config);
  ls_config_read(config, root, ls_top_keys, &job->train);
  ls_node *const section = ls_config_section(config, root, "train");
  if (section) ls_config_read(config, section, ls_train_keys, &job->train);
  const ls_node *const max_steps = section ? ls_node_find(section, "max_steps") : NULL;
  job->train.has_max_steps = max_steps && !ls_node_is_null(max_steps);
  job->task = ls_task_of((ls_loss)job->train.loss);
  ls_data_configure(config, path, &job->data);
  ls_checkpoint_configure(config, &job->checkpoint);
  ls_sync_configure(config, &job->sync);
  ls_penalty_configure(config, &job->penalty);
  ls_schedule_configure(config, &job->schedule);
  if (section) check_early_stopping(job, section);
  if (section) check_lanes(job, section);
  job_read_measures(job);
  ls_status status = section ? choose_monitor(job, section) : LS_OK;
  if (status == LS_OK) status = ls_model_parse(config, (ls_loss)job->train.loss, &job->model);
  if (status == LS_OK) job->model->l1 = job->penalty.l1;
  if (status == LS_OK) job->model->l2 = job->penalty.l2;
  if (status == LS_OK) status = ls_optim_parse(config, &job->optim);
  if (status == LS_OK) check_targets(job);
  if (status == LS_OK) check_least_rate(job);
  if (status == LS_OK) job_check_class_weight(job);
  return status == LS_OK ? ls_config_status(config) : status;
}

/* Local: the same text gives the same job on every rank. */
static ls_status parse(ls_job *job, const char *text, const ls_job_source *source) {
  ls_status status = ls_config_create(text, source->path, &job->config);
  for (size_t i = 0; status == LS_OK && i < source->n_overrides; i++)
    status = ls_config_override(job->config, source->overrides[i]);
  if (status == LS_OK && source->output) status = override_output(job->config, source->output);
  return status == LS_OK ? read_parts(job, source->path) : status;
}

ls_status ls_job_create_saved(const char *text, const char *path, ls_job **out) {
  const ls_job_source source = {.path = path};
  *out = ls_calloc(1, sizeof **out);
  if (!*out) return ls_fail_memory("the job", sizeof **out);
  const ls_status status = parse(*out, text, &source);
  if (status == LS_OK) return LS_OK;
  ls_job_destroy(out);
  if (status != LS_ERR_CONFIG) return status;
  return ls_fail(LS_ERR_MODEL, "%s: its config can't be used: %s", path, ls_message());
}

ls_status ls_job_create(ls_comm *comm, const ls_job_source *source, ls_job **out) {
  char *text = NULL;
  *out = NULL;
  ls_status status =
      ls_comm_agree(comm, ls_comm_rank(comm) == 0 ? ls_config_load(source->path, &text) : LS_OK);
  if (status != LS_OK) return status;
  status = ls_comm_broadcast_text(comm, &text);
  ls_job *job = status == LS_OK ? ls_calloc(1, sizeof *job) : NULL;
  if (status == LS_OK)
    status = ls_comm_agree(comm, job ? parse(job, text, source) : ls_fail_memory("the job", sizeof *job));
  free(text);
  if (status == LS_OK)
    *out = job;
  else
    ls_job_destroy(&job);
  return status;
}

void ls_predictor_destroy(ls_predictor **loaded) {
  if (!*loaded) return;
  ls_modelfile_close(&(*loaded)->saved);
  ls_normalizer_destroy(&(*loaded)->normalizer);
  ls_job_destroy(&(*loaded)->job);
  free(*loaded);
  *loaded = NULL;
}

/* Local. The model of a saved config, ready to be filled. */
static ls_status build_loaded(ls_predictor *loaded, const char *path, const char *text,
                              const ls_shape *input) {
  ls_status status = ls_job_create_saved(text, path, &loaded->job);
  if (status == LS_OK) status = ls_model_infer_shapes(loaded->job->model, input);
  if (status == LS_OK) status = ls_model_build(loaded->job->model, LS_EVALUATE_ROWS);
  if (status == LS_OK) status = ls_normalizer_create(loaded->job->model->n_in, &loaded->normalizer);
  if (status == LS_OK && loaded->job->data.standardize_targets)
    status = ls_normalizer_add_targets(loaded->normalizer, loaded->job->model->n_out);
  return status;
}

ls_status ls_predictor_create(ls_comm *comm, const char *path, ls_predictor **out) {
  const bool is_root = ls_comm_rank(comm) == 0;
  char *text = NULL;
  ls_shape input = {0};
  *out = NULL;
  ls_predictor *loaded = ls_calloc(1, sizeof *loaded);
  ls_status status = loaded ? LS_OK : ls_fail_memory("the model", sizeof *loaded);
  if (status == LS_OK && is_root) status = ls_modelfile_open(path, &loaded->saved);
  if (status == LS_OK && is_root) text = ls_strdup(loaded->saved->config);
  if (status == LS_OK && is_root) input = loaded->saved->input;
  status = ls_comm_agree(comm, status);
  if (status == LS_OK) status = ls_comm_broadcast_text(comm, &text);
  if (status == LS_OK) {
    ls_comm_broadcast(comm, &input, sizeof input);
    status = ls_comm_agree(comm, text ? build_loaded(loaded, path, text, &input)
                                      : ls_fail_memory("the config", 0));
    LS_ASSERT(status != LS_OK || loaded->job);
  }
  if (status == LS_OK)
    status = ls_checkpoint_restore(comm, loaded->saved, loaded->job->model, loaded->normalizer, NULL, NULL);
  free(text);
  if (status == LS_OK)
    *out = loaded;
  else
    ls_predictor_destroy(&loaded);
  return status;
}
