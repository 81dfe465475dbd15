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
  if (status != LS_OK) return status;
  t->sync->clip_norm = job->train.clip_grad_norm;
  t->sync->clip_value = job->train.clip_grad_value;
  if (train_has_penalty(t)) {
    t->sync->n_penalised = job->model->n_segments;
    t->sync->penalised = job->model->segments;
  }
  ls_evaluate_set_scale(setup->normalizer, setup->train.dataset, 0, t->step_metric);
  ls_evaluate_set_scale(setup->normalizer, setup->train.dataset, 0, t->epoch_metric);
  t->progress = (ls_progress){.n_sums = t->epoch_metric->n_sums, .sums = t->epoch_metric->sums};
  t->saved_step = UINT64_MAX;
  t->has_bar = isatty(STDERR_FILENO);
  return LS_OK;
}

void trainer_destroy(trainer *t) {
  run_files_destroy(&t->files);
  diagnostics_destroy(&t->diagnostics);
  ls_sync_destroy(&t->sync);
  ls_metric_destroy(&t->step_metric);
  ls_metric_destroy(&t->epoch_metric);
  ls_metric_destroy(&t->validation_metric);
  free(t->config);
}

double train_lr(const trainer *t) {
  const ls_job *const job = t->setup->job;
  if (t->fixed_lr > 0.0) return t->fixed_lr;
  const ls_schedule_time now = {.step = t->progress.step,
                                .epoch = t->progress.epoch,
                                .n_reductions = t->progress.plateau.n_reductions};
  return ls_schedule_lr(&job->schedule, job->optim->type->lr(job->optim), &now);
}

bool train_has_penalty(const trainer *t) {
  const ls_model *const model = t->setup->job->model;
  bool found = false;
  for (size_t i = 0; i < model->n_segments; i++)
    found = found || model->segments[i].l1 > 0.0 || model->segments[i].l2 > 0.0;
  return found;
}

double train_penalty(const trainer *t) {
  const ls_model *const model = t->setup->job->model;
  return ls_penalty_value(model->n_segments, model->segments, model->params);
}

bool train_is_finished(const trainer *t) {
  const ls_train_config *const train = &t->setup->job->train;
  return t->progress.epoch >= train->epochs || train_is_stale(t) ||
         (train->has_max_steps && t->progress.step >= train->max_steps);
}

void train_count_time(trainer *t, double start) {
  const double seconds = ls_clock() - start;
  t->progress.epoch_seconds += seconds;
  t->times.all += seconds;
}

/* Gathers this rank's shard of a global batch: `rows` samples from a position of the epoch on. */
static size_t gather(trainer *t, const ls_order *order, uint64_t position, size_t rows) {
  const double start = ls_clock();
  ls_setup *const setup = t->setup;
  ls_part *const part = &setup->train;
  const ls_shard shard = ls_shard_of(rows, ls_comm_rank(t->comm), ls_comm_size(t->comm));
  for (size_t i = 0; i < shard.rows; i++)
    part->batch->samples[i] = ls_view_sample(&part->view, ls_order_at(order, position + shard.first + i));
  ls_batch_gather_training(part->batch, part->dataset, setup->normalizer, t->progress.seed,
                           t->progress.epoch, shard.rows, ls_model_input(setup->job->model));
  t->times.data += ls_clock() - start;
  return shard.rows;
}

static void sum_over_ranks(void *comm, double *x, size_t n) {
  ls_comm_sum_f64(comm, x, n);
}

/* Collective where the model sees the whole batch. Forward, loss and backward over this rank's rows; sums
 * and gradients are added to those of the step's earlier batches, but for its first. */
static void sweep(trainer *t, size_t rows, bool is_first) {
  const double start = ls_clock();
  const ls_batch *const batch = t->setup->train.batch;
  ls_model *const model = t->setup->job->model;
  const size_t lanes[] = {0, rows};
  const ls_pass pass = {.n_lanes = 1,
                        .lanes = lanes,
                        .mode = LS_TRAIN,
                        .adds = !is_first,
                        .sum = ls_comm_size(t->comm) > 1 ? sum_over_ranks : NULL,
                        .context = t->comm,
                        .seed = t->progress.seed,
                        .step = t->progress.step,
                        .samples = batch->samples};
  const ls_targets targets = ls_batch_targets(batch);
  const float *const z = ls_model_forward(model, &pass);
  const double loss =
      ls_loss_apply(model->loss, rows, model->n_out, z, &targets, ls_model_output_gradient(model));
  if (is_first) ls_metric_reset(t->step_metric);
  ls_metric_add(t->step_metric, rows, z, &targets, loss);
  ls_model_backward(model, &pass, NULL);
  t->times.compute += ls_clock() - start;
}

