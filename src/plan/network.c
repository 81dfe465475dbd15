/* The time of messages between nodes. */
#include "lockstep/plan.h"

#include <math.h>

ls_plan_link ls_plan_link_of(const ls_plan_cluster *c, double sum) {
  const bool is_alone = c->nodes == 1;
  return (ls_plan_link){.alpha = is_alone ? 0.0 : c->latency,
                        .beta = is_alone ? 0.0 : 1.0 / (LS_PLAN_LINK_SHARE * c->bandwidth),
                        .gamma = sum / (double)c->ranks_per_node};
}

static double ceil_lg(uint64_t n) {
  return ceil(log2((double)n));
}

double ls_plan_allreduce(const ls_plan_link *l, uint64_t q, double n) {
  if (q == 1) return 0.0;
  const double nodes = (double)q;
  const double lg = floor(log2(nodes));
  const double power = exp2(lg);
  const double most = (nodes - 1.0) / nodes;
  const double fold = power < nodes ? 2.0 * (l->alpha + n * l->beta) + n * l->gamma : 0.0;
  const double doubling = lg * (l->alpha + n * (l->beta + l->gamma)) + fold;
  const double halving =
      2.0 * lg * l->alpha + (power - 1.0) / power * n * (2.0 * l->beta + l->gamma) + fold;
  const double ring = 2.0 * (nodes - 1.0) * l->alpha + most * n * (2.0 * l->beta + l->gamma);
  return fmin(fmin(doubling, halving), ring);
}

void ls_plan_fit_link(uint64_t q, double bytes, double small, double large, ls_plan_link *l) {
  double low = 1e-15;
  double high = 1.0;
  l->alpha = small / ceil_lg(q);
  for (int i = 0; i < 100; i++) { /* the time grows with beta */
    l->beta = sqrt(low * high);
    *(ls_plan_allreduce(l, q, bytes) < large ? &low : &high) = l->beta;
  }
}

double ls_plan_exchange(const ls_plan_link *l, uint64_t q, double n) {
  if (q == 1) return 0.0;
  const double others = (double)(q - 1);
  return l->alpha + others * LS_PLAN_MESSAGE + others / (double)q * n * l->beta;
}

double ls_plan_small(const ls_plan_link *l, uint64_t q, uint64_t p) {
  return ceil_lg(q) * l->alpha + ceil_lg(p) * LS_PLAN_MESSAGE;
}
