/* The inner loops of the gradients of convolution weights: some terms by one or two blocks of filters in
 * registers, summed over positions. The last tile repeats the last term. */
#include "conv_vector.h"

/* The first source of term k, or of the last one. */
static inline const float *term_of(const math_products *p, size_t k) {
  return p->x + p->offsets[k < p->n_k ? k : p->n_k - 1];
}

/* The gradients of term k and block `block`. */
static inline float *gradient_of(const math_products *p, size_t k, size_t block) {
  return p->dw + (block * p->n_k + k) * MATH_LANE;
}

static void products_portable(const math_products *p, size_t k, size_t block) {
  float sums[MATH_LANE] = {0.0F};
  const float *dz = p->dz + block * p->dz_stride;
  const float *const x = term_of(p, k);
  float *const dw = gradient_of(p, k, block);
  for (size_t q = 0; q < p->n; q++, dz += MATH_LANE)
    for (size_t j = 0; j < MATH_LANE; j++) sums[j] = conv_multiply_add(x[p->from[q]], dz[j], sums[j]);
  for (size_t j = 0; j < MATH_LANE; j++) dw[j] += sums[j];
}

#ifdef CONV_X86

#define TERM(i) const float *const x##i = term_of(p, k + i);

AVX2 static void products_avx2(const math_products *p, size_t k, size_t block) {
  const float *dz = p->dz + block * p->dz_stride;
  const size_t *from = p->from;
#define START(i)                                                                                           \
  TERM(i)                                                                                                  \
  __m256 a##i = _mm256_setzero_ps(), b##i = a##i;
#define ADD(i)                                                                                             \
  {                                                                                                        \
    const __m256 v = _mm256_broadcast_ss(x##i + at);                                                       \
    a##i = _mm256_fmadd_ps(v, d0, a##i);                                                                   \
    b##i = _mm256_fmadd_ps(v, d1, b##i);                                                                   \
  }
#define PUT(i)                                                                                             \
  if (k + i < p->n_k) {                                                                                    \
    float *const dw = gradient_of(p, k + i, block);                                                        \
    _mm256_store_ps(dw, _mm256_add_ps(_mm256_load_ps(dw), a##i));                                          \
    _mm256_store_ps(dw + 8, _mm256_add_ps(_mm256_load_ps(dw + 8), b##i));                                  \
  }
  EACH6(START)
  for (const size_t *const end = from + p->n; from < end; from++, dz += MATH_LANE) {
    const size_t at = *from;
    const __m256 d0 = _mm256_load_ps(dz);
    const __m256 d1 = _mm256_load_ps(dz + 8);
    EACH6(ADD)
  }
  EACH6(PUT)
#undef START
#undef ADD
#undef PUT
}

#define PUT_BLOCK(i, block, sum)                                                                           \
  if (k + i < p->n_k) {                                                                                    \
    float *const dw = gradient_of(p, k + i, block);                                                        \
    _mm512_store_ps(dw, _mm512_add_ps(_mm512_load_ps(dw), sum));                                           \
  }

AVX512 static void products_avx512(const math_products *p, size_t k, size_t block) {
  const float *dz = p->dz + block * p->dz_stride;
  const size_t *from = p->from;
#define START(i)                                                                                           \
  TERM(i)                                                                                                  \
  __m512 a##i = _mm512_setzero_ps();
#define ADD(i) a##i = _mm512_fmadd_ps(_mm512_set1_ps(x##i[at]), d0, a##i);
#define PUT(i) PUT_BLOCK(i, block, a##i)
  EACH8(START)
  for (const size_t *const end = from + p->n; from < end; from++, dz += MATH_LANE) {
    const size_t at = *from;
    const __m512 d0 = _mm512_load_ps(dz);
    EACH8(ADD)
  }
  EACH8(PUT)
#undef START
#undef ADD
#undef PUT
}

AVX512 static void pair_avx512(const math_products *p, size_t k, size_t block) {
  const float *dz = p->dz + block * p->dz_stride;
  const float *dz_next = dz + p->dz_stride;
  const size_t *from = p->from;
#define START(i)                                                                                           \
  TERM(i)                                                                                                  \
  __m512 a##i = _mm512_setzero_ps(), b##i = a##i;
#define ADD(i)                                                                                             \
  {                                                                                                        \
    const __m512 v = _mm512_set1_ps(x##i[at]);                                                             \
    a##i = _mm512_fmadd_ps(v, d0, a##i);                                                                   \
    b##i = _mm512_fmadd_ps(v, d1, b##i);                                                                   \
  }
#define PUT(i)                                                                                             \
  PUT_BLOCK(i, block, a##i)                                                                                \
  PUT_BLOCK(i, block + 1, b##i)
  EACH8(START)
  for (const size_t *const end = from + p->n; from < end; from++, dz += MATH_LANE, dz_next += MATH_LANE) {
    const size_t at = *from;
    const __m512 d0 = _mm512_load_ps(dz);
    const __m512 d1 = _mm512_load_ps(dz_next);
    EACH8(ADD)
  }
  EACH8(PUT)
#undef START
#undef ADD
#undef PUT
}

#endif

void math_conv_products(const math_products *p) {
  const conv_level level = conv_level_of_processor();
  size_t block = 0;
#ifdef CONV_X86
  for (; level == CONV_AVX512 && block + 1 < p->blocks; block += 2)
    for (size_t k = 0; k < p->n_k; k += 8) pair_avx512(p, k, block);
  for (; level == CONV_AVX512 && block < p->blocks; block++)
    for (size_t k = 0; k < p->n_k; k += 8) products_avx512(p, k, block);
  for (; level == CONV_AVX2 && block < p->blocks; block++)
    for (size_t k = 0; k < p->n_k; k += 6) products_avx2(p, k, block);
#endif
  (void)level;
  for (; block < p->blocks; block++)
    for (size_t k = 0; k < p->n_k; k++) products_portable(p, k, block);
}
