/* One step: gather, forward, loss, backward, and the same update on all ranks. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Reproducible: lanes of the step's metric, and where several batches make a step, room for their sums. */
static ls_status create_totals(trainer *t) {
  const ls_job *const job = t->setup->job;
  const ls_status status = ls_metric_keep_lanes(t->step_metric, t->setup->tree->n_lanes);
  if (status != LS_OK || job->train.accumulate == 1) return status;
  t->total_grads = ls_calloc(job->model->n_params, sizeof *t->total_grads);
  t->total_sums = ls_calloc(t->step_metric->n_sums, sizeof *t->total_sums);
  return t->total_grads && t->total_sums
             ? LS_OK
             : ls_fail_memory("the gradient of several batches", job->model->n_params * sizeof(float));
}

ls_status trainer_create(trainer *t, ls_comm *comm, ls_setup *setup) {
  *t = (trainer){.comm = comm, .setup = setup, .is_root = ls_comm_rank(comm) == 0};
  const ls_job *const job = t->setup->job;
  const size_t n_out = job->model->n_out;
  ls_status status = ls_metric_create(job->task, n_out, false, &t->step_metric);
  if (status == LS_OK) status = ls_metric_create(job->task, n_out, false, &t->epoch_metric);
  if (status == LS_OK) status = ls_measures_create_metric(comm, setup, &t->validation_metric);
  if (status == LS_OK) status = ls_config_print(job->config, &t->config);
  if (status == LS_OK && setup->tree) status = create_totals(t);
  t->platform = ls_format("%s; %s", ls_math_blas_name(), ls_comm_library(comm));
  if (status == LS_OK && !t->platform) status = ls_fail_memory("a text", 0);
  status = ls_comm_agree(comm, status);
  ls_sync_config config = job->sync;
  config.shared_memory = config.shared_memory && !setup->tree; /* the tree does not use it */
  if (status == LS_OK)
    status = ls_sync_create(comm, &config, job->model->n_params, job->model->grads, t->step_metric->n_sums,
                            &t->sync);
  if (status != LS_OK) return status;
  t->sync->tree = setup->tree;
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
  ls_saver_destroy(&t->saver); /* first: it works with what follows; rank 0 waits for it ... */
  ls_comm_barrier(t->comm);    /* ... and the others for rank 0 */
  ls_rundir_destroy(&t->files);
  diagnostics_destroy(&t->diagnostics);
  free(t->inherited);
  free(t->total_grads);
  free(t->total_sums);
  free(t->kept_state);
  ls_sync_destroy(t->comm, &t->sync);
  ls_metric_destroy(&t->step_metric);
  ls_metric_destroy(&t->epoch_metric);
  ls_metric_destroy(&t->validation_metric);
  free(t->config);
  free(t->platform);
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
  return t->progress.epoch >= train->epochs || train_is_stopped_early(t) ||
         (train->has_max_steps && t->progress.step >= train->max_steps);
}

void train_count_time(trainer *t, double start) {
  const double seconds = ls_clock() - start;
  t->progress.epoch_seconds += seconds;
  t->times.all += seconds;
}

/* Gathers this rank's rows of a global batch: those of the cut, from a position of the epoch on. */
static void gather(trainer *t, uint64_t position, const ls_partition *cut) {
  const double start = ls_clock();
  ls_setup *const setup = t->setup;
  ls_split *const part = &setup->train;
  const size_t rows = cut->lanes[cut->n_lanes];
  ls_order_samples(setup->order, position + cut->first, rows, part->batch->samples);
  ls_batch_gather_training(part->batch, part->dataset, setup->normalizer, t->progress.seed,
                           t->progress.epoch, rows);
  t->times.data += ls_clock() - start;
}

/* For layers that see the whole batch. */
static void sum_over_ranks(void *context, double *x, size_t n) {
  const trainer *const t = context;
  ls_comm_tree_sum_f64(t->comm, t->setup->tree, x, n);
}

/* Gradients for mode overlap. */
static void tell_ready(void *context, const float *end) {
  const trainer *const t = context;
  ls_sync_ready(t->comm, t->sync, end ? (size_t)(end - t->sync->grads) : 0);
}

/* Collective where the model sees the whole batch, or gradients are waited for. Forward and backward over
 * gathered rows; the step's metric takes their sums. */
