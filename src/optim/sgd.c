/* sgd: w = w - lr g. */
#include "internal.h"

static const ls_key keys[] = {OPTIM_TYPE_KEY, OPTIM_LR_KEY("0.001"), OPTIM_COUPLED_DECAY_KEY, {0}};

static void step(const ls_optim *optim, double lr, float scale, const float *grads, float *params) {
  const optim_common *const o = optim->options;
  if (o->weight_decay > 0.0)
    ls_math_sgd_step(optim->n, (float)lr, (float)o->weight_decay, scale, grads, params);
  else
    ls_math_add_scaled(optim->n, -(float)lr * scale, grads, params);
}

const ls_optim_type optim_sgd = {
    .name = "sgd", .help = "w -= lr g", .keys = keys, .options_size = sizeof(optim_common), .step = step};
