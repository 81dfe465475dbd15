/* The transforms of Winograd's convolutions (see winograd.h): sums of neighbouring rows and columns, for
 * all channels of a row of tiles at a time. They multiply nothing, so that their bits are the same in every
 * version. */
#include "internal.h"

CLONES static void transform_rows(size_t n, size_t c, const float *r0, size_t s0, const float *r1,
                                  size_t s1, const float *r2, size_t s2, const float *r3, size_t s3,
                                  float *restrict o0, float *restrict o1, float *restrict o2,
                                  float *restrict o3) {
  for (size_t k = 0; k < n; k++)
    for (size_t j = 0; j < c; j++) {
      const float d1 = r1[k * s1 + j];
      const float d2 = r2[k * s2 + j];
      o0[k * c + j] = r0[k * s0 + j] - d2;
      o1[k * c + j] = d1 + d2;
      o2[k * c + j] = d2 - d1;
      o3[k * c + j] = d1 - r3[k * s3 + j];
    }
}

void math_winograd_transform_rows(size_t n, size_t c, const math_winograd_rows *d, size_t stride,
                                  float *out) {
  transform_rows(n, c, d->row[0], d->step[0], d->row[1], d->step[1], d->row[2], d->step[2], d->row[3],
                 d->step[3], out, out + stride, out + 2 * stride, out + 3 * stride);
}

CLONES static void transform_columns(size_t n, size_t c, const float *even, const float *odd,
                                     float *restrict o0, float *restrict o1, float *restrict o2,
                                     float *restrict o3) {
  for (size_t j = 0; j < n; j++) {
    const float d1 = odd[j];
    const float d2 = even[j + c];
    o0[j] = even[j] - d2;
    o1[j] = d1 + d2;
    o2[j] = d2 - d1;
    o3[j] = d1 - odd[j + c];
  }
}

void math_winograd_transform_columns(size_t n, size_t c, const float *even, const float *odd, size_t stride,
                                     float *out) {
  transform_columns(n, c, even, odd, out, out + stride, out + 2 * stride, out + 3 * stride);
}

CLONES static void spread_rows(size_t n, size_t c, size_t lanes, const float *r0, size_t s0,
                               const float *r1, size_t s1, float *restrict o0, float *restrict o1,
                               float *restrict o2, float *restrict o3) {
  for (size_t k = 0; k < n; k++)
    for (size_t j = 0; j < c; j++) {
      const float d0 = r0[k * s0 + j];
      const float d1 = r1[k * s1 + j];
      o0[k * lanes + j] = d0;
      o1[k * lanes + j] = d0 + d1;
      o2[k * lanes + j] = d0 - d1;
      o3[k * lanes + j] = -d1;
    }
}

void math_winograd_spread_rows(size_t n, size_t c, size_t lanes, const math_winograd_rows *dy,
                               size_t stride, float *out) {
  spread_rows(n, c, lanes, dy->row[0], dy->step[0], dy->row[1], dy->step[1], out, out + stride,
              out + 2 * stride, out + 3 * stride);
}

CLONES static void spread_columns(size_t n, const float *even, const float *odd, float *restrict o0,
                                  float *restrict o1, float *restrict o2, float *restrict o3) {
  for (size_t j = 0; j < n; j++) {
    const float d0 = even[j];
    const float d1 = odd[j];
    o0[j] = d0;
    o1[j] = d0 + d1;
    o2[j] = d0 - d1;
    o3[j] = -d1;
  }
}

void math_winograd_spread_columns(size_t n, const float *even, const float *odd, size_t stride,
                                  float *out) {
  spread_columns(n, even, odd, out, out + stride, out + 2 * stride, out + 3 * stride);
}

CLONES static void gather_rows(size_t n, float *restrict m0, float *restrict m1, const float *m2,
                               const float *m3) {
  for (size_t j = 0; j < n; j++) {
    const float a = m0[j] + m1[j];
    const float b = m1[j] - m2[j];
    m0[j] = a + m2[j];
    m1[j] = b - m3[j];
  }
}

void math_winograd_gather_rows(size_t n, size_t stride, float *m) {
  gather_rows(n, m, m + stride, m + 2 * stride, m + 3 * stride);
}

CLONES static void put_columns(size_t n, size_t c, size_t lanes, const float *m0, const float *m1,
                               const float *m2, const float *m3, const float *b, float *restrict y,
                               float *restrict y_odd) {
  for (size_t k = 0; k < n; k++)
    for (size_t j = 0; j < c; j++) {
      const size_t i = k * lanes + j;
      y[2 * k * c + j] = m0[i] + m1[i] + m2[i] + b[j];
      y_odd[2 * k * c + j] = m1[i] - m2[i] - m3[i] + b[j];
    }
}

CLONES static void add_columns(size_t n, size_t c, size_t lanes, const float *m0, const float *m1,
                               const float *m2, const float *m3, const float *b, float *restrict y,
                               float *restrict y_odd) {
  for (size_t k = 0; k < n; k++)
    for (size_t j = 0; j < c; j++) {
      const size_t i = k * lanes + j;
      y[2 * k * c + j] += m0[i] + m1[i] + m2[i] + b[j];
      y_odd[2 * k * c + j] += m1[i] - m2[i] - m3[i] + b[j];
    }
}

void math_winograd_gather_columns(size_t n, size_t c, size_t lanes, const float *m, size_t stride,
                                  const float *b, bool adds, float *y, float *y_odd) {
  const float *const m1 = m + stride;
  const float *const m2 = m1 + stride;
  const float *const m3 = m2 + stride;
  if (adds)
    add_columns(n, c, lanes, m, m1, m2, m3, b, y, y_odd);
  else
    put_columns(n, c, lanes, m, m1, m2, m3, b, y, y_odd);
}
