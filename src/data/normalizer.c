/* Learning of the normaliser, and normalised columns. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>

/* The moments of x or of y over the samples of a view. Each feature has its own or, `per: channel`, each
 * channel.
 *
 * Sums are those of d = value - pivot, where the pivot is the mean of the first samples: close enough to
 * the mean of all samples for mean(d^2) - mean(d)^2 to keep its digits, since (pivot - mean)^2 is at most n
 * / first samples times the variance. */
typedef struct moments {
  const ls_dataset *dataset;
  bool is_target; /* y rather than x */
  bool has_sums;  /* of d and d^2; otherwise only extremes */
  ls_dtype dtype;
  size_t width;  /* elements of a sample */
  size_t n;      /* columns: features or channels; column i % n has element i of a sample */
  double *row;   /* (width): of the current sample; owned, one block with the following */
  double *pivot; /* (n) */
  double *most;  /* (2, n): the maxima of the values, and of their negatives */
  double *sums;  /* (2, n) */
} moments;

static ls_dtype type_of(const ls_dataset *d, bool is_target) {
  return !is_target ? d->x_array.dtype : d->value_type == LS_F64 ? LS_F64 : LS_F32;
}

static ls_status create(const ls_normalize kind, const ls_dataset *d, bool is_target, size_t n_columns,
                        moments *out) {
  const size_t width = is_target ? d->n_outputs : d->n_features;
  *out = (moments){.dataset = d,
                   .is_target = is_target,
                   .has_sums = kind == LS_NORMALIZE_STANDARDIZE,
                   .dtype = type_of(d, is_target),
                   .width = width,
                   .n = n_columns,
                   .row = ls_calloc(width + 5 * n_columns, sizeof *out->row)};
  if (!out->row) return ls_fail_memory("the normaliser", (width + 5 * n_columns) * sizeof *out->row);
  out->pivot = out->row + width;
  out->most = out->pivot + n_columns;
  out->sums = out->most + 2 * n_columns;
  for (size_t j = 0; j < 2 * n_columns; j++) out->most[j] = -INFINITY;
  return LS_OK;
}

static void read_row(const moments *m, const ls_row *row) {
  data_elements(m->is_target ? row->values : row->x, m->dtype, 0, m->width, m->row);
}

/* The pivots: means over the first samples of the view. */
static ls_status find_pivots(const ls_view *view, moments *m) {
  uint64_t samples[DATA_FETCH_ROWS] = {0};
  ls_row rows[DATA_FETCH_ROWS];
  const size_t n = ls_size_min(view->n, DATA_FETCH_ROWS);
  for (size_t i = 0; i < n; i++) samples[i] = ls_view_sample(view, i);
  LS_TRY(ls_dataset_fetch(view->dataset, n, samples, rows));
  for (size_t i = 0; i < n; i++) {
    read_row(m, &rows[i]);
    for (size_t j = 0; j < m->width; j++) m->pivot[j % m->n] += m->row[j];
  }
  for (size_t j = 0; j < m->n; j++) m->pivot[j] *= (double)m->n / ((double)n * (double)m->width);
  return LS_OK;
}

static void add_row(void *context, const ls_row *row, double *sums) {
  moments *const m = context;
  read_row(m, row);
  for (size_t first = 0; first < m->width; first += m->n) {
    const double *const values = m->row + first;
    double *const least = m->most + m->n;
    for (size_t j = 0; j < m->n; j++) {
      m->most[j] = values[j] > m->most[j] ? values[j] : m->most[j];
      least[j] = -values[j] > least[j] ? -values[j] : least[j];
    }
    for (size_t j = 0; m->has_sums && j < m->n; j++) {
      const double d = values[j] - m->pivot[j];
      sums[j] += d;
      sums[m->n + j] += d * d;
    }
  }
}

/* The standard deviation that is noise: numbers that were meant to be equal differ by their rounding. */
static double noise_of(ls_dtype dtype, double mean) {
  return dtype == LS_F32 || dtype == LS_F64 ? 1e-14 * fabs(mean) : 0.0;
}

