/* Losses and their gradients.
 *
 *   categorical_cross_entropy  L = log sum_j e^z_j - z_y            dz_k = softmax(z)_k - [k = y]
 *   binary_cross_entropy       L = sum_k log(1 + e^z_k) - y_k z_k   dz_k = sigmoid(z_k) - y_k
 *   mse                        L = 1/2 sum_k (y_k - a_k)^2          da_k = a_k - y_k
 *   mae                        L = sum_k |y_k - a_k|                da_k = sign(a_k - y_k)
 *   huber (Huber 1964)         da_k = a_k - y_k, limited to [-delta, delta]
 *   focal                      see focal.c
 *
 * A mixed class has the share s of y and 1 - s of y': L = s L(y) + (1 - s) L(y') = L(y) + (1 - s) (z_y -
 * z_y'). Label smoothing e (Szegedy et al. 2016) moves the share e of a class to all K classes equally:
 * L = L(y) + e (z_y - mean z); a label t becomes t (1 - e) + e / 2.
 *
 * The cross-entropies are the reference's formulas with the activation inserted; they neither overflow nor
 * lose digits if a is near 0 or 1. Sums are in double. */
#include "internal.h"

#include <math.h>

ls_activation ls_loss_link(ls_loss loss) {
  switch (loss) {
  case LS_CATEGORICAL_CROSS_ENTROPY:
  case LS_FOCAL: return LS_SOFTMAX;
  case LS_BINARY_CROSS_ENTROPY:
  case LS_FOCAL_LABELS: return LS_SIGMOID;
  default: return LS_LINEAR;
  }
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

/* Moves the share `moved` of the weight of class y to all classes: changes dz, and returns the change of
 * the loss. */
static double smooth_row(size_t cols, const float *z, int32_t y, double moved, float *dz) {
  double sum = 0.0;
  for (size_t j = 0; j < cols; j++) {
    sum += (double)z[j];
    if (dz) dz[j] = (float)((double)dz[j] - moved / (double)cols);
  }
  if (dz) dz[y] = (float)((double)dz[y] + moved);
  return moved * ((double)z[y] - sum / (double)cols);
}

/* Moves the weight `moved` from a row's first class to its second: changes dz, and returns the change of
 * the loss. */
static double mix_row(const ls_targets *targets, size_t i, const float *z, double moved, float *dz) {
  const int32_t y = targets->classes[i];
  const int32_t partner = targets->partners[i];
  if (dz) {
    dz[y] = (float)((double)dz[y] + moved);
    dz[partner] = (float)((double)dz[partner] - moved);
  }
  return moved * ((double)z[y] - (double)z[partner]);
}

static double cross_entropy_row(const ls_loss_options *o, const ls_targets *targets, size_t i, size_t cols,
                                const float *z, double weight, float *dz) {
  const double smoothing = o->label_smoothing;
  double loss = categorical_row(cols, z, targets->classes[i], weight, dz);
  if (smoothing > 0.0) loss += smooth_row(cols, z, targets->classes[i], weight * smoothing, dz);
  if (targets->partners)
    loss += mix_row(targets, i, z, weight * (1.0 - (double)targets->shares[i]) * (1.0 - smoothing), dz);
  return loss;
}

static double binary_row(const ls_loss_options *o, size_t cols, const float *z, const float *y,
                         double weight, float *dz) {
  const double smoothing = o->label_smoothing;
  double sum = 0.0;
  for (size_t k = 0; k < cols; k++) {
    const double x = z[k];
    const double t = (double)y[k] * (1.0 - smoothing) + 0.5 * smoothing;
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

/* NaN in a makes the loss and da NaN. */
static double absolute_row(size_t cols, const float *a, const float *y, double weight, float *da) {
  double sum = 0.0;
  for (size_t k = 0; k < cols; k++) {
    const double error = (double)a[k] - (double)y[k];
    sum += fabs(error);
    if (da) da[k] = (float)(weight * (error > 0.0 ? 1.0 : error < 0.0 ? -1.0 : error));
  }
  return weight * sum;
}

static double huber_row(double delta, size_t cols, const float *a, const float *y, double weight,
                        float *da) {
  double sum = 0.0;
  for (size_t k = 0; k < cols; k++) {
    const double error = (double)a[k] - (double)y[k];
    const double size = fabs(error);
    sum += size > delta ? delta * (size - 0.5 * delta) : 0.5 * error * error;
    if (da) da[k] = (float)(weight * (size > delta ? copysign(delta, error) : error));
  }
  return weight * sum;
}

/* Row i of all rows; z and dz are those of the row. */
static double apply_row(ls_loss loss, const ls_loss_options *o, const ls_targets *targets, size_t i,
                        size_t cols, const float *z, float *dz) {
  const double weight = targets->weights ? (double)targets->weights[i] : 1.0;
  if (loss == LS_CATEGORICAL_CROSS_ENTROPY) return cross_entropy_row(o, targets, i, cols, z, weight, dz);
  if (loss == LS_FOCAL) return layer_focal_classes(o, targets, i, cols, z, weight, dz);
  LS_ASSERT(targets->values);
  const float *const y = targets->values + i * cols;
  switch (loss) {
  case LS_BINARY_CROSS_ENTROPY: return binary_row(o, cols, z, y, weight, dz);
  case LS_MSE: return squared_row(cols, z, y, weight, dz);
  case LS_MAE: return absolute_row(cols, z, y, weight, dz);
  case LS_HUBER: return huber_row(o->delta, cols, z, y, weight, dz);
  default: return layer_focal_labels(o, cols, z, y, weight, dz);
  }
}

double ls_loss_apply(ls_loss loss, const ls_loss_options *options, size_t rows, size_t cols, const float *z,
                     const ls_targets *targets, float *dz) {
  double sum = 0.0;
  for (size_t i = 0; i < rows; i++)
    sum += apply_row(loss, options, targets, i, cols, z + i * cols, dz ? dz + i * cols : NULL);
  return sum;
}
