/* sgd: w = w - lr g. */
#include "kinds.h"

typedef struct options {
  const char *type;
  double lr;
} options;

static const ls_key keys[] = {LS_OPTIM_TYPE_KEY(options, "sgd"), LS_OPTIM_LR_KEY(options, "0.01"), {0}};

static void step(const ls_optim *optim, double lr, float scale, const float *grads, float *params) {
  ls_math_add_scaled(optim->n, -(float)lr * scale, grads, params);
}

static double base_lr(const ls_optim *optim) {
  return ((const options *)optim->options)->lr;
}

const ls_optim_type ls_optim_sgd = {.name = "sgd",
                                    .help = "w -= lr g",
                                    .keys = keys,
                                    .options_size = sizeof(options),
                                    .step = step,
                                    .lr = base_lr};
