/* Products whose tiles of c stay in registers: some rows by some vectors of columns. A row of b is loaded
 * as vectors, and an element of a is broadcast. */
#include "conv_vector.h"
#include "few.h"

#ifdef CONV_X86

/* Rows i to i + n_rows - 1 of the columns j to j + width - 1, over the terms p to p + n_terms - 1. */
typedef struct tile {
  const float *a, *b;
  size_t n_terms;
  float beta; /* of this block of terms */
  float *c;
  size_t width;
} tile;

/* The first element of row i of the tile; rows after the last are not used. */
#define ROW(i) const float *const x##i = t->a + (i < n_rows ? i : 0) * p->a_row;

/* NOLINTBEGIN(bugprone-branch-clone): the choice of ROW(0) is between equal terms */

/* The number of rows is a constant in each version of an inner loop.  case n: */
#define CASE(call, n, ...)                                                                                 \
  case n: call(p, t, n, __VA_ARGS__); break;

/* ------------------------------------------------- AVX2: up to 6 rows x 16 */

#define ROWS_AVX2  6
#define WIDTH_AVX2 16

AVX2 ALWAYS_INLINE static inline __m256 load_avx2(const float *x, __m256i mask, const bool is_whole) {
  return is_whole ? _mm256_loadu_ps(x) : _mm256_maskload_ps(x, mask);
}

/* Stores sums + beta c in the lanes of a mask. */
AVX2 ALWAYS_INLINE static inline void put_avx2(float *c, float beta, __m256 sums, __m256i mask,
                                               const bool is_whole) {
  if (beta != 0.0F)
    sums = _mm256_add_ps(_mm256_mul_ps(_mm256_set1_ps(beta), load_avx2(c, mask, is_whole)), sums);
  if (is_whole)
    _mm256_storeu_ps(c, sums);
  else
    _mm256_maskstore_ps(c, mask, sums);
}

