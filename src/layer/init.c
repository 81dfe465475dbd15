/* Initial weights, keyed on (seed, block, row, element): the same on every rank and for any number. */
#include "lockstep/layer.h"

#include <math.h>

const char *const ls_init_names[] = {"default",   "xavier_uniform", "xavier_normal", "he_uniform",
                                     "he_normal", "lecun_normal",   "zeros",         NULL};

static ls_init resolve(ls_init init, ls_activation f) {
  if (init != LS_INIT_DEFAULT) return init;
  return f == LS_RELU || f == LS_LEAKY_RELU ? LS_HE_NORMAL : LS_XAVIER_UNIFORM;
}

static double variance_of(ls_init init, double n_in, double n_out) {
  switch (init) {
  case LS_XAVIER_UNIFORM:
  case LS_XAVIER_NORMAL: return 2.0 / (n_in + n_out);
  case LS_HE_UNIFORM:
  case LS_HE_NORMAL: return 2.0 / n_in;
  case LS_LECUN_NORMAL: return 1.0 / n_in;
  case LS_INIT_DEFAULT:
  case LS_INIT_ZEROS: break;
  }
  return 0.0;
}

void ls_init_weights(ls_init init, ls_activation f, uint64_t seed, uint32_t instance, size_t n_out,
                     size_t n_in, float *w) {
  const ls_init kind = resolve(init, f);
  const bool is_uniform = kind == LS_XAVIER_UNIFORM || kind == LS_HE_UNIFORM;
  const double std = sqrt(variance_of(kind, (double)n_in, (double)n_out));
  const float bound = (float)(std * sqrt(3.0)); /* of the uniform distribution with that deviation */
  const ls_rng rng = ls_rng_make(seed, LS_RNG_INIT, instance, 0);
  for (size_t i = 0; i < n_out; i++) {
    float *const row = w + i * n_in;
    if (is_uniform)
      ls_rng_uniform(&rng, i, n_in, row);
    else
      ls_rng_normal(&rng, i, n_in, row);
    for (size_t j = 0; j < n_in; j++)
      row[j] = is_uniform ? bound * (2.0F * row[j] - 1.0F) : (float)std * row[j];
  }
}
