/* The scores that ROC AUC ranks by.
 *
 * A label's score is z. A class's is the log-odds of its softmax probability against the rest,
 *   log p_k / (1 - p_k) = z_k - log sum_{j != k} exp z_j,
 * which rises with p_k and so ranks alike, but resolves probabilities near 0 and near 1, where p itself in
 * float, and log p near 1, would make ties that are none. */
#include "layout.h"

#include <math.h>
#include <stdlib.h>

static ls_status fail_short_of_memory(size_t n, size_t rows) {
  return ls_fail_memory("the scores of ROC AUC", n * rows * sizeof(float));
}

ls_status ls_metric_keep_scores(ls_metric *metric, size_t max_rows, size_t all_rows) {
  const size_t n = metric->n_outputs;
  size_t count = 0;
  LS_ASSERT(metric->task != LS_TASK_REGRESSION && !metric->ranking);
  ls_ranking *const r = metric->ranking = ls_calloc(1, sizeof *r);
  if (!r || !ls_size_mul(n, max_rows, &count)) return fail_short_of_memory(n, max_rows);
  r->max_rows = max_rows;
  r->all_rows = all_rows;
  r->scores = ls_calloc(count, sizeof *r->scores);
  r->order = ls_calloc(all_rows, sizeof *r->order);
  r->gathered = ls_calloc(all_rows, sizeof *r->gathered);
  r->samples = ls_calloc(all_rows, 2 * sizeof *r->samples);
  r->auc = ls_calloc(n, sizeof *r->auc);
  if (!r->scores || !r->order || !r->gathered || !r->samples || !r->auc)
    return fail_short_of_memory(n, max_rows + all_rows);
  for (size_t k = 0; k < n; k++) r->auc[k] = NAN;
  return LS_OK;
}

void ranking_destroy(ls_ranking **ranking) {
  if (!*ranking) return;
  free((*ranking)->scores);
  free((*ranking)->order);
  free((*ranking)->gathered);
  free((*ranking)->samples);
  free((*ranking)->auc);
  free(*ranking);
  *ranking = NULL;
}

/* The largest of n numbers but for one of them; -inf where there is no other. */
static size_t largest_but(size_t n, const float *z, size_t but) {
  size_t best = n;
  for (size_t j = 0; j < n; j++)
    if (j != but && (best == n || z[j] > z[best])) best = j;
  return best;
}

/* Sums are taken from the second largest z, which is the largest of the rest for the first. */
static void score_classes(size_t n, const float *z, size_t stride, float *scores) {
  const size_t first = largest_but(n, z, n);
  const size_t second = largest_but(n, z, first);
  if (second == n) return; /* a single class has nothing to be ranked against */
  const double top = (double)z[second];
  const double gap = (double)z[first] - top;
  double rest = 0.0; /* without the first */
  for (size_t j = 0; j < n; j++)
    if (j != first) rest += exp((double)z[j] - top);
  for (size_t k = 0; k < n; k++) {
    const double others = rest - exp((double)z[k] - top); /* below 0 by rounding alone; a NaN stays one */
    const double log_sum = log1p((others < 0.0 ? 0.0 : others) * exp(-gap));
    scores[k * stride] = (float)((double)z[k] - (double)z[first] - log_sum);
  }
  scores[first * stride] = (float)(gap - log(rest));
}

void ranking_add(ls_metric *metric, size_t rows, const float *z) {
  ls_ranking *const r = metric->ranking;
  const size_t n = metric->n_outputs;
  LS_ASSERT(rows <= r->max_rows - r->rows);
  for (size_t i = 0; i < rows; i++, r->rows++) {
    float *const scores = r->scores + r->rows;
    if (metric->task == LS_TASK_CLASSES) score_classes(n, z + i * n, r->max_rows, scores);
    for (size_t k = 0; k < n && metric->task == LS_TASK_LABELS; k++) scores[k * r->max_rows] = z[i * n + k];
  }
}

double ls_metric_auc(const ls_metric *metric, size_t index) {
  LS_ASSERT(metric->ranking && index < ls_metric_n_classes(metric));
  return metric->ranking->auc[metric->n_outputs == 1 ? 0 : index];
}

double ls_metric_macro_auc(const ls_metric *metric) {
  const size_t n = ls_metric_n_classes(metric);
  double sum = 0.0;
  size_t count = 0;
  for (size_t i = 0; i < n; i++) {
    const double auc = ls_metric_auc(metric, i);
    if (isnan(auc)) continue;
    sum += auc;
    count++;
  }
  return count > 0 ? sum / (double)count : NAN;
}
