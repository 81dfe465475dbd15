/* Sums over separate arrays and over lanes, nontemporal copies and bfloat16. */
#include "conv_vector.h"
#include "lockstep/math.h"

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define BLOCK 1024 /* elements: the sums of a block stay in the first-level cache */

CLONES static void add_pair(size_t n, const float *restrict a, const float *restrict b,
                            float *restrict sum) {
  for (size_t i = 0; i < n; i++) sum[i] = a[i] + b[i];
}

CLONES static void add(size_t n, const float *restrict a, float *restrict sum) {
  for (size_t i = 0; i < n; i++) sum[i] += a[i];
}

/* out = a + b, n <= BLOCK elements, where out may be a. Returns the sum of squares, with the bits of
 * ls_math_sum_squares: the square of a float is exact in double, so that a fused addition rounds as a
 * separate one. */
typedef double (*add_squares)(size_t n, const float *a, const float *b, float *out);

static double add_portable(size_t n, const float *a, const float *b, float *out) {
  _Alignas(LS_ALIGNMENT) float sum[BLOCK];
  add_pair(n, a, b, sum);
  memcpy(out, sum, n * sizeof *sum);
  return ls_math_sum_squares(n, sum);
}

#ifdef CONV_X86

#define AHEAD 256 /* elements to prefetch: b may be in memory, where another processor has streamed it */

static double total(const double partial[MATH_LANE]) {
  double sum = 0.0;
  for (size_t k = 0; k < MATH_LANE; k++) sum += partial[k];
  return sum;
}

AVX512 static double add_avx512(size_t n, const float *a, const float *b, float *out) {
  double partial[MATH_LANE];
  __m512d low = _mm512_setzero_pd();
  __m512d high = low;
  for (size_t i = 0; i < n; i += MATH_LANE) {
    const __mmask16 mask = conv_mask(n - i);
    _mm_prefetch((const char *)(b + i + AHEAD), _MM_HINT_T0);
    const __m512 sum =
        _mm512_add_ps(_mm512_maskz_loadu_ps(mask, a + i), _mm512_maskz_loadu_ps(mask, b + i));
    const __m256 upper = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(sum), 1));
    const __m512d x = _mm512_cvtps_pd(_mm512_castps512_ps256(sum));
    const __m512d y = _mm512_cvtps_pd(upper);
    low = _mm512_fmadd_pd(x, x, low);
    high = _mm512_fmadd_pd(y, y, high);
    _mm512_mask_storeu_ps(out + i, mask, sum);
  }
  _mm512_storeu_pd(partial, low);
  _mm512_storeu_pd(partial + 8, high);
  return total(partial);
}

/* Adds the squares of 8 elements to 8 partial sums. */
AVX2 static inline void square_avx2(__m256 x, __m256d *partial) {
  const __m256d low = _mm256_cvtps_pd(_mm256_castps256_ps128(x));
  const __m256d high = _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1));
  partial[0] = _mm256_fmadd_pd(low, low, partial[0]);
  partial[1] = _mm256_fmadd_pd(high, high, partial[1]);
}

AVX2 static double add_avx2(size_t n, const float *a, const float *b, float *out) {
  double partial[MATH_LANE];
  __m256d low[2] = {_mm256_setzero_pd(), _mm256_setzero_pd()};
  __m256d high[2] = {low[0], low[0]};
  for (size_t i = 0; i < n; i += MATH_LANE) {
    const __m256i first = conv_mask_avx2(n - i);
    const __m256i second = conv_mask_avx2(n - i > 8 ? n - i - 8 : 0);
    _mm_prefetch((const char *)(b + i + AHEAD), _MM_HINT_T0);
    const __m256 x = _mm256_add_ps(_mm256_maskload_ps(a + i, first), _mm256_maskload_ps(b + i, first));
    const __m256 y =
        _mm256_add_ps(_mm256_maskload_ps(a + i + 8, second), _mm256_maskload_ps(b + i + 8, second));
    square_avx2(x, low);
    square_avx2(y, high);
    _mm256_maskstore_ps(out + i, first, x);
    _mm256_maskstore_ps(out + i + 8, second, y);
  }
  for (size_t k = 0; k < 2; k++) {
    _mm256_storeu_pd(partial + 4 * k, low[k]);
    _mm256_storeu_pd(partial + 8 + 4 * k, high[k]);
  }
  return total(partial);
}

