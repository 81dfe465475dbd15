/* The normaliser: what it learns does not depend on the number of ranks. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>

/* Rows to learn from: those of the members of a view. */
typedef struct table {
  const void *data; /* (n_rows, n_cols) of dtype */
  ls_dtype dtype;
  uint64_t n_rows, n_members;
  size_t n_cols;
  const uint8_t *is_member; /* (n_rows): is the sample in the view? */
} table;

/* The part of the features that a rank works on, and room for its sums. */
typedef struct part {
  const table *table;
  size_t first, n;
  double *a, *b; /* (n) each: sums or extremes */
  double *row;   /* (n): the part of the row at hand */
} part;

/* Calls `visit` for each sample of the view, in the order of the file, with its part of the row. */
static void sweep(part *p, void (*visit)(part *)) {
  const table *const t = p->table;
  for (uint64_t i = 0; i < t->n_rows; i++) {
    if (!t->is_member[i]) continue;
    ls_heartbeat();
    ls_elements(t->data, t->dtype, i * t->n_cols + p->first, p->n, p->row);
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
static void standardize(part *p, double *offset, double *factor) {
  const uint64_t n = p->table->n_members;
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
static bool is_fixed(ls_normalize kind, const table *t, double *factor) {
  *factor = kind == LS_NORMALIZE_SCALE ? 1.0 / 255.0 : 1.0;
  return kind == LS_NORMALIZE_NONE || (kind == LS_NORMALIZE_SCALE && t->dtype == LS_U8);
}

/* Collective. One table's offsets and factors. */
static ls_status learn(ls_comm *comm, ls_normalize kind, const table *t, ls_normalizer *normalizer) {
  const ls_shard mine = ls_shard_of(t->n_cols, ls_comm_rank(comm), ls_comm_size(comm));
  double fixed = 1.0;
  const bool learns = !is_fixed(kind, t, &fixed);
  double *const sums = ls_calloc(3 * mine.rows, sizeof *sums);
  double *const result = ls_calloc(2 * t->n_cols, sizeof *result);
  const ls_status status = ls_comm_agree(
      comm, sums && result ? LS_OK : ls_fail_memory("the normaliser", 5 * t->n_cols * sizeof *sums));
  if (status == LS_OK) {
    double *const offset = result;
    double *const factor = result + t->n_cols;
    part p = {.table = t,
              .first = mine.first,
              .n = mine.rows,
              .a = sums,
              .b = sums + mine.rows,
              .row = sums + 2 * mine.rows};
    for (size_t j = mine.first; !learns && j < mine.first + mine.rows; j++) factor[j] = fixed;
    if (learns && kind == LS_NORMALIZE_STANDARDIZE) standardize(&p, offset, factor);
    if (learns && kind == LS_NORMALIZE_SCALE) scale(&p, offset, factor);
    ls_comm_sum_f64(comm, result, 2 * t->n_cols); /* every other rank has 0 there: no rounding */
    ls_normalizer_set(normalizer, offset, factor);
  }
  free(sums);
  free(result);
  return status;
}

ls_status ls_normalizer_learn(ls_comm *comm, ls_normalize kind, const ls_view *view,
                              ls_normalizer *normalizer) {
  const ls_dataset *const d = view->dataset;
  uint8_t *members = NULL;
  double fixed = 1.0;
  table inputs = {.data = d->x.data,
                  .dtype = d->x_array.dtype,
                  .n_rows = d->n_samples,
                  .n_members = view->n,
                  .n_cols = normalizer->n_features};
  const bool learns = normalizer->targets || !is_fixed(kind, &inputs, &fixed);
  ls_status status = ls_comm_agree(comm, learns ? mark_members(view, &members) : LS_OK);
  inputs.is_member = members;
  table targets = inputs;
  targets.data = d->y.data;
  targets.dtype = LS_F32;
  targets.n_cols = d->n_outputs;
  if (status == LS_OK) status = learn(comm, kind, &inputs, normalizer);
  if (status == LS_OK && normalizer->targets)
    status = learn(comm, LS_NORMALIZE_STANDARDIZE, &targets, normalizer->targets);
  free(members);
  return status;
}