AVX2 ALWAYS_INLINE static inline void rows_avx2(const math_few *p, const tile *t, const size_t n_rows,
                                                const bool is_whole) {
  const __m256i low = conv_mask_avx2(t->width);
  const __m256i high = conv_mask_avx2(t->width > 8 ? t->width - 8 : 0);
  const float *b = t->b;
#define START(i)                                                                                           \
  ROW(i)                                                                                                   \
  __m256 a##i = _mm256_setzero_ps(), b##i = a##i;
#define ADD(i)                                                                                             \
  if (i < n_rows) {                                                                                        \
    const __m256 v = _mm256_broadcast_ss(x##i + at);                                                       \
    a##i = _mm256_fmadd_ps(v, y0, a##i);                                                                   \
    b##i = _mm256_fmadd_ps(v, y1, b##i);                                                                   \
  }
#define PUT(i)                                                                                             \
  if (i < n_rows) {                                                                                        \
    put_avx2(t->c + i * p->c_row, t->beta, a##i, low, is_whole);                                           \
    put_avx2(t->c + i * p->c_row + 8, t->beta, b##i, high, is_whole);                                      \
  }
  EACH6(START)
  for (size_t q = 0, at = 0; q < t->n_terms; q++, at += p->a_col, b += p->b_row) {
    const __m256 y0 = load_avx2(b, low, is_whole);
    const __m256 y1 = load_avx2(b + 8, high, is_whole);
    _mm_prefetch((const char *)(b + WIDTH_AVX2), _MM_HINT_T0);
    EACH6(ADD)
  }
  EACH6(PUT)
#undef START
#undef ADD
#undef PUT
}

AVX2 static void tile_avx2(const math_few *p, const tile *t, size_t n_rows) {
#define WHOLE(n) CASE(rows_avx2, n, true)
#define PART(n)  CASE(rows_avx2, n, false)
  if (t->width == WIDTH_AVX2) switch (n_rows) {
      WHOLE(1)
      WHOLE(2)
      WHOLE(3)
      WHOLE(4)
      WHOLE(5)
    default: rows_avx2(p, t, ROWS_AVX2, true);
    }
  else
    switch (n_rows) {
      PART(1)
      PART(2)
      PART(3)
      PART(4)
      PART(5)
    default: rows_avx2(p, t, ROWS_AVX2, false);
    }
#undef WHOLE
#undef PART
}

/* --------------------------------------------- AVX-512: up to 8 rows x 48 */

#define ROWS_AVX512  8
#define WIDTH_AVX512 48

/* Stores sums + beta c in the lanes of a mask. */
AVX512 ALWAYS_INLINE static inline void put_avx512(float *c, float beta, __m512 sums, __mmask16 mask) {
  if (beta != 0.0F)
    sums = _mm512_add_ps(_mm512_mul_ps(_mm512_set1_ps(beta), _mm512_maskz_loadu_ps(mask, c)), sums);
  if (mask == 0xFFFF)
    _mm512_storeu_ps(c, sums);
  else
    _mm512_mask_storeu_ps(c, mask, sums);
}

/* n_vectors: of the width, the last one masked. */
AVX512 ALWAYS_INLINE static inline void rows_avx512(const math_few *p, const tile *t, const size_t n_rows,
                                                    const size_t n_vectors) {
  const __mmask16 last = conv_mask(t->width - (n_vectors - 1) * 16);
  const __mmask16 m0 = n_vectors > 1 ? 0xFFFF : last;
  const __mmask16 m1 = n_vectors > 2 ? 0xFFFF : last;
  const float *b = t->b;
#define START(i)                                                                                           \
  ROW(i)                                                                                                   \
  __m512 a##i = _mm512_setzero_ps(), b##i = a##i, c##i = a##i;
#define ADD(i)                                                                                             \
  if (i < n_rows) {                                                                                        \
    const __m512 v = _mm512_set1_ps(x##i[at]);                                                             \
    a##i = _mm512_fmadd_ps(v, y0, a##i);                                                                   \
    if (n_vectors > 1) b##i = _mm512_fmadd_ps(v, y1, b##i);                                                \
    if (n_vectors > 2) c##i = _mm512_fmadd_ps(v, y2, c##i);                                                \
  }
#define PUT(i)                                                                                             \
  if (i < n_rows) {                                                                                        \
    put_avx512(t->c + i * p->c_row, t->beta, a##i, m0);                                                    \
    if (n_vectors > 1) put_avx512(t->c + i * p->c_row + 16, t->beta, b##i, m1);                            \
    if (n_vectors > 2) put_avx512(t->c + i * p->c_row + 32, t->beta, c##i, last);                          \
  }
  EACH8(START)
  for (size_t q = 0, at = 0; q < t->n_terms; q++, at += p->a_col, b += p->b_row) {
    const __m512 y0 = _mm512_maskz_loadu_ps(m0, b);
    const __m512 y1 = n_vectors > 1 ? _mm512_maskz_loadu_ps(m1, b + 16) : y0;
    const __m512 y2 = n_vectors > 2 ? _mm512_maskz_loadu_ps(last, b + 32) : y0;
    for (size_t v = 0; v < n_vectors; v++)
      _mm_prefetch((const char *)(b + WIDTH_AVX512 + 16 * v), _MM_HINT_T0);
    EACH8(ADD)
  }
  EACH8(PUT)
#undef START
#undef ADD
#undef PUT
}

AVX512 ALWAYS_INLINE static inline void vectors_avx512(const math_few *p, const tile *t, size_t n_rows,
                                                       const size_t n_vectors) {
  switch (n_rows) {
    CASE(rows_avx512, 1, n_vectors)
    CASE(rows_avx512, 2, n_vectors)
    CASE(rows_avx512, 3, n_vectors)
    CASE(rows_avx512, 4, n_vectors)
    CASE(rows_avx512, 5, n_vectors)
    CASE(rows_avx512, 6, n_vectors)
    CASE(rows_avx512, 7, n_vectors)
  default: rows_avx512(p, t, ROWS_AVX512, n_vectors);
  }
}

AVX512 static void tile_avx512(const math_few *p, const tile *t, size_t n_rows) {
  if (t->width > 32)
    vectors_avx512(p, t, n_rows, 3);
  else if (t->width > 16)
    vectors_avx512(p, t, n_rows, 2);
  else
    vectors_avx512(p, t, n_rows, 1);
}

/* NOLINTEND(bugprone-branch-clone) */

/* ------------------------------------------------------------------- tiles */

typedef void (*inner_loop)(const math_few *p, const tile *t, size_t n_rows);

/* The tile of row block i of `n_blocks` and of the columns from j on, over the terms from q on. */
static void run_tile(const math_few *p, size_t i, size_t n_blocks, size_t j, size_t width, size_t q,
                     inner_loop run) {
  const size_t first = math_few_start(p->m, n_blocks, i);
  const tile t = {.a = p->a + first * p->a_row + q * p->a_col,
                  .b = p->b + q * p->b_row + j,
                  .n_terms = ls_size_min(MATH_FEW_TERMS, p->k - q),
                  .beta = q == 0 ? p->beta : 1.0F,
                  .c = p->c + first * p->c_row + j,
                  .width = ls_size_min(width, p->n - j)};
  run(p, &t, math_few_start(p->m, n_blocks, i + 1) - first);
}

/* A b of many rows is read once, and a c of many rows is written row by row. */
static void each_tile(const math_few *p, size_t rows, size_t width, inner_loop run) {
  const size_t n_blocks = (p->m + rows - 1) / rows;
  for (size_t q = 0; q < p->k; q += MATH_FEW_TERMS)
    if (p->m >= p->k)
      for (size_t i = 0; i < n_blocks; i++)
        for (size_t j = 0; j < p->n; j += width) run_tile(p, i, n_blocks, j, width, q, run);
    else
      for (size_t j = 0; j < p->n; j += width)
        for (size_t i = 0; i < n_blocks; i++) run_tile(p, i, n_blocks, j, width, q, run);
}

void math_few_tiles(const math_few *p) {
  if (conv_level_of_processor() == CONV_AVX512)
    each_tile(p, ROWS_AVX512, WIDTH_AVX512, tile_avx512);
  else
    each_tile(p, ROWS_AVX2, WIDTH_AVX2, tile_avx2);
}

#endif
