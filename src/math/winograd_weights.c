/* The weights of Winograd's convolutions: U = G g G^T, and their gradient dg = G^T dU G (see winograd.h),
 * for all channels of a block of outputs at a time. */
#include "internal.h"

#include <string.h>

#define PART ((size_t)16 * MATH_LANE) /* floats that are transformed at once */

CLONES static void expand(size_t n, const float *g0, const float *g1, const float *g2, float *restrict u0,
                          float *restrict u1, float *restrict u2, float *restrict u3) {
  for (size_t i = 0; i < n; i++) {
    const float ends = g0[i] + g2[i];
    u0[i] = g0[i];
    u1[i] = 0.5F * (ends + g1[i]);
    u2[i] = 0.5F * (ends - g1[i]);
    u3[i] = g2[i];
  }
}

CLONES static void reduce(size_t n, const float *u0, const float *u1, const float *u2, const float *u3,
                          float *restrict g0, float *restrict g1, float *restrict g2) {
  for (size_t i = 0; i < n; i++) {
    const float middle = 0.5F * (u1[i] + u2[i]);
    g0[i] += u0[i] + middle;
    g1[i] += 0.5F * (u1[i] - u2[i]);
    g2[i] += middle + u3[i];
  }
}

/* g: (3, 3) with g_size floats between taps, u: (4, 4) with u_size between elements */
static void expand_part(size_t n, const float *g, size_t g_size, float *u, size_t u_size) {
  float rows[3][4][PART];
  for (size_t j = 0; j < 3; j++)
    expand(n, g + j * g_size, g + (3 + j) * g_size, g + (6 + j) * g_size, rows[j][0], rows[j][1],
           rows[j][2], rows[j][3]);
  for (size_t i = 0; i < 4; i++, u += 4 * u_size)
    expand(n, rows[0][i], rows[1][i], rows[2][i], u, u + u_size, u + 2 * u_size, u + 3 * u_size);
}

static void reduce_part(size_t n, const float *u, size_t u_size, float *g, size_t g_size) {
  float rows[4][3][PART];
  memset(rows, 0, sizeof rows);
  for (size_t j = 0; j < 4; j++, u += u_size)
    reduce(n, u, u + 4 * u_size, u + 8 * u_size, u + 12 * u_size, rows[j][0], rows[j][1], rows[j][2]);
  for (size_t i = 0; i < 3; i++, g += 3 * g_size)
    reduce(n, rows[0][i], rows[1][i], rows[2][i], rows[3][i], g, g + g_size, g + 2 * g_size);
}

void math_winograd_transform_weights(const math_winograd *w, const float *packed) {
  const size_t length = w->channels * MATH_LANE;
  for (size_t block = 0; block < w->lanes / MATH_LANE; block++)
    for (size_t i = 0; i < length; i += PART)
      expand_part(ls_size_min(PART, length - i), packed + 9 * block * length + i, length,
                  w->w + block * length + i, w->lanes * w->channels);
}

void math_winograd_restore_weights(const math_winograd *w, float *dw, float *packed) {
  const size_t length = w->channels * MATH_LANE;
  for (size_t block = 0; block < w->lanes / MATH_LANE; block++)
    for (size_t i = 0; i < length; i += PART)
      reduce_part(ls_size_min(PART, length - i), dw + block * length + i, w->lanes * w->channels,
                  packed + 9 * block * length + i, length);
  memset(dw, 0, WINOGRAD_ELEMENTS * w->lanes * w->channels * sizeof *dw);
}
