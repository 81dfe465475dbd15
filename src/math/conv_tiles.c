/* The inner loops of convolutions: some positions by one or two blocks of channels in registers. The
 * last tile repeats the last position. */
#include "conv_vector.h"

#define PORTABLE_POSITIONS 4

static void tile_portable(const math_tiles *t, size_t q, size_t c) {
  float sums[PORTABLE_POSITIONS][MATH_LANE];
  const float *w = t->w + c * t->n_runs * t->run_length;
  for (size_t p = 0; p < PORTABLE_POSITIONS; p++)
    for (size_t j = 0; j < MATH_LANE; j++) sums[p][j] = t->b ? t->b[c + j] : 0.0F;
  for (size_t r = 0; r < t->n_runs; r++)
    for (size_t i = 0; i < t->run_length; i++, w += MATH_LANE)
      for (size_t p = 0; p < PORTABLE_POSITIONS; p++) {
        const float x = conv_source(t, q + p)[t->runs[r] + i];
        for (size_t j = 0; j < MATH_LANE; j++) sums[p][j] = conv_multiply_add(x, w[j], sums[p][j]);
      }
  for (size_t p = 0; p < PORTABLE_POSITIONS && q + p < t->n; p++)
    conv_put(t, q + p, c, ls_size_min(MATH_LANE, t->channels - c), sums[p]);
}

static void tiles_portable(const math_tiles *t) {
  for (size_t c = 0; c < t->channels; c += MATH_LANE)
    for (size_t q = 0; q < t->n; q += PORTABLE_POSITIONS) tile_portable(t, q, c);
}

#ifdef CONV_X86

#define SOURCE(p) const float *const x##p = conv_source(t, q + p);
#define RUN(p)    const float *const r##p = x##p + t->runs[r];

/* -------------------------------------------------------------- AVX2: 6 x 16 */

AVX2 static inline void put_avx2(const math_tiles *t, size_t q, size_t c, __m256 a, __m256 b) {
  if (q >= t->n) return;
  float *const y = t->y + t->to[q] + c;
  if (t->channels - c < MATH_LANE) {
    float block[MATH_LANE];
    _mm256_storeu_ps(block, a);
    _mm256_storeu_ps(block + 8, b);
    conv_put(t, q, c, t->channels - c, block);
    return;
  }
  _mm256_storeu_ps(y, t->adds ? _mm256_add_ps(_mm256_loadu_ps(y), a) : a);
  _mm256_storeu_ps(y + 8, t->adds ? _mm256_add_ps(_mm256_loadu_ps(y + 8), b) : b);
}

