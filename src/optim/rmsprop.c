/* rmsprop (Tieleman & Hinton 2012), with eps outside the root, as in PyTorch:
 *
 *   v = alpha v + (1 - alpha) g^2     w = w - lr g / (sqrt(v) + eps) */
#include "kinds.h"

typedef struct options {
  optim_common common;
  double alpha;
  double eps;
} options;

static const ls_key keys[] = {OPTIM_TYPE_KEY("rmsprop"),
                              OPTIM_LR_KEY("0.01"),
                              {.name = "alpha",
                               .type = LS_KEY_REAL,
                               .offset = offsetof(options, alpha),
                               .fallback = "0.99",
                               .min = 0,
                               .max = 1,
                               .flags = LS_KEY_BELOW_MAX,
                               .help = "decay of the average of g^2"},
                              OPTIM_EPS_KEY(options, "1e-8", "added to the root of the average of g^2"),
                              OPTIM_COUPLED_DECAY_KEY,
                              {0}};

static void step(const ls_optim *optim, double lr, float scale, const float *grads, float *params) {
  const options *const o = optim->options;
  const ls_rmsprop_step s = {
      .alpha = o->alpha, .lr = (float)lr, .eps = (float)o->eps, .decay = (float)o->common.weight_decay};
  ls_math_rmsprop_step(optim->n, &s, scale, grads, optim->slots[0], params);
}

const ls_optim_type ls_optim_rmsprop = {.name = "rmsprop",
                                        .help = "g over the root of an average of g^2",
                                        .keys = keys,
                                        .options_size = sizeof(options),
                                        .n_slots = 1,
                                        .slot_names = {"square_average"},
                                        .step = step,
                                        .lr = optim_common_lr};
