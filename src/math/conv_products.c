/* The inner loops of the gradients of convolution weights: some terms by one or two blocks of filters in
 * registers, summed over positions. Each sum is the same, whatever the terms beside it. */
#include "conv_vector.h"

/* The gradients of term k and block `block`. */
static inline float *gradient_of(const math_products *p, size_t k, size_t block) {
  return p->dw + (block * p->n_k + k) * MATH_LANE;
}

static void products_portable(const math_products *p, size_t k, size_t block) {
  float sums[MATH_LANE] = {0.0F};
  const float *const dz = p->dz + block * p->dz_block;
  const float *const x = p->x + p->offsets[k];
  float *const dw = gradient_of(p, k, block);
  for (size_t q = 0; q < p->n; q++)
    for (size_t j = 0; j < MATH_LANE; j++)
      sums[j] = conv_multiply_add(x[p->from[q]], dz[p->to[q] + j], sums[j]);
  for (size_t j = 0; j < MATH_LANE; j++) dw[j] += sums[j];
}

#ifdef CONV_X86

/* The first source of the term i after k. */
/* NOLINTBEGIN(bugprone-branch-clone): the choice of TERM(0) is between equal terms */
#define TERM(i) const float *const x##i = p->x + p->offsets[k + (i < n_terms ? i : 0)];

/* The number of terms is a constant in each version of an inner loop.  case n: */
#define CASE(call, n)                                                                                      \
  case n: call(p, k, block, n); break;

/* ------------------------------------------------- AVX2: up to 6 terms x 16 */

#define MOST_AVX2 6

