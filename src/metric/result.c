/* The values that follow from the sums. */
#include "internal.h"

#include <math.h>

double ls_metric_weight(const ls_metric *metric) {
  return metric->sums[WEIGHT];
}

uint64_t ls_metric_samples(const ls_metric *metric) {
  return (uint64_t)metric->sums[SAMPLES];
}

static double ratio(double a, double b) {
  return b > 0.0 ? a / b : NAN;
}

double ls_metric_loss(const ls_metric *metric) {
  return ratio(metric->sums[LOSS], metric->sums[WEIGHT]);
}

/* sum w (y - mean y)^2 = sum w y^2 - (sum w y)^2 / sum w of one output */
static double spread_of(const ls_metric *metric, size_t k) {
  const double *const sums = metric_output_sums(metric, k);
  return sums[SECOND] - ratio(sums[FIRST] * sums[FIRST], metric->sums[WEIGHT]);
}

/* R^2 of one output; NaN if its targets are all equal. */
static double r_squared(const ls_metric *metric, size_t k) {
  const double *const sums = metric_output_sums(metric, k);
  const double spread = spread_of(metric, k);
  return spread > 0.0 ? 1.0 - sums[SQUARED] / spread : NAN;
}

ls_output_quality ls_metric_output(const ls_metric *metric, size_t index) {
  LS_ASSERT(metric->task == LS_TASK_REGRESSION && index < metric->n_outputs);
  const double *const sums = metric_output_sums(metric, index);
  const double unit = metric->units[index];
  return (ls_output_quality){ratio(unit * unit * sums[SQUARED], metric->sums[WEIGHT]),
                             ratio(unit * sums[ABSOLUTE], metric->sums[WEIGHT]), r_squared(metric, index)};
}

double ls_metric_top(const ls_metric *metric, size_t k) {
  size_t i = 0;
  while (i < metric->n_tops && metric->tops[i] != k) i++;
  LS_ASSERT(i < metric->n_tops);
  return ratio(metric_top_sums(metric)[i], metric->sums[WEIGHT]);
}

double ls_metric_quality(const ls_metric *metric) {
  if (metric->task != LS_TASK_REGRESSION) return ratio(metric->sums[CORRECT], metric->sums[WEIGHT]);
  double sum = 0.0;
  double count = 0.0;
  for (size_t k = 0; k < metric->n_outputs; k++) {
    if (!(spread_of(metric, k) > 0.0)) continue;
    sum += r_squared(metric, k);
    count += 1.0;
  }
  return ratio(sum, count);
}

void ls_metric_targets(const ls_metric *metric, size_t k, double *mean, double *std) {
  const double weight = metric->sums[WEIGHT];
  LS_ASSERT(metric->task == LS_TASK_REGRESSION && k < metric->n_outputs);
  *mean = (double)metric->pivots[k];
  *std = 0.0;
  if (!(weight > 0.0)) return;
  *mean += metric_output_sums(metric, k)[FIRST] / weight;
  *std = sqrt(fmax(spread_of(metric, k), 0.0) / weight);
}

const char *ls_metric_quality_name(ls_task task) {
  return task == LS_TASK_REGRESSION ? "r2" : "accuracy";
}

static double mean_over_outputs(const ls_metric *metric, size_t sum_index) {
  LS_ASSERT(metric->task == LS_TASK_REGRESSION);
  double sum = 0.0;
  for (size_t k = 0; k < metric->n_outputs; k++) {
    const double unit = metric->units[k];
    sum += metric_output_sums(metric, k)[sum_index] * (sum_index == SQUARED ? unit * unit : unit);
  }
  return ratio(sum / (double)metric->n_outputs, metric->sums[WEIGHT]);
}

double ls_metric_mse(const ls_metric *metric) {
  return mean_over_outputs(metric, SQUARED);
}

double ls_metric_mae(const ls_metric *metric) {
  return mean_over_outputs(metric, ABSOLUTE);
}

size_t ls_metric_n_classes(const ls_metric *metric) {
  if (metric->task == LS_TASK_REGRESSION) return 0;
  return metric->task == LS_TASK_LABELS && metric->n_outputs == 1 ? 2 : metric->n_outputs;
}

bool ls_metric_has_confusion(const ls_metric *metric) {
  return metric->task == LS_TASK_CLASSES || ls_metric_n_classes(metric) > metric->n_outputs;
}

double ls_metric_confusion(const ls_metric *metric, size_t truth, size_t predicted) {
  const size_t n = ls_metric_n_classes(metric);
  LS_ASSERT(metric->is_detailed && ls_metric_has_confusion(metric) && truth < n && predicted < n);
  return metric->sums[COUNTS + truth * n + predicted];
}

static ls_class_quality class_quality(double hits, double predicted, double support) {
  const double precision = predicted > 0.0 ? hits / predicted : 0.0;
  const double recall = support > 0.0 ? hits / support : 0.0;
  const double both = precision + recall;
  return (ls_class_quality){precision, recall, both > 0.0 ? 2.0 * precision * recall / both : 0.0, support};
}

ls_class_quality ls_metric_class(const ls_metric *metric, size_t index) {
  if (!ls_metric_has_confusion(metric)) {
    LS_ASSERT(metric->is_detailed && metric->task == LS_TASK_LABELS && index < metric->n_outputs);
    const double *const counts = metric->sums + COUNTS + 4 * index;
    return class_quality(counts[3], counts[1] + counts[3], counts[2] + counts[3]);
  }
  const size_t n = ls_metric_n_classes(metric);
  double predicted = 0.0;
  double support = 0.0;
  for (size_t j = 0; j < n; j++) {
    predicted += ls_metric_confusion(metric, j, index);
    support += ls_metric_confusion(metric, index, j);
  }
  return class_quality(ls_metric_confusion(metric, index, index), predicted, support);
}

ls_class_quality ls_metric_macro(const ls_metric *metric) {
  const size_t n = ls_metric_n_classes(metric);
  LS_ASSERT(n > 0);
  ls_class_quality macro = {0};
  for (size_t i = 0; i < n; i++) {
    const ls_class_quality q = ls_metric_class(metric, i);
    macro.precision += q.precision / (double)n;
    macro.recall += q.recall / (double)n;
    macro.f1 += q.f1 / (double)n;
    macro.support += q.support;
  }
  return macro;
}