/* offset = mean, factor = 1 / standard deviation (of the population, as in scikit-learn) of a column with n
 * values. */
static void standardize(const moments *m, size_t j, double n, double *offset, double *factor) {
  const double d = m->sums[j] / n;
  const double std = sqrt(fmax(m->sums[m->n + j] / n - d * d, 0.0));
  *offset = m->pivot[j] + d;
  *factor = std > noise_of(m->dtype, *offset) ? 1.0 / std : 1.0;
}

/* The offset and factor of a column. `scale` maps it to [0, 1]. A column without spread becomes 0. */
static void finish(const moments *m, size_t j, double n, double *offset, double *factor) {
  const double least = -m->most[m->n + j];
  const double spread = m->most[j] - least;
  *offset = least + 0.0; /* turns -0 into 0 */
  *factor = spread > 0.0 ? 1.0 / spread : 1.0;
  if (m->has_sums && spread > 0.0) standardize(m, j, n, offset, factor);
}

/* Sets the offsets and factors of all elements of a sample. */
static void set_normalizer(const moments *m, uint64_t n_samples, ls_normalizer *normalizer) {
  double *const offset = normalizer->offset;
  double *const factor = normalizer->factor;
  const size_t each = m->width / m->n; /* values of a column in a sample */
  const double n = (double)n_samples * (double)each;
  for (size_t j = 0; j < m->n; j++) finish(m, j, n, &offset[j], &factor[j]);
  for (size_t j = m->n; j < m->width; j++) {
    offset[j] = offset[j - m->n];
    factor[j] = factor[j - m->n];
  }
  ls_normalizer_set(normalizer, offset, factor);
}

/* Collective. Learns from the samples of a view. */
static ls_status learn(ls_comm *comm, const ls_view *view, moments *m, ls_normalizer *normalizer) {
  const data_scan scan = {.view = view,
                          .name = "learning the normaliser",
                          .n_sums = m->has_sums ? 2 * m->n : 0,
                          .visit = add_row,
                          .context = m};
  LS_TRY(ls_comm_agree(comm, m->has_sums ? find_pivots(view, m) : LS_OK));
  LS_TRY(data_scan_run(comm, &scan, m->sums));
  ls_comm_max_f64(comm, m->most, 2 * m->n);
  set_normalizer(m, view->n, normalizer);
  return LS_OK;
}

/* Collective. Learns the offsets and factors of x or of y, in n_columns columns. */
static ls_status learn_columns(ls_comm *comm, ls_normalize kind, const ls_view *view, bool is_target,
                               size_t n_columns, ls_normalizer *normalizer) {
  moments m;
  ls_status status = ls_comm_agree(comm, create(kind, view->dataset, is_target, n_columns, &m));
  if (status == LS_OK) status = learn(comm, view, &m, normalizer);
  free(m.row);
  return status;
}

/* Sets the factor of all elements, with offset 0. */
static void set_factor(double factor, ls_normalizer *normalizer) {
  for (size_t j = 0; j < normalizer->n_features; j++) {
    normalizer->offset[j] = 0.0;
    normalizer->factor[j] = factor;
  }
  ls_normalizer_set(normalizer, normalizer->offset, normalizer->factor);
}

ls_status ls_normalizer_learn(ls_comm *comm, ls_normalize kind, bool is_per_channel, const ls_view *view,
                              ls_normalizer *normalizer) {
  const ls_dataset *const d = view->dataset;
  const ls_array *const x = &d->x_array;
  const bool has_channels = is_per_channel && x->n_dims > 2;
  const size_t n_columns = has_channels ? x->dims[x->n_dims - 1] : d->n_features;
  if (kind == LS_NORMALIZE_SCALE && x->dtype == LS_U8)
    set_factor(1.0 / 255.0, normalizer);
  else if (kind != LS_NORMALIZE_NONE)
    LS_TRY(learn_columns(comm, kind, view, false, n_columns, normalizer));
  if (!normalizer->targets) return LS_OK;
  return learn_columns(comm, LS_NORMALIZE_STANDARDIZE, view, true, d->n_outputs, normalizer->targets);
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
