/* adam (Kingma & Ba 2015):
 *
 *   m = b1 m + (1 - b1) g     v = b2 v + (1 - b2) g^2
 *   w = w - lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps)
 *
 * with the powers of b1 and b2 in double. */
#include "kinds.h"

#include <math.h>

typedef struct options {
  const char *type;
  double lr;
  double betas[2];
  double eps;
} options;

static const ls_key keys[] = {LS_OPTIM_TYPE_KEY(options, "adam"),
                              LS_OPTIM_LR_KEY(options, "0.001"),
                              {.name = "betas",
                               .type = LS_KEY_REALS2,
                               .offset = offsetof(options, betas),
                               .fallback = "[0.9, 0.999]",
                               .min = 0,
                               .max = 1,
                               .flags = LS_KEY_BELOW_MAX,
                               .help = "decay of the averages of g and of g^2"},
                              {.name = "eps",
                               .type = LS_KEY_REAL,
                               .offset = offsetof(options, eps),
                               .fallback = "1e-8",
                               .min = 0,
                               .max = 1,
                               .flags = LS_KEY_ABOVE_MIN,
                               .help = "added to the root of the average of g^2"},
                              {0}};

static void step(const ls_optim *optim, double lr, float scale, const float *grads, float *params) {
  const options *const o = optim->options;
  const double t = (double)optim->steps;
  const ls_adam_step s = {.beta1 = o->betas[0],
                          .beta2 = o->betas[1],
                          .rate = (float)(lr / (1.0 - pow(o->betas[0], t))),
                          .root = (float)(1.0 / sqrt(1.0 - pow(o->betas[1], t))),
                          .eps = (float)o->eps};
  ls_math_adam_step(optim->n, &s, scale, grads, optim->slots[0], optim->slots[1], params);
}

static double base_lr(const ls_optim *optim) {
  return ((const options *)optim->options)->lr;
}

const ls_optim_type ls_optim_adam = {.name = "adam",
                                     .help = "averages of the gradient and of its square, bias corrected",
                                     .keys = keys,
                                     .options_size = sizeof(options),
                                     .n_slots = 2,
                                     .slot_names = {"m", "v"},
                                     .step = step,
                                     .lr = base_lr};
