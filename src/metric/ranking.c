/* The scores for ROC AUC.
 *
 * The score of a label is z. The score of a class is the log-odds of its softmax probability,
 *   log p_k / (1 - p_k) = z_k - log sum_{j != k} exp z_j.
 * It has the same order as p_k, but resolves probabilities near 0 and 1, which p_k in float would round to
 * ties. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>

static ls_status fail_memory(size_t n) {
  return ls_fail_memory("the scores of ROC AUC", n);
}

ls_status ls_metric_keep_scores(ls_metric *metric, size_t max_rows, size_t most, size_t capacity) {
  const size_t n = metric->n_outputs;
  const bool has_classes = metric->task == LS_TASK_CLASSES;
  size_t count = 0;
  LS_ASSERT(metric->task != LS_TASK_REGRESSION && !metric->ranking);
  LS_ASSERT(most <= LS_AUC_OUTPUTS_MAX && most * max_rows <= capacity);
  ls_ranking *const r = metric->ranking = ls_calloc(1, sizeof *r);
  if (!r || !ls_size_mul(n, max_rows, &count)) return fail_memory(SIZE_MAX);
  *r = (ls_ranking){.max_rows = max_rows, .most = most, .capacity = capacity};
  r->scores = ls_calloc(count, sizeof *r->scores);
  r->weights = ls_calloc(max_rows, sizeof *r->weights);
  if (has_classes) r->classes = ls_calloc(max_rows, sizeof *r->classes);
  if (!has_classes) r->labels = ls_calloc(count, sizeof *r->labels);
  r->samples = ls_calloc(capacity, 2 * sizeof *r->samples);
  r->auc = ls_calloc(n, sizeof *r->auc);
  if (!r->scores || !r->weights || !(r->classes || r->labels) || !r->samples || !r->auc)
    return fail_memory(count * sizeof *r->scores + 2 * capacity * sizeof *r->samples);
  for (size_t k = 0; k < n; k++) r->auc[k] = NAN;
  return LS_OK;
}

void metric_destroy_ranking(ls_ranking *ranking) {
  if (!ranking) return;
  free(ranking->scores);
  free(ranking->weights);
  free(ranking->classes);
  free(ranking->labels);
  free(ranking->samples);
  free(ranking->auc);
  free(ranking);
}

/* The index of the largest of n numbers except z[excluded]; n if there is none. */
static size_t argmax_except(size_t n, const float *z, size_t excluded) {
  size_t best = n;
  for (size_t j = 0; j < n; j++)
    if (j != excluded && (best == n || z[j] > z[best])) best = j;
  return best;
}

/* scores[k * stride] = log-odds of class k. Exponents are relative to the second largest z, which is the
 * largest of the others for the first class. */
static void score_classes(size_t n, const float *z, size_t stride, float *scores) {
  const size_t first = argmax_except(n, z, n);
  const size_t second = argmax_except(n, z, first);
  if (second == n) return; /* a single class has no others */
  const double top = (double)z[second];
  const double gap = (double)z[first] - top;
  double rest = 0.0; /* sum of all but the first */
  for (size_t j = 0; j < n; j++)
    if (j != first) rest += exp((double)z[j] - top);
  for (size_t k = 0; k < n; k++) {
    const double others = rest - exp((double)z[k] - top); /* negative only by rounding; keeps NaN */
    const double log_sum = log1p((others < 0.0 ? 0.0 : others) * exp(-gap));
    scores[k * stride] = (float)((double)z[k] - (double)z[first] - log_sum);
  }
  scores[first * stride] = (float)(gap - log(rest));
}

void metric_add_scores(ls_metric *metric, size_t rows, const float *z, const ls_targets *targets) {
  ls_ranking *const r = metric->ranking;
  const size_t n = metric->n_outputs;
  LS_ASSERT(rows <= r->max_rows - r->rows);
  for (size_t i = 0; i < rows; i++, r->rows++) {
    float *const scores = r->scores + r->rows;
    r->weights[r->rows] = targets->weights ? targets->weights[i] : 1.0F;
    if (r->classes) {
      score_classes(n, z + i * n, r->max_rows, scores);
      r->classes[r->rows] = targets->classes[i];
    }
    for (size_t k = 0; k < n && r->labels; k++) {
      scores[k * r->max_rows] = z[i * n + k];
      r->labels[k * r->max_rows + r->rows] = targets->values[i * n + k] > 0.5F;
    }
  }
}

size_t ls_metric_scores(const ls_metric *metric, size_t first, size_t count) {
  const ls_ranking *const r = metric->ranking;
  ls_scored *to = r->samples;
  LS_ASSERT(count <= r->most);
  for (size_t k = first; k < first + count; k++)
    for (size_t i = 0; i < r->rows; i++) {
      const bool is_in = r->classes ? (size_t)r->classes[i] == k : r->labels[k * r->max_rows + i];
      *to++ = (ls_scored){.output = (uint32_t)(k - first),
                          .score = r->scores[k * r->max_rows + i],
                          .weight = is_in ? r->weights[i] : -r->weights[i]};
      ls_heartbeat_every(i);
    }
  return count * r->rows;
}

double ls_metric_auc(const ls_metric *metric, size_t index) {
  LS_ASSERT(metric->ranking && index < ls_metric_n_classes(metric));
  return metric->ranking->auc[metric->n_outputs == 1 ? 0 : index];
}

double ls_metric_macro_auc(const ls_metric *metric) {
  double sum = 0.0;
  size_t count = 0;
  for (size_t i = 0; i < ls_metric_n_classes(metric); i++) {
    const double auc = ls_metric_auc(metric, i);
    if (isnan(auc)) continue;
    sum += auc;
    count++;
  }
  return count > 0 ? sum / (double)count : NAN;
}
