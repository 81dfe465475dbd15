/* Learning of the normaliser, and normalised columns.
 *
 * Each rank works on some features of all samples of the view, in the order of the file, so that the result
 * does not depend on the number of ranks. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>

/* The columns of x or y that a rank learns from, and its workspace. */
typedef struct columns {
  const ls_dataset *dataset;
  const uint8_t *members; /* (n_samples) bits: whether a sample is in the view; NULL: all are */
  uint64_t n_members;
  bool is_target; /* y rather than x */
  size_t first, n;
  double *least, *most; /* (n) each: extremes */
  double *mean, *rest,
      *squares;     /* (n) each: sums of values, of deviations from the mean, of their squares */
  double *row;      /* (n): of the current sample */
  ls_status status; /* of reading */
} columns;

#define N_ARRAYS 6

static ls_dtype type_of(const ls_dataset *d, bool is_target) {
  return !is_target ? d->x_array.dtype : d->value_type == LS_F64 ? LS_F64 : LS_F32;
}

/* Collects the next members of the view, at most DATA_FETCH_ROWS; moves *next behind them. */
static size_t next_members(const columns *c, uint64_t *next, uint64_t samples[DATA_FETCH_ROWS]) {
  size_t n = 0;
  for (; *next < c->dataset->n_samples && n < DATA_FETCH_ROWS; (*next)++)
    if (!c->members || (c->members[*next / 8] >> *next % 8 & 1)) samples[n++] = *next;
  return n;
}

/* Calls `visit` for each sample of the view, in the order of the file. */
static void visit_rows(columns *c, void (*visit)(columns *)) {
  const ls_dtype dtype = type_of(c->dataset, c->is_target);
  uint64_t samples[DATA_FETCH_ROWS];
  ls_row rows[DATA_FETCH_ROWS];
  uint64_t next = 0;
  for (size_t n = next_members(c, &next, samples); n > 0; n = next_members(c, &next, samples)) {
    if (c->status == LS_OK) c->status = ls_dataset_fetch(c->dataset, n, samples, rows);
    for (size_t i = 0; c->status == LS_OK && i < n; i++) {
      ls_heartbeat();
      data_elements(c->is_target ? rows[i].values : rows[i].x, dtype, c->first, c->n, c->row);
      visit(c);
    }
  }
}

static void update_extremes(columns *c) {
  for (size_t j = 0; j < c->n; j++) {
    c->least[j] = c->row[j] < c->least[j] ? c->row[j] : c->least[j];
    c->most[j] = c->row[j] > c->most[j] ? c->row[j] : c->most[j];
  }
}

static void add_values(columns *c) {
  update_extremes(c);
  for (size_t j = 0; j < c->n; j++) c->mean[j] += c->row[j];
}

static void add_deviations(columns *c) {
  for (size_t j = 0; j < c->n; j++) {
    const double deviation = c->row[j] - c->mean[j];
    c->rest[j] += deviation;
    c->squares[j] += deviation * deviation;
  }
}

/* The standard deviation that is noise: numbers that were meant to be equal differ by their rounding. */
static double noise_of(ls_dtype dtype, double mean) {
  return dtype == LS_F32 || dtype == LS_F64 ? 1e-14 * fabs(mean) : 0.0;
}

#define NEGLIGIBLE                                                                                         \
  1e-9 /* error of a mean, relative to the standard deviation: float32 does not resolve it */

/* offset = mean, factor = 1 / standard deviation (of the population, as in scikit-learn), (n) each. The
 * rounding error of the mean, which grows with n, is the mean of the deviations from it. */
static void standardize(columns *c, double *offset, double *factor) {
  const double n = (double)c->n_members;
  const ls_dtype dtype = type_of(c->dataset, c->is_target);
  visit_rows(c, add_values);
  for (size_t j = 0; j < c->n; j++) c->mean[j] /= n;
  visit_rows(c, add_deviations);
  for (size_t j = 0; j < c->n; j++) {
    const double raw = sqrt(c->squares[j] / n);
    const double rest = c->rest[j] / n;
    const double error = fabs(rest) > NEGLIGIBLE * raw ? rest : 0.0;
    const double mean = c->mean[j] + error;
    const double std = error == 0.0 ? raw : sqrt(fmax(raw * raw - error * error, 0.0));
    const bool is_constant = !(c->least[j] < c->most[j]);
    offset[j] = is_constant ? c->least[j] + 0.0 : mean; /* turns -0 into 0, as a sum over ranks does */
    factor[j] = !is_constant && std > noise_of(dtype, mean) ? 1.0 / std : 1.0;
  }
}

/* Maps each feature to [0, 1] by its minimum and maximum. */
static void scale(columns *c, double *offset, double *factor) {
  visit_rows(c, update_extremes);
  for (size_t j = 0; j < c->n; j++) {
    const double spread = c->most[j] - c->least[j];
    offset[j] = c->least[j] + 0.0;
    factor[j] = spread > 0.0 ? 1.0 / spread : 1.0;
  }
}

/* Collective. Sets the bit of each sample of the view, in memory that the caller destroys. The ranks divide
 * the samples. */
