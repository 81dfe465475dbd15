/* Kernels of batch norm. Elements are computed in float; sums of a few rows in float, and these sums in
 * double. A view joins rows with few columns to wide ones, so that the inner loops are long. */
#include "internal.h"
#include "lockstep/math.h"

#include <math.h>
#include <string.h>

#define WIDE  256  /* columns of a view, at most */
#define CHUNK 1024 /* rows with one pivot */

/* `n` columns of an array with `cols` columns; or, if there are few, the columns of `joined` rows. */
typedef struct view {
  size_t n, cols, joined;
} view;

/* The columns from `first` on, at most WIDE. */
static view view_of(size_t cols, size_t first) {
  return (view){.n = ls_size_min(WIDE, cols - first), .cols = cols, .joined = ls_size_max(WIDE / cols, 1)};
}

/* Repeats the values of the columns for each joined row. */
static void repeat(const view *v, const float *values, float *out) {
  for (size_t r = 0; r < v->joined; r++) memcpy(out + r * v->n, values, v->n * sizeof *out);
}

/* Adds the sums of the joined rows, in their order. */
static void fold(const view *v, double *sums) {
  for (size_t r = 1; r < v->joined; r++)
    for (size_t j = 0; j < v->n; j++) sums[j] += sums[r * v->n + j];
}

/* ----------------------------------------------------------------- moments */

static inline float square(float d) {
  return d * d;
}

/* sums += x - pivot, squares += (x - pivot)^2, for n columns. */
CLONES static void add_moments(size_t rows, size_t n, size_t stride, const float *x, const float *pivot,
                               double *restrict sums, double *restrict squares) {
  size_t i = 0;
  for (; i + 4 <= rows; i += 4, x += 4 * stride)
    for (size_t j = 0; j < n; j++) {
      const float a = x[j] - pivot[j];
      const float b = x[stride + j] - pivot[j];
      const float c = x[2 * stride + j] - pivot[j];
      const float d = x[3 * stride + j] - pivot[j];
      sums[j] += (double)((a + b) + (c + d));
      squares[j] += (double)((square(a) + square(b)) + (square(c) + square(d)));
    }
  for (; i < rows; i++, x += stride)
    for (size_t j = 0; j < n; j++) {
      const float a = x[j] - pivot[j];
      sums[j] += (double)a;
      squares[j] += (double)square(a);
    }
}

/* The same in double, for values whose squares exceed the range of float. */
static void add_large_moments(size_t rows, const view *v, const float *x, const float *pivot, double *sums,
                              double *squares) {
  memset(sums, 0, v->n * sizeof *sums);
  memset(squares, 0, v->n * sizeof *squares);
  for (size_t i = 0; i < rows; i++, x += v->cols)
    for (size_t j = 0; j < v->n; j++) {
      const double d = (double)x[j] - (double)pivot[j];
      sums[j] += d;
      squares[j] += d * d;
    }
}

static bool all_finite(size_t n, const double *x) {
  bool finite = true;
  for (size_t j = 0; j < n; j++) finite = finite && isfinite(x[j]);
  return finite;
}

/* Adds the moments of the rows of a chunk. They are computed about its first row, whose distance from the
 * mean is usually small, and moved to `pivot` in double (Chan, Golub, LeVeque 1983). */
static void add_chunk(size_t rows, const view *v, const float *x, const float *pivot, double *sums,
                      double *squares) {
  float own[WIDE] = {0.0F};
  double s[WIDE] = {0.0};
  double q[WIDE] = {0.0};
  const size_t joined = rows / v->joined;
  const size_t done = joined * v->joined;
  repeat(v, x, own);
  add_moments(joined, v->joined * v->n, v->joined * v->cols, x, own, s, q);
  add_moments(rows - done, v->n, v->cols, x + done * v->cols, own, s, q);
  fold(v, s);
  fold(v, q);
  if (!all_finite(v->n, q)) add_large_moments(rows, v, x, own, s, q);
  for (size_t j = 0; j < v->n; j++) {
    const double move = (double)own[j] - (double)pivot[j];
    sums[j] += s[j] + (double)rows * move;
    squares[j] += q[j] + move * (2.0 * s[j] + (double)rows * move);
  }
}

