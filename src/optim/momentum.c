/* momentum: v = momentum v + g, w = w - lr v. The learning rate stands outside the velocity, as in PyTorch.
 */
#include "kinds.h"

typedef struct options {
  const char *type;
  double lr;
  double momentum;
} options;

static const ls_key keys[] = {LS_OPTIM_TYPE_KEY(options, "momentum"),
                              LS_OPTIM_LR_KEY(options, "0.01"),
                              {.name = "momentum",
                               .type = LS_KEY_REAL,
                               .offset = offsetof(options, momentum),
                               .fallback = "0.9",
                               .min = 0,
                               .max = 1,
                               .flags = LS_KEY_BELOW_MAX,
                               .help = "the part of the velocity that is kept each step"},
                              {0}};

static void step(const ls_optim *optim, double lr, float scale, const float *grads, float *params) {
  const options *const o = optim->options;
  ls_math_momentum_step(optim->n, (float)lr, (float)o->momentum, scale, grads, optim->slots[0], params);
}

static double base_lr(const ls_optim *optim) {
  return ((const options *)optim->options)->lr;
}

const ls_optim_type ls_optim_momentum = {.name = "momentum",
                                         .help = "v = momentum v + g, w -= lr v",
                                         .keys = keys,
                                         .options_size = sizeof(options),
                                         .n_slots = 1,
                                         .slot_names = {"velocity"},
                                         .step = step,
                                         .lr = base_lr};
