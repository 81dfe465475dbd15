/* Matrix products by CBLAS, and the checked narrowing to its int. */
#include "lockstep/math.h"

#include <cblas.h>
#include <limits.h>

static int narrow(size_t n) {
  LS_ASSERT(n <= INT_MAX);
  return (int)n;
}

void ls_math_threads_set(int threads) {
#ifdef LS_HAVE_OPENBLAS
  openblas_set_num_threads(threads);
#else
  (void)threads;
#endif
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

/* BLAS may leave c alone where k is 0, or refuse leading dimensions of 0: nothing to add then. */
static bool is_empty(size_t m, size_t n, size_t k, float beta, float *c) {
  if (m == 0 || n == 0) return true;
  if (k > 0) return false;
  for (size_t i = 0; i < m * n; i++) c[i] = beta == 0.0F ? 0.0F : beta * c[i];
  return true;
}

void ls_math_product_nt(size_t m, size_t n, size_t k, const float *a, const float *b, float beta,
                        float *c) {
  if (is_empty(m, n, k, beta, c)) return;
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, narrow(m), narrow(n), narrow(k), 1.0F, a, narrow(k),
              b, narrow(k), beta, c, narrow(n));
}

void ls_math_product_nn(size_t m, size_t n, size_t k, const float *a, const float *b, float beta,
                        float *c) {
  if (is_empty(m, n, k, beta, c)) return;
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, narrow(m), narrow(n), narrow(k), 1.0F, a,
              narrow(k), b, narrow(n), beta, c, narrow(n));
}

void ls_math_product_tn(size_t m, size_t n, size_t k, const float *a, const float *b, float beta,
                        float *c) {
  if (is_empty(m, n, k, beta, c)) return;
  cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, narrow(m), narrow(n), narrow(k), 1.0F, a, narrow(m),
              b, narrow(n), beta, c, narrow(n));
}