AVX2 static void tile_avx2(const math_tiles *t, size_t q, size_t c) {
  const float *w = t->w + c * t->n_runs * t->run_length;
  const size_t length = t->run_length;
  const __m256 low = t->b ? _mm256_loadu_ps(t->b + c) : _mm256_setzero_ps();
  const __m256 high = t->b ? _mm256_loadu_ps(t->b + c + 8) : _mm256_setzero_ps();
#define START(p)                                                                                           \
  SOURCE(p)                                                                                                \
  __m256 a##p = low, b##p = high;
#define ADD(p)                                                                                             \
  {                                                                                                        \
    const __m256 v = _mm256_broadcast_ss(r##p + i);                                                        \
    a##p = _mm256_fmadd_ps(v, w0, a##p);                                                                   \
    b##p = _mm256_fmadd_ps(v, w1, b##p);                                                                   \
  }
#define PUT(p) put_avx2(t, q + p, c, a##p, b##p);
  EACH6(START)
  for (size_t r = 0; r < t->n_runs; r++) {
    EACH6(RUN)
    for (size_t i = 0; i < length; i++, w += MATH_LANE) {
      const __m256 w0 = _mm256_load_ps(w);
      const __m256 w1 = _mm256_load_ps(w + 8);
      EACH6(ADD)
    }
  }
  EACH6(PUT)
#undef START
#undef ADD
#undef PUT
}

static void tiles_avx2(const math_tiles *t) {
  for (size_t c = 0; c < t->channels; c += MATH_LANE)
    for (size_t q = 0; q < t->n; q += 6) tile_avx2(t, q, c);
}

/* ------------------------------------------------- AVX-512: 8 x 32 or 8 x 16 */

AVX512 static void tile_avx512(const math_tiles *t, size_t q, size_t c) {
  const __mmask16 mask = conv_mask(t->channels - c);
  const size_t n = t->n;
  const size_t *const to = t->to;
  float *const y = t->y + c;
  const bool adds = t->adds;
  const float *w = t->w + c * t->n_runs * t->run_length;
  const size_t length = t->run_length;
  const __m512 start = t->b ? _mm512_loadu_ps(t->b + c) : _mm512_setzero_ps();
#define START(p)                                                                                           \
  SOURCE(p)                                                                                                \
  __m512 a##p = start;
#define ADD(p) a##p = _mm512_fmadd_ps(_mm512_set1_ps(r##p[i]), w0, a##p);
#define PUT(p)                                                                                             \
  if (q + p < n) conv_put_avx512(y + to[q + p], mask, adds, a##p);
  EACH8(START)
  for (size_t r = 0; r < t->n_runs; r++) {
    EACH8(RUN)
    for (size_t i = 0; i < length; i++, w += MATH_LANE) {
      const __m512 w0 = _mm512_load_ps(w);
      EACH8(ADD)
    }
  }
  EACH8(PUT)
#undef START
#undef ADD
#undef PUT
}

AVX512 static void pair_avx512(const math_tiles *t, size_t q, size_t c) {
  const __mmask16 mask = conv_mask(t->channels - c - MATH_LANE);
  const size_t n = t->n;
  const size_t *const to = t->to;
  float *const y = t->y + c;
  const bool adds = t->adds;
  const size_t length = t->run_length;
  const float *w = t->w + c * t->n_runs * length;
  const float *w_next = w + MATH_LANE * t->n_runs * length;
  const __m512 low = t->b ? _mm512_loadu_ps(t->b + c) : _mm512_setzero_ps();
  const __m512 high = t->b ? _mm512_loadu_ps(t->b + c + MATH_LANE) : _mm512_setzero_ps();
#define START(p)                                                                                           \
  SOURCE(p)                                                                                                \
  __m512 a##p = low, b##p = high;
#define ADD(p)                                                                                             \
  {                                                                                                        \
    const __m512 v = _mm512_set1_ps(r##p[i]);                                                              \
    a##p = _mm512_fmadd_ps(v, w0, a##p);                                                                   \
    b##p = _mm512_fmadd_ps(v, w1, b##p);                                                                   \
  }
#define PUT(p)                                                                                             \
  if (q + p < n) {                                                                                         \
    conv_put_avx512(y + to[q + p], 0xFFFF, adds, a##p);                                                    \
    conv_put_avx512(y + to[q + p] + MATH_LANE, mask, adds, b##p);                                          \
  }
  EACH8(START)
  for (size_t r = 0; r < t->n_runs; r++) {
    EACH8(RUN)
    for (size_t i = 0; i < length; i++, w += MATH_LANE, w_next += MATH_LANE) {
      const __m512 w0 = _mm512_load_ps(w);
      const __m512 w1 = _mm512_load_ps(w_next);
      EACH8(ADD)
    }
  }
  EACH8(PUT)
#undef START
#undef ADD
#undef PUT
}

static void tiles_avx512(const math_tiles *t) {
  size_t c = 0;
  for (; c + MATH_LANE < t->channels; c += 2 * MATH_LANE)
    for (size_t q = 0; q < t->n; q += 8) pair_avx512(t, q, c);
  for (size_t q = 0; c < t->channels && q < t->n; q += 8) tile_avx512(t, q, c);
}

#endif

void math_conv_tiles(const math_tiles *t) {
  switch (conv_level_of_processor()) {
#ifdef CONV_X86
  case CONV_AVX512: tiles_avx512(t); break;
  case CONV_AVX2: tiles_avx2(t); break;
#endif
  default: tiles_portable(t);
  }
}
