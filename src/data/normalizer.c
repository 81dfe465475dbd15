/* Learning of the normaliser, and normalised columns.
 *
 * Each rank works on some features of all samples of the view, in the order of the file, so that the result
 * does not depend on the number of ranks. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>

/* The columns to learn from: x or y of the samples of a view. */
typedef struct table {
  const ls_dataset *dataset;
  ls_dtype dtype;
  bool is_targets; /* y rather than x */
  uint64_t n_members;
  size_t n_cols;
  const uint8_t *is_member; /* (n_samples): whether the sample is in the view */
} table;

/* The columns of one rank, and its workspace. */
typedef struct part {
  const table *table;
  size_t first, n;
  double *a, *b; /* (n) each: sums or extremes */
  double *row;   /* (n): its columns of the current row */
} part;

#define FETCH_ROWS ((size_t)32) /* rows of one fetch */

/* Collects the next members of the view, at most FETCH_ROWS; moves *next behind them. */
static size_t next_members(const table *t, uint64_t *next, uint64_t samples[FETCH_ROWS]) {
  size_t n = 0;
  for (; *next < t->dataset->n_samples && n < FETCH_ROWS; (*next)++)
    if (t->is_member[*next]) samples[n++] = *next;
  return n;
}

/* Calls `visit` for each sample of the view, in the order of the file, with its part of the row. */
static void visit_rows(part *p, void (*visit)(part *)) {
  const table *const t = p->table;
  uint64_t samples[FETCH_ROWS];
  ls_row rows[FETCH_ROWS];
  uint64_t next = 0;
  for (size_t n = next_members(t, &next, samples); n > 0; n = next_members(t, &next, samples)) {
    ls_dataset_fetch(t->dataset, n, samples, rows);
    for (size_t i = 0; i < n; i++) {
      ls_heartbeat();
      data_elements(t->is_targets ? rows[i].values : rows[i].x, t->dtype, p->first, p->n, p->row);
      visit(p);
    }
  }
}

static void add_values(part *p) {
  for (size_t j = 0; j < p->n; j++) p->a[j] += p->row[j];
}

/* a holds the means. */
static void add_deviations(part *p) {
  for (size_t j = 0; j < p->n; j++) p->b[j] += (p->row[j] - p->a[j]) * (p->row[j] - p->a[j]);
}

static void take_extremes(part *p) {
  for (size_t j = 0; j < p->n; j++) {
    p->a[j] = p->row[j] < p->a[j] ? p->row[j] : p->a[j];
    p->b[j] = p->row[j] > p->b[j] ? p->row[j] : p->b[j];
  }
}

/* offset = mean, factor = 1 / standard deviation (of the population, as in scikit-learn). */
static void standardize(part *p, double *offset, double *factor) {
  const uint64_t n = p->table->n_members;
  visit_rows(p, add_values);
  for (size_t j = 0; j < p->n; j++) p->a[j] /= (double)n;
  visit_rows(p, add_deviations);
  for (size_t j = 0; j < p->n; j++) {
    const double std = sqrt(p->b[j] / (double)n);
    /* The deviation of a constant feature is the rounding error of its mean. */
    const bool has_spread = std > 1e-12 * fabs(p->a[j]) && std > 0.0;
    offset[p->first + j] = p->a[j];
    factor[p->first + j] = has_spread ? 1.0 / std : 1.0;
  }
}

/* Maps each feature to [0, 1] by its minimum and maximum. */
static void scale(part *p, double *offset, double *factor) {
  for (size_t j = 0; j < p->n; j++) {
    p->a[j] = INFINITY;
    p->b[j] = -INFINITY;
  }
  visit_rows(p, take_extremes);
  for (size_t j = 0; j < p->n; j++) {
    const double spread = p->b[j] - p->a[j];
    offset[p->first + j] = p->a[j] + 0.0; /* turns -0 into 0, as a sum over ranks does */
    factor[p->first + j] = spread > 0.0 ? 1.0 / spread : 1.0;
  }
}

/* Marks the samples of the view. The caller frees *out. */
static ls_status mark_members(const ls_view *view, uint8_t **out) {
  *out = ls_calloc(view->dataset->n_samples, 1);
  if (!*out) return ls_fail_memory("the normaliser", view->dataset->n_samples);
  for (uint64_t i = 0; i < view->n; i++) (*out)[ls_view_sample(view, i)] = 1;
  return LS_OK;
}

/* Returns whether the factor does not depend on the values: `scale` divides uint8 by 255. */
static bool is_fixed(ls_normalize kind, const table *t, double *factor) {
  *factor = kind == LS_NORMALIZE_SCALE ? 1.0 / 255.0 : 1.0;
  return kind == LS_NORMALIZE_NONE || (kind == LS_NORMALIZE_SCALE && t->dtype == LS_U8);
}

/* Collective. Learns the offsets and factors of a table. */
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
    ls_comm_sum_f64(comm, result, 2 * t->n_cols); /* exact: all ranks but one have 0 */
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
  table inputs = {
      .dataset = d, .dtype = d->x_array.dtype, .n_members = view->n, .n_cols = normalizer->n_features};
  const bool learns = normalizer->targets || !is_fixed(kind, &inputs, &fixed);
  ls_status status = ls_comm_agree(comm, learns ? mark_members(view, &members) : LS_OK);
  inputs.is_member = members;
  table targets = inputs;
  targets.is_targets = true;
  targets.dtype = LS_F32;
  targets.n_cols = d->n_outputs;
  if (status == LS_OK) status = learn(comm, kind, &inputs, normalizer);
  if (status == LS_OK && normalizer->targets)
    status = learn(comm, LS_NORMALIZE_STANDARDIZE, &targets, normalizer->targets);
  free(members);
  return status;
}

void ls_dataset_column(const ls_dataset *dataset, const ls_normalizer *normalizer, size_t feature,
                       float *out) {
  const ls_dtype dtype = dataset->x_array.dtype;
  const double offset = normalizer->offset[feature];
  const double factor = normalizer->factor[feature];
  const bool is_single = dtype == LS_U8 || dtype == LS_F32;
  for (uint64_t i = 0; i < dataset->n_samples; i++) {
    ls_row row;
    ls_dataset_fetch(dataset, 1, &i, &row);
    const double x = data_element(row.x, dtype, feature);
    out[i] = is_single ? ((float)x - (float)offset) * (float)factor : (float)((x - offset) * factor);
  }
}
