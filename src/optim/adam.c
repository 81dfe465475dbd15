/* adam (Kingma & Ba 2015) and adamw (Loshchilov & Hutter 2019):
 *
 *   m = b1 m + (1 - b1) g     v = b2 v + (1 - b2) g^2
 *   w = w - lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps)
 *
 * The powers of b1 and b2 are products in double: the last bit of pow differs between processors, and the
 * parameters must not. The weight decay of adam is a part of g; that of adamw is decoupled from the
 * averages: w = w - lr weight_decay w before the update. */
#include "internal.h"

#include <math.h>

typedef struct options {
  optim_common common;
  double betas[2];
  double eps;
} options;

#define BETAS_KEY                                                                                          \
  LS_REALS2_KEY("betas", options, betas, "[0.9, 0.999]", 0, 1,                                             \
                "decay rates of the averages of g and of g^2", .flags = LS_KEY_BELOW_MAX)
#define EPS_KEY OPTIM_EPS_KEY("1e-8", "constant added to the root of the average of g^2")

static const ls_key adam_keys[] = {
    OPTIM_TYPE_KEY, OPTIM_LR_KEY("0.001"), BETAS_KEY, EPS_KEY, OPTIM_COUPLED_DECAY_KEY, {0},
};

static const ls_key adamw_keys[] = {
    OPTIM_TYPE_KEY,
    OPTIM_LR_KEY("0.001"),
    BETAS_KEY,
    EPS_KEY,
    OPTIM_DECAY_KEY("0.01",
                    "decoupled decay: lr weight_decay w is subtracted from every w, biases included"),
    {0},
};

/* base^n by squaring. */
static double power(double base, uint64_t n) {
  double result = 1.0;
  for (; n > 0; n /= 2, base *= base)
    if (n % 2 == 1) result *= base;
  return result;
}

/* The step without weight decay. */
static ls_adam_step make_step(const ls_optim *optim, double lr) {
  const options *const o = optim->options;
  const uint64_t t = optim->steps;
  return (ls_adam_step){.beta1 = o->betas[0],
                        .beta2 = o->betas[1],
                        .rate = (float)(lr / (1.0 - power(o->betas[0], t))),
                        .root = (float)(1.0 / sqrt(1.0 - power(o->betas[1], t))),
                        .eps = (float)o->eps};
}

static void adam_step(const ls_optim *optim, double lr, float scale, const float *grads, float *params) {
  ls_adam_step s = make_step(optim, lr);
  s.decay = (float)((const options *)optim->options)->common.weight_decay;
  ls_math_adam_step(optim->n, &s, scale, grads, optim->slots[0], optim->slots[1], params);
}

static void adamw_step(const ls_optim *optim, double lr, float scale, const float *grads, float *params) {
  ls_adam_step s = make_step(optim, lr);
  s.shrink = lr * ((const options *)optim->options)->common.weight_decay;
  ls_math_adam_step(optim->n, &s, scale, grads, optim->slots[0], optim->slots[1], params);
}

const ls_optim_type optim_adam = {.name = "adam",
                                  .help = "averages of g and g^2 with bias correction",
                                  .keys = adam_keys,
                                  .options_size = sizeof(options),
                                  .n_slots = 2,
                                  .slot_names = {"m", "v"},
                                  .step = adam_step,
                                  .lr = optim_common_lr};

const ls_optim_type optim_adamw = {.name = "adamw",
                                   .help = "adam with decoupled weight decay",
                                   .keys = adamw_keys,
                                   .options_size = sizeof(options),
                                   .n_slots = 2,
                                   .slot_names = {"m", "v"},
                                   .step = adamw_step,
                                   .lr = optim_common_lr};
