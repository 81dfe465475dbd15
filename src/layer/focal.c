/* The focal loss (Lin, Goyal, Girshick, He, Dollar, "Focal loss for dense object detection", ICCV 2017),
 * which gives less weight to samples that are predicted well. With u = 1 - p of the true class or label:
 *
 *   classes  p = softmax(z), u = 1 - p_y
 *            L = -u^gamma log p_y
 *            dz_k = u^gamma (gamma p_y log p_y / u - 1) ([k = y] - p_k)
 *   labels   p = sigmoid(z), u = p (1 - y) + (1 - p) y, c = -y log p - (1 - y) log(1 - p)
 *            L = a u^gamma c with a = alpha y + (1 - alpha) (1 - y), or 1 if alpha is 0
 *            dz = a u^gamma ((p - y) + gamma c p (1 - p) (1 - 2 y) / u)
 *
 * u is computed without cancellation. log p / u has the limit -1 for u = 0, and p (1 - p) / u the limit 1.
 */
#include "internal.h"

#include <math.h>

typedef struct softmax_row {
  double most, sum; /* max z and sum_j e^(z_j - most) */
} softmax_row;

static softmax_row softmax_of(size_t cols, const float *z) {
  softmax_row row = {.most = z[0]};
  for (size_t j = 1; j < cols; j++) row.most = (double)z[j] > row.most ? (double)z[j] : row.most;
  for (size_t j = 0; j < cols; j++) row.sum += exp((double)z[j] - row.most);
  return row;
}

/* The loss of class y, and *factor: dL/dz_k = factor ([k = y] - p_k). */
static double class_loss(const softmax_row *row, double gamma, size_t cols, const float *z, size_t y,
                         double *factor) {
  double others = 0.0;
  for (size_t j = 0; j < cols; j++)
    if (j != y) others += exp((double)z[j] - row->most);
  const double p = exp((double)z[y] - row->most) / row->sum;
  const double u = others / row->sum;
  const double log_p = (double)z[y] - row->most - log(row->sum);
  const double scale = pow(u, gamma);
  *factor = scale * (gamma * p * (u > 0.0 ? log_p / u : -1.0) - 1.0);
  return -scale * log_p;
}

double layer_focal_classes(const ls_loss_options *o, const ls_targets *targets, size_t i, size_t cols,
                           const float *z, double weight, float *dz) {
  const size_t y = (size_t)targets->classes[i];
  const size_t partner = targets->partners ? (size_t)targets->partners[i] : y;
  const double share = targets->partners ? (double)targets->shares[i] : 1.0;
  const softmax_row row = softmax_of(cols, z);
  double factors[2] = {0};
  double loss = share * class_loss(&row, o->gamma, cols, z, y, &factors[0]);
  if (share < 1.0) loss += (1.0 - share) * class_loss(&row, o->gamma, cols, z, partner, &factors[1]);
  const double own = weight * share * factors[0];
  const double other = weight * (1.0 - share) * factors[1];
  for (size_t k = 0; dz && k < cols; k++)
    dz[k] = (float)((k == y ? own : 0.0) + (k == partner ? other : 0.0) -
                    (own + other) * exp((double)z[k] - row.most) / row.sum);
  return weight * loss;
}

double layer_focal_labels(const ls_loss_options *o, size_t cols, const float *z, const float *y,
                          double weight, float *dz) {
  double sum = 0.0;
  for (size_t k = 0; k < cols; k++) {
    const double x = z[k];
    const double t = y[k];
    const double e = exp(-fabs(x));
    const double p = (x >= 0.0 ? 1.0 : e) / (1.0 + e);
    const double q = (x >= 0.0 ? e : 1.0) / (1.0 + e); /* 1 - p */
    const double c = (x > 0.0 ? x : 0.0) + log1p(e) - t * x;
    const double u = p * (1.0 - t) + q * t;
    const double a = o->alpha > 0.0 ? o->alpha * t + (1.0 - o->alpha) * (1.0 - t) : 1.0;
    const double scale = a * pow(u, o->gamma);
    const double slope = o->gamma * c * (u > 0.0 ? p * q / u : 1.0) * (1.0 - 2.0 * t);
    sum += scale * c;
    if (dz) dz[k] = (float)(weight * scale * (p - t + slope));
  }
  return weight * sum;
}
