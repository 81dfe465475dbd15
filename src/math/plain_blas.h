/* The part of CBLAS that blas.c calls, as plain loops: for liblockstep-infer, whose predictions use packed
 * weights (packed.c). A BLAS would bring threads of its own into the program that calls the library. */
#ifndef LOCKSTEP_MATH_PLAIN_BLAS_H
#define LOCKSTEP_MATH_PLAIN_BLAS_H

#include <stddef.h>

#undef LS_HAVE_OPENBLAS

enum CBLAS_ORDER { CblasRowMajor };
enum CBLAS_TRANSPOSE { CblasNoTrans, CblasTrans };

static inline void cblas_sgemm(enum CBLAS_ORDER order, enum CBLAS_TRANSPOSE ta, enum CBLAS_TRANSPOSE tb,
                               int m, int n, int k, float alpha, const float *a, int lda, const float *b,
                               int ldb, float beta, float *c, int ldc) {
  (void)order;
  for (size_t i = 0; i < (size_t)m; i++)
    for (size_t j = 0; j < (size_t)n; j++) {
      float *const at = c + i * (size_t)ldc + j;
      float sum = 0.0F;
      for (size_t p = 0; p < (size_t)k; p++)
        sum += a[ta == CblasTrans ? p * (size_t)lda + i : i * (size_t)lda + p] *
               b[tb == CblasTrans ? j * (size_t)ldb + p : p * (size_t)ldb + j];
      *at = alpha * sum + (beta == 0.0F ? 0.0F : beta * *at);
    }
}

static inline void cblas_sgemv(enum CBLAS_ORDER order, enum CBLAS_TRANSPOSE ta, int m, int n, float alpha,
                               const float *a, int lda, const float *x, int x_step, float beta, float *y,
                               int y_step) {
  const int rows = ta == CblasTrans ? n : m;
  cblas_sgemm(order, ta, CblasNoTrans, rows, 1, ta == CblasTrans ? m : n, alpha, a, lda, x, x_step, beta, y,
              y_step);
}

#endif
