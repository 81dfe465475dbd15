/* The penalties on the weights: l1 sum |w| + l2 sum w^2. */
#include "lockstep/optim.h"

#include <math.h>

const ls_key ls_penalty_keys[] = {
    LS_REAL_KEY("l1", ls_penalty, l1, "0", 0, 1e6,
                "factor of sum |w|, applied as a proximal step, which makes weights exactly 0"),
    LS_REAL_KEY("l2", ls_penalty, l2, "0", 0, 1e6, "factor of sum w^2 in the loss (gradient 2 l2 w)"),
    {0},
};

void ls_penalty_configure(ls_config *config, ls_penalty *out) {
  *out = (ls_penalty){0};
  ls_config_read(config, ls_config_section(config, ls_config_root(config), "penalty"), ls_penalty_keys,
                 out);
}

static double sum_magnitudes(size_t n, const float *w) {
  double sum = 0.0;
  for (size_t i = 0; i < n; i++) sum += fabs((double)w[i]);
  return sum;
}

double ls_penalty_value(size_t n_segments, const ls_segment *segments, const float *params) {
  double value = 0.0;
  for (size_t i = 0; i < n_segments; i++) {
    const ls_segment *const s = &segments[i];
    const float *const w = params + s->offset;
    if (s->l1 > 0.0) value += s->l1 * sum_magnitudes(ls_segment_count(s), w);
    if (s->l2 > 0.0) value += s->l2 * ls_math_sum_squares(ls_segment_count(s), w);
  }
  return value;
}

/* The part of a segment inside a range. */
static ls_range intersect(const ls_segment *s, ls_range range) {
  const size_t first = ls_size_max(s->offset, range.first);
  const size_t end = ls_size_min(s->offset + ls_segment_count(s), range.first + range.count);
  return (ls_range){.first = first, .count = end > first ? end - first : 0};
}

void ls_penalty_add_gradient(size_t n_segments, const ls_segment *segments, ls_range range, double weight,
                             const float *params, float *grads) {
  for (size_t i = 0; i < n_segments; i++) {
    const ls_segment *const s = &segments[i];
    const ls_range r = intersect(s, range);
    if (s->l2 > 0.0 && r.count > 0)
      ls_math_add_scaled(r.count, (float)(2.0 * s->l2 * weight), params + r.first, grads + r.first);
  }
}

void ls_penalty_soft_threshold(size_t n_segments, const ls_segment *segments, ls_range range, double lr,
                               float *params) {
  for (size_t i = 0; i < n_segments; i++) {
    const ls_segment *const s = &segments[i];
    const ls_range r = intersect(s, range);
    if (s->l1 > 0.0 && r.count > 0) ls_math_soft_threshold(r.count, (float)(lr * s->l1), params + r.first);
  }
}
