/* momentum (Polyak 1964; nesterov: Nesterov 1983, as in Sutskever et al. 2013):
 *
 *   v = momentum v + g
 *   w = w - lr v, or with nesterov w = w - lr (g + momentum v)
 *
 * The velocity does not contain the learning rate, as in PyTorch. */
#include "internal.h"

typedef struct options {
  optim_common common;
  double momentum;
  bool nesterov;
} options;

static const ls_key keys[] = {
    OPTIM_TYPE_KEY,
    OPTIM_LR_KEY("0.001"),
    LS_REAL_KEY("momentum", options, momentum, "0.9", 0, 1, "decay rate of the velocity",
                .flags = LS_KEY_BELOW_MAX),
    LS_BOOL_KEY("nesterov", options, nesterov, "false", "Nesterov momentum: w -= lr (g + momentum v)"),
    OPTIM_COUPLED_DECAY_KEY,
    {0},
};

static void step(const ls_optim *optim, double lr, float scale, const float *grads, float *params) {
  const options *const o = optim->options;
  const ls_momentum_step s = {.lr = (float)lr,
                              .momentum = (float)o->momentum,
                              .decay = (float)o->common.weight_decay,
                              .nesterov = o->nesterov};
  ls_math_momentum_step(optim->n, &s, scale, grads, optim->slots[0], params);
}

const ls_optim_type optim_momentum = {.name = "momentum",
                                      .help = "v = momentum v + g, w -= lr v",
                                      .keys = keys,
                                      .options_size = sizeof(options),
                                      .n_slots = 1,
                                      .slot_names = {"velocity"},
                                      .step = step};
