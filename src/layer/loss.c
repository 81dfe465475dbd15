/* Losses and their gradients.
 *
 *   categorical_cross_entropy  L = log sum_j e^z_j - z_y            dz_k = softmax(z)_k - [k = y]
 *   binary_cross_entropy       L = sum_k log(1 + e^z_k) - y_k z_k   dz_k = sigmoid(z_k) - y_k
 *   mse                        L = 1/2 sum_k (y_k - a_k)^2          da_k = a_k - y_k
 *
 * A mixed class has the share s of y and 1 - s of y': L = s L(y) + (1 - s) L(y') = L(y) + (1 - s) (z_y -
 * z_y').
 *
 * The first two are the reference's formulas with the activation inserted; they neither overflow nor lose
 * digits if a is near 0 or 1. Sums are in double. */
#include "lockstep/layer.h"

#include <math.h>

const char *const ls_loss_names[] = {"categorical_cross_entropy", "binary_cross_entropy", "mse", NULL};

ls_activation ls_loss_link(ls_loss loss) {
  static const ls_activation links[] = {LS_SOFTMAX, LS_SIGMOID, LS_LINEAR};
  return links[loss];
}

/* With m = max z and s = sum_j e^(z_j - m): L = m + log s - z_y and softmax(z)_k = e^(z_k - m) / s. NaN in
 * z makes both NaN. */
static double categorical_row(size_t cols, const float *z, int32_t y, double weight, float *dz) {
  float most = z[0];
  for (size_t j = 1; j < cols; j++) most = z[j] > most ? z[j] : most;
  double sum = 0.0;
  for (size_t j = 0; j < cols; j++) {
    const double e = exp((double)z[j] - (double)most);
    sum += e;
    if (dz) dz[j] = (float)e;
  }
  const double loss = (double)most - (double)z[y] + log(sum);
  if (dz) {
    const double scale = weight / sum;
    for (size_t j = 0; j < cols; j++) dz[j] = (float)(scale * (double)dz[j]);
    dz[y] = (float)(weight * (exp((double)z[y] - (double)most) / sum - 1.0));
  }
  return weight * loss;
}

/* Adds a row's second class: changes dz of the first class alone to dz of the mix, and returns the change
 * of the loss. */
static double mix_row(const ls_targets *targets, size_t i, const float *z, double weight, float *dz) {
  const int32_t y = targets->classes[i];
  const int32_t partner = targets->partners[i];
  const double moved = weight * (1.0 - (double)targets->shares[i]);
  if (dz) {
    dz[y] = (float)((double)dz[y] + moved);
    dz[partner] = (float)((double)dz[partner] - moved);
  }
  return moved * ((double)z[y] - (double)z[partner]);
}

static double binary_row(size_t cols, const float *z, const float *y, double weight, float *dz) {
  double sum = 0.0;
  for (size_t k = 0; k < cols; k++) {
    const double x = z[k];
    const double t = y[k];
    const double e = exp(-fabs(x));
    sum += (x > 0.0 ? x : 0.0) + log1p(e) - t * x;
    if (dz) dz[k] = (float)(weight * ((x >= 0.0 ? 1.0 : e) / (1.0 + e) - t));
  }
  return weight * sum;
}

static double squared_row(size_t cols, const float *a, const float *y, double weight, float *da) {
  double sum = 0.0;
  for (size_t k = 0; k < cols; k++) {
    const double error = (double)a[k] - (double)y[k];
    sum += 0.5 * error * error;
    if (da) da[k] = (float)(weight * error);
  }
  return weight * sum;
}

double ls_loss_apply(ls_loss loss, size_t rows, size_t cols, const float *z, const ls_targets *targets,
                     float *dz) {
  double sum = 0.0;
  for (size_t i = 0; i < rows; i++) {
    const double weight = targets->weights ? (double)targets->weights[i] : 1.0;
    const float *const zi = z + i * cols;
    float *const di = dz ? dz + i * cols : NULL;
    switch (loss) {
    case LS_CATEGORICAL_CROSS_ENTROPY:
      sum += categorical_row(cols, zi, targets->classes[i], weight, di);
      if (targets->partners) sum += mix_row(targets, i, zi, weight, di);
      break;
    case LS_BINARY_CROSS_ENTROPY:
      sum += binary_row(cols, zi, targets->values + i * cols, weight, di);
      break;
    case LS_MSE: sum += squared_row(cols, zi, targets->values + i * cols, weight, di); break;
    }
  }
  return sum;
}