void ls_math_norm_moments(size_t rows, size_t cols, const float *x, const float *pivot, double *sums,
                          double *squares) {
  for (size_t j = 0; j < cols; j += WIDE) {
    const view v = view_of(cols, j);
    for (size_t i = 0; i < rows; i += CHUNK)
      add_chunk(ls_size_min(CHUNK, rows - i), &v, x + i * cols + j, pivot + j, sums + j, squares + j);
  }
}

/* ------------------------------------------------------------------ passes */

/* The values of a view's columns. */
typedef struct columns {
  float center[WIDE], scale[WIDE], shift[WIDE], offset[WIDE], slope[WIDE];
} columns;

static void set_columns(const view *v, const ls_norm *norm, size_t first, columns *out) {
  repeat(v, norm->center + first, out->center);
  repeat(v, norm->scale + first, out->scale);
  repeat(v, norm->shift + first, out->shift);
}

static inline float normal(const columns *c, size_t j, float x) {
  return (x - c->center[j]) * c->scale[j] + c->shift[j];
}

/* max(z, low): relu with 0, the identity with -infinity. NaN stays NaN. */
static inline float bounded(float z, float low) {
  return z < low ? low : z;
}

CLONES static void normalise(size_t rows, size_t n, size_t stride, const columns *restrict c, float low,
                             const float *x, float *y) {
  for (size_t i = 0; i < rows; i++, x += stride, y += stride)
    for (size_t j = 0; j < n; j++) y[j] = bounded(normal(c, j, x[j]), low);
}

CLONES static void normalise_sum(size_t rows, size_t n, size_t stride, const columns *restrict c, float low,
                                 const float *x, const float *addend, float *y) {
  for (size_t i = 0; i < rows; i++, x += stride, addend += stride, y += stride)
    for (size_t j = 0; j < n; j++) y[j] = bounded(normal(c, j, x[j]) + addend[j], low);
}

/* `rows` rows of n columns, whose starts are `stride` floats apart. */
static void normalise_rows(const ls_norm *norm, size_t rows, size_t n, size_t stride, const columns *c,
                           const float *x, const float *addend, float *y) {
  const float low = norm->has_relu ? 0.0F : -INFINITY;
  if (addend)
    normalise_sum(rows, n, stride, c, low, x, addend, y);
  else
    normalise(rows, n, stride, c, low, x, y);
}

void ls_math_norm(const ls_norm *norm, size_t rows, size_t cols, const float *x, const float *addend,
                  float *y) {
  columns c;
  for (size_t j = 0; j < cols; j += WIDE) {
    const view v = view_of(cols, j);
    const size_t joined = rows / v.joined;
    const size_t rest = j + joined * v.joined * cols;
    set_columns(&v, norm, j, &c);
    normalise_rows(norm, joined, v.joined * v.n, v.joined * cols, &c, x + j, addend ? addend + j : NULL,
                   y + j);
    normalise_rows(norm, rows - joined * v.joined, v.n, cols, &c, x + rest, addend ? addend + rest : NULL,
                   y + rest);
  }
}

/* dy where relu lets it pass. */
static inline float passed(const columns *c, size_t j, bool has_relu, float x, float dy) {
  return !has_relu || normal(c, j, x) > 0.0F ? dy : 0.0F;
}

/* sums += g, products += g (x - center), for n columns. */
static inline void add_gradients(size_t rows, size_t n, size_t stride, const columns *restrict c,
                                 bool has_relu, const float *x, const float *dy, double *restrict sums,
                                 double *restrict products) {
  size_t i = 0;
#define GRADIENT(k) passed(c, j, has_relu, x[(k)*stride + j], dy[(k)*stride + j])
#define PRODUCT(k)  (GRADIENT(k) * (x[(k)*stride + j] - c->center[j]))
  for (; i + 4 <= rows; i += 4, x += 4 * stride, dy += 4 * stride)
    for (size_t j = 0; j < n; j++) {
      sums[j] += (double)((GRADIENT(0) + GRADIENT(1)) + (GRADIENT(2) + GRADIENT(3)));
      products[j] += (double)((PRODUCT(0) + PRODUCT(1)) + (PRODUCT(2) + PRODUCT(3)));
    }
  for (; i < rows; i++, x += stride, dy += stride)
    for (size_t j = 0; j < n; j++) {
      sums[j] += (double)GRADIENT(0);
      products[j] += (double)PRODUCT(0);
    }
#undef GRADIENT
#undef PRODUCT
}

