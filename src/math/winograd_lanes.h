/* The transforms of Winograd's convolutions (see winograd.h) for vectors of WIDTH floats, compiled for
 * TARGET: winograd_transform.c includes this file once for each processor. The transforms multiply nothing,
 * so that their bits are the same in every version. A vector holds channels of one position; the last one
 * may repeat channels of the one before it. */
#include "internal.h"

#include <string.h>

#ifndef WIDTH
#define WIDTH       4
#define TARGET      /* the processor that the flags name */
#define LANES(name) name##_portable
#endif

#define INLINE TARGET static inline __attribute__((always_inline))
#define vector LANES(vector)
#define whole  LANES(whole)
#define quad   LANES(quad)
#define pair   LANES(pair)

typedef float vector __attribute__((vector_size(4 * WIDTH), aligned(4), may_alias));
typedef int whole __attribute__((vector_size(4 * WIDTH), aligned(4), may_alias));

/* Four elements along one dim. */
typedef struct quad {
  vector a, b, c, d;
} quad;

typedef struct pair {
  vector a, b;
} pair;

INLINE vector LANES(load)(const float *x) {
  return *(const vector *)(const void *)x;
}

INLINE void LANES(store)(vector v, float *x) {
  *(vector *)(void *)x = v;
}

INLINE void LANES(store_quad)(quad q, size_t stride, float *x) {
  LANES(store)(q.a, x);
  LANES(store)(q.b, x + stride);
  LANES(store)(q.c, x + 2 * stride);
  LANES(store)(q.d, x + 3 * stride);
}

/* Prefetches two columns of two rows. */
INLINE void LANES(prefetch)(const float *x, size_t channels, size_t row) {
  __builtin_prefetch(x);
  __builtin_prefetch(x + channels);
  __builtin_prefetch(x + row);
  __builtin_prefetch(x + row + channels);
}

/* Where the vector after that at channel c begins, of n >= WIDTH channels. */
INLINE size_t LANES(next)(size_t c, size_t n) {
  return c + WIDTH < n && c + 2 * WIDTH > n ? n - WIDTH : c + WIDTH;
}

/* ----------------------------------------------------------------- sources */

/* B^T d */
INLINE quad LANES(difference)(vector d0, vector d1, vector d2, vector d3) {
  return (quad){d0 - d2, d1 + d2, d2 - d1, d1 - d3};
}

/* B^T d for column k of the sources; 0 outside. */
INLINE quad LANES(source)(const math_winograd_rows *d, size_t k, size_t c) {
  if (k < d->first || k >= d->end) return (quad){{0.0F}, {0.0F}, {0.0F}, {0.0F}};
  k -= d->first;
  return LANES(difference)(
      LANES(load)(d->row[0] + k * d->step[0] + c), LANES(load)(d->row[1] + k * d->step[1] + c),
      LANES(load)(d->row[2] + k * d->step[2] + c), LANES(load)(d->row[3] + k * d->step[3] + c));
}

TARGET static void LANES(transform)(size_t n, size_t channels, const math_winograd_rows *d, size_t stride,
                                    float *out) {
  for (size_t c = 0; c < channels; c = LANES(next)(c, channels)) {
    float *x = out + c;
    quad u = LANES(source)(d, 0, c);
    quad v = LANES(source)(d, 1, c);
    for (size_t k = 0; k < n; k++, x += channels) {
      if (d->ahead) LANES(prefetch)(d->ahead + 2 * k * channels + c, channels, d->ahead_row);
      const quad next_u = LANES(source)(d, 2 * k + 2, c);
      const quad next_v = LANES(source)(d, 2 * k + 3, c);
      LANES(store_quad)(LANES(difference)(u.a, v.a, next_u.a, next_v.a), stride, x);
      LANES(store_quad)(LANES(difference)(u.b, v.b, next_u.b, next_v.b), stride, x + 4 * stride);
      LANES(store_quad)(LANES(difference)(u.c, v.c, next_u.c, next_v.c), stride, x + 8 * stride);
      LANES(store_quad)(LANES(difference)(u.d, v.d, next_u.d, next_v.d), stride, x + 12 * stride);
      u = next_u;
      v = next_v;
    }
  }
}

/* --------------------------------------------------- gradients of the outputs */

/* A z */
INLINE quad LANES(spread)(vector z0, vector z1) {
  return (quad){z0, z0 + z1, z0 - z1, -z1};
}

