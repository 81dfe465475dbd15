/* The inner loops of convolutions with few outputs: for each of them, some positions whose sums have
 * MATH_LANE parts, over the terms i, i + MATH_LANE, ... of each run. A sum is then folded in halves: part j
 * plus part j + 8, and so on. */
#include "conv_vector.h"

#include <string.h>

size_t math_dots_packed_size(const math_walk *walk) {
  return walk->band_dests * walk->n_runs * math_padded(walk->run_length);
}

/* Where the weights of output j are, of term k on. */
static float *weight_of(const math_walk *walk, size_t j, size_t k, float *packed) {
  return packed + (j * walk->n_runs + k / walk->run_length) * math_padded(walk->run_length) +
         k % walk->run_length;
}

void math_dots_pack(const math_walk *walk, const float *blocks, float *out) {
  const size_t terms = walk->n_runs * walk->run_length;
  memset(out, 0, math_dots_packed_size(walk) * sizeof *out);
  for (size_t j = 0; j < walk->band_dests; j++)
    for (size_t k = 0; k < terms; k++) *weight_of(walk, j, k, out) = blocks[k * MATH_LANE + j];
}

/* Stores the sum of position q and output c. */
static inline void put_sum(const math_tiles *t, size_t q, size_t c, float sum) {
  float *const y = t->y + t->to[q] + c;
  if (t->b) sum += t->b[c];
  *y = t->adds ? *y + sum : sum;
}

static void dot_portable(const math_tiles *t, size_t q, size_t c) {
  const float *w = t->w + c * t->n_runs * math_padded(t->run_length);
  float sums[MATH_LANE] = {0.0F};
  for (size_t r = 0; r < t->n_runs; r++) {
    const float *const x = t->x + t->from[q] + t->runs[r];
    for (size_t i = 0; i < t->run_length; i += MATH_LANE, w += MATH_LANE) {
      const size_t n = ls_size_min(MATH_LANE, t->run_length - i);
      for (size_t j = 0; j < n; j++) sums[j] = conv_multiply_add(x[i + j], w[j], sums[j]);
    }
  }
  for (size_t half = MATH_LANE / 2; half > 0; half /= 2)
    for (size_t j = 0; j < half; j++) sums[j] += sums[j + half];
  put_sum(t, q, c, sums[0]);
}

#ifdef CONV_X86

#define SOURCE(p) const float *const x##p = conv_source(t, q + p);
#define RUN(p)                                                                                             \
  const float *r##p = x##p + t->runs[r];                                                                   \
  KEEP(r##p);

/* Folds 8 parts of each of four positions. The results of positions 0, 1, 2, 3 are elements 0, 4, 2, 6. */
AVX2 static inline __m256 fold_avx2(__m256 a, __m256 b, __m256 c, __m256 d) {
  const __m256 ab = _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
  const __m256 cd = _mm256_add_ps(_mm256_permute2f128_ps(c, d, 0x20), _mm256_permute2f128_ps(c, d, 0x31));
  const __m256 all = _mm256_add_ps(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xEE));
  return _mm256_add_ps(all, _mm256_movehdup_ps(all));
}

/* Stores what fold_avx2 returns. */
AVX2 static inline void put_avx2(const math_tiles *t, size_t q, size_t c, __m256 folded) {
  static const size_t places[] = {0, 4, 2, 6};
  float sums[8];
  _mm256_storeu_ps(sums, folded);
  for (size_t p = 0; p < 4 && q + p < t->n; p++) put_sum(t, q + p, c, sums[places[p]]);
}

