/* One step: gather, forward, loss, backward, and the same update on all ranks. */
#include "internal.h"

#include <stdlib.h>
#include <unistd.h>

ls_status trainer_create(trainer *t, ls_comm *comm, ls_setup *setup) {
  *t = (trainer){.comm = comm, .setup = setup, .is_root = ls_comm_rank(comm) == 0};
  const ls_job *const job = t->setup->job;
  const size_t n_out = job->model->n_out;
  ls_status status = ls_metric_create(job->task, n_out, false, &t->step_metric);
  if (status == LS_OK) status = ls_metric_create(job->task, n_out, false, &t->epoch_metric);
  if (status == LS_OK) status = train_measures_create(comm, setup, &t->validation_metric);
  if (status == LS_OK) status = ls_sync_create(t->step_metric->n_sums, &t->sync);
  if (status == LS_OK) status = ls_config_print(job->config, &t->config);
  if (status == LS_OK && t->is_root) status = run_files_create(&t->files, job->train.output);
  if (status != LS_OK) return status;
  if (job->task == LS_TASK_REGRESSION)
    for (size_t k = 0; k < n_out; k++)
      t->step_metric->pivots[k] = t->epoch_metric->pivots[k] =
          ((const float *)t->setup->train.dataset->y.data)[k];
  t->progress = (ls_progress){.n_sums = t->epoch_metric->n_sums, .sums = t->epoch_metric->sums};
  t->saved_step = UINT64_MAX;
  t->has_bar = isatty(STDERR_FILENO);
  return LS_OK;
}

void trainer_destroy(trainer *t) {
  run_files_destroy(&t->files);
  ls_sync_destroy(&t->sync);
  ls_metric_destroy(&t->step_metric);
  ls_metric_destroy(&t->epoch_metric);
  ls_metric_destroy(&t->validation_metric);
  free(t->config);
}

bool train_is_finished(const trainer *t) {
  const ls_train_config *const train = &t->setup->job->train;
  return t->progress.epoch >= train->epochs ||
         (train->has_max_steps && t->progress.step >= train->max_steps);
}

void train_count_time(trainer *t, double start) {
  const double seconds = ls_clock() - start;
  t->progress.epoch_seconds += seconds;
  t->times.all += seconds;
}

/* Gathers this rank's shard of the next global batch: `rows` samples from where the epoch stands. */
static size_t gather(trainer *t, const ls_order *order, size_t rows) {
  const double start = ls_clock();
  ls_setup *const setup = t->setup;
  ls_part *const part = &setup->train;
  const ls_shard shard = ls_shard_of(rows, ls_comm_rank(t->comm), ls_comm_size(t->comm));
  for (size_t i = 0; i < shard.rows; i++)
    part->batch->samples[i] =
        ls_view_sample(&part->view, ls_order_at(order, t->progress.epoch_samples + shard.first + i));
  ls_batch_gather(part->batch, part->dataset, setup->normalizer, shard.rows,
                  ls_model_input(setup->job->model));
  t->times.data += ls_clock() - start;
  return shard.rows;
}

/* Forward, loss and backward over this rank's rows. */
static void sweep(trainer *t, size_t rows) {
  const double start = ls_clock();
  const ls_batch *const batch = t->setup->train.batch;
  ls_model *const model = t->setup->job->model;
  const size_t lanes[] = {0, rows};
  const ls_pass pass = {.n_lanes = 1,
                        .lanes = lanes,
                        .mode = LS_TRAIN,
                        .seed = t->progress.seed,
                        .step = t->progress.step,
                        .samples = batch->samples};
  const ls_targets targets = {
      .classes = batch->classes, .values = batch->values, .weights = batch->weights};
  const float *const z = ls_model_forward(model, &pass);
  const double loss =
      ls_loss_apply(model->loss, rows, model->n_out, z, &targets, ls_model_output_gradient(model));
  ls_metric_reset(t->step_metric);
  ls_metric_add(t->step_metric, rows, z, &targets, loss);
  ls_model_backward(model, &pass, NULL);
  t->times.compute += ls_clock() - start;
}

/* Collective. Sums over the ranks and the optimizer's step. */
static ls_status take_step(trainer *t) {
  ls_job *const job = t->setup->job;
  ls_step step = {.weight = ls_metric_weight(t->step_metric),
                  .sums = t->step_metric->sums,
                  .wants_stop = ls_stop_signal() != 0,
                  .lr = job->optim->type->lr(job->optim)};
  const double start = ls_clock();
  const double communication = t->sync->seconds;
  const ls_status status =
      ls_sync_step(t->comm, t->sync, &step, job->optim, job->model->grads, job->model->params);
  t->times.compute += ls_clock() - start - (t->sync->seconds - communication);
  t->wants_stop = step.wants_stop;
  if (status == LS_ERR_NUMERIC)
    return ls_fail(
        LS_ERR_NUMERIC,
        "step %llu (epoch %llu): %s: loss %g, gradient norm %g; the learning rate %g may be too large. The "
        "last checkpoint is untouched",
        (unsigned long long)(t->progress.step + 1), (unsigned long long)(t->progress.epoch + 1),
        ls_message(), ls_metric_loss(t->step_metric), step.grad_norm, job->optim->type->lr(job->optim));
  return status;
}

ls_status train_run_step(trainer *t, const ls_order *order) {
  const double start = ls_clock();
  ls_progress *const progress = &t->progress;
  const size_t rows = ls_size_min(t->setup->batch_size, t->setup->train.view.n - progress->epoch_samples);
  sweep(t, gather(t, order, rows));
  const ls_status status = take_step(t);
  if (status != LS_OK) return status;
  ls_metric_merge(t->epoch_metric, t->step_metric);
  progress->step++;
  progress->samples += rows;
  progress->epoch_samples += rows;
  train_report_step(t, ls_metric_loss(t->step_metric), ls_metric_quality(t->step_metric));
  train_count_time(t, start);
  return LS_OK;
}
