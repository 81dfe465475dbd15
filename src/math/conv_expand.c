/* Copies of sources in the order of a depthwise band: out[i][j] = x[i][expand[j]]. Blocks of channels whose
 * sources are close to each other are permuted in registers. */
#include "conv_vector.h"

/* `count` channels from j on. */
static void gather(const math_expansion *e, size_t j, size_t count) {
  for (size_t i = 0; i < e->n; i++)
    for (size_t k = j; k < j + count; k++)
      e->out[i * e->channels + k] = e->x[i * e->sources + (size_t)e->expand[k]];
}

#ifdef CONV_X86

/* The channels of a block: the first source that they copy, and the number up to the last one. */
typedef struct reach {
  size_t first, count;
} reach;

static reach reach_of(const int32_t *expand, size_t n) {
  int32_t low = expand[0];
  int32_t high = expand[0];
  for (size_t j = 1; j < n; j++) {
    low = expand[j] < low ? expand[j] : low;
    high = expand[j] > high ? expand[j] : high;
  }
  return (reach){.first = (size_t)low, .count = (size_t)(high - low) + 1};
}

/* Up to 8 channels from j on, whose sources are among 16. */
AVX2 static void permute_avx2(const math_expansion *e, size_t j, size_t n, reach r) {
  const __m256i mask = conv_mask_avx2(n);
  const __m256i low = conv_mask_avx2(r.count);
  const __m256i high = conv_mask_avx2(r.count > 8 ? r.count - 8 : 0);
  const __m256i at =
      _mm256_sub_epi32(_mm256_maskload_epi32(e->expand + j, mask), _mm256_set1_epi32((int)r.first));
  const __m256 is_high = _mm256_castsi256_ps(_mm256_cmpgt_epi32(at, _mm256_set1_epi32(7)));
  const float *x = e->x + r.first;
  float *out = e->out + j;
  for (size_t i = 0; i < e->n; i++, x += e->sources, out += e->channels) {
    __m256 y = _mm256_permutevar8x32_ps(_mm256_maskload_ps(x, low), at);
    if (r.count > 8)
      y = _mm256_blendv_ps(y, _mm256_permutevar8x32_ps(_mm256_maskload_ps(x + 8, high), at), is_high);
    _mm256_maskstore_ps(out, mask, y);
  }
}

/* Up to 16 channels from j on, whose sources are among 32. */
AVX512 static void permute_avx512(const math_expansion *e, size_t j, size_t n, reach r) {
  const __mmask16 mask = conv_mask(n);
  const __mmask16 low = conv_mask(r.count);
  const __mmask16 high = conv_mask(r.count > MATH_LANE ? r.count - MATH_LANE : 0);
  const __m512i at =
      _mm512_sub_epi32(_mm512_maskz_loadu_epi32(mask, e->expand + j), _mm512_set1_epi32((int)r.first));
  const float *x = e->x + r.first;
  float *out = e->out + j;
  for (size_t i = 0; i < e->n; i++, x += e->sources, out += e->channels) {
    const __m512 a = _mm512_maskz_loadu_ps(low, x);
    const __m512 b = _mm512_maskz_loadu_ps(high, x + MATH_LANE);
    _mm512_mask_storeu_ps(out, mask, _mm512_permutex2var_ps(a, at, b));
  }
}

typedef void (*permutation)(const math_expansion *e, size_t j, size_t n, reach r);

/* Copies blocks of `lanes` channels, whose sources are permuted if there are at most twice as many. */
static void each_block(const math_expansion *e, size_t lanes, permutation permute) {
  for (size_t j = 0; j < e->channels; j += lanes) {
    const size_t n = ls_size_min(lanes, e->channels - j);
    const reach r = reach_of(e->expand + j, n);
    if (r.count <= 2 * lanes)
      permute(e, j, n, r);
    else
      gather(e, j, n);
  }
}

#endif

void math_conv_expand(const math_expansion *e) {
  switch (conv_level_of_processor()) {
#ifdef CONV_X86
  case CONV_AVX512: each_block(e, MATH_LANE, permute_avx512); break;
  case CONV_AVX2: each_block(e, 8, permute_avx2); break;
#endif
  default: gather(e, 0, e->channels);
  }
}
