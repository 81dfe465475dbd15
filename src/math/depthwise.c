/* Depthwise convolutions: each filter sees its own channel alone. All channels of a position are computed
 * together. Weights are packed as (taps, channels). */
#include "internal.h"

#include <string.h>

void math_depthwise_pack(const math_walk *walk, const size_t *size, const float *w, float *packed) {
  const size_t channels = walk->source_channels;
  const size_t taps = ls_window_count(size);
  for (size_t t = 0; t < walk->n_taps; t++) {
    const size_t tap = math_walk_tap(walk, size, t);
    for (size_t c = 0; c < channels; c++) packed[t * channels + c] = w[c * taps + tap];
  }
}

void math_depthwise_unpack(size_t taps, size_t channels, const float *packed, float beta, float *dw) {
  for (size_t c = 0; c < channels; c++)
    for (size_t t = 0; t < taps; t++, dw++)
      *dw = (beta == 0.0F ? 0.0F : beta * *dw) + packed[t * channels + c];
}

/* y[j] += sum_t x[runs[t] + j] w[t][j], j < n */
CLONES static void add_taps(size_t n, size_t n_taps, const size_t *runs, const float *x, const float *w,
                            float *restrict y) {
  for (size_t t = 0; t < n_taps; t++)
    for (size_t j = 0; j < n; j++) y[j] += x[runs[t] + j] * w[t * n + j];
}

void math_depthwise_box(const math_walk *walk, const float *packed, const float *b, bool adds, float *y) {
  const size_t channels = walk->source_channels;
  for (size_t q = 0; q < walk->n; q++) {
    float *const out = y + walk->y + walk->to[q];
    for (size_t c = 0; !adds && c < channels; c++) out[c] = b ? b[c] : 0.0F;
    if (adds && b) ls_math_add_scaled(channels, 1.0F, b, out);
    add_taps(channels, walk->n_taps, walk->runs, walk->x + walk->from[q], packed, out);
  }
}

/* dw[t][j] += x[runs[t] + j] dz[j], j < n */
CLONES static void add_products(size_t n, size_t n_taps, const size_t *runs, const float *x,
                                const float *dz, float *restrict dw) {
  for (size_t t = 0; t < n_taps; t++)
    for (size_t j = 0; j < n; j++) dw[t * n + j] += x[runs[t] + j] * dz[j];
}

void math_depthwise_products(const math_walk *walk, const float *dz, float *dw) {
  for (size_t q = 0; q < walk->n; q++)
    add_products(walk->source_channels, walk->n_taps, walk->runs, walk->x + walk->from[q],
                 dz + walk->y + walk->to[q], dw);
}
