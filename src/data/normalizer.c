/* The normaliser: what it learns does not depend on the number of ranks. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>

void ls_normalizer_destroy(ls_normalizer **normalizer) {
  if (!*normalizer) return;
  free((*normalizer)->offset);
  free((*normalizer)->factor);
  free((*normalizer)->offset32);
  free((*normalizer)->factor32);
  free(*normalizer);
  *normalizer = NULL;
}

ls_status ls_normalizer_create(size_t n_features, ls_normalizer **out) {
  *out = NULL;
  ls_normalizer *n = ls_calloc(1, sizeof *n);
  if (!n) return ls_fail_memory("the normaliser", sizeof *n);
  n->n_features = n_features;
  n->offset = ls_calloc(n_features, sizeof *n->offset);
  n->factor = ls_calloc(n_features, sizeof *n->factor);
  n->offset32 = ls_calloc(n_features, sizeof *n->offset32);
  n->factor32 = ls_calloc(n_features, sizeof *n->factor32);
  if (!n->offset || !n->factor || !n->offset32 || !n->factor32) {
    ls_normalizer_destroy(&n);
    return ls_fail_memory("the normaliser", n_features * sizeof(double) * 3);
  }
  for (size_t j = 0; j < n_features; j++) n->factor[j] = 1.0;
  ls_normalizer_set(n, n->offset, n->factor);
  *out = n;
  return LS_OK;
}

void ls_normalizer_set(ls_normalizer *n, const double *offset, const double *factor) {
  for (size_t j = 0; j < n->n_features; j++) {
    n->offset[j] = offset[j];
    n->factor[j] = factor[j];
    n->offset32[j] = (float)offset[j];
    n->factor32[j] = (float)factor[j];
  }
}

/* The part of the features that a rank works on, and room for its sums. */
typedef struct part {
  const ls_dataset *dataset;
  const uint8_t *is_member; /* (n_samples): is the sample in the view? */
  size_t first, n;
  double *a, *b; /* (n) each: sums or extremes */
  double *row;   /* (n): the part of the row at hand */
} part;

/* Calls `visit` for each sample of the view, in the order of the file, with its part of the row. */
static void sweep(part *p, void (*visit)(part *)) {
  const ls_dataset *const d = p->dataset;
  for (uint64_t i = 0; i < d->n_samples; i++) {
    if (!p->is_member[i]) continue;
    ls_elements(d->x.data, d->x_array.dtype, i * d->n_features + p->first, p->n, p->row);
    visit(p);
  }
}

static void add_values(part *p) {
  for (size_t j = 0; j < p->n; j++) p->a[j] += p->row[j];
}

/* a holds the means by now. */
static void add_deviations(part *p) {
  for (size_t j = 0; j < p->n; j++) p->b[j] += (p->row[j] - p->a[j]) * (p->row[j] - p->a[j]);
}

static void take_extremes(part *p) {
  for (size_t j = 0; j < p->n; j++) {
    p->a[j] = p->row[j] < p->a[j] ? p->row[j] : p->a[j];
    p->b[j] = p->row[j] > p->b[j] ? p->row[j] : p->b[j];
  }
}

/* Offset: the mean; factor: 1 / standard deviation (of the population, as scikit-learn's). */
static void standardize(part *p, uint64_t n, double *offset, double *factor) {
  sweep(p, add_values);
  for (size_t j = 0; j < p->n; j++) p->a[j] /= (double)n;
  sweep(p, add_deviations);
  for (size_t j = 0; j < p->n; j++) {
    const double std = sqrt(p->b[j] / (double)n);
    /* A constant feature has a deviation of rounding alone: its mean's own error. */
    const bool has_spread = std > 1e-12 * fabs(p->a[j]) && std > 0.0;
    offset[p->first + j] = p->a[j];
    factor[p->first + j] = has_spread ? 1.0 / std : 1.0;
  }
}

/* To [0, 1] by the least and the greatest value. */
static void scale(part *p, double *offset, double *factor) {
  for (size_t j = 0; j < p->n; j++) {
    p->a[j] = INFINITY;
    p->b[j] = -INFINITY;
  }
  sweep(p, take_extremes);
  for (size_t j = 0; j < p->n; j++) {
    const double spread = p->b[j] - p->a[j];
    offset[p->first + j] = p->a[j] + 0.0; /* -0 becomes 0 here as in a sum over ranks */
    factor[p->first + j] = spread > 0.0 ? 1.0 / spread : 1.0;
  }
}

/* Local. Marks the view's samples. */
static ls_status mark_members(const ls_view *view, uint8_t **out) {
  *out = ls_calloc(view->dataset->n_samples, 1);
  if (!*out) return ls_fail_memory("the normaliser", view->dataset->n_samples);
  for (uint64_t i = 0; i < view->n; i++) (*out)[ls_view_sample(view, i)] = 1;
  return LS_OK;
}

/* uint8 under `scale` is divided by 255, whatever values occur. */
static bool is_fixed(ls_normalize kind, const ls_view *view, double *factor) {
  *factor = kind == LS_NORMALIZE_SCALE ? 1.0 / 255.0 : 1.0;
  return kind == LS_NORMALIZE_NONE || (kind == LS_NORMALIZE_SCALE && view->dataset->x_array.dtype == LS_U8);
}

ls_status ls_normalizer_learn(ls_comm *comm, ls_normalize kind, const ls_view *view,
                              ls_normalizer *normalizer) {
  const size_t n_features = normalizer->n_features;
  const ls_shard mine = ls_shard_of(n_features, ls_comm_rank(comm), ls_comm_size(comm));
  double fixed = 1.0;
  const bool learns = !is_fixed(kind, view, &fixed);
  uint8_t *members = NULL;
  double *const sums = ls_calloc(3 * mine.rows, sizeof *sums);
  double *const result = ls_calloc(2 * n_features, sizeof *result);
  ls_status status =
      sums && result ? LS_OK : ls_fail_memory("the normaliser", 5 * n_features * sizeof *sums);
  if (status == LS_OK && learns) status = mark_members(view, &members);
  status = ls_comm_agree(comm, status);
  if (status == LS_OK) {
    double *const offset = result;
    double *const factor = result + n_features;
    part p = {.dataset = view->dataset,
              .is_member = members,
              .first = mine.first,
              .n = mine.rows,
              .a = sums,
              .b = sums + mine.rows,
              .row = sums + 2 * mine.rows};
    for (size_t j = mine.first; !learns && j < mine.first + mine.rows; j++) factor[j] = fixed;
    if (learns && kind == LS_NORMALIZE_STANDARDIZE) standardize(&p, view->n, offset, factor);
    if (learns && kind == LS_NORMALIZE_SCALE) scale(&p, offset, factor);
    ls_comm_sum_f64(comm, result, 2 * n_features); /* every other rank has 0 there: no rounding */
    ls_normalizer_set(normalizer, offset, factor);
  }
  free(members);
  free(sums);
  free(result);
  return status;
}
