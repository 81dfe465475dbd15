/* Kernels of batch norm. Elements are computed in float; sums of a few rows in float, and these sums in
 * double. A view joins rows with few columns to wide ones, so that the inner loops are long. */
#include "internal.h"
#include "lockstep/math.h"

#include <math.h>
#include <string.h>

#define WIDE  256  /* columns of a view, at most */
#define CHUNK 1024 /* rows with one pivot */
#define PARTS 16   /* of rows that threads process at the same time, at most */

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

/* Chunks of rows, for the columns of a view, that threads divide among them. */
typedef struct moments_job {
  const view *v;
  const float *x, *pivot;
  double sums[PARTS][WIDE], squares[PARTS][WIDE]; /* of the chunks */
} moments_job;

static void add_chunk_of_job(void *context, size_t first, size_t rows) {
  moments_job *const job = context;
  double *const sums = job->sums[first / CHUNK];
  double *const squares = job->squares[first / CHUNK];
  memset(sums, 0, job->v->n * sizeof *sums);
  memset(squares, 0, job->v->n * sizeof *squares);
  add_chunk(rows, job->v, job->x + first * job->v->cols, job->pivot, sums, squares);
}

/* The sums of the chunks are added in their order. */
void ls_math_norm_moments(size_t rows, size_t cols, const float *x, const float *pivot, double *sums,
                          double *squares) {
  moments_job job;
  for (size_t j = 0; j < cols; j += WIDE)
    for (size_t i = 0; i < rows; i += PARTS * CHUNK) {
      const view v = view_of(cols, j);
      const size_t n = ls_size_min(PARTS * CHUNK, rows - i);
      job.v = &v;
      job.x = x + i * cols + j;
      job.pivot = pivot + j;
      ls_parallel_range(n, CHUNK, add_chunk_of_job, &job);
      for (size_t part = 0; part * CHUNK < n; part++)
        for (size_t k = 0; k < v.n; k++) {
          sums[j + k] += job.sums[part][k];
          squares[j + k] += job.squares[part][k];
        }
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

/* Rows that threads divide among them, for the columns of a view. Unused pointers are NULL. */
typedef struct norm_job {
  const view *v;
  const ls_norm *norm;
  const columns *c;
  const float *x, *addend, *dy;
  float *y, *dx;
  size_t length;                           /* rows of a part */
  double (*sums)[WIDE], (*products)[WIDE]; /* (PARTS) */
} norm_job;

/* The rows of a part: all for one thread; else a multiple of the rows that views join. */
static size_t part_rows(size_t rows, size_t cols) {
  const size_t parts = ls_size_min(ls_parallel_threads(), PARTS);
  const size_t least = ls_size_max((rows + parts - 1) / parts, LS_PARALLEL_ITEMS / 2 / cols);
  return parts == 1 ? ls_size_max(rows, 1) : (least + WIDE - 1) / WIDE * WIDE;
}

/* Rows from `at` on, in floats, whose starts are `stride` floats apart, with n columns each. */
typedef struct piece {
  size_t at, rows, n, stride;
} piece;

/* Splits the rows of a part into those that the view joins, and the others. */
static void split(const view *v, size_t first, size_t rows, piece *out) {
  const size_t joined = rows / v->joined * v->joined;
  out[0] = (piece){first * v->cols, rows / v->joined, v->joined * v->n, v->joined * v->cols};
  out[1] = (piece){(first + joined) * v->cols, rows - joined, v->n, v->cols};
}

static void normalise_part(void *context, size_t first, size_t rows) {
  const norm_job *const job = context;
  piece pieces[2];
  split(job->v, first, rows, pieces);
  for (const piece *p = pieces; p < pieces + 2; p++)
    normalise_rows(job->norm, p->rows, p->n, p->stride, job->c, job->x + p->at,
                   job->addend ? job->addend + p->at : NULL, job->y + p->at);
}

void ls_math_norm(const ls_norm *norm, size_t rows, size_t cols, const float *x, const float *addend,
                  float *y) {
  columns c;
  for (size_t j = 0; j < cols; j += WIDE) {
    const view v = view_of(cols, j);
    norm_job job = {
        .v = &v, .norm = norm, .c = &c, .x = x + j, .addend = addend ? addend + j : NULL, .y = y + j};
    set_columns(&v, norm, j, &c);
    ls_parallel_range(rows, part_rows(rows, cols), normalise_part, &job);
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

/* The sums of a part. */
static void add_gradients_of_part(void *context, size_t first, size_t rows) {
  norm_job *const job = context;
  piece pieces[2];
  split(job->v, first, rows, pieces);
  double *const s = job->sums[first / job->length];
  double *const p = job->products[first / job->length];
  void (*const add)(size_t, size_t, size_t, const columns *, const float *, const float *, double *,
                    double *) = job->norm->has_relu ? add_masked : add_plain;
  memset(s, 0, WIDE * sizeof *s);
  memset(p, 0, WIDE * sizeof *p);
  for (const piece *q = pieces; q < pieces + 2; q++)
    add(q->rows, q->n, q->stride, job->c, job->x + q->at, job->dy + q->at, s, p);
  fold(job->v, s);
  fold(job->v, p);
}

void ls_math_norm_backward_sums(const ls_norm *norm, size_t rows, size_t cols, const float *x,
                                const float *dy, double *sums, double *products) {
  columns c;
  double s[PARTS][WIDE];
  double p[PARTS][WIDE];
  for (size_t j = 0; j < cols; j += WIDE) {
    const view v = view_of(cols, j);
    const size_t length = part_rows(rows, cols);
    norm_job job = {.v = &v, .norm = norm, .c = &c, .x = x + j, .dy = dy + j, .length = length};
    job.sums = s;
    job.products = p;
    set_columns(&v, norm, j, &c);
    ls_parallel_range(rows, length, add_gradients_of_part, &job);
    for (size_t part = 0; part * length < rows; part++)
      for (size_t k = 0; k < v.n; k++) {
        sums[j + k] += s[part][k];
        products[j + k] += p[part][k];
      }
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

static void differentiate_part(void *context, size_t first, size_t rows) {
  const norm_job *const job = context;
  piece pieces[2];
  split(job->v, first, rows, pieces);
  void (*const run)(size_t, size_t, size_t, const columns *, const float *, const float *, float *) =
      job->norm->has_relu ? differentiate_masked : differentiate;
  for (const piece *p = pieces; p < pieces + 2; p++)
    run(p->rows, p->n, p->stride, job->c, job->x + p->at, job->dy + p->at, job->dx + p->at);
}

void ls_math_norm_backward(const ls_norm *norm, size_t rows, size_t cols, const float *x,
                           const float *offset, const float *slope, const float *dy, float *dx) {
  columns c;
  for (size_t j = 0; j < cols; j += WIDE) {
    const view v = view_of(cols, j);
    norm_job job = {.v = &v, .norm = norm, .c = &c, .x = x + j, .dy = dy + j, .dx = dx + j};
    set_columns(&v, norm, j, &c);
    repeat(&v, offset + j, c.offset);
    repeat(&v, slope + j, c.slope);
    ls_parallel_range(rows, part_rows(rows, cols), differentiate_part, &job);
  }
}