static ls_status mark_members(ls_comm *comm, const ls_view *view, ls_shared *out) {
  const uint64_t n = view->dataset->n_samples;
  size_t first = 0;
  size_t count = 0;
  LS_TRY(ls_comm_shared_create(comm, (n + 7) / 8, out));
  ls_comm_shared_part(comm, out, out->bytes, &first, &count);
  uint8_t *const bits = out->data;
  for (uint64_t i = 8 * first; i < ls_size_min(8 * (first + count), n); i++) {
    bits[i / 8] |= (uint8_t)(ls_view_has(view, i) << i % 8);
    ls_heartbeat_every(i);
  }
  ls_comm_shared_broadcast(comm, out);
  return LS_OK;
}

/* The factor of all columns if it does not depend on their values, otherwise 0. `scale` divides uint8 by
 * 255. */
static double fixed_factor(ls_normalize kind, ls_dtype dtype) {
  if (kind == LS_NORMALIZE_SCALE && dtype == LS_U8) return 1.0 / 255.0;
  return kind == LS_NORMALIZE_NONE ? 1.0 : 0.0;
}

/* The columns of a rank, with its workspace.  work: (N_ARRAYS, mine.rows), zeros */
static columns columns_of(const ls_view *view, const uint8_t *members, bool is_target, ls_shard mine,
                          double *work) {
  const columns c = {.dataset = view->dataset,
                     .members = members,
                     .n_members = view->n,
                     .is_target = is_target,
                     .first = mine.first,
                     .n = mine.rows,
                     .mean = work,
                     .rest = work + mine.rows,
                     .squares = work + 2 * mine.rows,
                     .row = work + 3 * mine.rows,
                     .least = work + 4 * mine.rows,
                     .most = work + 5 * mine.rows};
  for (size_t j = 0; j < mine.rows; j++) {
    c.least[j] = INFINITY;
    c.most[j] = -INFINITY;
  }
  return c;
}

/* Collective. Learns the offsets and factors of x or of y. `members`: see columns. */
static ls_status learn(ls_comm *comm, ls_normalize kind, const ls_view *view, const uint8_t *members,
                       bool is_target, ls_normalizer *normalizer) {
  const size_t n = normalizer->n_features;
  const ls_shard mine = ls_shard_of(n, ls_comm_rank(comm), ls_comm_size(comm));
  const double fixed = fixed_factor(kind, type_of(view->dataset, is_target));
  const size_t count = 2 * n + N_ARRAYS * mine.rows;
  const bool is_fixed = fixed > 0.0;
  double *const offset = ls_calloc(count, sizeof *offset);
  const ls_status status =
      ls_comm_agree(comm, offset ? LS_OK : ls_fail_memory("the normaliser", count * sizeof *offset));
  if (status != LS_OK) {
    free(offset); /* another rank has no memory */
    return status;
  }
  LS_ASSERT(offset);
  double *const factor = offset + n;
  columns c = columns_of(view, members, is_target, mine, factor + n);
  if (is_fixed)
    for (size_t j = mine.first; j < mine.first + mine.rows; j++) factor[j] = fixed;
  else if (kind == LS_NORMALIZE_STANDARDIZE)
    standardize(&c, offset + mine.first, factor + mine.first);
  else
    scale(&c, offset + mine.first, factor + mine.first);
  const ls_status read = ls_comm_agree(comm, c.status);
  if (read == LS_OK) {
    ls_comm_sum_f64(comm, offset, 2 * n); /* exact: all ranks but one have 0 */
    ls_normalizer_set(normalizer, offset, factor);
  }
  free(offset);
  return read;
}

ls_status ls_normalizer_learn(ls_comm *comm, ls_normalize kind, const ls_view *view,
                              ls_normalizer *normalizer) {
  ls_shared members = {0};
  const bool learns = normalizer->targets || fixed_factor(kind, view->dataset->x_array.dtype) == 0.0;
  ls_status status = learns && view->is_split ? mark_members(comm, view, &members) : LS_OK;
  if (status == LS_OK) status = learn(comm, kind, view, members.data, false, normalizer);
  if (status == LS_OK && normalizer->targets)
    status = learn(comm, LS_NORMALIZE_STANDARDIZE, view, members.data, true, normalizer->targets);
  ls_comm_shared_destroy(comm, &members);
  return status;
}

ls_status ls_dataset_column(const ls_dataset *dataset, const ls_normalizer *normalizer, size_t feature,
                            float *out) {
  const ls_dtype dtype = dataset->x_array.dtype;
  const double offset = normalizer->offset[feature];
  const double factor = normalizer->factor[feature];
  const bool is_single = dtype == LS_U8 || dtype == LS_F32;
  for (uint64_t i = 0; i < dataset->n_samples; i++) {
    ls_row row;
    LS_TRY(ls_dataset_fetch(dataset, 1, &i, &row));
    const double x = data_element(row.x, dtype, feature);
    ls_heartbeat_every(i);
    out[i] = is_single ? ((float)x - (float)offset) * (float)factor : (float)((x - offset) * factor);
  }
  return LS_OK;
}
