/* Kernels of layer norm: the statistics of a row, in double. */
#include "internal.h"

#include <math.h>

#define PARTIALS 8 /* partial sums; their order is the same on every processor */

static double total(const double *partial) {
  double sum = 0.0;
  for (size_t k = 0; k < PARTIALS; k++) sum += partial[k];
  return sum;
}

/* sum_j x_j */
CLONES static double sum_of(size_t n, const float *x) {
  double partial[PARTIALS] = {0.0};
  size_t j = 0;
  for (; j + PARTIALS <= n; j += PARTIALS)
    for (size_t k = 0; k < PARTIALS; k++) partial[k] += (double)x[j + k];
  for (size_t k = 0; j + k < n; k++) partial[k] += (double)x[j + k];
  return total(partial);
}

/* sum_j (x_j - mean)^2 */
CLONES static double squares_of(size_t n, double mean, const float *x) {
  double partial[PARTIALS] = {0.0};
  size_t j = 0;
  for (; j + PARTIALS <= n; j += PARTIALS)
    for (size_t k = 0; k < PARTIALS; k++)
      partial[k] += ((double)x[j + k] - mean) * ((double)x[j + k] - mean);
  for (size_t k = 0; j + k < n; k++) partial[k] += ((double)x[j + k] - mean) * ((double)x[j + k] - mean);
  return total(partial);
}

typedef struct statistics {
  double mean, inverse; /* inverse: 1 / sqrt(var + eps) */
} statistics;

static statistics statistics_of(size_t n, double eps, const float *x) {
  const double mean = sum_of(n, x) / (double)n;
  return (statistics){.mean = mean, .inverse = 1.0 / sqrt(squares_of(n, mean, x) / (double)n + eps)};
}

CLONES static void normalize(size_t n, double mean, double inverse, const float *x, const float *gamma,
                             const float *beta, float *restrict y) {
  for (size_t j = 0; j < n; j++)
    y[j] = (float)(((double)x[j] - mean) * inverse * (double)gamma[j] + (double)beta[j]);
}

void ls_math_layer_norm(size_t rows, size_t cols, double eps, const float *x, const float *gamma,
                        const float *beta, float *y) {
  for (size_t i = 0; i < rows; i++, x += cols, y += cols) {
    const statistics s = statistics_of(cols, eps, x);
    normalize(cols, s.mean, s.inverse, x, gamma, beta, y);
  }
}

/* sums += dy, products += dy xhat */
CLONES static void add_gradients(size_t n, double mean, double inverse, const float *x, const float *dy,
                                 double *restrict sums, double *restrict products) {
  for (size_t j = 0; j < n; j++) {
    sums[j] += (double)dy[j];
    products[j] += (double)dy[j] * (((double)x[j] - mean) * inverse);
  }
}

/* sum_j gamma_j dy_j, and with xhat as a factor. */
static void sum_scaled(size_t n, const statistics *s, const float *x, const float *gamma, const float *dy,
                       double *sum, double *product) {
  *sum = *product = 0.0;
  for (size_t j = 0; j < n; j++) {
    const double g = (double)gamma[j] * (double)dy[j];
    *sum += g;
    *product += g * (((double)x[j] - s->mean) * s->inverse);
  }
}

/* dx = inverse (gamma dy - mean_dy - xhat mean_product) */
CLONES static void differentiate(size_t n, double mean, double inverse, const float *x, const float *gamma,
                                 const float *dy, double mean_dy, double mean_product, float *restrict dx) {
  for (size_t j = 0; j < n; j++)
    dx[j] = (float)(inverse * ((double)gamma[j] * (double)dy[j] - mean_dy -
                               ((double)x[j] - mean) * inverse * mean_product));
}

void ls_math_layer_norm_backward(size_t rows, size_t cols, double eps, const float *x, const float *gamma,
                                 const float *dy, float *dx, double *sums, double *products) {
  for (size_t i = 0; i < rows; i++, x += cols, dy += cols) {
    const statistics s = statistics_of(cols, eps, x);
    add_gradients(cols, s.mean, s.inverse, x, dy, sums, products);
    if (!dx) continue;
    double sum;
    double product;
    sum_scaled(cols, &s, x, gamma, dy, &sum, &product);
    differentiate(cols, s.mean, s.inverse, x, gamma, dy, sum / (double)cols, product / (double)cols, dx);
    dx += cols;
  }
}
