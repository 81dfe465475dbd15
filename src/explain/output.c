/* The explained output. With p the softmax or sigmoid of z:
 *
 *   a class       F = p_c         dF/dz_j = p_c ([j = c] - p_j)
 *   a label       F = p_c         dF/dz_c = p_c (1 - p_c)
 *   one sigmoid   F = p or 1 - p  dF/dz = p (1 - p), negative for class 0
 *   a number      F = a_c / factor + offset, in the units of the data    dF/da_c = 1 / factor
 */
#include "internal.h"

#include <math.h>
#include <string.h>

static bool is_binary(const ls_model *model) {
  return ls_loss_link(model->loss) == LS_SIGMOID && model->n_out == 1;
}

size_t ls_explain_n_outputs(const ls_model *model) {
  return is_binary(model) ? 2 : model->n_out;
}

/* log sum_j e^z_j, so that softmax(z)_j = e^(z_j - this) */
static double log_sum(size_t n, const float *z) {
  float most = z[0];
  for (size_t j = 1; j < n; j++) most = z[j] > most ? z[j] : most;
  double sum = 0.0;
  for (size_t j = 0; j < n; j++) sum += exp((double)z[j] - (double)most);
  return (double)most + log(sum);
}

static double sigmoid(double z) {
  return 1.0 / (1.0 + exp(-z));
}

double explain_value(const ls_explain_options *o, size_t output, const float *z) {
  const ls_model *const model = o->model;
  const ls_normalizer *const targets = o->normalizer->targets;
  if (is_binary(model)) return sigmoid(output == 1 ? (double)z[0] : -(double)z[0]);
  switch (ls_loss_link(model->loss)) {
  case LS_SOFTMAX: return exp((double)z[output] - log_sum(model->n_out, z));
  case LS_SIGMOID: return sigmoid((double)z[output]);
  default:
    return targets ? (double)z[output] / targets->factor[output] + targets->offset[output]
                   : (double)z[output];
  }
}

/* explain_seed for a class of a softmax. */
static void seed_softmax(size_t n, size_t output, double weight, const float *z, float *dz) {
  const double all = log_sum(n, z);
  const double f = exp((double)z[output] - all);
  for (size_t j = 0; j < n; j++) dz[j] = (float)(-weight * f * exp((double)z[j] - all));
  dz[output] = (float)(weight * f * (1.0 - f));
}

void explain_seed(const ls_explain_options *o, size_t output, double weight, const float *z, float *dz) {
  const ls_model *const model = o->model;
  const ls_normalizer *const targets = o->normalizer->targets;
  const ls_activation link = ls_loss_link(model->loss);
  if (link == LS_SOFTMAX) {
    seed_softmax(model->n_out, output, weight, z, dz);
    return;
  }
  const double f = explain_value(o, output, z);
  memset(dz, 0, model->n_out * sizeof *dz);
  if (link == LS_LINEAR)
    dz[output] = (float)(targets ? weight / targets->factor[output] : weight);
  else if (is_binary(model))
    dz[0] = (float)((output == 1 ? weight : -weight) * f * (1.0 - f));
  else
    dz[output] = (float)(weight * f * (1.0 - f));
}

size_t explain_predicted(const ls_model *model, const float *z) {
  if (is_binary(model)) return z[0] > 0.0F;
  size_t best = 0;
  for (size_t j = 1; j < model->n_out; j++)
    if (z[j] > z[best]) best = j;
  return best;
}
