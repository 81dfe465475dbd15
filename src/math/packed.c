/* Products with packed weights, for predictions: the same weights serve many calls. Without the packing of
 * BLAS, a call with one row costs no more than reading the weights. */
#include "conv_vector.h"
#include "few.h"
#include "lockstep/math.h"

/* The weights are divided into panels of PANEL outputs, (k, PANEL) each; the last one may be narrower, so
 * that packed weights need no more memory. A panel is as wide as a tile for AVX-512, or three tiles for
 * AVX2. */
#define PANEL 48

void ls_math_pack_weights(size_t n, size_t k, const float *w, float *packed) {
  for (size_t j = 0; j < n; j += PANEL) {
    const size_t width = ls_size_min(PANEL, n - j);
    for (size_t q = 0; q < k; q++)
      for (size_t o = 0; o < width; o++) *packed++ = w[(j + o) * k + q];
  }
}

/* For processors without kernels of their own. */
static void plain_tiles(const math_few *p) {
  for (size_t i = 0; i < p->m; i++) {
    float sums[PANEL] = {0.0F};
    float *const c = p->c + i * p->c_row;
    for (size_t q = 0; q < p->k; q++)
      for (size_t j = 0; j < p->n; j++) sums[j] += p->a[i * p->a_row + q] * p->b[q * p->b_row + j];
    for (size_t j = 0; j < p->n; j++) c[j] = p->beta == 0.0F ? sums[j] : p->beta * c[j] + sums[j];
  }
}

void ls_math_product_packed(size_t m, size_t n, size_t k, const float *a, const float *packed, float beta,
                            float *c) {
  void (*multiply)(const math_few *) = plain_tiles;
#ifdef CONV_X86
  if (conv_level_of_processor() != CONV_PORTABLE) multiply = math_few_tiles;
#endif
  for (size_t j = 0; j < n && m > 0; j += PANEL) {
    const size_t width = ls_size_min(PANEL, n - j);
    const math_few panel = {.m = m,
                            .n = width,
                            .k = k,
                            .a = a,
                            .a_row = k,
                            .a_col = 1,
                            .b = packed + j * k,
                            .b_row = width,
                            .beta = beta,
                            .c = c + j,
                            .c_row = n};
    multiply(&panel);
  }
}
