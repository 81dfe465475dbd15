/* What is saved, and when: checkpoints, the best one, the model. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static ls_snapshot snapshot_of(const trainer *t, bool is_checkpoint) {
  const ls_setup *const setup = t->setup;
  const ls_dataset *const data = setup->train.dataset;
  const bool depends = is_checkpoint && !setup->tree && ls_comm_size(t->comm) > 1;
  return (ls_snapshot){.config = t->config,
                       .platform = t->platform,
                       .classes = (const char *const *)data->classes,
                       .n_classes = data->n_classes,
                       .features = (const char *const *)data->feature_names,
                       .n_features = data->n_feature_names,
                       .model = setup->job->model,
                       .normalizer = setup->normalizer,
                       .optim = is_checkpoint ? setup->job->optim : NULL,
                       .slots = t->slots,
                       .comm_mode = depends ? ls_sync_mode_names[t->sync->mode] : NULL,
                       .n_ranks = depends ? (uint64_t)ls_comm_size(t->comm) : 0,
                       .progress = is_checkpoint ? &t->progress : NULL};
}

/* Rank 0's work, whose verdict goes to all. */
static ls_status write_on_root(trainer *t, const char *path, bool is_checkpoint) {
  if (!t->is_root) return LS_OK;
  const ls_snapshot snapshot = snapshot_of(t, is_checkpoint);
  return ls_checkpoint_write(path, &snapshot);
}

/* Collective. Mode sharded: the optimizer's state of all parameters comes to rank 0, slot by slot through
 * the memory of the gradient. */
static ls_status gather_slots(trainer *t) {
  const ls_optim *const optim = t->setup->job->optim;
  const size_t n = t->setup->job->model->n_params;
  const size_t n_slots = optim->type->n_slots;
  if (t->sync->mode != LS_SYNC_SHARDED || n_slots == 0 || t->gathered_step == t->progress.step)
    return LS_OK;
  if (t->is_root && !t->slots) t->slots = ls_calloc(n_slots, n * sizeof *t->slots);
  const bool is_short = t->is_root && !t->slots;
  const ls_status status = ls_comm_agree(
      t->comm, is_short ? ls_fail_memory("the optimizer's state", n_slots * n * sizeof *t->slots) : LS_OK);
  if (status != LS_OK) return status;
  for (size_t k = 0; k < n_slots; k++) {
    memcpy(t->sync->grads + optim->first, optim->slots[k], optim->n * sizeof *t->slots);
    ls_sync_share(t->comm, t->sync, t->sync->grads);
    if (t->is_root) memcpy(t->slots + k * n, t->sync->grads, n * sizeof *t->slots);
  }
  t->gathered_step = t->progress.step;
  return LS_OK;
}

static void drop_slots(trainer *t) {
  free(t->slots);
  t->slots = NULL;
  t->gathered_step = UINT64_MAX;
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
  const double start = ls_clock();
  if (t->saved_step == t->progress.step) return LS_OK;
  ls_status status = train_check_parameters(t);
  if (status == LS_OK) status = gather_slots(t);
  if (status == LS_OK) status = ls_comm_agree(t->comm, t->is_root ? publish_checkpoint(t) : LS_OK);
  if (status == LS_OK) t->saved_step = t->progress.step;
  drop_slots(t);
  t->longest.save = fmax(t->longest.save, ls_clock() - start);
  return status;
}

ls_status train_save_best(trainer *t, const epoch_row *row) {
  t->progress.best_epoch = t->progress.epoch;
  t->progress.best_value = row->values[train_monitored(t)];
  ls_status status = gather_slots(t);
  if (status != LS_OK) return status;
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
