/* The products of Winograd's convolutions: some rows by one or two blocks of columns in registers. The last
 * tile repeats the last row. */
#include "conv_vector.h"

/* Row r of a, or the last one. */
static inline const float *row_of(const math_winograd_product *p, size_t r) {
  return p->a + (r < p->m ? r : p->m - 1) * p->a_row;
}

static inline float *target_of(const math_winograd_product *p, size_t r, size_t block) {
  return p->c + r * p->c_row + block * p->c_block;
}

static void tile_portable(const math_winograd_product *p, size_t r, size_t block) {
  float sums[MATH_LANE] = {0.0F};
  const float *a = row_of(p, r);
  const float *b = p->b + block * p->b_block;
  float *const c = target_of(p, r, block);
  for (size_t k = 0; k < p->k; k++, a += p->a_column, b += p->b_row)
    for (size_t j = 0; j < MATH_LANE; j++) sums[j] = conv_multiply_add(*a, b[j], sums[j]);
  for (size_t j = 0; j < MATH_LANE; j++) c[j] = p->adds ? c[j] + sums[j] : sums[j];
}

#ifdef CONV_X86

#define ROW(i) const float *const r##i = row_of(p, r + i);

AVX2 static void tile_avx2(const math_winograd_product *p, size_t r, size_t block) {
  const float *b = p->b + block * p->b_block;
  const size_t step = p->b_row;
  const size_t end = p->k * p->a_column;
#define START(i)                                                                                           \
  ROW(i)                                                                                                   \
  __m256 a##i = _mm256_setzero_ps(), b##i = a##i;
#define ADD(i)                                                                                             \
  {                                                                                                        \
    const __m256 v = _mm256_broadcast_ss(r##i + at);                                                       \
    a##i = _mm256_fmadd_ps(v, low, a##i);                                                                  \
    b##i = _mm256_fmadd_ps(v, high, b##i);                                                                 \
  }
#define PUT(i)                                                                                             \
  if (r + i < p->m) {                                                                                      \
    float *const c = target_of(p, r + i, block);                                                           \
    _mm256_store_ps(c, p->adds ? _mm256_add_ps(_mm256_load_ps(c), a##i) : a##i);                           \
    _mm256_store_ps(c + 8, p->adds ? _mm256_add_ps(_mm256_load_ps(c + 8), b##i) : b##i);                   \
  }
  EACH6(START)
  for (size_t at = 0; at < end; at += p->a_column, b += step) {
    const __m256 low = _mm256_load_ps(b);
    const __m256 high = _mm256_load_ps(b + 8);
    EACH6(ADD)
  }
  EACH6(PUT)
#undef START
#undef ADD
#undef PUT
}

#define PUT_BLOCK(i, block, sum)                                                                           \
  if (r + i < p->m) {                                                                                      \
    float *const c = target_of(p, r + i, block);                                                           \
    _mm512_store_ps(c, p->adds ? _mm512_add_ps(_mm512_load_ps(c), sum) : sum);                             \
  }

AVX512 static void tile_avx512(const math_winograd_product *p, size_t r, size_t block) {
  const float *b = p->b + block * p->b_block;
  const size_t end = p->k * p->a_column;
#define START(i)                                                                                           \
  ROW(i)                                                                                                   \
  __m512 a##i = _mm512_setzero_ps();
#define ADD(i) a##i = _mm512_fmadd_ps(_mm512_set1_ps(r##i[at]), low, a##i);
#define PUT(i) PUT_BLOCK(i, block, a##i)
  EACH8(START)
  for (size_t at = 0; at < end; at += p->a_column, b += p->b_row) {
    const __m512 low = _mm512_load_ps(b);
    EACH8(ADD)
  }
  EACH8(PUT)
#undef START
#undef ADD
#undef PUT
}

AVX512 static void pair_avx512(const math_winograd_product *p, size_t r, size_t block) {
  const float *b = p->b + block * p->b_block;
  const float *b_next = b + p->b_block;
  const size_t a_column = p->a_column;
  const size_t b_row = p->b_row;
  const size_t end = p->k * a_column;
#define START(i)                                                                                           \
  ROW(i)                                                                                                   \
  __m512 a##i = _mm512_setzero_ps(), b##i = a##i;
#define ADD(i)                                                                                             \
  {                                                                                                        \
    const __m512 v = _mm512_set1_ps(r##i[at]);                                                             \
    a##i = _mm512_fmadd_ps(v, low, a##i);                                                                  \
    b##i = _mm512_fmadd_ps(v, high, b##i);                                                                 \
  }
#define PUT(i)                                                                                             \
  PUT_BLOCK(i, block, a##i)                                                                                \
  PUT_BLOCK(i, block + 1, b##i)
  EACH8(START)
  for (size_t at = 0; at < end; at += a_column, b += b_row, b_next += b_row) {
    const __m512 low = _mm512_load_ps(b);
    const __m512 high = _mm512_load_ps(b_next);
    EACH8(ADD)
  }
  EACH8(PUT)
#undef START
#undef ADD
#undef PUT
}

#endif

void math_winograd_multiply(const math_winograd_product *p) {
  const conv_level level = conv_level_of_processor();
  size_t block = 0;
#ifdef CONV_X86
  for (; level == CONV_AVX512 && block + 1 < p->blocks; block += 2)
    for (size_t r = 0; r < p->m; r += 8) pair_avx512(p, r, block);
  for (; level == CONV_AVX512 && block < p->blocks; block++)
    for (size_t r = 0; r < p->m; r += 8) tile_avx512(p, r, block);
  for (; level == CONV_AVX2 && block < p->blocks; block++)
    for (size_t r = 0; r < p->m; r += 6) tile_avx2(p, r, block);
#endif
  (void)level;
  for (; block < p->blocks; block++)
    for (size_t r = 0; r < p->m; r++) tile_portable(p, r, block);
}
