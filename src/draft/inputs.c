/* What a sample of the rows of x shows. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_MOST     ((size_t)2048)
#define ELEMENTS_MOST ((size_t)1 << 22)

/* Rows in memory. */
typedef struct block {
  size_t n, most, cols;
  float *values; /* (most, cols), owned */
} block;

static ls_status add_rows(void *context, uint64_t first, size_t rows, size_t columns,
                          const double *values) {
  block *const b = context;
  (void)first;
  for (size_t i = 0; i < rows && b->n < b->most; i++, b->n++)
    for (size_t j = 0; j < columns; j++) b->values[b->n * columns + j] = (float)values[i * columns + j];
  return LS_OK;
}

/* Whether more than half of a column is its smallest value, as in counts and indicators of categories;
 * their few large values are what matters, not a tail. */
static bool is_sparse(const block *b, size_t j) {
  float low = INFINITY;
  size_t n = 0;
  for (size_t i = 0; i < b->n; i++) low = fminf(low, b->values[i * b->cols + j]);
  for (size_t i = 0; i < b->n; i++) n += b->values[i * b->cols + j] == low;
  return 2 * n > b->n;
}

/* Subtracts its mean from a column and divides it by its standard deviation, which is returned; 0 if it is
 * constant. Adds to the range and the tail. */
static double standardize(block *b, size_t j, draft_inputs *x) {
  const bool has_tail = !is_sparse(b, j);
  x->n_sparse += !has_tail;
  double sum = 0.0;
  double squares = 0.0;
  for (size_t i = 0; i < b->n; i++) {
    const double v = (double)b->values[i * b->cols + j];
    sum += v;
    x->low = fmin(x->low, v);
    x->high = fmax(x->high, v);
  }
  const double mean = sum / (double)b->n;
  for (size_t i = 0; i < b->n; i++) squares += pow((double)b->values[i * b->cols + j] - mean, 2.0);
  const double deviation = sqrt(squares / (double)b->n);
  const bool is_constant = deviation <= 1e-7 * fabs(mean);
  for (size_t i = 0; i < b->n; i++) {
    float *const v = &b->values[i * b->cols + j];
    *v = is_constant ? 0.0F : (float)(((double)*v - mean) / deviation);
    if (has_tail) x->tail = fmax(x->tail, fabs((double)*v));
  }
  return is_constant ? 0.0 : deviation;
}

static void measure_columns(block *b, draft_inputs *x) {
  double least = INFINITY;
  double most = 0.0;
  x->low = INFINITY;
  x->high = -INFINITY;
  for (size_t j = 0; j < b->cols; j++) {
    const double deviation = standardize(b, j, x);
    x->n_constant += deviation == 0.0;
    if (deviation > 0.0) least = fmin(least, deviation);
    most = fmax(most, deviation);
  }
  x->scale_ratio = most > 0.0 ? most / least : 1.0;
}

/* The mean correlation of standardised columns j and j + lag. */
static double correlation(const block *b, size_t lag) {
  double sum = 0.0;
  size_t n = 0;
  for (size_t i = 0; i < b->n && lag < b->cols; i++)
    for (size_t j = 0; j + lag < b->cols; j++) {
      sum += (double)b->values[i * b->cols + j] * (double)b->values[i * b->cols + j + lag];
      n++;
    }
  return n > 0 ? sum / (double)n : 0.0;
}

#define SIDE_LEAST     ((size_t)8)
#define SEQUENCE_LEAST ((size_t)24)
#define LINE_MORE      0.075 /* by which columns one line apart correlate more than others */

/* The side of square pictures: columns one line apart correlate more than those a few columns closer or
 * farther. */
static size_t find_side(const block *b) {
  const size_t side = (size_t)lround(sqrt((double)b->cols));
  if (side < SIDE_LEAST || side * side != b->cols) return 0;
  const double line = correlation(b, side);
  const double others = fmax(correlation(b, side - side / 4), correlation(b, side + side / 4));
  return line > others + LINE_MORE && correlation(b, 1) > 0.2 ? side : 0;
}

/* Whether columns correlate strongly with their neighbours, and the less the farther they are apart. A
 * table that is taken for series would lose much, series that are taken for a table little. */
static bool find_sequence(const block *b) {
  double distant = -1.0;
  if (b->cols < SEQUENCE_LEAST) return false;
  for (size_t k = 2; k <= 8; k++) distant = fmax(distant, correlation(b, k * b->cols / 10));
  const double next = correlation(b, 1);
  const double second = correlation(b, 2);
  return next > 0.5 && next > distant + 0.2 && next > second && second > correlation(b, 3);
}

/* Whether names of columns say nothing but their number: t0, t1, ... */
static bool are_numbered(const ls_dataset *d) {
  const char *const first = d->n_feature_names ? d->feature_names[0] : "";
  const size_t stem = strcspn(first, "0123456789");
  for (size_t i = 0; i < d->n_feature_names; i++) {
    const char *const name = d->feature_names[i];
    const size_t digits = strspn(name + ls_size_min(stem, strlen(name)), "0123456789.");
    if (strncmp(name, first, stem) != 0 || digits == 0 || strlen(name) != stem + digits) return false;
  }
  return true;
}

#define FEW_ROWS    ((size_t)16) /* for a correlation */
#define SCALES_MOST 30.0         /* between columns that have one unit */

static void measure(const ls_dataset *d, block *b, draft_inputs *x) {
  measure_columns(b, x);
  if (x->shape.n_dims != 1 || b->n < FEW_ROWS || !are_numbered(d)) return;
  x->side = find_side(b);
  x->is_sequence = x->side == 0 && x->scale_ratio < SCALES_MOST && x->n_constant == 0 && find_sequence(b);
}

ls_status draft_measure_inputs(const ls_dataset *d, draft_inputs *out) {
  block b = {.cols = d->n_features};
  *out = (draft_inputs){.n = d->n_samples,
                        .n_features = d->n_features,
                        .shape = ls_dataset_shape(d),
                        .dtype = d->x_array.dtype};
  b.most = ls_size_max(ls_size_min(ROWS_MOST, ELEMENTS_MOST / d->n_features), 1);
  b.most = ls_size_min(b.most, d->n_samples);
  b.values = ls_calloc(b.most * d->n_features, sizeof *b.values);
  if (!b.values) return ls_fail_memory("samples", b.most * d->n_features * sizeof *b.values);
  const ls_status status = ls_dataset_visit_x(d, b.most, add_rows, &b);
  if (status == LS_OK) measure(d, &b, out);
  free(b.values);
  return status;
}
