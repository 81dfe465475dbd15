/* Matrix products: of few rows by our own kernels, others by CBLAS, with checked narrowing of sizes to its
 * int. */
#include "lockstep/math.h"

#include "few.h"

#ifdef LS_NO_BLAS
#include "plain_blas.h"
#else
#include <cblas.h>
#endif
#include <limits.h>
#include <string.h>

static int narrow(size_t n) {
  LS_ASSERT(n <= INT_MAX);
  return (int)n;
}

/* Threads among which products are divided. BLAS itself has one then: its idle threads would spin. A BLAS
 * with OpenMP counts its threads anew in each of ours, so that it divides the products itself. */
static size_t n_threads = 1;

ls_status ls_math_threads_set(int threads) {
#ifdef LS_HAVE_OPENBLAS
  enum { OF_BLAS = 1, OF_OPENMP = 2 }; /* the threads of openblas_get_parallel */
  const int kind = openblas_get_parallel();
  openblas_set_num_threads(kind == OF_OPENMP ? threads : 1);
  n_threads = kind == OF_BLAS ? (size_t)threads : 1;
#endif
  return ls_parallel_set(threads);
}

const char *ls_math_blas_name(void) {
#ifdef LS_HAVE_OPENBLAS
  static char name[160];
  snprintf(name, sizeof name, "%.100s (%.40s kernels)", openblas_get_config(), openblas_get_corename());
  return name;
#else
  return "CBLAS";
#endif
}

/* Handles empty products, for which BLAS may leave c unchanged or reject a leading dimension of 0. */
static bool is_empty(size_t m, size_t n, size_t k, float beta, float *c, size_t ldc) {
  if (m == 0 || n == 0) return true;
  if (k > 0) return false;
  for (size_t i = 0; i < m; i++)
    for (size_t j = 0; j < n; j++) c[i * ldc + j] = beta == 0.0F ? 0.0F : beta * c[i * ldc + j];
  return true;
}

/* OpenBLAS's kernels for 512-bit vectors multiply small matrices without packing them: up to SMALL terms
 * per call, and with b transposed up to SMALL_NT elements of c. With few rows, many small products are
 * faster than a large one. Speed-ups with 0.3.21, one thread, W 512 x 784, for 4, 8, 16 and 32 rows: y = x
 * W^T 3.6, 2.3, 1.6, 1.3; dW = dy^T x 1.5, 1.4, 1.25, 1.15; dx = dy W (W 512 x 512) 2.9, 2.0, 1.5, 1.25.
 * Other kernels always pack; there, small products cost up to 20 % more. */
#define SMALL     1000000
#define SMALL_NT  1200
#define SMALL_MIN 16 /* fewest columns per call; this number times a power of two is fastest */

static bool has_small_kernels(void) {
#ifdef LS_HAVE_OPENBLAS
  static const char *const names[] = {"SkylakeX", "Cooperlake", "SapphireRapids"};
  const char *const name = openblas_get_corename();
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    if (strcmp(name, names[i]) == 0) return openblas_get_num_threads() == 1;
#endif
  return false;
}

typedef enum CBLAS_TRANSPOSE transpose;

/* Columns of c per call: all n, unless fewer make it a small product. */
static size_t columns_of_call(transpose tb, size_t m, size_t n, size_t k) {
  size_t most = SMALL / k / m;
  if (tb == CblasTrans) most = ls_size_min(most, SMALL_NT / m);
  if (most < SMALL_MIN || most >= n || !has_small_kernels()) return n;
  size_t columns = SMALL_MIN;
  while (2 * columns <= most) columns *= 2;
  return columns;
}

/* One row, as a matrix-vector product: six times faster with kernels that always pack. */
static void multiply_row(transpose tb, size_t n, size_t k, const float *a, const float *b, size_t ldb,
                         float beta, float *c) {
  const bool is_b_transposed = tb == CblasTrans;
  cblas_sgemv(CblasRowMajor, is_b_transposed ? CblasNoTrans : CblasTrans, narrow(is_b_transposed ? n : k),
              narrow(is_b_transposed ? k : n), 1.0F, b, narrow(ldb), a, 1, beta, c, 1);
}

#define LONG_SUM 4096 /* terms */

/* c = a^T b + beta c, in double: small kernels add all terms in one float, which loses 0.25 % of a sum of
 * 3e5 equal terms.  a: (k, lda), b: (k, ldb); m n <= SMALL / LONG_SUM */
static void sum_long(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, size_t ldb,
                     float beta, float *c, size_t ldc) {
  double sums[SMALL / LONG_SUM] = {0.0};
  for (size_t r = 0; r < k; r++)
    for (size_t i = 0; i < m; i++)
      for (size_t j = 0; j < n; j++) sums[i * n + j] += (double)a[r * lda + i] * (double)b[r * ldb + j];
  for (size_t i = 0; i < m; i++)
    for (size_t j = 0; j < n; j++)
      c[i * ldc + j] =
          (float)(sums[i * n + j] + (beta == 0.0F ? 0.0 : (double)beta * (double)c[i * ldc + j]));
}

/* Whether small kernels would add too many terms in one float. */
static bool is_long(transpose ta, size_t k) {
  return ta == CblasTrans && k > LONG_SUM && has_small_kernels();
}

