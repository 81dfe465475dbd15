/* The space on disk that a run needs. */
#include "internal.h"

/* The most checkpoints that a whole run makes. */
static uint64_t count_checkpoints(const trainer *t) {
  const ls_job *const job = t->setup->job;
  const uint64_t every = job->checkpoint.every_steps;
  const uint64_t steps = job->train.epochs * t->setup->steps_per_epoch;
  const uint64_t n = job->train.epochs + (every > 0 ? steps / every : 0);
  return 1 + (job->train.has_max_steps && job->train.max_steps < n ? job->train.max_steps : n);
}

ls_status train_check_space(const trainer *t) {
  const ls_job *const job = t->setup->job;
  const bool is_new = t->progress.step == 0;
  const uint64_t one = ls_saver_bytes(job->model, job->optim);
  const uint64_t models = train_has_average(t) ? 2 : 1; /* model-ema.h5 */
  const uint64_t model = is_new ? models * (job->model->n_params + job->model->n_state) * sizeof(float) : 0;
  const uint64_t made = count_checkpoints(t);
  uint64_t space = ls_rundir_free_bytes(t->dir.folder);
  if (space == UINT64_MAX) return LS_OK;
  if (t->start.removes_run)
    space += ls_rundir_bytes_of(t->dir.checkpoints) + ls_rundir_bytes_of(t->dir.model) +
             ls_rundir_bytes_of(t->dir.average);
  if (space < one + model)
    return ls_fail(
        LS_ERR_OUTPUT,
        "%s: no space for a checkpoint: %llu bytes are needed%s and %llu are free; free some, or choose "
        "another output",
        t->dir.folder, (unsigned long long)(one + model), is_new ? " with model.h5" : "",
        (unsigned long long)space);
  /* Those that are kept, best.h5, and one that is being written. */
  const uint64_t most = (made < job->checkpoint.keep ? made : job->checkpoint.keep) + 2;
  if (is_new && (space - model) / most < one)
    ls_log(LS_LOG_WARNING,
           "%s: up to %llu checkpoints of %llu bytes will exist at a time, and %llu bytes are free; free "
           "some, or lower checkpoint.keep",
           t->dir.folder, (unsigned long long)most, (unsigned long long)one, (unsigned long long)space);
  return LS_OK;
}
