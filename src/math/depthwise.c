/* The inner loops of depthwise bands, where each output has sources of its own: some positions, or some
 * terms of the gradient of the weights, by a block of channels in registers. The terms of a sum have the
 * same order as in conv_tiles.c and conv_products.c. */
#include "conv_vector.h"

/* ---------------------------------------------------------------- portable */

static void tile_portable(const math_tiles *t, size_t q, size_t c) {
  const size_t n = ls_size_min(MATH_LANE, t->channels - c);
  const float *const x = t->x + t->from[q] + c;
  const float *w = t->w + c * t->n_runs;
  float sums[MATH_LANE];
  for (size_t j = 0; j < MATH_LANE; j++) sums[j] = t->b ? t->b[c + j] : 0.0F;
  for (size_t r = 0; r < t->n_runs; r++, w += MATH_LANE)
    for (size_t j = 0; j < n; j++) sums[j] = conv_multiply_add(x[t->runs[r] + j], w[j], sums[j]);
  conv_put(t, q, c, n, sums);
}

static void products_portable(const math_products *p, size_t k, size_t c, size_t n) {
  const float *const x = p->x + p->offsets[k] + c;
  float *const dw = p->dw + (c / MATH_LANE * p->n_k + k) * MATH_LANE;
  float sums[MATH_LANE] = {0.0F};
  for (size_t q = 0; q < p->n; q++)
    for (size_t j = 0; j < n; j++)
      sums[j] = conv_multiply_add(x[p->from[q] + j], p->dz[p->to[q] + c + j], sums[j]);
  for (size_t j = 0; j < n; j++) dw[j] += sums[j];
}

#ifdef CONV_X86

