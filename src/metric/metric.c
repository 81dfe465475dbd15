/* The sums over samples, in this order:
 *
 *   all         w, w loss, 1
 *   classes     w [correct]; if detailed, the confusion matrix (n, n), rows: true class
 *   labels      w [correct] (mean over outputs); if detailed, (n, 2, 2): truth and prediction per output
 *   regression  per output: w (y - a)^2, w |y - a|, w (y - pivot), w (y - pivot)^2
 *   classes     per k: w [y among the top k] */
#include "internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static size_t count_sums(ls_task task, size_t n, bool is_detailed) {
  if (task == LS_TASK_REGRESSION) return FIXED + REGRESSION_SUMS * n;
  const size_t counts = task == LS_TASK_CLASSES ? n * n : 4 * n;
  return FIXED + 1 + (is_detailed ? counts : 0);
}

ls_status ls_metric_create(ls_task task, size_t n_outputs, bool is_detailed, ls_metric **out) {
  *out = NULL;
  const size_t n_sums = count_sums(task, n_outputs, is_detailed);
  ls_metric *metric = ls_calloc(1, sizeof *metric);
  if (metric) {
    metric->sums = ls_calloc(n_sums + LS_METRIC_TOPS_MAX, sizeof *metric->sums);
    metric->pivots = ls_calloc(n_outputs, sizeof *metric->pivots);
    metric->units = ls_calloc(n_outputs, sizeof *metric->units);
  }
  if (!metric || !metric->sums || !metric->pivots || !metric->units) {
    ls_metric_destroy(&metric);
    return ls_fail_memory("the metrics", n_sums * sizeof(double));
  }
  metric->task = task;
  metric->n_outputs = n_outputs;
  metric->is_detailed = is_detailed;
  metric->n_sums = n_sums;
  for (size_t k = 0; k < n_outputs; k++) metric->units[k] = 1.0;
  *out = metric;
  return LS_OK;
}

void ls_metric_destroy(ls_metric **metric) {
  if (!*metric) return;
  metric_destroy_ranking((*metric)->ranking);
  LS_ASSERT(!(*metric)->all);
  free((*metric)->levels);
  free((*metric)->sums);
  free((*metric)->pivots);
  free((*metric)->units);
  free(*metric);
  *metric = NULL;
}

void ls_metric_add_top(ls_metric *metric, size_t k) {
  LS_ASSERT(metric->task == LS_TASK_CLASSES && k > 0);
  for (size_t i = 0; i < metric->n_tops; i++)
    if (metric->tops[i] == k) return;
  LS_ASSERT(metric->n_tops < LS_METRIC_TOPS_MAX);
  metric->tops[metric->n_tops++] = k;
  metric->n_sums++;
}

ls_status ls_metric_keep_lanes(ls_metric *metric, size_t n_lanes) {
  const size_t depth = ls_lane_depth(n_lanes);
  metric->levels = ls_calloc(metric->n_sums, depth * sizeof *metric->levels);
  if (metric->levels) return LS_OK;
  return ls_fail_memory("the metrics", metric->n_sums * depth * sizeof *metric->levels);
}

void ls_metric_begin_lane(ls_metric *metric, size_t lane) {
  if (!metric->levels) return;
  LS_ASSERT(!metric->all);
  metric->all = metric->sums;
  metric->sums = metric->levels + ls_lane_level(lane) * metric->n_sums;
  memset(metric->sums, 0, metric->n_sums * sizeof *metric->sums);
}

void ls_metric_end_lane(ls_metric *metric, size_t lane, size_t n_lanes) {
  if (!metric->levels) return;
  metric->sums = metric->all;
  metric->all = NULL;
  ls_lane_fold(metric->levels, metric->n_sums, lane, n_lanes);
  for (size_t i = 0; lane + 1 == n_lanes && i < metric->n_sums; i++) metric->sums[i] += metric->levels[i];
}

void ls_metric_reset(ls_metric *metric) {
  if (metric->ranking) metric->ranking->rows = 0;
  memset(metric->sums, 0, metric->n_sums * sizeof *metric->sums);
}

void ls_metric_merge(ls_metric *metric, const ls_metric *other) {
  LS_ASSERT(metric->n_sums == other->n_sums);
  for (size_t i = 0; i < metric->n_sums; i++) metric->sums[i] += other->sums[i];
}

/* The number of classes ahead of the true one. A NaN is ahead; if the true score is NaN, all others are. */
static size_t count_ahead(size_t n, const float *z, size_t truth) {
  size_t ahead = 0;
  for (size_t j = 0; j < truth; j++)
    if (!(z[j] < z[truth])) ahead++;
  for (size_t j = truth + 1; j < n; j++)
    if (!(z[j] <= z[truth])) ahead++;
  return ahead;
}

static void add_tops(ls_metric *metric, const float *z, size_t truth, double weight) {
  const size_t ahead = count_ahead(metric->n_outputs, z, truth);
  double *const sums = metric_top_sums(metric);
  for (size_t i = 0; i < metric->n_tops; i++)
    if (ahead < metric->tops[i]) sums[i] += weight;
}

static void add_class(ls_metric *metric, const float *z, size_t truth, double weight) {
  const size_t n = metric->n_outputs;
  size_t best = 0;
  for (size_t j = 1; j < n; j++)
    if (z[j] > z[best]) best = j;
  if (best == truth) metric->sums[CORRECT] += weight;
  if (metric->is_detailed) metric->sums[COUNTS + truth * n + best] += weight;
  if (metric->n_tops > 0) add_tops(metric, z, truth, weight);
}

static void add_labels(ls_metric *metric, const float *z, const float *y, double weight) {
  const size_t n = metric->n_outputs;
  for (size_t k = 0; k < n; k++) {
    const size_t truth = y[k] > 0.5F;
    const size_t predicted = z[k] > 0.0F;
    if (truth == predicted) metric->sums[CORRECT] += weight / (double)n;
    if (metric->is_detailed) metric->sums[COUNTS + 4 * k + 2 * truth + predicted] += weight;
  }
}

static void add_values(ls_metric *metric, const float *a, const float *y, double weight) {
  for (size_t k = 0; k < metric->n_outputs; k++) {
    const double error = (double)y[k] - (double)a[k];
    const double centred = (double)y[k] - (double)metric->pivots[k];
    double *const sums = metric_output_sums(metric, k);
    sums[SQUARED] += weight * error * error;
    sums[ABSOLUTE] += weight * fabs(error);
    sums[FIRST] += weight * centred;
    sums[SECOND] += weight * centred * centred;
  }
}

void ls_metric_add(ls_metric *metric, size_t rows, const float *outputs, const ls_targets *targets,
                   double loss_sum) {
  const size_t n = metric->n_outputs;
  for (size_t i = 0; i < rows; i++) {
    const double weight = targets->weights ? (double)targets->weights[i] : 1.0;
    const float *const row = outputs + i * n;
    switch (metric->task) {
    case LS_TASK_CLASSES: add_class(metric, row, (size_t)targets->classes[i], weight); break;
    case LS_TASK_LABELS: add_labels(metric, row, targets->values + i * n, weight); break;
    case LS_TASK_REGRESSION: add_values(metric, row, targets->values + i * n, weight); break;
    }
    metric->sums[WEIGHT] += weight;
  }
  if (metric->ranking) metric_add_scores(metric, rows, outputs, targets);
  metric->sums[LOSS] += loss_sum;
  metric->sums[SAMPLES] += (double)rows;
}
