/* Kernels of batch norm: rows outer, columns inner, in double. */
#include "internal.h"
#include "lockstep/math.h"

CLONES void ls_math_norm_sums(size_t rows, size_t cols, const float *x, const float *pivot, double *sums,
                              double *squares) {
  for (size_t i = 0; i < rows; i++, x += cols)
    for (size_t j = 0; j < cols; j++) {
      const double d = (double)x[j] - (double)pivot[j];
      sums[j] += d;
      squares[j] += d * d;
    }
}

CLONES void ls_math_norm(size_t rows, size_t cols, const float *x, const double *mean,
                         const double *inverse, const float *gamma, const float *beta, float *y) {
  for (size_t i = 0; i < rows; i++, x += cols, y += cols)
    for (size_t j = 0; j < cols; j++)
      y[j] = (float)(((double)x[j] - mean[j]) * inverse[j] * (double)gamma[j] + (double)beta[j]);
}

CLONES void ls_math_norm_backward_sums(size_t rows, size_t cols, const float *x, const double *mean,
                                       const double *inverse, const float *dy, double *sums,
                                       double *products) {
  for (size_t i = 0; i < rows; i++, x += cols, dy += cols)
    for (size_t j = 0; j < cols; j++) {
      sums[j] += (double)dy[j];
      products[j] += (double)dy[j] * (((double)x[j] - mean[j]) * inverse[j]);
    }
}

CLONES void ls_math_norm_backward(size_t rows, size_t cols, const float *x, const double *mean,
                                  const double *inverse, const float *gamma, const double *mean_dy,
                                  const double *mean_product, const float *dy, float *dx) {
  for (size_t i = 0; i < rows; i++, x += cols, dy += cols, dx += cols)
    for (size_t j = 0; j < cols; j++) {
      const double normal = ((double)x[j] - mean[j]) * inverse[j];
      dx[j] =
          (float)((double)gamma[j] * inverse[j] * ((double)dy[j] - mean_dy[j] - normal * mean_product[j]));
    }
}
