/* adam (Kingma & Ba 2015) and adamw (Loshchilov & Hutter 2019):
 *
 *   m = b1 m + (1 - b1) g     v = b2 v + (1 - b2) g^2
 *   w = w - lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps)
 *
 * The weight decay of adam is a part of g; that of adamw is decoupled from the
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

/* `coupled` is the weight decay in g, `decoupled` the one outside the averages. */
static void step(const ls_optim *optim, double lr, double coupled, double decoupled, float scale,
                 const float *grads, float *params) {
  const options *const o = optim->options;
  const uint64_t t = optim->steps;
  const ls_adam_step s = {.beta1 = o->betas[0],
                          .beta2 = o->betas[1],
                          .rate = (float)(lr / (1.0 - optim_power(o->betas[0], t))),
                          .root = (float)(1.0 / sqrt(1.0 - optim_power(o->betas[1], t))),
                          .eps = (float)o->eps,
                          .decay = (float)coupled,
                          .shrink = lr * decoupled};
  ls_math_adam_step(optim->n, &s, scale, grads, optim->slots[0], optim->slots[1], params);
}

static void adam_step(const ls_optim *optim, double lr, float scale, const float *grads, float *params) {
  step(optim, lr, ((const optim_common *)optim->options)->weight_decay, 0.0, scale, grads, params);
}

static void adamw_step(const ls_optim *optim, double lr, float scale, const float *grads, float *params) {
  step(optim, lr, 0.0, ((const optim_common *)optim->options)->weight_decay, scale, grads, params);
}

const ls_optim_type optim_adam = {.name = "adam",
                                  .help = "averages of g and g^2 with bias correction",
                                  .keys = adam_keys,
                                  .options_size = sizeof(options),
                                  .n_slots = 2,
                                  .slot_names = {"m", "v"},
                                  .step = adam_step};

const ls_optim_type optim_adamw = {.name = "adamw",
                                   .help = "adam with decoupled weight decay",
                                   .keys = adamw_keys,
                                   .options_size = sizeof(options),
                                   .n_slots = 2,
                                   .slot_names = {"m", "v"},
                                   .step = adamw_step};
