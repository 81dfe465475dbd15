/* lars (You, Gitman, Ginsburg, "Large batch training of convolutional networks", 2017, algorithm 1):
 * momentum with a learning rate of its own for each block of parameters (a W, a b, ...):
 *
 *   trust = trust_coefficient |w| / (|g| + weight_decay |w|)     1 if |w| or |g| is 0
 *   v = momentum v + lr trust (g + weight_decay w),  w = w - v
 *
 * The velocity contains the learning rate, as in the paper. */
#include "internal.h"

typedef struct options {
  optim_common common;
  double momentum, trust_coefficient;
} options;

static const ls_key keys[] = {
    OPTIM_TYPE_KEY,
    OPTIM_LR_KEY("1"),
    LS_REAL_KEY("momentum", options, momentum, "0.9", 0, 1, "decay rate of the velocity",
                .flags = LS_KEY_BELOW_MAX),
    LS_REAL_KEY("trust_coefficient", options, trust_coefficient, "0.001", 1e-12, 1e6,
                "factor of the ratio of the norms of parameters and gradient"),
    OPTIM_COUPLED_DECAY_KEY,
    {0},
};

static void sums(const ls_optim *optim, float scale, const float *grads, const float *params,
                 double sums[2]) {
  sums[0] += ls_math_sum_squares(optim->n, params);
  sums[1] += (double)scale * (double)scale * ls_math_sum_squares(optim->n, grads);
}

static double trust(const ls_optim *optim, double params, double gradient) {
  const options *const o = optim->options;
  return o->trust_coefficient * params / (gradient + o->common.weight_decay * params);
}

static void step(const ls_optim *optim, double lr, float scale, const float *grads, float *params) {
  const options *const o = optim->options;
  const double rate = lr * optim->trust;
  const ls_momentum_step s = {
      .lr = 1.0F, .momentum = (float)o->momentum, .decay = (float)(rate * o->common.weight_decay)};
  ls_math_momentum_step(optim->n, &s, (float)(rate * (double)scale), grads, optim->slots[0], params);
}

const ls_optim_type optim_lars = {.name = "lars",
                                  .help = "momentum with a rate per block, for very large batches",
                                  .keys = keys,
                                  .options_size = sizeof(options),
                                  .n_slots = 1,
                                  .slot_names = {"velocity"},
                                  .sums = sums,
                                  .trust = trust,
                                  .step = step};
