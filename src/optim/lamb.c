/* lamb (You et al., "Large batch optimization for deep learning: training BERT in 76 minutes", 2020,
 * algorithm 2): adam whose update of each block of parameters (a W, a b, ...) has a length proportional to
 * that of the block:
 *
 *   m = b1 m + (1 - b1) g     v = b2 v + (1 - b2) g^2
 *   r = m / (1 - b1^t) / (sqrt(v) / sqrt(1 - b2^t) + eps) + weight_decay w
 *   w = w - lr (|w| / |r|) r     with 1 for the ratio if |w| or |r| is 0 */
#include "internal.h"

#include <math.h>

typedef struct options {
  optim_common common;
  double betas[2];
  double eps;
} options;

static const ls_key keys[] = {
    OPTIM_TYPE_KEY,
    OPTIM_LR_KEY("0.001"),
    LS_REALS2_KEY("betas", options, betas, "[0.9, 0.999]", 0, 1,
                  "decay rates of the averages of g and of g^2", .flags = LS_KEY_BELOW_MAX),
    OPTIM_EPS_KEY("1e-6", "constant added to the root of the average of g^2"),
    OPTIM_DECAY_KEY("0.01", "factor of w added to the update of every parameter, biases included"),
    {0},
};

static ls_lamb_step constants_of(const ls_optim *optim) {
  const options *const o = optim->options;
  return (ls_lamb_step){.beta1 = o->betas[0],
                        .beta2 = o->betas[1],
                        .rate = (float)(1.0 / (1.0 - optim_power(o->betas[0], optim->steps))),
                        .root = (float)(1.0 / sqrt(1.0 - optim_power(o->betas[1], optim->steps))),
                        .eps = (float)o->eps,
                        .decay = (float)o->common.weight_decay};
}

#define CHUNK 1024 /* elements of r at a time */

typedef struct work {
  const ls_optim *optim;
  ls_lamb_step constants;
  float scale;
  const float *grads;
  const float *params;
} work;

static double add_moments(void *context, size_t first, size_t count) {
  const work *const k = context;
  float *const m = k->optim->slots[0] + first;
  float *const v = k->optim->slots[1] + first;
  float r[CHUNK];
  double sum = 0.0;
  ls_math_lamb_moments(count, &k->constants, k->scale, k->grads + first, m, v);
  for (size_t i = 0; i < count; i += CHUNK) {
    const size_t n = ls_size_min(CHUNK, count - i);
    ls_math_lamb_update(n, &k->constants, m + i, v + i, k->params + first + i, r);
    sum += ls_math_sum_squares(n, r);
  }
  return sum;
}

static void sums(const ls_optim *optim, float scale, const float *grads, const float *params,
                 double sums[2]) {
  work k = {
      .optim = optim, .constants = constants_of(optim), .scale = scale, .grads = grads, .params = params};
  sums[0] += ls_math_sum_squares(optim->n, params);
  sums[1] += ls_parallel_sum(optim->n, LS_PARALLEL_ITEMS, add_moments, &k);
}

static double trust(const ls_optim *optim, double params, double update) {
  (void)optim;
  return params / update;
}

static void step(const ls_optim *optim, double lr, float scale, const float *grads, float *params) {
  (void)scale;
  (void)grads; /* `sums` has added them to m and v */
  const ls_lamb_step constants = constants_of(optim);
  const float rate = (float)(-lr * optim->trust);
  float r[CHUNK];
  for (size_t i = 0; i < optim->n; i += CHUNK) {
    const size_t n = ls_size_min(CHUNK, optim->n - i);
    ls_math_lamb_update(n, &constants, optim->slots[0] + i, optim->slots[1] + i, params + i, r);
    ls_math_add_scaled(n, rate, r, params + i);
  }
}

const ls_optim_type optim_lamb = {.name = "lamb",
                                  .help = "adam with a rate per block, for very large batches",
                                  .keys = keys,
                                  .options_size = sizeof(options),
                                  .n_slots = 2,
                                  .slot_names = {"m", "v"},
                                  .sums = sums,
                                  .trust = trust,
                                  .step = step};