#define SOURCE(p)                                                                                          \
  const float *x##p = conv_source(t, q + p) + c;                                                           \
  KEEP(x##p);
/* NOLINTBEGIN(bugprone-branch-clone): the choice of the first term is between equal terms */
#define TERM(i) const float *const x##i = p->x + p->offsets[k + (i < n_terms ? i : 0)] + c;

/* --------------------------------------------------- AVX2: half a block, n <= 8 */

/* is_full: all eight lanes, a constant */
AVX2 ALWAYS_INLINE static inline __m256 load_avx2(const bool is_full, __m256i mask, const float *x) {
  return is_full ? _mm256_loadu_ps(x) : _mm256_maskload_ps(x, mask);
}

/* Stores half a block at y; adds: adds it. */
AVX2 ALWAYS_INLINE static inline void put_avx2(const bool is_full, float *y, __m256i mask, bool adds,
                                               __m256 a) {
  const __m256 sum = adds ? _mm256_add_ps(load_avx2(is_full, mask, y), a) : a;
  if (is_full)
    _mm256_storeu_ps(y, sum);
  else
    _mm256_maskstore_ps(y, mask, sum);
}

AVX2 ALWAYS_INLINE static inline void tile_avx2(const math_tiles *t, size_t q, size_t c,
                                                const bool is_full) {
  const __m256i mask = conv_mask_avx2(t->channels - c);
  const size_t n = t->n;
  const size_t n_runs = t->n_runs;
  const size_t *const runs = t->runs;
  const size_t *const to = t->to;
  float *const y = t->y + c;
  const bool adds = t->adds;
  const __m256 start = t->b ? _mm256_loadu_ps(t->b + c) : _mm256_setzero_ps();
  const float *w = t->w + c / MATH_LANE * MATH_LANE * t->n_runs + c % MATH_LANE;
#define START(p)                                                                                           \
  SOURCE(p)                                                                                                \
  __m256 a##p = start;
#define ADD(p) a##p = _mm256_fmadd_ps(load_avx2(is_full, mask, x##p + at), w0, a##p);
#define PUT(p)                                                                                             \
  if (q + p < n) put_avx2(is_full, y + to[q + p], mask, adds, a##p);
  EACH8(START)
  for (size_t r = 0; r < n_runs; r++, w += MATH_LANE) {
    const size_t at = runs[r];
    const __m256 w0 = _mm256_load_ps(w);
    EACH8(ADD)
  }
  EACH8(PUT)
#undef START
#undef ADD
#undef PUT
}

AVX2 static void tiles_avx2(const math_tiles *t) {
  for (size_t q = 0; q < t->n; q += 8)
    for (size_t c = 0; c < t->channels; c += 8)
      if (c + 8 <= t->channels)
        tile_avx2(t, q, c, true);
      else
        tile_avx2(t, q, c, false);
}

#define MOST_TERMS 9

AVX2 ALWAYS_INLINE static inline void terms_avx2(const math_products *p, size_t k, const size_t n_terms,
                                                 size_t c, size_t n, const bool is_full) {
  const __m256i mask = conv_mask_avx2(n);
  float *const dw = p->dw + (c / MATH_LANE * p->n_k + k) * MATH_LANE + c % MATH_LANE;
#define START(i)                                                                                           \
  TERM(i)                                                                                                  \
  __m256 a##i = _mm256_setzero_ps();
#define ADD(i)                                                                                             \
  if (i < n_terms) a##i = _mm256_fmadd_ps(load_avx2(is_full, mask, x##i + at), d, a##i);
#define PUT(i)                                                                                             \
  if (i < n_terms)                                                                                         \
    _mm256_store_ps(dw + i * MATH_LANE, _mm256_add_ps(_mm256_load_ps(dw + i * MATH_LANE), a##i));
  EACH9(START)
  for (size_t q = 0; q < p->n; q++) {
    const size_t at = p->from[q];
    const __m256 d = load_avx2(is_full, mask, p->dz + p->to[q] + c);
    EACH9(ADD)
  }
  EACH9(PUT)
#undef START
#undef ADD
#undef PUT
}

#define CASE_AVX2(n_terms)                                                                                 \
  case n_terms:                                                                                            \
    if (n >= 8)                                                                                            \
      terms_avx2(p, k, n_terms, c, n, true);                                                               \
    else                                                                                                   \
      terms_avx2(p, k, n_terms, c, n, false);                                                              \
    break;

AVX2 static void products_avx2(const math_products *p, size_t k, size_t n_terms, size_t c, size_t n) {
  switch (n_terms) {
    CASE_AVX2(1)
    CASE_AVX2(2)
    CASE_AVX2(3)
    CASE_AVX2(4)
    CASE_AVX2(5)
    CASE_AVX2(6)
    CASE_AVX2(7)
    CASE_AVX2(8)
    CASE_AVX2(MOST_TERMS)
  default: break;
  }
}

/* ------------------------------------------------------------ AVX-512: a block */

/* is_full: all lanes, a constant */
AVX512 ALWAYS_INLINE static inline __m512 load_avx512(const bool is_full, __mmask16 mask, const float *x) {
  return is_full ? _mm512_loadu_ps(x) : _mm512_maskz_loadu_ps(mask, x);
}

AVX512 ALWAYS_INLINE static inline void tile_avx512(const math_tiles *t, size_t q, size_t c,
                                                    const bool is_full) {
  const __mmask16 mask = conv_mask(t->channels - c);
  const __m512 start = t->b ? _mm512_loadu_ps(t->b + c) : _mm512_setzero_ps();
  const size_t n = t->n;
  const size_t n_runs = t->n_runs;
  const size_t *const runs = t->runs;
  const size_t *const to = t->to;
  const float *w = t->w + c * n_runs;
  float *const y = t->y + c;
  const bool adds = t->adds;
#define START(p)                                                                                           \
  SOURCE(p)                                                                                                \
  __m512 a##p = start;
#define ADD(p) a##p = _mm512_fmadd_ps(load_avx512(is_full, mask, x##p + at), w0, a##p);
#define PUT(p)                                                                                             \
  if (q + p < n) conv_put_avx512(y + to[q + p], is_full ? 0xFFFF : mask, adds, a##p);
  EACH8(START)
  for (size_t r = 0; r < n_runs; r++, w += MATH_LANE) {
    const size_t at = runs[r];
    const __m512 w0 = _mm512_load_ps(w);
    EACH8(ADD)
  }
  EACH8(PUT)
#undef START
#undef ADD
#undef PUT
}

AVX512 static void tiles_avx512(const math_tiles *t) {
  for (size_t q = 0; q < t->n; q += 8) {
    size_t c = 0;
    for (; c + MATH_LANE <= t->channels; c += MATH_LANE) tile_avx512(t, q, c, true);
    if (c < t->channels) tile_avx512(t, q, c, false);
  }
}

AVX512 ALWAYS_INLINE static inline void terms_avx512(const math_products *p, size_t k, const size_t n_terms,
                                                     size_t c, size_t n) {
  const __mmask16 mask = conv_mask(n);
  float *const dw = p->dw + (c / MATH_LANE * p->n_k + k) * MATH_LANE;
#define START(i)                                                                                           \
  TERM(i)                                                                                                  \
  __m512 a##i = _mm512_setzero_ps();
#define ADD(i)                                                                                             \
  if (i < n_terms) a##i = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(mask, x##i + at), d, a##i);
#define PUT(i)                                                                                             \
  if (i < n_terms)                                                                                         \
    _mm512_store_ps(dw + i * MATH_LANE, _mm512_add_ps(_mm512_load_ps(dw + i * MATH_LANE), a##i));
  EACH9(START)
  for (size_t q = 0; q < p->n; q++) {
    const size_t at = p->from[q];
    const __m512 d = _mm512_maskz_loadu_ps(mask, p->dz + p->to[q] + c);
    EACH9(ADD)
  }
  EACH9(PUT)
#undef START
#undef ADD
#undef PUT
}

#define CASE_AVX512(n_terms)                                                                               \
  case n_terms: terms_avx512(p, k, n_terms, c, n); break;

AVX512 static void products_avx512(const math_products *p, size_t k, size_t n_terms, size_t c, size_t n) {
  switch (n_terms) {
    CASE_AVX512(1)
    CASE_AVX512(2)
    CASE_AVX512(3)
    CASE_AVX512(4)
    CASE_AVX512(5)
    CASE_AVX512(6)
    CASE_AVX512(7)
    CASE_AVX512(8)
    CASE_AVX512(MOST_TERMS)
  default: break;
  }
}

typedef void (*inner_loop)(const math_products *p, size_t k, size_t n_terms, size_t c, size_t n);

/* Divides the terms into parts of at most MOST_TERMS, and the channels into parts of `step`. */
static void each_part(const math_products *p, size_t channels, size_t step, inner_loop run) {
  for (size_t c = 0; c < channels; c += step)
    for (size_t k = 0; k < p->n_k; k += MOST_TERMS)
      run(p, k, ls_size_min(MOST_TERMS, p->n_k - k), c, channels - c);
}

#endif

void math_depthwise_tiles(const math_tiles *t) {
  switch (conv_level_of_processor()) {
#ifdef CONV_X86
  case CONV_AVX512: tiles_avx512(t); break;
  case CONV_AVX2: tiles_avx2(t); break;
#endif
  default:
    for (size_t q = 0; q < t->n; q++)
      for (size_t c = 0; c < t->channels; c += MATH_LANE) tile_portable(t, q, c);
  }
}

void math_depthwise_products(const math_products *p, size_t channels) {
  switch (conv_level_of_processor()) {
#ifdef CONV_X86
  case CONV_AVX512: each_part(p, channels, MATH_LANE, products_avx512); break;
  case CONV_AVX2: each_part(p, channels, 8, products_avx2); break;
#endif
  default:
    for (size_t c = 0; c < channels; c += MATH_LANE)
      for (size_t k = 0; k < p->n_k; k++) products_portable(p, k, c, ls_size_min(MATH_LANE, channels - c));
  }
}

/* NOLINTEND(bugprone-branch-clone) */
