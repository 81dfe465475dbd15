/* What is saved, and when: checkpoints, the best one, the model. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static ls_snapshot snapshot_of(const trainer *t, bool is_checkpoint) {
  const ls_setup *const setup = t->setup;
  const ls_dataset *const data = setup->train.dataset;
  return (ls_snapshot){.config = t->config,
                       .platform = t->platform,
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

/* Local. A step from a finite gradient may end beyond float32, which only the next step would notice. */
static ls_status check_finite(const trainer *t) {
  const ls_job *const job = t->setup->job;
  const size_t n_state = job->optim->type->n_slots * job->optim->n;
  if (isfinite(ls_math_sum_squares(job->model->n_params, job->model->params)) &&
      isfinite(ls_math_sum_squares(job->model->n_state, job->model->state)) &&
      isfinite(ls_math_sum_squares(n_state, job->optim->block)))
    return LS_OK;
  return ls_fail(LS_ERR_NUMERIC,
                 "step %llu: it took the parameters, running averages or the optimizer's state beyond "
                 "float32; the learning "
                 "rate %g is probably too large (`lockstep lr-find` suggests one), or the data want "
                 "data.normalize. The last checkpoint is untouched",
                 (unsigned long long)t->progress.step, t->last_lr);
}

/* All ranks must hold the same bits: where they do not, going on would train several models. */
ls_status train_check_parameters(trainer *t) {
  const ls_model *const model = t->setup->job->model;
  const ls_digest digests[] = {ls_digest_of(model->params, model->n_params * sizeof *model->params),
                               ls_digest_of(model->state, model->n_state * sizeof *model->state)};
  const ls_digest digest = ls_digest_of(digests, sizeof digests);
  if (!ls_comm_all_equal(t->comm, digest.low, digest.high))
    return ls_fail(LS_ERR_INTERNAL, "step %llu: the ranks hold different parameters; they were not saved",
                   (unsigned long long)t->progress.step);
  return ls_comm_agree(t->comm, check_finite(t));
}

/* Rank 0's work. */
static ls_status publish_checkpoint(trainer *t) {
  char *const path = ls_checkpoint_path(t->files.checkpoints, t->progress.step);
  if (!path) return ls_fail_memory("a path", 0);
  ls_status status = write_on_root(t, path, true);
  free(path);
  if (status == LS_OK)
    status = ls_checkpoint_prune(t->files.checkpoints, t->progress.step, t->setup->job->checkpoint.keep);
  return status;
}

ls_status train_save_checkpoint(trainer *t) {
  if (t->saved_step == t->progress.step) return LS_OK;
  ls_status status = train_check_parameters(t);
  if (status == LS_OK) status = ls_comm_agree(t->comm, t->is_root ? publish_checkpoint(t) : LS_OK);
  if (status == LS_OK) t->saved_step = t->progress.step;
  return status;
}

ls_status train_save_best(trainer *t, const epoch_row *row) {
  t->progress.best_epoch = t->progress.epoch;
  t->progress.best_value = row->values[train_monitored(t)];
  ls_status status = LS_OK;
  if (t->setup->validation.view.n > 0) status = write_on_root(t, t->files.model, false);
  if (status == LS_OK) status = write_on_root(t, t->files.best, true);
  return ls_comm_agree(t->comm, status);
}

ls_status train_save_final(trainer *t) {
  const bool has_best = t->setup->validation.view.n > 0 && t->progress.best_epoch > 0;
  ls_status status = train_check_parameters(t);
  if (status == LS_OK && !has_best)
    status = ls_comm_agree(t->comm, write_on_root(t, t->files.model, false));
  return status == LS_OK ? train_save_checkpoint(t) : status;
}