/* c = op(a) op(b) + beta c.  c: (m, n); lda, ldb, ldc: row strides of a, b and c */
static void multiply_block(transpose ta, transpose tb, size_t m, size_t n, size_t k, const float *a,
                           size_t lda, const float *b, size_t ldb, float beta, float *c, size_t ldc) {
  if (is_empty(m, n, k, beta, c, ldc)) return;
  if (m == 1 && ta == CblasNoTrans && !has_small_kernels()) {
    multiply_row(tb, n, k, a, b, ldb, beta, c);
    return;
  }
  if (is_long(ta, k) && m * n <= SMALL / k) {
    sum_long(m, n, k, a, lda, b, ldb, beta, c, ldc);
    return;
  }
  const size_t step = is_long(ta, k) ? n : columns_of_call(tb, m, n, k);
  for (size_t j = 0; j < n; j += step)
    cblas_sgemm(CblasRowMajor, ta, tb, narrow(m), narrow(ls_size_min(step, n - j)), narrow(k), 1.0F, a,
                narrow(lda), b + (tb == CblasTrans ? j * ldb : j), narrow(ldb), beta, c + j, narrow(ldc));
}

#define WORK      ((size_t)1 << 19)   /* multiplications per thread, at least */
#define WORK_LONG ((size_t)SMALL * 4) /* the same for long sums: the parts are not small products */
#define BLOCK     16                  /* rows and columns of c in whole blocks of this size are faster */

/* A product whose c is divided among threads, into n_rows x n_columns parts. */
typedef struct division {
  size_t n_rows, n_columns;
  transpose ta, tb;
  size_t m, n, k;
  const float *a;
  size_t lda;
  const float *b;
  size_t ldb;
  float beta;
  float *c;
  size_t ldc;
} division;

/* The start of part i of n rows or columns in whole blocks. */
static size_t start_of(size_t n, size_t parts, size_t i) {
  return ls_size_min(BLOCK * math_few_start((n + BLOCK - 1) / BLOCK, parts, i), n);
}

static void multiply_part(void *context, size_t part) {
  const division *const d = context;
  const size_t i = start_of(d->m, d->n_rows, part / d->n_columns);
  const size_t j = start_of(d->n, d->n_columns, part % d->n_columns);
  const size_t m = start_of(d->m, d->n_rows, part / d->n_columns + 1) - i;
  const size_t n = start_of(d->n, d->n_columns, part % d->n_columns + 1) - j;
  multiply_block(d->ta, d->tb, m, n, d->k, d->a + (d->ta == CblasTrans ? i : i * d->lda), d->lda,
                 d->b + (d->tb == CblasTrans ? j * d->ldb : j), d->ldb, d->beta, d->c + i * d->ldc + j,
                 d->ldc);
}

/* Every part packs its rows of a and columns of b: the division with the smallest sum of both is best. */
static size_t rows_of_division(size_t m, size_t n, size_t n_parts) {
  size_t best = 1;
  for (size_t rows = 2; rows <= n_parts; rows++)
    if (n_parts % rows == 0 && m / rows + n * rows / n_parts < m / best + n * best / n_parts) best = rows;
  return best;
}

/* The same on all threads. */
static void multiply(transpose ta, transpose tb, size_t m, size_t n, size_t k, const float *a, size_t lda,
                     const float *b, size_t ldb, float beta, float *c, size_t ldc) {
  const size_t least = is_long(ta, k) ? WORK_LONG : WORK;
  const size_t n_parts = ls_size_max(ls_size_min(n_threads, m * n * k / least), 1);
  const size_t n_rows = rows_of_division(m, n, n_parts);
  division d = {n_rows, n_parts / n_rows, ta, tb, m, n, k, a, lda, b, ldb, beta, c, ldc};
  ls_parallel(n_parts, multiply_part, &d);
}

void ls_math_product_nt(size_t m, size_t n, size_t k, const float *a, const float *b, float beta,
                        float *c) {
  const math_few few = {.m = m,
                        .n = n,
                        .k = k,
                        .a = a,
                        .a_row = k,
                        .a_col = 1,
                        .b = b,
                        .b_row = k,
                        .beta = beta,
                        .c = c,
                        .c_row = n};
  if (!math_few_product_nt(&few)) multiply(CblasNoTrans, CblasTrans, m, n, k, a, k, b, k, beta, c, n);
}

void ls_math_product_nn_columns(size_t first, size_t count, size_t m, size_t n, size_t k, const float *a,
                                const float *b, float beta, float *c) {
  const math_few few = {.m = m,
                        .n = count,
                        .k = k,
                        .a = a,
                        .a_row = k,
                        .a_col = 1,
                        .b = b + first,
                        .b_row = n,
                        .beta = beta,
                        .c = c + first,
                        .c_row = n};
  if (!math_few_product_nn(&few))
    multiply(CblasNoTrans, CblasNoTrans, m, count, k, a, k, b + first, n, beta, c + first, n);
}

void ls_math_product_tn_rows(size_t first, size_t count, size_t m, size_t n, size_t k, const float *a,
                             const float *b, float beta, float *c) {
  const math_few few = {.m = count,
                        .n = n,
                        .k = k,
                        .a = a + first,
                        .a_row = 1,
                        .a_col = m,
                        .b = b,
                        .b_row = n,
                        .beta = beta,
                        .c = c + first * n,
                        .c_row = n};
  if (!math_few_product_tn(&few))
    multiply(CblasTrans, CblasNoTrans, count, n, k, a + first, m, b, n, beta, c + first * n, n);
}
