/* rmsprop (Tieleman & Hinton 2012), with eps outside the root, as in PyTorch:
 *
 *   v = alpha v + (1 - alpha) g^2     w = w - lr g / (sqrt(v) + eps) */
#include "internal.h"

typedef struct options {
  optim_common common;
  double alpha;
  double eps;
} options;

static const ls_key keys[] = {
    OPTIM_TYPE_KEY,
    OPTIM_LR_KEY("0.01"),
    LS_REAL_KEY("alpha", options, alpha, "0.99", 0, 1, "decay rate of the average of g^2",
                .flags = LS_KEY_BELOW_MAX),
    OPTIM_EPS_KEY("1e-8", "constant added to the root of the average of g^2"),
    OPTIM_COUPLED_DECAY_KEY,
    {0},
};

static void step(const ls_optim *optim, double lr, float scale, const float *grads, float *params) {
  const options *const o = optim->options;
  const ls_rmsprop_step s = {
      .alpha = o->alpha, .lr = (float)lr, .eps = (float)o->eps, .decay = (float)o->common.weight_decay};
  ls_math_rmsprop_step(optim->n, &s, scale, grads, optim->slots[0], params);
}

const ls_optim_type optim_rmsprop = {.name = "rmsprop",
                                     .help = "w -= lr g / (sqrt(average of g^2) + eps)",
                                     .keys = keys,
                                     .options_size = sizeof(options),
                                     .n_slots = 1,
                                     .slot_names = {"square_average"},
                                     .step = step};
