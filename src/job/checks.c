/* Checks of options that depend on each other. Errors are collected in the config. */
#include "internal.h"

#include <math.h>
#include <string.h>

/* Whether the job has validation data. */
static bool has_validation(const ls_job *job) {
  return job->data.validation || job->data.validation_fraction > 0.0;
}

/* Checks train.monitor. Its default depends on other keys; it is stored in the document, as a resumed run
 * compares it. */
static ls_status check_monitor(ls_job *job, const ls_node *section) {
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

/* The reproducible mode sums the lanes in a fixed tree. */
static void check_reproducible(ls_job *job, const ls_node *section) {
  const ls_node *const key = ls_node_find(section, "reproducible");
  const char *const monitor = job->train.monitor;
  if (!job->train.reproducible) return;
  if (monitor && (strcmp(monitor, "seconds") == 0 || strcmp(monitor, "samples_per_second") == 0))
    ls_config_error(job->config, ls_node_find(section, "monitor"),
                    "measures time, which differs between runs; cannot be used with train.reproducible");
  if (job->sync.threads > 1)
    ls_config_error(
        job->config, key,
        "cannot be combined with comm.threads: %llu; must be 1 BLAS thread per rank; use more ranks",
        (unsigned long long)job->sync.threads);
  if (job->sync.mode > LS_SYNC_ALLREDUCE)
    ls_config_error(job->config, key, "cannot be combined with comm.mode: %s; remove that key",
                    ls_sync_mode_names[job->sync.mode]);
  if (job->sync.gradient_type != LS_GRADIENT_F32)
    ls_config_error(job->config, key,
                    "cannot be combined with comm.gradient_type: bfloat16; remove that key");
}

ls_status job_check_train(ls_job *job, const ls_node *section) {
  const uint64_t lanes = job->train.lanes;
  const ls_node *const early = ls_node_find(section, "early_stopping");
  if (early && job->train.min_delta > 0.0 && job->train.patience == 0)
    ls_config_error(job->config, early,
                    "min_delta has no effect without patience; set patience, for example to 5");
  if (lanes > 0 && (lanes & (lanes - 1)) != 0)
    ls_config_error(job->config, ls_node_find(section, "lanes"),
                    "not a power of two; must be 1, 2, 4, ...");
  check_reproducible(job, section);
  return check_monitor(job, section);
}

void job_check_optimizer(const ls_job *job) {
  const ls_node *const root = ls_config_root(job->config);
  const ls_node *const schedule = ls_node_find(root, "schedule");
  const double lr = job->optim ? job->optim->lr : INFINITY;
  if (job->data.standardize_targets && ls_node_find(root, "loss") && job->task != LS_TASK_REGRESSION)
    ls_config_error(
        job->config, ls_node_find(ls_node_find(root, "data"), "standardize_targets"),
        "targets of this loss cannot be standardised; must be used with the loss mse, mae or huber");
  if (job->model && job->model->loss_options.alpha > 0.0 && job->train.loss == LS_FOCAL)
    ls_config_error(
        job->config, ls_node_find(ls_node_find(root, "loss"), "alpha"),
        "has no effect with softmax; use train.class_weight, or sigmoid as the last activation");
  if (job->optim && job->optim->type->sums && job->penalty.l1 > 0.0)
    ls_config_error(job->config, ls_node_find(ls_node_find(root, "penalty"), "l1"),
                    "l1 has no rate per block; must be used with an optimizer other than %s",
                    job->optim->type->name);
  if (job->schedule.min_lr > lr)
    ls_config_error(job->config, schedule ? ls_node_find(schedule, "min_lr") : NULL,
                    "out of range; must be at most optimizer.lr, %g", lr);
}
