/* The batches of a step: gathering, forward and backward, and the sums of several batches. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

ls_status train_create_metric(const trainer *t, ls_metric **out) {
  const ls_setup *const setup = t->setup;
  LS_TRY(ls_metric_create(setup->job->task, setup->job->model->n_out, false, out));
  return ls_evaluate_set_scale(setup->normalizer, setup->train.dataset, 0, *out);
}

ls_status train_batches_create(trainer *t) {
  const ls_job *const job = t->setup->job;
  train_batches *const b = &t->batches;
  LS_TRY(train_create_metric(t, &b->metric));
  if (!t->setup->tree) return LS_OK;
  LS_TRY(ls_metric_keep_lanes(b->metric, t->setup->tree->n_lanes));
  if (job->train.accumulate == 1) return LS_OK;
  b->total_grads = ls_calloc(job->model->n_params, sizeof *b->total_grads);
  b->total_sums = ls_calloc(b->metric->n_sums, sizeof *b->total_sums);
  if (b->total_grads && b->total_sums) return LS_OK;
  return ls_fail_memory("the gradient of several batches", job->model->n_params * sizeof(float));
}

void train_batches_destroy(trainer *t) {
  free(t->batches.total_grads);
  free(t->batches.total_sums);
  ls_metric_destroy(&t->batches.metric);
}

/* Collective. Gathers this rank's rows of a global batch that begins at a position of the epoch. */
static ls_status gather(trainer *t, uint64_t position, size_t rows) {
  const double start = ls_clock();
  const ls_status status = ls_feed_gather(t->comm, t->setup->feed, t->progress.epoch, position, rows);
  t->times.data += ls_clock() - start;
  return status;
}

/* For layers that need sums over the whole batch. */
static void sum_over_ranks(void *context, double *x, size_t n) {
  const trainer *const t = context;
  ls_comm_tree_sum_f64(t->comm, t->setup->tree, x, n);
}

/* In mode overlap, gradients are summed while backward runs. */
static void reduce_ready(void *context, const float *end) {
  const trainer *const t = context;
  if (!t->sync->has_begun) ls_sync_begin(t->sync, ls_metric_weight(t->batches.metric));
  ls_sync_ready(t->comm, t->sync, end ? (size_t)(end - t->sync->grads) : 0);
}

/* A pass over this rank's rows. */
static ls_pass make_pass(trainer *t, const ls_partition *partition, ls_pass_mode mode) {
  return (ls_pass){.n_lanes = partition->n_lanes,
                   .lanes = partition->lanes,
                   .mode = mode,
                   .sum = ls_comm_size(t->comm) > 1 ? sum_over_ranks : NULL,
                   .context = t};
}

static void forward_backward(const trainer *t, const ls_pass *pass, const ls_batch *batch) {
  const ls_targets targets = ls_batch_targets(batch);
  const ls_objective loss = {.targets = &targets, .metric = t->batches.metric, .needs_gradient = true};
  ls_forward_backward(t->setup->job->model, pass, batch->x, &loss);
}

/* Collective. Forward and backward of a gathered batch. `adds`: its sums and gradients are added to those
 * of the batches before it; `is_last`: it is the last batch of the step. */
static void run_batch(trainer *t, const ls_partition *partition, bool adds, bool is_last) {
  const train_timer timer = train_time(t);
  const ls_batch *const batch = t->setup->train.batch;
  ls_pass pass = make_pass(t, partition, LS_TRAIN);
  pass.adds = adds;
  pass.ready = is_last && t->sync->mode == LS_SYNC_OVERLAP ? reduce_ready : NULL;
  pass.seed = t->progress.seed;
  pass.step = t->progress.step;
  pass.samples = batch->samples;
  if (!adds) ls_metric_reset(t->batches.metric);
  forward_backward(t, &pass, batch);
  train_add_compute(t, timer);
}

void train_probe(trainer *t, const ls_batch *batch, const ls_partition *partition) {
  const ls_pass pass = make_pass(t, partition, LS_PROBE);
  ls_metric_reset(t->batches.metric);
  forward_backward(t, &pass, batch);
}

/* Collective. In reproducible mode, adds the sums of a batch over all ranks to the totals: the order of the
 * additions then does not depend on which rank holds which lanes. */
static void accumulate_grads(trainer *t, bool is_first) {
  ls_model *const model = t->setup->job->model;
  const train_batches *const b = &t->batches;
  ls_step step = {.weight = ls_metric_weight(b->metric), .sums = b->metric->sums};
  ls_sync_reduce(t->comm, t->sync, &step, model->n_params, model->grads);
  if (is_first) memset(b->total_grads, 0, model->n_params * sizeof *b->total_grads);
  for (size_t i = 0; i < b->metric->n_sums; i++)
    b->total_sums[i] = (is_first ? 0.0 : b->total_sums[i]) + b->metric->sums[i];
  ls_math_add_scaled(model->n_params, 1.0F, model->grads, b->total_grads);
}

ls_status train_run_batches(trainer *t, uint64_t *samples) {
  const ls_setup *const setup = t->setup;
  const ls_model *const model = setup->job->model;
  const train_batches *const b = &t->batches;
  const uint64_t n_batches = setup->job->train.accumulate;
  const uint64_t n = setup->train.view.n;
  const uint64_t first = t->progress.epoch_samples;
  const bool has_totals = b->total_grads != NULL;
  uint64_t position = first;
  t->sync->rows = ls_size_min(setup->batch_size * n_batches, n - first);
  for (uint64_t k = 0; k < n_batches && position < n; k++) {
    const size_t rows = ls_size_min(setup->batch_size, n - position);
    ls_partition partition;
    ls_partition_rows(t->comm, setup->tree, rows, &partition);
    LS_TRY(gather(t, position, rows));
    position += rows;
    run_batch(t, &partition, k > 0 && !has_totals, k + 1 == n_batches || position == n);
    if (has_totals) accumulate_grads(t, k == 0);
  }
  if (has_totals) { /* the step reads them from the model and the metric */
    memcpy(model->grads, b->total_grads, model->n_params * sizeof *model->grads);
    memcpy(b->metric->sums, b->total_sums, b->metric->n_sums * sizeof *b->total_sums);
  }
  *samples = position - first;
  return LS_OK;
}
