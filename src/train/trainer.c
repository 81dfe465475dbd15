/* The trainer: creation and destruction, initial parameters, learning rate, whether training is finished.
 */
#include "internal.h"

#include <stdlib.h>

static bool has_penalty(const ls_model *model) {
  for (size_t i = 0; i < model->n_segments; i++)
    if (model->segments[i].l1 > 0.0 || model->segments[i].l2 > 0.0) return true;
  return false;
}

/* Collective. */
static ls_status create_sync(trainer *t) {
  const ls_setup *const setup = t->setup;
  const ls_job *const job = setup->job;
  ls_model *const model = job->model;
  ls_sync_config config = job->sync;
  config.shared_memory = config.shared_memory && !setup->tree; /* the tree does not use it */
  LS_TRY(ls_sync_create(t->comm, &config, model->n_params, t->batches.metric->n_sums, &t->sync));
  ls_model_borrow(model, t->sync->params, t->sync->grads);
  t->sync->tree = setup->tree;
  t->sync->clip_norm = job->train.clip_grad_norm;
  t->sync->clip_value = job->train.clip_grad_value;
  if (has_penalty(model)) {
    t->sync->n_penalised = model->n_segments;
    t->sync->penalised = model->segments;
  }
  return LS_OK;
}

/* Collective. In reproducible mode, results do not depend on the layout of the ranks. */
static ls_status describe_platform(trainer *t) {
  char layout[100] = "";
  if (!t->setup->tree) LS_TRY(ls_comm_layout(t->comm, t->setup->threads, layout, sizeof layout));
  t->platform = ls_format("%s; %s; %s%s%s", ls_math_blas_name(), ls_math_kernels_name(),
                          ls_comm_library(t->comm), layout[0] ? "; " : "", layout);
  return ls_comm_agree(t->comm, t->platform ? LS_OK : ls_fail_memory("a text", 0));
}

ls_status train_create(trainer *t, ls_comm *comm, ls_setup *setup) {
  *t = (trainer){.comm = comm, .setup = setup, .is_root = ls_comm_rank(comm) == 0};
  ls_status status = train_batches_create(t);
  if (status == LS_OK) status = train_create_metric(t, &t->metric);
  if (status == LS_OK) status = ls_measures_create_metric(comm, setup, &t->evaluation);
  if (status == LS_OK) status = ls_config_print(setup->job->config, &t->config);
  LS_TRY(ls_comm_agree(comm, status));
  LS_TRY(describe_platform(t));
  LS_TRY(create_sync(t));
  t->progress = (ls_progress){.n_sums = t->metric->n_sums, .sums = t->metric->sums};
  t->saves.spared = LS_SPARED_NONE;
  train_record_saved(t, false);
  return LS_OK;
}

void train_destroy(trainer *t) {
  ls_saver_destroy(&t->saves.saver); /* first, as it uses the rest; rank 0 waits for it ... */
  ls_comm_barrier(t->comm);          /* ... and the others for rank 0 */
  ls_rundir_destroy(&t->dir);
  train_diagnostics_destroy(&t->diagnostics);
  free(t->initial);
  free(t->kept_state);
  if (t->sync) ls_model_return(t->setup->job->model);
  ls_sync_destroy(t->comm, &t->sync);
  train_batches_destroy(t);
  ls_metric_destroy(&t->metric);
  ls_metric_destroy(&t->evaluation);
  free(t->config);
  free(t->platform);
}

void train_initialise(trainer *t) {
  ls_model *const model = t->setup->job->model;
  if (t->is_root) ls_model_initialise(model, t->setup->job->train.seed);
  ls_comm_broadcast(t->comm, model->params, model->n_params * sizeof *model->params);
  ls_comm_broadcast(t->comm, model->state, model->n_state * sizeof *model->state);
}

double train_lr(const trainer *t) {
  const ls_job *const job = t->setup->job;
  const ls_schedule_time now = {.step = t->progress.step,
                                .epoch = t->progress.epoch,
                                .n_reductions = t->progress.plateau.n_reductions};
  return t->fixed_lr > 0.0 ? t->fixed_lr : ls_schedule_lr(&job->schedule, job->optim->lr, &now);
}

bool train_is_paused(const trainer *t) {
  const uint64_t until = t->options ? t->options->until_epoch : 0;
  return until > 0 && t->progress.epoch >= until;
}

bool train_is_finished(const trainer *t) {
  const ls_train_config *const train = &t->setup->job->train;
  return t->progress.epoch >= train->epochs || train_is_stopped_early(t) ||
         (train->has_max_steps && t->progress.step >= train->max_steps);
}
