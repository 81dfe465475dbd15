/* Mixup: partner and share of a sample, keyed on (seed, epoch, sample).
 *
 * The share has the distribution Beta(alpha, alpha): with G and H from Gamma(alpha), it is G / (G + H) =
 * 1 / (1 + H / G). */
#include "internal.h"

#include <math.h>

/* Instances of LS_RNG_MIXUP. They must not change, or resumed runs would differ. */
enum { PARTNER, FIRST_GAMMA, SECOND_GAMMA };

/* Uniform in (0, 1]. */
static double uniform(uint32_t word) {
  return ((double)word + 1.0) * 0x1p-32;
}

/* The logarithm of a draw from Gamma(alpha), alpha >= 1 (Marsaglia & Tsang, "A simple method for generating
 * gamma variables", 2000). Each trial uses one block of words; more than 95 % of trials are accepted.
 * *spare is uniform and independent of the result. */
static double log_gamma(double alpha, const ls_rng *rng, uint64_t sample, double *spare) {
  const double two_pi = 6.283185307179586;
  const double d = alpha - 1.0 / 3.0;
  for (uint32_t trial = 0;; trial++) {
    uint32_t words[4];
    ls_rng_block(rng, sample, trial, words);
    const double normal = sqrt(-2.0 * log(uniform(words[0]))) * cos(two_pi * uniform(words[1]));
    const double root = 1.0 + normal / sqrt(9.0 * d);
    if (root <= 0.0) continue;
    const double v = root * root * root;
    *spare = uniform(words[3]);
    if (log(uniform(words[2])) < 0.5 * normal * normal + d * (1.0 - v + log(v))) return log(d) + log(v);
  }
}

/* The larger of the two shares, as a double. For alpha < 1, Gamma(alpha) is Gamma(alpha + 1) U^(1 / alpha).
 * This may be too small for a double, so the computation uses logarithms. */
static double draw_share(double alpha, uint64_t seed, uint64_t epoch, uint64_t sample) {
  const bool is_boosted = alpha < 1.0;
  double log_g[2];
  double spare[2];
  for (uint32_t i = 0; i < 2; i++) {
    const ls_rng rng = ls_rng_make(seed, LS_RNG_MIXUP, i == 0 ? FIRST_GAMMA : SECOND_GAMMA, epoch);
    log_g[i] = log_gamma(is_boosted ? alpha + 1.0 : alpha, &rng, sample, &spare[i]);
  }
  const double boost = is_boosted ? (log(spare[1]) - log(spare[0])) / alpha : 0.0;
  return 1.0 / (1.0 + exp(-fabs(log_g[1] - log_g[0] + boost)));
}

uint64_t data_mixup_partner(const ls_view *view, uint64_t seed, uint64_t epoch, uint64_t sample) {
  const ls_rng rng = ls_rng_make(seed, LS_RNG_MIXUP, PARTNER, epoch);
  uint32_t words[4];
  ls_rng_block(&rng, sample, 0, words);
  const double u = ((double)words[0] + (double)(words[1] >> 11) * 0x1p-21) * 0x1p-32; /* 53 bits, below 1 */
  return ls_view_sample(view, ls_size_min((uint64_t)(u * (double)view->n), view->n - 1));
}

float data_mixup_share(double alpha, uint64_t seed, uint64_t epoch, uint64_t sample) {
  return (float)draw_share(alpha, seed, epoch, sample);
}
