/* The loop: steps, epochs, and the end of a run. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

bool is_finished(const trainer *t) {
  const ls_train_config *const train = &t->setup->job->train;
  return t->progress.epoch >= train->epochs ||
         (train->has_max_steps && t->progress.step >= train->max_steps);
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
                        .training = true,
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
  ls_model_backward(model, &pass);
  t->times.compute += ls_clock() - start;
}

/* Collective. Sums over the ranks and the optimizer's step. */
static ls_status take_step(trainer *t) {
  ls_job *const job = t->setup->job;
  ls_step step = {.weight = ls_metric_weight(t->step_metric),
                  .sums = t->step_metric->sums,
                  .wants_stop = ls_stop_signal() != 0};
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

/* Collective. One step of the epoch at hand. */
static ls_status run_step(trainer *t, const ls_order *order) {
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
  report_step(t, ls_metric_loss(t->step_metric), ls_metric_quality(t->step_metric));
  progress->epoch_seconds += ls_clock() - start;
  return LS_OK;
}

/* Collective. All ranks must hold the same bits: where they do not, going on would train several models. */
static ls_status check_equal(const trainer *t) {
  const ls_model *const model = t->setup->job->model;
  const ls_digest digest = ls_digest_of(model->params, model->n_params * sizeof *model->params);
  if (ls_comm_all_equal(t->comm, digest.low, digest.high)) return LS_OK;
  return ls_fail(LS_ERR_INTERNAL,
                 "epoch %llu: the ranks hold different parameters; nothing of it was saved",
                 (unsigned long long)t->progress.epoch);
}

/* Collective. The row of metrics.csv of the epoch that just ended. */
static void make_row(trainer *t, double row[COLUMNS]) {
  const ls_setup *const setup = t->setup;
  const ls_progress *const progress = &t->progress;
  row[COLUMN_EPOCH] = (double)progress->epoch;
  row[COLUMN_STEP] = (double)progress->step;
  row[COLUMN_LR] = setup->job->optim->type->lr(setup->job->optim);
  row[COLUMN_TRAIN_LOSS] = ls_metric_loss(t->epoch_metric);
  row[COLUMN_TRAIN_QUALITY] = ls_metric_quality(t->epoch_metric);
  row[COLUMN_VAL_LOSS] = row[COLUMN_VAL_QUALITY] = NAN;
  row[COLUMN_SECONDS] = progress->epoch_seconds;
  row[COLUMN_SAMPLES_PER_SECOND] = (double)setup->train.view.n / progress->epoch_seconds;
  if (setup->validation.view.n == 0) return;
  ls_evaluate(t->comm, setup->job->model, setup->normalizer, &setup->validation.view,
              setup->validation.batch, t->validation_metric);
  row[COLUMN_VAL_LOSS] = ls_metric_loss(t->validation_metric);
  row[COLUMN_VAL_QUALITY] = ls_metric_quality(t->validation_metric);
}

/* Collective. After the last step of an epoch: evaluation, metrics.csv, the best model. */
static ls_status end_epoch(trainer *t) {
  double row[COLUMNS];
  ls_progress *const progress = &t->progress;
  const double seconds = progress->epoch_seconds;
  progress->epoch++;
  progress->epoch_samples = 0;
  progress->total_seconds += seconds;
  ls_status status = check_equal(t);
  if (status != LS_OK) return status;
  make_row(t, row);
  ls_metric_reset(t->epoch_metric);
  progress->epoch_seconds = 0.0;
  report_epoch(t, row, seconds);
  t->times = (times){.communication = t->sync->seconds};
  status = ls_comm_agree(t->comm, t->is_root ? run_files_append(&t->files, row) : LS_OK);
  return status == LS_OK ? save_best(t, row) : status;
}

static bool is_due(uint64_t every, uint64_t count) {
  return every > 0 && count % every == 0;
}

/* Collective. A checkpoint where the config asks for one; its time counts as the epoch's. */
static ls_status save_if_due(trainer *t, bool ended_epoch) {
  const ls_checkpoint_config *const config = &t->setup->job->checkpoint;
  const double start = ls_clock();
  const bool due = is_due(config->every_steps, t->progress.step) ||
                   (ended_epoch && is_due(config->every_epochs, t->progress.epoch));
  const ls_status status = due ? save_checkpoint(t) : LS_OK;
  t->progress.epoch_seconds += ls_clock() - start;
  return status;
}

/* Collective. Steps until the config asks for no more, or a signal asks to stop. */
static ls_status run_steps(trainer *t) {
  const ls_setup *const setup = t->setup;
  const uint64_t n = setup->train.view.n;
  ls_order order = ls_order_make(n, t->progress.seed, t->progress.epoch, setup->job->data.shuffle);
  t->times.communication = t->sync->seconds;
  while (!is_finished(t) && !t->wants_stop) {
    ls_status status = run_step(t, &order);
    const bool ended_epoch = t->progress.epoch_samples == n;
    if (status == LS_OK && ended_epoch) status = end_epoch(t);
    if (status == LS_OK) status = save_if_due(t, ended_epoch);
    if (status != LS_OK) return status;
    if (ended_epoch)
      order = ls_order_make(n, t->progress.seed, t->progress.epoch, setup->job->data.shuffle);
  }
  return LS_OK;
}

/* Collective. The test data, with model.h5. */
static ls_status test_model(trainer *t) {
  ls_setup *const setup = t->setup;
  ls_saved *saved = NULL;
  if (setup->test.view.n == 0) return LS_OK;
  ls_status status = ls_comm_agree(t->comm, t->is_root ? ls_saved_open(t->files.model, &saved) : LS_OK);
  if (status == LS_OK)
    status = ls_saved_restore(t->comm, saved, setup->job->model, setup->normalizer, NULL, NULL);
  if (status == LS_OK) {
    ls_evaluate(t->comm, setup->job->model, setup->normalizer, &setup->test.view, setup->test.batch,
                t->validation_metric);
    ls_log(LS_LOG_INFO, "test: loss %.4f  %s %.4f  (%s)", ls_metric_loss(t->validation_metric),
           ls_metric_quality_name(setup->job->task), ls_metric_quality(t->validation_metric),
           t->files.model);
  }
  ls_saved_close(&saved);
  return status;
}

/* Collective. Saves where the run stands and says why it ended. */
static ls_status end_run(trainer *t) {
  const bool stopped = t->wants_stop && !is_finished(t);
  const double start = ls_clock();
  ls_status status = save_final(t);
  if (status != LS_OK) return status;
  t->progress.epoch_seconds += ls_clock() - start;
  if (stopped)
    return ls_fail(LS_STOPPED,
                   "stopped by a signal at step %llu (epoch %llu), saved in %s; run the same command again "
                   "to go on",
                   (unsigned long long)t->progress.step, (unsigned long long)(t->progress.epoch + 1),
                   t->setup->job->train.output);
  status = test_model(t);
  if (status == LS_OK)
    ls_log(LS_LOG_INFO, "done: %llu epochs, %llu steps; %s/model.h5", (unsigned long long)t->progress.epoch,
           (unsigned long long)t->progress.step, t->setup->job->train.output);
  return status;
}

/* Local. What a step and an epoch need; nothing is allocated after it. */
static ls_status prepare(trainer *t) {
  const ls_job *const job = t->setup->job;
  const size_t n_out = job->model->n_out;
  ls_status status = ls_metric_create(job->task, n_out, false, &t->step_metric);
  if (status == LS_OK) status = ls_metric_create(job->task, n_out, false, &t->epoch_metric);
  if (status == LS_OK) status = ls_metric_create(job->task, n_out, false, &t->validation_metric);
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

static void release(trainer *t) {
  run_files_destroy(&t->files);
  ls_sync_destroy(&t->sync);
  ls_metric_destroy(&t->step_metric);
  ls_metric_destroy(&t->epoch_metric);
  ls_metric_destroy(&t->validation_metric);
  free(t->config);
}

/* Rank 0: the folder, from here on. */
static ls_status open_files(trainer *t, const ls_train_options *options) {
  ls_status status = options->overwrite ? run_files_remove(&t->files) : LS_OK;
  if (status == LS_OK)
    status = run_files_open(&t->files, t->config, t->setup->job->task, t->progress.epoch);
  return status;
}

/* Collective. */
static ls_status run(trainer *t, const ls_train_options *options) {
  ls_status status = start_or_resume(t, options);
  if (status != LS_OK) return status;
  if (is_finished(t) && t->saved_step != UINT64_MAX) {
    ls_log(LS_LOG_INFO, "%s is finished: %llu epochs, %llu steps; nothing to do",
           t->setup->job->train.output, (unsigned long long)t->progress.epoch,
           (unsigned long long)t->progress.step);
    return LS_OK;
  }
  status = ls_comm_agree(t->comm, t->is_root ? open_files(t, options) : LS_OK);
  if (status != LS_OK) return status;
  report_start(t);
  t->started = ls_clock();
  t->started_samples = t->progress.samples;
  status = run_steps(t);
  ls_log_bar("");
  if (status == LS_OK) status = end_run(t);
  return status;
}

ls_status ls_train(ls_comm *comm, ls_setup *setup, const ls_train_options *options) {
  trainer t = {.comm = comm, .setup = setup, .is_root = ls_comm_rank(comm) == 0};
  ls_status status = ls_comm_agree(comm, prepare(&t));
  if (status == LS_OK) status = run(&t, options);
  release(&t);
  return status;
}