/* A dy for column k; 0 outside. */
INLINE quad LANES(gradient)(const math_winograd_rows *dy, size_t k, size_t c) {
  if (k >= dy->end) return (quad){{0.0F}, {0.0F}, {0.0F}, {0.0F}};
  return LANES(spread)(LANES(load)(dy->row[0] + k * dy->step[0] + c),
                       LANES(load)(dy->row[1] + k * dy->step[1] + c));
}

TARGET static void LANES(spread_tiles)(size_t n, size_t channels, size_t lanes,
                                       const math_winograd_rows *dy, size_t stride, float *out) {
  for (size_t c = 0; c < channels; c = LANES(next)(c, channels)) {
    float *z = out + c;
    for (size_t k = 0; k < n; k++, z += lanes) {
      if (dy->ahead) LANES(prefetch)(dy->ahead + 2 * k * channels + c, channels, dy->ahead_row);
      const quad u = LANES(gradient)(dy, 2 * k, c);
      const quad v = LANES(gradient)(dy, 2 * k + 1, c);
      LANES(store_quad)(LANES(spread)(u.a, v.a), stride, z);
      LANES(store_quad)(LANES(spread)(u.b, v.b), stride, z + 4 * stride);
      LANES(store_quad)(LANES(spread)(u.c, v.c), stride, z + 8 * stride);
      LANES(store_quad)(LANES(spread)(u.d, v.d), stride, z + 12 * stride);
    }
  }
}

/* ----------------------------------------------------------------- outputs */

/* A^T m */
INLINE pair LANES(sums)(vector m0, vector m1, vector m2, vector m3) {
  return (pair){m0 + m1 + m2, m1 - m2 - m3};
}

/* A^T m for one column of a tile. */
INLINE pair LANES(column)(const float *m, size_t stride) {
  return LANES(sums)(LANES(load)(m), LANES(load)(m + 4 * stride), LANES(load)(m + 8 * stride),
                     LANES(load)(m + 12 * stride));
}

/* Stores a vector of outputs, or adds it; of channels before o->channels. */
INLINE void LANES(put)(const math_winograd_outputs *o, vector v, size_t c, float *y) {
  float part[WIDTH] = {0.0F};
  const size_t n = ls_size_min(WIDTH, o->channels - c);
  if (n < WIDTH && o->adds) memcpy(part, y + c, n * sizeof *y);
  if (o->adds) v += n < WIDTH ? LANES(load)(part) : LANES(load)(y + c);
  if (o->is_relu) v = (vector)((whole)v & ~(v < 0.0F)); /* NaN stays NaN */
  if (n == WIDTH) {
    LANES(store)(v, y + c);
    return;
  }
  LANES(store)(v, part);
  memcpy(y + c, part, n * sizeof *y);
}

TARGET static void LANES(put_tiles)(const math_winograd_outputs *o) {
  const float *m = o->m;
  for (size_t k = 0; k < o->n; k++, m += o->lanes) {
    float *const y0 = o->y + 2 * k * o->channels;
    float *const y1 = 2 * k + 1 < o->columns ? y0 + o->channels : o->skipped;
    float *const y2 = o->rows > 1 ? y0 + o->row : o->skipped;
    float *const y3 = o->rows > 1 && y1 != o->skipped ? y1 + o->row : o->skipped;
    for (size_t c = 0; c < o->channels; c += WIDTH) {
      if (o->ahead) LANES(prefetch)(o->ahead + 2 * k * o->channels + c, o->channels, o->row);
      const vector b = LANES(load)(o->b + c);
      const pair p0 = LANES(column)(m + c, o->stride);
      const pair p1 = LANES(column)(m + o->stride + c, o->stride);
      const pair p2 = LANES(column)(m + 2 * o->stride + c, o->stride);
      const pair p3 = LANES(column)(m + 3 * o->stride + c, o->stride);
      const pair upper = LANES(sums)(p0.a, p1.a, p2.a, p3.a);
      const pair lower = LANES(sums)(p0.b, p1.b, p2.b, p3.b);
      LANES(put)(o, upper.a + b, c, y0);
      LANES(put)(o, upper.b + b, c, y1);
      LANES(put)(o, lower.a + b, c, y2);
      LANES(put)(o, lower.b + b, c, y3);
    }
  }
}

#undef WIDTH
#undef TARGET
#undef LANES
#undef INLINE
#undef vector
#undef whole
#undef quad
#undef pair
