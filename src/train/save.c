/* What is saved, and when: checkpoints, the best one, the model. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static ls_snapshot snapshot_of(const trainer *t, bool is_checkpoint) {
  const ls_setup *const setup = t->setup;
  const ls_dataset *const data = setup->train.dataset;
  return (ls_snapshot){.config = t->config,
                       .classes = (const char *const *)data->classes,
                       .n_classes = data->n_classes,
                       .features = (const char *const *)data->feature_names,
                       .n_features = data->n_feature_names,
                       .model = setup->job->model,
                       .normalizer = setup->normalizer,
                       .optim = is_checkpoint ? setup->job->optim : NULL,
                       .progress = is_checkpoint ? &t->progress : NULL};
}

/* Rank 0's work, whose verdict goes to all. */
static ls_status write_on_root(trainer *t, const char *path, bool is_checkpoint) {
  if (!t->is_root) return LS_OK;
  const ls_snapshot snapshot = snapshot_of(t, is_checkpoint);
  return ls_checkpoint_write(path, &snapshot);
}

/* A step from a finite gradient may end beyond float32, which only the next step would notice. */
ls_status check_finite(const trainer *t) {
  const ls_job *const job = t->setup->job;
  if (isfinite(ls_math_sum_squares(job->model->n_params, job->model->params))) return LS_OK;
  return ls_fail(LS_ERR_NUMERIC,
                 "step %llu: it took the parameters beyond float32; the learning rate %g may be too large. "
                 "The last checkpoint is untouched",
                 (unsigned long long)t->progress.step, job->optim->type->lr(job->optim));
}

ls_status save_checkpoint(trainer *t) {
  if (t->saved_step == t->progress.step) return LS_OK;
  char *path = NULL;
  ls_status status = check_finite(t);
  if (status != LS_OK) return status;
  if (t->is_root) {
    path = ls_checkpoint_path(t->files.checkpoints, t->progress.step);
    status = path ? write_on_root(t, path, true) : ls_fail_memory("a path", 0);
    if (status == LS_OK) status = ls_checkpoint_prune(t->files.checkpoints, t->setup->job->checkpoint.keep);
  }
  free(path);
  t->saved_step = t->progress.step;
  return ls_comm_agree(t->comm, status);
}

/* The column that tells the best epoch. */
static int monitored(const trainer *t) {
  const char *const name = t->setup->job->train.monitor;
  for (int i = 0; name && i < COLUMNS; i++)
    if (strcmp(name, column_name(i, t->setup->job->task)) == 0) return i;
  return t->setup->validation.view.n > 0 ? COLUMN_VAL_LOSS : COLUMN_TRAIN_LOSS;
}

/* Qualities and speed are better when larger, the others when smaller. Ties go to the earlier epoch. */
static bool is_better(int column, double value, double best) {
  const bool larger =
      column == COLUMN_TRAIN_QUALITY || column == COLUMN_VAL_QUALITY || column == COLUMN_SAMPLES_PER_SECOND;
  return larger ? value > best : value < best;
}

ls_status save_best(trainer *t, const double row[COLUMNS]) {
  const int column = monitored(t);
  ls_progress *const progress = &t->progress;
  const double value = row[column];
  if (isnan(value) || (progress->best_epoch > 0 && !is_better(column, value, progress->best_value)))
    return LS_OK;
  progress->best_epoch = progress->epoch;
  progress->best_value = value;
  ls_status status = LS_OK;
  if (t->setup->validation.view.n > 0) status = write_on_root(t, t->files.model, false);
  if (status == LS_OK) status = write_on_root(t, t->files.best, true);
  return ls_comm_agree(t->comm, status);
}

ls_status save_final(trainer *t) {
  const bool has_best = t->setup->validation.view.n > 0 && t->progress.best_epoch > 0;
  ls_status status = check_finite(t);
  if (status != LS_OK) return status;
  status = ls_comm_agree(t->comm, has_best ? LS_OK : write_on_root(t, t->files.model, false));
  return status == LS_OK ? save_checkpoint(t) : status;
}
