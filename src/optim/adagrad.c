/* adagrad (Duchi, Hazan & Singer 2011): sum = sum + g^2, w = w - lr g / (sqrt(sum) + eps). */
#include "internal.h"

typedef struct options {
  optim_common common;
  double eps;
} options;

static const ls_key keys[] = {
    OPTIM_TYPE_KEY,
    OPTIM_LR_KEY("0.01"),
    OPTIM_EPS_KEY("1e-10", "constant added to the root of the sum of g^2"),
    OPTIM_COUPLED_DECAY_KEY,
    {0},
};

static void step(const ls_optim *optim, double lr, float scale, const float *grads, float *params) {
  const options *const o = optim->options;
  const ls_adagrad_step s = {.lr = (float)lr, .eps = (float)o->eps, .decay = (float)o->common.weight_decay};
  ls_math_adagrad_step(optim->n, &s, scale, grads, optim->slots[0], params);
}

const ls_optim_type optim_adagrad = {.name = "adagrad",
                                     .help = "w -= lr g / (sqrt(sum of all g^2) + eps)",
                                     .keys = keys,
                                     .options_size = sizeof(options),
                                     .n_slots = 1,
                                     .slot_names = {"sum"},
                                     .step = step};