#endif

static add_squares choose_add(void) {
#ifdef CONV_X86
  const conv_level level = conv_level_of_processor();
  if (level != CONV_PORTABLE) return level == CONV_AVX512 ? add_avx512 : add_avx2;
#endif
  return add_portable;
}

/* The sum of the terms but the last, in their order; `sum` is memory for it. */
static const float *fold_before_last(size_t n, size_t n_terms, const float *const *terms, size_t offset,
                                     float *sum) {
  if (n_terms == 2) return terms[0] + offset;
  add_pair(n, terms[0] + offset, terms[1] + offset, sum);
  for (size_t k = 2; k + 1 < n_terms; k++) add(n, terms[k] + offset, sum);
  return sum;
}

typedef struct fold {
  size_t n_terms;
  const float *const *terms;
  float *out;
  add_squares add;
} fold;

static double fold_range(void *context, size_t first, size_t count) {
  const fold *const f = context;
  _Alignas(LS_ALIGNMENT) float sum[BLOCK];
  double squares = 0.0;
  for (size_t offset = first; offset < first + count; offset += BLOCK) {
    const size_t n = ls_size_min(BLOCK, first + count - offset);
    const float *const before = fold_before_last(n, f->n_terms, f->terms, offset, sum);
    squares += f->add(n, before, f->terms[f->n_terms - 1] + offset, f->out + offset);
  }
  return squares;
}

double ls_math_fold(size_t n, size_t n_terms, const float *const *terms, float *out) {
  fold f = {.n_terms = n_terms, .terms = terms, .out = out, .add = choose_add()};
  LS_ASSERT(n_terms >= 2);
  return ls_parallel_sum(n, LS_PARALLEL_ITEMS, fold_range, &f);
}

void ls_lane_fold(double *levels, size_t n, size_t lane, size_t n_lanes) {
  size_t top = ls_lane_level(lane);
  for (size_t merges = ls_lane_merges(lane, n_lanes); merges > 0; merges--, top--) {
    const double *const upper = levels + top * n;
    double *const lower = levels + (top - 1) * n;
    for (size_t i = 0; i < n; i++) lower[i] += upper[i];
  }
}

/* Copies four floats at a time; the processor combines them into whole cache lines. */
void ls_math_copy_nontemporal(size_t n, const float *x, float *out) {
  size_t i = 0;
  LS_ASSERT(n == 0 || (uintptr_t)out % LS_ALIGNMENT == 0);
#ifdef __SSE2__
  for (; i + 4 <= n; i += 4) _mm_stream_ps(out + i, _mm_loadu_ps(x + i));
#endif
  memcpy(out + i, x + i, (n - i) * sizeof *x);
}

void ls_math_end_nontemporal(void) {
#ifdef __SSE2__
  _mm_sfence();
#endif
}

static inline uint32_t bits_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

static inline float float_of(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/* The upper half, rounded to nearest, ties to even. NaN stays NaN. */
static inline uint32_t rounded(float x) {
  const uint32_t bits = bits_of(x);
  const uint32_t up = bits + 0x7fffU + ((bits >> 16) & 1U);
  return (x == x ? up : bits | 0x400000U) >> 16;
}

CLONES void ls_math_to_bf16(size_t n, const float *restrict x, float *restrict error,
                            uint16_t *restrict out) {
  for (size_t i = 0; i < n; i++) {
    const float wanted = x[i] + error[i];
    const uint32_t kept = rounded(wanted);
    const float lost = wanted - float_of(kept << 16);
    error[i] = lost - lost == 0.0F ? lost : 0.0F; /* an error that is not finite is dropped */
    out[i] = (uint16_t)kept;
  }
}

CLONES void ls_math_from_bf16(size_t n, const uint16_t *restrict x, float *restrict out) {
  for (size_t i = 0; i < n; i++) out[i] = float_of((uint32_t)x[i] << 16);
}