static void forward_backward(trainer *t, const ls_pass *pass, const ls_batch *batch) {
  ls_model *const model = t->setup->job->model;
  const size_t n_out = model->n_out;
  const ls_targets all = ls_batch_targets(batch);
  const float *const z = ls_model_forward(model, pass, batch->x);
  float *const dz = ls_model_output_gradient(model);
  for (size_t lane = 0; lane < pass->n_lanes; lane++) {
    const size_t first = pass->lanes[lane];
    const size_t rows = pass->lanes[lane + 1] - first;
    const ls_targets targets = ls_targets_from(&all, first, n_out);
    ls_metric_begin_lane(t->step_metric, lane);
    const double loss =
        ls_loss_apply(model->loss, rows, n_out, z + first * n_out, &targets, dz + first * n_out);
    ls_metric_add(t->step_metric, rows, z + first * n_out, &targets, loss);
    ls_metric_end_lane(t->step_metric, lane, pass->n_lanes);
  }
  if (pass->ready) ls_sync_begin(t->sync, ls_metric_weight(t->step_metric), model->params);
  ls_model_backward(model, pass, NULL);
}

/* Collective where the model sees the whole batch, or gradients are waited for. A batch of the step;
 * `adds`: to the sums and gradients of those before it; `is_last` of them. */
static void sweep(trainer *t, const ls_partition *cut, bool adds, bool is_last) {
  const double start = ls_clock();
  const double communication = t->sync->seconds;
  const ls_batch *const batch = t->setup->train.batch;
  const ls_pass pass = {.n_lanes = cut->n_lanes,
                        .lanes = cut->lanes,
                        .mode = LS_TRAIN,
                        .adds = adds,
                        .sum = ls_comm_size(t->comm) > 1 ? sum_over_ranks : NULL,
                        .ready = is_last && t->sync->mode == LS_SYNC_OVERLAP ? tell_ready : NULL,
                        .context = t,
                        .seed = t->progress.seed,
                        .step = t->progress.step,
                        .samples = batch->samples};
  if (!adds) ls_metric_reset(t->step_metric);
  forward_backward(t, &pass, batch);
  t->times.compute += ls_clock() - start - (t->sync->seconds - communication);
}

void train_probe(trainer *t, const ls_order *order, ls_batch *batch, const ls_partition *cut) {
  const ls_split *const part = &t->setup->train;
  const size_t rows = cut->lanes[cut->n_lanes];
  const ls_pass pass = {.n_lanes = cut->n_lanes,
                        .lanes = cut->lanes,
                        .mode = LS_PROBE,
                        .sum = ls_comm_size(t->comm) > 1 ? sum_over_ranks : NULL,
                        .context = t};
  ls_order_samples(order, cut->first, rows, batch->samples);
  ls_batch_gather(batch, part->dataset, t->setup->normalizer, rows);
  ls_metric_reset(t->step_metric);
  forward_backward(t, &pass, batch);
}

/* The block of parameters that holds an element of the gradient which is not finite, the first from the
 * output on, as backward comes to them; NULL: none. */
static const ls_segment *find_not_finite(const ls_model *model) {
  for (size_t i = 0; i < model->n_segments; i++) {
    const ls_segment *const segment = &model->segments[i];
    const size_t n = ls_segment_count(segment);
    if (!isfinite(ls_math_sum_squares(n, model->grads + segment->offset))) return segment;
  }
  return NULL;
}

/* A NaN's is of no account, and not the same everywhere. */
static double without_sign(double x) {
  return isnan(x) ? (double)NAN : x;
}

/* Collective. What a step that was not finite was like, in words alike on all ranks. */
static ls_status fail_step(trainer *t, const ls_step *step) {
  const ls_model *const model = t->setup->job->model;
  ls_sync_allgather(t->comm, t->sync, t->sync->grads); /* mode sharded: each has a piece of the sum */
  const ls_segment *const guilty = find_not_finite(model);
  return ls_fail(LS_ERR_NUMERIC, "step %llu (epoch %llu): %s%s%s: loss %g, gradient norm %g",
                 (unsigned long long)(t->progress.step + 1), (unsigned long long)(t->progress.epoch + 1),
                 ls_message(), guilty ? ", first (from the output on) in " : "", guilty ? guilty->path : "",
                 without_sign(ls_metric_loss(t->step_metric)), without_sign(step->grad_norm));
}

/* Local. After a checkpoint that failed the run ends as soon as all ranks know. */
static bool wants_stop(trainer *t) {
  const bool is_late = train_is_near_deadline(t);
  return ls_stop_signal() != 0 || is_late || (t->saver && ls_saver_has_failed(t->saver));
}

/* Collective. Sums over the ranks and the optimizer's step. */
static ls_status take_step(trainer *t) {
  ls_job *const job = t->setup->job;
  ls_step step = {.weight = ls_metric_weight(t->step_metric),
                  .sums = t->step_metric->sums,
                  .wants_stop = wants_stop(t),
                  .is_reduced = t->total_grads != NULL,
                  .lr = train_lr(t)};
  const double start = ls_clock();
  const double communication = t->sync->seconds;
  const ls_status status = ls_sync_step(t->comm, t->sync, &step, job->optim, job->model->params);
  t->times.compute += ls_clock() - start - (t->sync->seconds - communication);
  t->wants_stop = step.wants_stop;
  return status == LS_ERR_NUMERIC ? fail_step(t, &step) : status;
}