double train_probe(trainer *t, ls_batch *batch, const ls_shard *shard) {
  const ls_part *const part = &t->setup->train;
  ls_model *const model = t->setup->job->model;
  const size_t lanes[] = {0, shard->rows};
  const ls_pass pass = {.n_lanes = 1,
                        .lanes = lanes,
                        .mode = LS_PROBE,
                        .sum = ls_comm_size(t->comm) > 1 ? sum_over_ranks : NULL,
                        .context = t->comm};
  const ls_order order = ls_order_make(part->view.n, t->progress.seed, 0, true);
  for (size_t i = 0; i < shard->rows; i++)
    batch->samples[i] = ls_view_sample(&part->view, ls_order_at(&order, shard->first + i));
  ls_batch_gather(batch, part->dataset, t->setup->normalizer, shard->rows, ls_model_input(model));
  const ls_targets targets = ls_batch_targets(batch);
  const float *const z = ls_model_forward(model, &pass);
  ls_loss_apply(model->loss, shard->rows, model->n_out, z, &targets, ls_model_output_gradient(model));
  ls_model_backward(model, &pass, NULL);
  double weight = targets.weights ? 0.0 : (double)shard->rows;
  for (size_t i = 0; targets.weights && i < shard->rows; i++) weight += (double)targets.weights[i];
  return weight;
}

/* Collective. Sums over the ranks and the optimizer's step. */
static ls_status take_step(trainer *t) {
  ls_job *const job = t->setup->job;
  ls_step step = {.weight = ls_metric_weight(t->step_metric),
                  .sums = t->step_metric->sums,
                  .wants_stop = ls_stop_signal() != 0,
                  .lr = train_lr(t)};
  const double start = ls_clock();
  const double communication = t->sync->seconds;
  const ls_status status =
      ls_sync_step(t->comm, t->sync, &step, job->optim, job->model->grads, job->model->params);
  t->times.compute += ls_clock() - start - (t->sync->seconds - communication);
  t->wants_stop = step.wants_stop;
  if (status == LS_ERR_NUMERIC)
    return ls_fail(LS_ERR_NUMERIC,
                   "step %llu (epoch %llu): %s: loss %g, gradient norm %g; the learning rate %g is "
                   "probably too large: "
                   "`lockstep lr-find` suggests one. The last checkpoint is untouched",
                   (unsigned long long)(t->progress.step + 1), (unsigned long long)(t->progress.epoch + 1),
                   ls_message(), ls_metric_loss(t->step_metric), step.grad_norm, step.lr);
  return status;
}

/* Collective where the model sees the whole batch. The batches of the next step, fewer at the epoch's end.
 * Returns their samples. */
static uint64_t run_batches(trainer *t, const ls_order *order) {
  const ls_setup *const setup = t->setup;
  const uint64_t n = setup->train.view.n;
  const uint64_t first = t->progress.epoch_samples;
  uint64_t position = first;
  for (uint64_t k = 0; k < setup->job->train.accumulate && position < n; k++) {
    const size_t rows = ls_size_min(setup->batch_size, n - position);
    sweep(t, gather(t, order, position, rows), k == 0);
    position += rows;
  }
  return position - first;
}

ls_status train_run_step(trainer *t, const ls_order *order) {
  const double start = ls_clock();
  ls_progress *const progress = &t->progress;
  const double lr = train_lr(t);
  const uint64_t rows = run_batches(t, order);
  const ls_status status = take_step(t);
  if (status != LS_OK) return status;
  ls_metric_merge(t->epoch_metric, t->step_metric);
  progress->step++;
  progress->samples += rows;
  progress->epoch_samples += rows;
  t->last_lr = lr;
  train_report_step(t, ls_metric_loss(t->step_metric), ls_metric_quality(t->step_metric));
  train_count_time(t, start);
  return LS_OK;
}