CLONES static void add_plain(size_t rows, size_t n, size_t stride, const columns *restrict c,
                             const float *x, const float *dy, double *restrict sums,
                             double *restrict products) {
  add_gradients(rows, n, stride, c, false, x, dy, sums, products);
}

CLONES static void add_masked(size_t rows, size_t n, size_t stride, const columns *restrict c,
                              const float *x, const float *dy, double *restrict sums,
                              double *restrict products) {
  add_gradients(rows, n, stride, c, true, x, dy, sums, products);
}

void ls_math_norm_backward_sums(const ls_norm *norm, size_t rows, size_t cols, const float *x,
                                const float *dy, double *sums, double *products) {
  columns c;
  double s[WIDE];
  double p[WIDE];
  for (size_t j = 0; j < cols; j += WIDE) {
    const view v = view_of(cols, j);
    const size_t joined = rows / v.joined;
    const size_t rest = j + joined * v.joined * cols;
    memset(s, 0, sizeof s);
    memset(p, 0, sizeof p);
    set_columns(&v, norm, j, &c);
    (norm->has_relu ? add_masked : add_plain)(joined, v.joined * v.n, v.joined * cols, &c, x + j, dy + j, s,
                                              p);
    (norm->has_relu ? add_masked : add_plain)(rows - joined * v.joined, v.n, cols, &c, x + rest, dy + rest,
                                              s, p);
    fold(&v, s);
    fold(&v, p);
    for (size_t k = 0; k < v.n; k++) sums[j + k] += s[k];
    for (size_t k = 0; k < v.n; k++) products[j + k] += p[k];
  }
}

static inline float derivative(const columns *c, size_t j, bool has_relu, float x, float dy) {
  const float centered = x - c->center[j];
  return c->scale[j] * ((passed(c, j, has_relu, x, dy) - c->offset[j]) - c->slope[j] * centered);
}

CLONES static void differentiate(size_t rows, size_t n, size_t stride, const columns *restrict c,
                                 const float *x, const float *dy, float *restrict dx) {
  for (size_t i = 0; i < rows; i++, x += stride, dy += stride, dx += stride)
    for (size_t j = 0; j < n; j++) dx[j] = derivative(c, j, false, x[j], dy[j]);
}

CLONES static void differentiate_masked(size_t rows, size_t n, size_t stride, const columns *restrict c,
                                        const float *x, const float *dy, float *restrict dx) {
  for (size_t i = 0; i < rows; i++, x += stride, dy += stride, dx += stride)
    for (size_t j = 0; j < n; j++) dx[j] = derivative(c, j, true, x[j], dy[j]);
}

void ls_math_norm_backward(const ls_norm *norm, size_t rows, size_t cols, const float *x,
                           const float *offset, const float *slope, const float *dy, float *dx) {
  columns c;
  void (*const run)(size_t, size_t, size_t, const columns *, const float *, const float *, float *) =
      norm->has_relu ? differentiate_masked : differentiate;
  for (size_t j = 0; j < cols; j += WIDE) {
    const view v = view_of(cols, j);
    const size_t joined = rows / v.joined;
    const size_t rest = j + joined * v.joined * cols;
    set_columns(&v, norm, j, &c);
    repeat(&v, offset + j, c.offset);
    repeat(&v, slope + j, c.slope);
    run(joined, v.joined * v.n, v.joined * cols, &c, x + j, dy + j, dx + j);
    run(rows - joined * v.joined, v.n, cols, &c, x + rest, dy + rest, dx + rest);
  }
}