AVX2 static void dots_avx2(const math_tiles *t, size_t q, size_t c) {
  const size_t whole = t->run_length / MATH_LANE * MATH_LANE;
  const size_t rest = t->run_length - whole;
  const __m256i low = conv_mask_avx2(rest);
  const __m256i high = conv_mask_avx2(rest > 8 ? rest - 8 : 0);
  const float *w = t->w + c * t->n_runs * math_padded(t->run_length);
#define START(p)                                                                                           \
  SOURCE(p)                                                                                                \
  __m256 a##p = _mm256_setzero_ps(), b##p = a##p;
#define ADD(p)                                                                                             \
  a##p = _mm256_fmadd_ps(_mm256_loadu_ps(r##p + i), w0, a##p);                                             \
  b##p = _mm256_fmadd_ps(_mm256_loadu_ps(r##p + i + 8), w1, b##p);
#define ADD_REST(p)                                                                                        \
  a##p = _mm256_fmadd_ps(_mm256_maskload_ps(r##p + whole, low), w0, a##p);                                 \
  b##p = _mm256_fmadd_ps(_mm256_maskload_ps(r##p + whole + 8, high), w1, b##p);
  EACH4(START)
  for (size_t r = 0; r < t->n_runs; r++) {
    EACH4(RUN)
    for (size_t i = 0; i < whole; i += MATH_LANE, w += MATH_LANE) {
      const __m256 w0 = _mm256_load_ps(w);
      const __m256 w1 = _mm256_load_ps(w + 8);
      EACH4(ADD)
    }
    if (rest > 0) {
      const __m256 w0 = _mm256_load_ps(w);
      const __m256 w1 = _mm256_load_ps(w + 8);
      EACH4(ADD_REST)
      w += MATH_LANE;
    }
  }
  put_avx2(t, q, c,
           fold_avx2(_mm256_add_ps(a0, b0), _mm256_add_ps(a1, b1), _mm256_add_ps(a2, b2),
                     _mm256_add_ps(a3, b3)));
#undef START
#undef ADD
#undef ADD_REST
}

/* Part j plus part j + 8. */
AVX512 static inline __m256 halves_avx512(__m512 a) {
  const __m256 high = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(a), 1));
  return _mm256_add_ps(_mm512_castps512_ps256(a), high);
}

AVX512 static void dots_avx512(const math_tiles *t, size_t q, size_t c) {
  const size_t whole = t->run_length / MATH_LANE * MATH_LANE;
  const size_t rest = t->run_length - whole;
  const __mmask16 mask = conv_mask(rest);
  const float *w = t->w + c * t->n_runs * math_padded(t->run_length);
#define START(p)                                                                                           \
  SOURCE(p)                                                                                                \
  __m512 a##p = _mm512_setzero_ps();
#define ADD(p)      a##p = _mm512_fmadd_ps(_mm512_loadu_ps(r##p + i), w0, a##p);
#define ADD_REST(p) a##p = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(mask, r##p + whole), w0, a##p);
  EACH8(START)
  for (size_t r = 0; r < t->n_runs; r++) {
    EACH8(RUN)
    for (size_t i = 0; i < whole; i += MATH_LANE, w += MATH_LANE) {
      const __m512 w0 = _mm512_load_ps(w);
      EACH8(ADD)
    }
    if (rest > 0) {
      const __m512 w0 = _mm512_load_ps(w);
      EACH8(ADD_REST)
      w += MATH_LANE;
    }
  }
  put_avx2(t, q, c, fold_avx2(halves_avx512(a0), halves_avx512(a1), halves_avx512(a2), halves_avx512(a3)));
  if (q + 4 < t->n)
    put_avx2(t, q + 4, c,
             fold_avx2(halves_avx512(a4), halves_avx512(a5), halves_avx512(a6), halves_avx512(a7)));
#undef START
#undef ADD
#undef ADD_REST
}

#endif

void math_dots_tiles(const math_tiles *t) {
  const conv_level level = conv_level_of_processor();
  const size_t step = level == CONV_AVX512 ? 8 : level == CONV_AVX2 ? 4 : 1;
  for (size_t q = 0; q < t->n; q += step)
    for (size_t c = 0; c < t->channels; c++) switch (level) {
#ifdef CONV_X86
      case CONV_AVX512: dots_avx512(t, q, c); break;
      case CONV_AVX2: dots_avx2(t, q, c); break;
#endif
      default: dot_portable(t, q, c);
      }
}
