/* Sums, scaled sums, normalisation of stored rows, dropout. */
#include "internal.h"
#include "lockstep/math.h"

#include <string.h>

#define SUM_COLS 256 /* columns whose sums are held at a time, in the first-level cache */

/* The sum of n <= SUM_COLS columns of an array of `stride` columns. Adds four rows in float, which costs at
 * most two roundings, and these sums in double: the error does not grow with the number of rows. */
CLONES static void sum_columns(size_t rows, size_t n, size_t stride, const float *x, float beta,
                               float *out) {
  double sum[SUM_COLS];
  size_t i = 0;
  memset(sum, 0, n * sizeof *sum);
  for (; i + 4 <= rows; i += 4, x += 4 * stride)
    for (size_t j = 0; j < n; j++)
      sum[j] += (double)((x[j] + x[stride + j]) + (x[2 * stride + j] + x[3 * stride + j]));
  for (; i < rows; i++, x += stride)
    for (size_t j = 0; j < n; j++) sum[j] += (double)x[j];
  for (size_t j = 0; j < n; j++)
    out[j] = (float)(sum[j] + (beta == 0.0F ? 0.0 : (double)beta * (double)out[j]));
}

typedef struct columns {
  size_t rows, cols;
  const float *x;
  float beta;
  float *out;
} columns;

static void sum_range(void *context, size_t first, size_t count) {
  const columns *const c = context;
  sum_columns(c->rows, count, c->cols, c->x + first, c->beta, c->out + first);
}

void ls_math_sum_rows(size_t rows, size_t cols, const float *x, float beta, float *out) {
  columns c = {.rows = rows, .cols = cols, .x = x, .beta = beta, .out = out};
  ls_parallel_range(cols, SUM_COLS, sum_range, &c);
}

/* Sixteen partial sums fill a vector register; their order is the same on every processor. */
#define PARTIALS 16

CLONES static double sum_squares(size_t n, const float *x) {
  double partial[PARTIALS] = {0.0};
  size_t i = 0;
  for (; i + PARTIALS <= n; i += PARTIALS)
    for (size_t k = 0; k < PARTIALS; k++) partial[k] += (double)x[i + k] * (double)x[i + k];
  for (size_t k = 0; i + k < n; k++) partial[k] += (double)x[i + k] * (double)x[i + k];
  double sum = 0.0;
  for (size_t k = 0; k < PARTIALS; k++) sum += partial[k];
  return sum;
}

static double sum_squares_of(void *context, size_t first, size_t count) {
  const float *const *const x = context;
  return sum_squares(count, *x + first);
}

double ls_math_sum_squares(size_t n, const float *x) {
  return ls_parallel_sum(n, LS_PARALLEL_ITEMS, sum_squares_of, &x);
}

CLONES void ls_math_add(size_t n, const float *a, const float *b, float *sum) {
  for (size_t i = 0; i < n; i++) sum[i] = a[i] + b[i];
}

CLONES static void add_scaled(size_t n, float c, const float *x, float *y) {
  for (size_t i = 0; i < n; i++) y[i] += c * x[i];
}

/* An elementwise change of y. */
typedef struct change {
  float c; /* factor or limit */
  const float *x;
  float *y;
} change;

static void add_scaled_range(void *context, size_t first, size_t count) {
  const change *const a = context;
  add_scaled(count, a->c, a->x + first, a->y + first);
}

void ls_math_add_scaled(size_t n, float c, const float *x, float *y) {
  change a = {.c = c, .x = x, .y = y};
  ls_parallel_range(n, LS_PARALLEL_ITEMS, add_scaled_range, &a);
}

/* NaN is returned unchanged, since comparisons with it are false. */
static inline float clamped(float x, float limit) {
  const float low = x < -limit ? -limit : x;
  return low > limit ? limit : low;
}

CLONES static void clamp(size_t n, float limit, float *x) {
  for (size_t i = 0; i < n; i++) x[i] = clamped(x[i], limit);
}

static void clamp_range(void *context, size_t first, size_t count) {
  const change *const a = context;
  clamp(count, a->c, a->y + first);
}

void ls_math_clamp(size_t n, float limit, float *x) {
  change a = {.c = limit, .y = x};
  ls_parallel_range(n, LS_PARALLEL_ITEMS, clamp_range, &a);
}

/* Values within [-by, by] equal their clamped value, and w - w is exactly 0. */
CLONES static void soft_threshold(size_t n, float by, float *w) {
  for (size_t i = 0; i < n; i++) w[i] -= clamped(w[i], by);
}

static void soft_threshold_range(void *context, size_t first, size_t count) {
  const change *const a = context;
  soft_threshold(count, a->c, a->y + first);
}

void ls_math_soft_threshold(size_t n, float by, float *w) {
  change a = {.c = by, .y = w};
  ls_parallel_range(n, LS_PARALLEL_ITEMS, soft_threshold_range, &a);
}

CLONES void ls_math_normalize_u8(size_t n, const uint8_t *row, const float *offset, const float *factor,
                                 float *out) {
  for (size_t j = 0; j < n; j++) out[j] = ((float)row[j] - offset[j]) * factor[j];
}

CLONES void ls_math_normalize_f32(size_t n, const float *row, const float *offset, const float *factor,
                                  float *out) {
  for (size_t j = 0; j < n; j++) out[j] = (row[j] - offset[j]) * factor[j];
}

CLONES void ls_math_normalize_f64(size_t n, const double *row, const double *offset, const double *factor,
                                  float *out) {
  for (size_t j = 0; j < n; j++) out[j] = (float)((row[j] - offset[j]) * factor[j]);
}

CLONES void ls_math_dropout(size_t n, float rate, const uint32_t *words, const float *x, uint8_t *mask,
                            float *y) {
  const uint32_t threshold = (uint32_t)((double)rate * 0x1p32);
  const float scale = 1.0F / (1.0F - rate);
  for (size_t j = 0; j < n; j++) {
    mask[j] = words[j] >= threshold;
    y[j] = mask[j] ? x[j] * scale : 0.0F;
  }
}

CLONES void ls_math_dropout_backward(size_t n, float rate, const uint8_t *mask, const float *dy,
                                     float *dx) {
  const float scale = 1.0F / (1.0F - rate);
  for (size_t j = 0; j < n; j++) dx[j] = mask[j] ? dy[j] * scale : 0.0F;
}