AVX2 ALWAYS_INLINE static inline void terms_avx2(const math_products *p, size_t k, size_t block,
                                                 const size_t n_terms) {
  const float *const dz = p->dz + block * p->dz_block;
#define START(i)                                                                                           \
  TERM(i)                                                                                                  \
  __m256 a##i = _mm256_setzero_ps(), b##i = a##i;
#define ADD(i)                                                                                             \
  if (i < n_terms) {                                                                                       \
    const __m256 v = _mm256_broadcast_ss(x##i + at);                                                       \
    a##i = _mm256_fmadd_ps(v, d0, a##i);                                                                   \
    b##i = _mm256_fmadd_ps(v, d1, b##i);                                                                   \
  }
#define PUT(i)                                                                                             \
  if (i < n_terms) {                                                                                       \
    float *const dw = gradient_of(p, k + i, block);                                                        \
    _mm256_store_ps(dw, _mm256_add_ps(_mm256_load_ps(dw), a##i));                                          \
    _mm256_store_ps(dw + 8, _mm256_add_ps(_mm256_load_ps(dw + 8), b##i));                                  \
  }
  EACH6(START)
  for (size_t q = 0; q < p->n; q++) {
    const size_t at = p->from[q];
    const __m256 d0 = _mm256_loadu_ps(dz + p->to[q]);
    const __m256 d1 = _mm256_loadu_ps(dz + p->to[q] + 8);
    EACH6(ADD)
  }
  EACH6(PUT)
#undef START
#undef ADD
#undef PUT
}

AVX2 static void products_avx2(const math_products *p, size_t k, size_t n_terms, size_t block) {
  switch (n_terms) {
    CASE(terms_avx2, 1)
    CASE(terms_avx2, 2)
    CASE(terms_avx2, 3)
    CASE(terms_avx2, 4)
    CASE(terms_avx2, 5)
  default: terms_avx2(p, k, block, MOST_AVX2);
  }
}

/* ------------------------------------- AVX-512: up to 9 terms x 32 or 9 x 16 */

#define MOST_AVX512 9

#define PUT_BLOCK(i, block, sum)                                                                           \
  if (i < n_terms) {                                                                                       \
    float *const dw = gradient_of(p, k + i, block);                                                        \
    _mm512_store_ps(dw, _mm512_add_ps(_mm512_load_ps(dw), sum));                                           \
  }

AVX512 ALWAYS_INLINE static inline void terms_avx512(const math_products *p, size_t k, size_t block,
                                                     const size_t n_terms) {
  const float *const dz = p->dz + block * p->dz_block;
#define START(i)                                                                                           \
  TERM(i)                                                                                                  \
  __m512 a##i = _mm512_setzero_ps();
#define ADD(i)                                                                                             \
  if (i < n_terms) a##i = _mm512_fmadd_ps(_mm512_set1_ps(x##i[at]), d0, a##i);
#define PUT(i) PUT_BLOCK(i, block, a##i)
  EACH9(START)
  for (size_t q = 0; q < p->n; q++) {
    const size_t at = p->from[q];
    const __m512 d0 = _mm512_loadu_ps(dz + p->to[q]);
    EACH9(ADD)
  }
  EACH9(PUT)
#undef START
#undef ADD
#undef PUT
}

AVX512 ALWAYS_INLINE static inline void pair_avx512(const math_products *p, size_t k, size_t block,
                                                    const size_t n_terms) {
  const float *const dz = p->dz + block * p->dz_block;
  const float *const dz_next = dz + p->dz_block;
#define START(i)                                                                                           \
  TERM(i)                                                                                                  \
  __m512 a##i = _mm512_setzero_ps(), b##i = a##i;
#define ADD(i)                                                                                             \
  if (i < n_terms) {                                                                                       \
    const __m512 v = _mm512_set1_ps(x##i[at]);                                                             \
    a##i = _mm512_fmadd_ps(v, d0, a##i);                                                                   \
    b##i = _mm512_fmadd_ps(v, d1, b##i);                                                                   \
  }
#define PUT(i)                                                                                             \
  PUT_BLOCK(i, block, a##i)                                                                                \
  PUT_BLOCK(i, block + 1, b##i)
  EACH9(START)
  for (size_t q = 0; q < p->n; q++) {
    const size_t at = p->from[q];
    const __m512 d0 = _mm512_loadu_ps(dz + p->to[q]);
    const __m512 d1 = _mm512_loadu_ps(dz_next + p->to[q]);
    EACH9(ADD)
  }
  EACH9(PUT)
#undef START
#undef ADD
#undef PUT
}

AVX512 static void products_avx512(const math_products *p, size_t k, size_t n_terms, size_t block) {
  if (block + 1 == p->blocks) {
    switch (n_terms) {
      CASE(terms_avx512, 1)
      CASE(terms_avx512, 2)
      CASE(terms_avx512, 3)
      CASE(terms_avx512, 4)
      CASE(terms_avx512, 5)
      CASE(terms_avx512, 6)
      CASE(terms_avx512, 7)
      CASE(terms_avx512, 8)
    default: terms_avx512(p, k, block, MOST_AVX512);
    }
    return;
  }
  switch (n_terms) {
    CASE(pair_avx512, 1)
    CASE(pair_avx512, 2)
    CASE(pair_avx512, 3)
    CASE(pair_avx512, 4)
    CASE(pair_avx512, 5)
    CASE(pair_avx512, 6)
    CASE(pair_avx512, 7)
    CASE(pair_avx512, 8)
  default: pair_avx512(p, k, block, MOST_AVX512);
  }
}

#endif

typedef void (*inner_loop)(const math_products *p, size_t k, size_t n_terms, size_t block);

/* Divides the terms into equal parts of at most `most`, and the blocks into parts of `step`. */
static void each_part(const math_products *p, size_t most, size_t step, inner_loop run) {
  const size_t parts = (p->n_k + most - 1) / most;
  for (size_t block = 0; block < p->blocks; block += step)
    for (size_t i = 0, k = 0; i < parts; i++) {
      const size_t n_terms = p->n_k / parts + (i < p->n_k % parts);
      run(p, k, n_terms, block);
      k += n_terms;
    }
}

void math_conv_products(const math_products *p) {
  switch (conv_level_of_processor()) {
#ifdef CONV_X86
  case CONV_AVX512: each_part(p, MOST_AVX512, 2, products_avx512); break;
  case CONV_AVX2: each_part(p, MOST_AVX2, 1, products_avx2); break;
#endif
  default:
    for (size_t block = 0; block < p->blocks; block++)
      for (size_t k = 0; k < p->n_k; k++) products_portable(p, k, block);
  }
}

/* NOLINTEND(bugprone-branch-clone) */
