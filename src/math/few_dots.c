/* Products of a few rows of a with rows of b: the sums of a tile stay in registers, MATH_LANE parts each.
 */
#include "conv_vector.h"
#include "few.h"

#ifdef CONV_X86

#define OUTPUTS 4 /* of a tile */

/* Some rows of a from row i on and OUTPUTS rows of b from row j on, over the terms from q on. */
typedef struct tile {
  const float *a, *b;
  size_t b_rows[OUTPUTS]; /* offsets; those after the last row of b repeat it */
  size_t n_terms;
  float beta; /* of this block of terms */
  float *c;
  size_t n_outputs;
} tile;

/* Folds 8 parts of each of four sums. */
AVX2 static inline __m128 fold(__m256 a, __m256 b, __m256 c, __m256 d) {
  const __m256 ab = _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
  const __m256 cd = _mm256_add_ps(_mm256_permute2f128_ps(c, d, 0x20), _mm256_permute2f128_ps(c, d, 0x31));
  const __m256 all = _mm256_add_ps(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xEE));
  const __m256 sums = _mm256_add_ps(all, _mm256_movehdup_ps(all)); /* elements 0, 4, 2 and 6 */
  return _mm_blend_ps(_mm256_castps256_ps128(sums), _mm_moveldup_ps(_mm256_extractf128_ps(sums, 1)), 0xA);
}

/* Stores sums + beta c. */
AVX2 static inline void put(const tile *t, float *c, __m128 sums) {
  _Alignas(16) float rest[OUTPUTS];
  const __m128 beta = _mm_set1_ps(t->beta);
  if (t->n_outputs == OUTPUTS) {
    if (t->beta != 0.0F) sums = _mm_add_ps(_mm_mul_ps(beta, _mm_loadu_ps(c)), sums);
    _mm_storeu_ps(c, sums);
    return;
  }
  _mm_store_ps(rest, sums);
  for (size_t j = 0; j < t->n_outputs; j++) c[j] = t->beta == 0.0F ? rest[j] : t->beta * c[j] + rest[j];
}

/* The rows of a and of b; rows of a after the last are not used. */
#define ROW(i)    const float *const x##i = t->a + (i < n_rows ? i : 0) * p->a_row;
#define OUTPUT(j) const float *const w##j = t->b + t->b_rows[j];

/* NOLINTBEGIN(bugprone-branch-clone): the choice of ROW(0) is between equal terms */

#define CASE(call, n)                                                                                      \
  case n: call(p, t, n); break;

/* ----------------------------------------- AVX2: up to 3 rows x 4, half of the parts at a time */

#define ROWS_AVX2 3
#define EACH3(M)  M(0) M(1) M(2)

/* Parts 0 to 7 or 8 to 15 of the sums; at = 0 or 8.  parts: (n_rows, OUTPUTS) */
AVX2 ALWAYS_INLINE static inline void half_avx2(const math_few *p, const tile *t, size_t at,
                                                const size_t n_rows, __m256 *parts) {
  const size_t whole = t->n_terms / MATH_LANE * MATH_LANE;
  const size_t rest = t->n_terms - whole;
  const __m256i mask = conv_mask_avx2(rest > at ? rest - at : 0);
  EACH3(ROW)
  EACH4(OUTPUT)
#define START(i) __m256 a##i = _mm256_setzero_ps(), b##i = a##i, c##i = a##i, d##i = a##i;
#define ADD(y, sum)                                                                                        \
  {                                                                                                        \
    const __m256 w = y;                                                                                    \
    sum##0 = _mm256_fmadd_ps(v0, w, sum##0);                                                               \
    if (n_rows > 1) sum##1 = _mm256_fmadd_ps(v1, w, sum##1);                                               \
    if (n_rows > 2) sum##2 = _mm256_fmadd_ps(v2, w, sum##2);                                               \
  }
#define ADD_ALL(load)                                                                                      \
  const __m256 v0 = load(x0);                                                                              \
  const __m256 v1 = n_rows > 1 ? load(x1) : v0;                                                            \
  const __m256 v2 = n_rows > 2 ? load(x2) : v0;                                                            \
  ADD(load(w0), a)                                                                                         \
  ADD(load(w1), b)                                                                                         \
  ADD(load(w2), c)                                                                                         \
  ADD(load(w3), d)
#define LOAD(x)      _mm256_loadu_ps((x) + k)
#define LOAD_REST(x) _mm256_maskload_ps((x) + k, mask)
#define PUT(i)                                                                                             \
  if (i < n_rows) {                                                                                        \
    parts[4 * i] = a##i;                                                                                   \
    parts[4 * i + 1] = b##i;                                                                               \
    parts[4 * i + 2] = c##i;                                                                               \
    parts[4 * i + 3] = d##i;                                                                               \
  }
  EACH3(START)
  size_t k = at;
  for (; k < whole; k += MATH_LANE) {
    ADD_ALL(LOAD)
  }
  if (rest > at) {
    ADD_ALL(LOAD_REST)
  }
  EACH3(PUT)
#undef START
#undef PUT
}

