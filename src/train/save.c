/* What is saved, and when: checkpoints, the best one, the model. */
#include "internal.h"

#include <math.h>
#include <string.h>

/* Rank 0. `slots`: the gathered state; NULL: the optimizer's own is that of all parameters. */
static ls_snapshot snapshot_of(const trainer *t, const float *slots) {
  const ls_setup *const setup = t->setup;
  const ls_dataset *const data = setup->train.dataset;
  const bool depends = !setup->tree && ls_comm_size(t->comm) > 1;
  return (ls_snapshot){.content = {.config = t->config,
                                   .platform = t->platform,
                                   .classes = (const char *const *)data->classes,
                                   .n_classes = data->n_classes,
                                   .features = (const char *const *)data->feature_names,
                                   .n_features = data->n_feature_names,
                                   .model = setup->job->model,
                                   .normalizer = setup->normalizer},
                       .optim = setup->job->optim,
                       .slots = slots,
                       .comm_mode = depends ? ls_sync_mode_names[t->sync->mode] : NULL,
                       .n_ranks = depends ? (uint64_t)ls_comm_size(t->comm) : 0,
                       .progress = &t->progress};
}

/* Collective. Mode sharded: the optimizer's state of all parameters comes to the saver of rank 0, slot by
 * slot through the memory of the gradient. Returns where it is, NULL in other modes and on other ranks. */
static const float *gather_slots(trainer *t) {
  const ls_optim *const optim = t->setup->job->optim;
  const size_t n = t->setup->job->model->n_params;
  if (t->sync->mode != LS_SYNC_SHARDED) return NULL;
  float *const slots = t->is_root ? ls_saver_slots(t->saver) : NULL;
  for (size_t k = 0; k < optim->type->n_slots; k++) {
    memcpy(t->sync->grads + optim->first, optim->slots[k], optim->n * sizeof *slots);
    ls_sync_allgather(t->comm, t->sync, t->sync->grads);
    if (t->is_root) memcpy(slots + k * n, t->sync->grads, n * sizeof *slots);
  }
  return slots;
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

/* All ranks must hold the same bits: where they do not, going on would train several models. And what is
 * saved must still be this run's to save. */
ls_status train_check_state(trainer *t) {
  const ls_model *const model = t->setup->job->model;
  const ls_digest digests[] = {ls_digest_of(model->params, model->n_params * sizeof *model->params),
                               ls_digest_of(model->state, model->n_state * sizeof *model->state)};
  const ls_digest digest = ls_digest_of(digests, sizeof digests);
  if (!ls_comm_all_equal(t->comm, digest.low, digest.high))
    return ls_fail(LS_ERR_INTERNAL, "step %llu: the ranks hold different parameters; they were not saved",
                   (unsigned long long)t->progress.step);
  const ls_status status = t->is_root ? ls_rundir_check_lock(&t->files) : LS_OK;
  return ls_comm_agree(t->comm, status == LS_OK ? check_finite(t) : status);
}

/* Bytes of the arrays of a checkpoint or model; the file is a little larger. */
static uint64_t bytes_saved(const trainer *t, bool is_checkpoint) {
  const ls_job *const job = t->setup->job;
  const ls_model *const model = job->model;
  return is_checkpoint ? ls_saver_bytes(model, job->optim)
                       : (model->n_params + model->n_state) * sizeof(float);
}

/* How many checkpoints a whole run makes, at most. */
static uint64_t count_checkpoints(const trainer *t) {
  const ls_job *const job = t->setup->job;
  const uint64_t every = job->checkpoint.every_steps;
  const uint64_t steps = job->train.epochs * t->setup->steps_per_epoch;
  const uint64_t n = job->train.epochs + (every > 0 ? steps / every : 0);
  return 1 + (job->train.has_max_steps && job->train.max_steps < n ? job->train.max_steps : n);
}

ls_status train_check_room(const trainer *t, bool overwrites) {
  const ls_rundir *const files = &t->files;
  const bool is_new = t->progress.step == 0;
  const uint64_t one = bytes_saved(t, true);
  const uint64_t model = is_new ? bytes_saved(t, false) : 0;
  const uint64_t keep = t->setup->job->checkpoint.keep;
  const uint64_t made = count_checkpoints(t);
  uint64_t room = ls_rundir_free_bytes(files->folder);
  if (room == UINT64_MAX) return LS_OK;
  if (overwrites) room += ls_rundir_bytes_of(files->checkpoints) + ls_rundir_bytes_of(files->model);
  if (room < one + model)
    return ls_fail(
        LS_ERR_OUTPUT,
        "%s: no room for a checkpoint: %llu bytes are needed%s and %llu are free; make room, or give "
        "another output",
        files->folder, (unsigned long long)(one + model), is_new ? " with model.h5" : "",
        (unsigned long long)room);
  /* Those that are kept, best.h5, and one that is being written. */
  const uint64_t most = (made < keep ? made : keep) + 2;
  if (is_new && (room - model) / most < one)
    ls_log(LS_LOG_WARNING,
           "%s: %llu checkpoints of %llu bytes may be there at a time, and %llu bytes are free: make room "
           "meanwhile, or lower checkpoint.keep",
           files->folder, (unsigned long long)most, (unsigned long long)one, (unsigned long long)room);
  return LS_OK;
}

ls_status train_settle_saves(trainer *t) {
  return ls_comm_agree(t->comm, t->is_root ? ls_saver_wait(t->saver) : LS_OK);
}

/* Collective. Publishes what is given a path, once what was under way is done. */
static ls_status submit(trainer *t, const ls_save *save) {
  ls_status status = train_check_state(t);
  if (status == LS_OK) status = train_settle_saves(t);
  if (status != LS_OK) return status;
  const float *const slots = gather_slots(t);
  if (t->is_root) {
    const ls_snapshot snapshot = snapshot_of(t, slots);
    ls_saver_submit(t->saver, &snapshot, save);
  }
  ls_comm_barrier(t->comm); /* without threads in HDF5 that took long */
  t->saved_step = t->progress.step;
  t->is_new_best = false;
  return LS_OK;
}

/* The files that are due but for model.h5. */
static ls_save files_due(const trainer *t) {
  const bool has_step = t->saved_step == t->progress.step;
  return (ls_save){.best = t->is_new_best ? t->files.best : NULL,
                   .folder = has_step ? NULL : t->files.checkpoints,
                   .keep = t->setup->job->checkpoint.keep};
}

ls_status train_save_checkpoint(trainer *t) {
  const bool has_validation = t->setup->validation.view.n > 0;
  ls_save save = files_due(t);
  if (t->saved_step == t->progress.step) return LS_OK;
  if (t->is_new_best && has_validation) save.model = t->files.model;
  return submit(t, &save);
}

ls_status train_save_final(trainer *t) {
  const bool has_validation = t->setup->validation.view.n > 0;
  const bool has_best = has_validation && t->progress.best_epoch > 0;
  ls_save save = files_due(t);
  if (t->is_new_best || !has_best) save.model = t->files.model;
  const bool is_due = t->saved_step != t->progress.step || !has_best;
  const ls_status status = is_due ? submit(t, &save) : train_check_state(t);
  return status == LS_OK ? train_settle_saves(t) : status;
}
