/* on_nan: skip: steps with a loss or gradient that is not finite are skipped. */
#include "internal.h"

#include <string.h>

ls_status train_enable_skips(trainer *t) {
  const ls_job *const job = t->setup->job;
  const size_t n = job->model->n_state;
  if (job->train.on_nan != LS_ON_NAN_SKIP) return LS_OK;
  t->kept_state = ls_calloc(n, sizeof *t->kept_state);
  return ls_comm_agree(
      t->comm, t->kept_state ? LS_OK : ls_fail_memory("a copy of running averages", n * sizeof(float)));
}

void train_keep_state(trainer *t) {
  const ls_model *const model = t->setup->job->model;
  if (t->kept_state) memcpy(t->kept_state, model->state, model->n_state * sizeof *model->state);
}

#define WARNINGS 10 /* of skipped steps; more would hide other lines */

ls_status train_skip_step(trainer *t) {
  ls_model *const model = t->setup->job->model;
  const uint64_t max_skipped = t->setup->job->train.max_skipped;
  ls_progress *const progress = &t->progress;
  if (!t->kept_state)
    return ls_fail(LS_ERR_NUMERIC,
                   "%s; the learning rate %g is probably too large: `lockstep lr-find` suggests one%s. The "
                   "last checkpoint is untouched",
                   ls_message(), train_lr(t), train_targets_remedy(t, t->batches.metric));
  if (progress->skipped_steps >= max_skipped)
    return ls_fail(LS_ERR_NUMERIC,
                   "%s; %llu steps were skipped before, and train.max_skipped is %llu. The last checkpoint "
                   "is untouched",
                   ls_message(), (unsigned long long)progress->skipped_steps,
                   (unsigned long long)max_skipped);
  memcpy(model->state, t->kept_state, model->n_state * sizeof *model->state);
  progress->skipped_steps++;
  if (progress->skipped_steps <= WARNINGS)
    ls_log(LS_LOG_WARNING, "%s: skipped%s", ls_message(),
           progress->skipped_steps == WARNINGS ? "; later ones are only counted in the line of the epoch"
                                               : "");
  return LS_OK;
}