/* Collective. Reproducible, and a step of several batches: what all ranks have of a batch joins the total,
 * so that batches are added up in one order, whoever has their lanes. */
static void accumulate_grads(trainer *t, bool is_first) {
  ls_model *const model = t->setup->job->model;
  double *const sums = t->step_metric->sums;
  ls_step step = {.weight = ls_metric_weight(t->step_metric), .sums = sums};
  ls_sync_reduce(t->comm, t->sync, &step, model->n_params, model->grads);
  if (is_first) memset(t->total_grads, 0, model->n_params * sizeof *t->total_grads);
  for (size_t i = 0; i < t->step_metric->n_sums; i++)
    t->total_sums[i] = (is_first ? 0.0 : t->total_sums[i]) + sums[i];
  ls_math_add_scaled(model->n_params, 1.0F, model->grads, t->total_grads);
}

static void take_total(trainer *t) {
  ls_model *const model = t->setup->job->model;
  memcpy(model->grads, t->total_grads, model->n_params * sizeof *model->grads);
  memcpy(t->step_metric->sums, t->total_sums, t->step_metric->n_sums * sizeof *t->total_sums);
}

/* Collective. The batches of the next step, fewer at the epoch's end. Returns their samples. */
static uint64_t run_batches(trainer *t) {
  const ls_setup *const setup = t->setup;
  const uint64_t n = setup->train.view.n;
  const uint64_t first = t->progress.epoch_samples;
  uint64_t position = first;
  t->sync->rows = ls_size_min(setup->batch_size * setup->job->train.accumulate, n - first);
  for (uint64_t k = 0; k < setup->job->train.accumulate && position < n; k++) {
    const size_t rows = ls_size_min(setup->batch_size, n - position);
    ls_partition cut;
    ls_partition_rows(t->comm, setup->tree, rows, &cut);
    gather(t, position, &cut);
    position += rows;
    const bool is_last = k + 1 == setup->job->train.accumulate || position == n;
    sweep(t, &cut, k > 0 && !t->total_grads, is_last);
    if (t->total_grads) accumulate_grads(t, k == 0);
  }
  if (t->total_grads) take_total(t);
  return position - first;
}

void train_try_step(trainer *t) {
  (void)run_batches(t);
  (void)take_step(t);
}

ls_status train_allow_skips(trainer *t) {
  const ls_job *const job = t->setup->job;
  const size_t n = job->model->n_state;
  if (job->train.on_nan != LS_ON_NAN_SKIP) return LS_OK;
  t->kept_state = ls_calloc(n, sizeof *t->kept_state);
  return ls_comm_agree(
      t->comm, t->kept_state ? LS_OK : ls_fail_memory("a copy of running averages", n * sizeof(float)));
}

/* Local. What a skipped step moved already goes back. */
static void keep_state(trainer *t) {
  const ls_model *const model = t->setup->job->model;
  if (t->kept_state) memcpy(t->kept_state, model->state, model->n_state * sizeof *model->state);
}

#define WARNINGS 10 /* of skipped steps; more of them would hide what else is said */

/* Local, and the same on all ranks. A step that was not finite ends the run or is left out: the parameters
 * and the optimizer have not taken it. */
static ls_status skip_step(trainer *t) {
  ls_model *const model = t->setup->job->model;
  const uint64_t max_skipped = t->setup->job->train.max_skipped;
  ls_progress *const progress = &t->progress;
  if (!t->kept_state)
    return ls_fail(LS_ERR_NUMERIC,
                   "%s; the learning rate %g is probably too large: `lockstep lr-find` suggests one. The "
                   "last checkpoint is untouched",
                   ls_message(), train_lr(t));
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
           progress->skipped_steps == WARNINGS ? " (more are only counted, in the epoch's line)" : "");
  return LS_OK;
}

ls_status train_run_step(trainer *t) {
  const double start = ls_clock();
  ls_progress *const progress = &t->progress;
  const double lr = train_lr(t);
  keep_state(t);
  const uint64_t rows = run_batches(t);
  const ls_status taken = take_step(t);
  const ls_status status = taken == LS_ERR_NUMERIC ? skip_step(t) : taken;
  if (status != LS_OK) return status;
  progress->step++;
  progress->samples += rows;
  progress->epoch_samples += rows;
  t->last_lr = lr;
  if (taken == LS_OK) {
    ls_metric_merge(t->epoch_metric, t->step_metric);
    train_report_step(t, ls_metric_loss(t->step_metric), ls_metric_quality(t->step_metric));
  }
  train_count_time(t, start);
  t->longest.step = fmax(t->longest.step, ls_clock() - start);
  return LS_OK;
}