AVX2 ALWAYS_INLINE static inline void rows_avx2(const math_few *p, const tile *t, const size_t n_rows) {
  __m256 low[ROWS_AVX2 * OUTPUTS];
  __m256 high[ROWS_AVX2 * OUTPUTS];
  half_avx2(p, t, 0, n_rows, low);
  half_avx2(p, t, 8, n_rows, high);
  for (size_t i = 0; i < n_rows; i++) {
    const __m256 *const l = low + i * OUTPUTS;
    const __m256 *const h = high + i * OUTPUTS;
    put(t, t->c + i * p->c_row,
        fold(_mm256_add_ps(l[0], h[0]), _mm256_add_ps(l[1], h[1]), _mm256_add_ps(l[2], h[2]),
             _mm256_add_ps(l[3], h[3])));
  }
}

AVX2 static void tile_avx2(const math_few *p, const tile *t, size_t n_rows) {
  switch (n_rows) {
    CASE(rows_avx2, 1)
    CASE(rows_avx2, 2)
  default: rows_avx2(p, t, ROWS_AVX2);
  }
}

/* --------------------------------------------- AVX-512: up to 6 rows x 4 */

#define ROWS_AVX512 6

/* Part j plus part j + 8. */
AVX512 static inline __m256 halves(__m512 a) {
  const __m256 high = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(a), 1));
  return _mm256_add_ps(_mm512_castps512_ps256(a), high);
}

AVX512 ALWAYS_INLINE static inline void rows_avx512(const math_few *p, const tile *t, const size_t n_rows) {
  const size_t whole = t->n_terms / MATH_LANE * MATH_LANE;
  const __mmask16 mask = conv_mask(t->n_terms - whole);
  EACH6(ROW)
  EACH4(OUTPUT)
#define START(i) __m512 a##i = _mm512_setzero_ps(), b##i = a##i, c##i = a##i, d##i = a##i;
#define ADD_ROW(i)                                                                                         \
  if (i < n_rows) {                                                                                        \
    const __m512 v = LOAD_ROW(x##i);                                                                       \
    a##i = _mm512_fmadd_ps(v, y0, a##i);                                                                   \
    b##i = _mm512_fmadd_ps(v, y1, b##i);                                                                   \
    c##i = _mm512_fmadd_ps(v, y2, c##i);                                                                   \
    d##i = _mm512_fmadd_ps(v, y3, d##i);                                                                   \
  }
#define OUTPUT_VECTOR(j) const __m512 y##j = LOAD_ROW(w##j);
#define PUT_ROW(i)                                                                                         \
  if (i < n_rows) put(t, t->c + i * p->c_row, fold(halves(a##i), halves(b##i), halves(c##i), halves(d##i)));
  EACH6(START)
  size_t k = 0;
#define LOAD_ROW(x) _mm512_loadu_ps((x) + k)
  for (; k < whole; k += MATH_LANE) {
    EACH4(OUTPUT_VECTOR)
    EACH6(ADD_ROW)
  }
#undef LOAD_ROW
#define LOAD_ROW(x) _mm512_maskz_loadu_ps(mask, (x) + k)
  if (mask) {
    EACH4(OUTPUT_VECTOR)
    EACH6(ADD_ROW)
  }
  EACH6(PUT_ROW)
}

AVX512 static void tile_avx512(const math_few *p, const tile *t, size_t n_rows) {
  switch (n_rows) {
    CASE(rows_avx512, 1)
    CASE(rows_avx512, 2)
    CASE(rows_avx512, 3)
    CASE(rows_avx512, 4)
    CASE(rows_avx512, 5)
  default: rows_avx512(p, t, ROWS_AVX512);
  }
}

/* NOLINTEND(bugprone-branch-clone) */

/* ------------------------------------------------------------------- tiles */

typedef void (*inner_loop)(const math_few *p, const tile *t, size_t n_rows);

/* The tiles of the outputs from j on, over the terms from q on. */
static void each_row(const math_few *p, size_t j, size_t q, size_t n_terms, size_t rows, inner_loop run) {
  const size_t n_blocks = (p->m + rows - 1) / rows;
  tile t = {.b = p->b + j * p->b_row + q, .n_terms = n_terms, .n_outputs = ls_size_min(OUTPUTS, p->n - j)};
  t.beta = q == 0 ? p->beta : 1.0F;
  for (size_t o = 0; o < OUTPUTS; o++) t.b_rows[o] = ls_size_min(o, t.n_outputs - 1) * p->b_row;
  for (size_t block = 0; block < n_blocks; block++) {
    const size_t first = math_few_start(p->m, n_blocks, block);
    t.a = p->a + first * p->a_row + q;
    t.c = p->c + first * p->c_row + j;
    run(p, &t, math_few_start(p->m, n_blocks, block + 1) - first);
  }
}

void math_few_dots(const math_few *p) {
  const bool is_avx512 = conv_level_of_processor() == CONV_AVX512;
  const size_t n_blocks = (p->k + MATH_FEW_DOT - 1) / MATH_FEW_DOT;
  const size_t length = math_padded((p->k + n_blocks - 1) / n_blocks);
  for (size_t j = 0; j < p->n; j += OUTPUTS)
    for (size_t q = 0; q < p->k; q += length)
      each_row(p, j, q, ls_size_min(length, p->k - q), is_avx512 ? ROWS_AVX512 : ROWS_AVX2,
               is_avx512 ? tile_avx512 : tile_avx2);
}

#endif
