/* The updates of the optimizers, one pass over memory each.
 *
 * An option is the same for all elements of a loop, and the compiler generates a loop for each value: a
 * disabled option costs nothing and changes no bit. */
#include "internal.h"
#include "lockstep/math.h"

#include <math.h>

/* scale g + decay w. Without decay nothing is added, since adding 0 w turns -0 into 0, and is NaN if w is
 * infinite. */
static inline float decayed(float scale, float g, float decay, float w) {
  return decay == 0.0F ? scale * g : scale * g + decay * w;
}

CLONES void ls_math_sgd_step(size_t n, float lr, float decay, float scale, const float *restrict g,
                             float *restrict w) {
  for (size_t i = 0; i < n; i++) w[i] -= lr * decayed(scale, g[i], decay, w[i]);
}

CLONES void ls_math_momentum_step(size_t n, const ls_momentum_step *s, float scale, const float *restrict g,
                                  float *restrict v, float *restrict w) {
  const ls_momentum_step k = *s;
  for (size_t i = 0; i < n; i++) {
    const float gi = decayed(scale, g[i], k.decay, w[i]);
    v[i] = k.momentum * v[i] + gi;
    w[i] -= k.lr * (k.nesterov ? gi + k.momentum * v[i] : v[i]);
  }
}

CLONES void ls_math_adagrad_step(size_t n, const ls_adagrad_step *s, float scale, const float *restrict g,
                                 float *restrict sum, float *restrict w) {
  const ls_adagrad_step k = *s;
  for (size_t i = 0; i < n; i++) {
    const float gi = decayed(scale, g[i], k.decay, w[i]);
    sum[i] += gi * gi;
    w[i] -= k.lr * gi / (sqrtf(sum[i]) + k.eps);
  }
}

CLONES void ls_math_rmsprop_step(size_t n, const ls_rmsprop_step *s, float scale, const float *restrict g,
                                 float *restrict v, float *restrict w) {
  const ls_rmsprop_step k = *s;
  const float keep = (float)k.alpha;
  const float fresh = (float)(1.0 - k.alpha);
  for (size_t i = 0; i < n; i++) {
    const float gi = decayed(scale, g[i], k.decay, w[i]);
    v[i] = keep * v[i] + fresh * gi * gi;
    w[i] -= k.lr * gi / (sqrtf(v[i]) + k.eps);
  }
}

CLONES void ls_math_adam_step(size_t n, const ls_adam_step *s, float scale, const float *restrict g,
                              float *restrict m, float *restrict v, float *restrict w) {
  const ls_adam_step k = *s;
  const float keep1 = (float)k.beta1;
  const float keep2 = (float)k.beta2;
  const float fresh1 = (float)(1.0 - k.beta1);
  const float fresh2 = (float)(1.0 - k.beta2);
  const float keep = (float)(1.0 - k.shrink);
  for (size_t i = 0; i < n; i++) {
    /* Read before m is written: 6 % faster if w and m have the same offset in a page. */
    const float kept = keep * w[i];
    const float gi = decayed(scale, g[i], k.decay, w[i]);
    m[i] = keep1 * m[i] + fresh1 * gi;
    v[i] = keep2 * v[i] + fresh2 * gi * gi;
    w[i] = kept - k.rate * m[i] / (k.root * sqrtf(v[i]) + k.eps);
  }
}

CLONES void ls_math_lamb_moments(size_t n, const ls_lamb_step *s, float scale, const float *restrict g,
                                 float *restrict m, float *restrict v) {
  const float keep1 = (float)s->beta1;
  const float keep2 = (float)s->beta2;
  const float fresh1 = (float)(1.0 - s->beta1);
  const float fresh2 = (float)(1.0 - s->beta2);
  for (size_t i = 0; i < n; i++) {
    const float gi = scale * g[i];
    m[i] = keep1 * m[i] + fresh1 * gi;
    v[i] = keep2 * v[i] + fresh2 * gi * gi;
  }
}

CLONES void ls_math_lamb_update(size_t n, const ls_lamb_step *s, const float *restrict m,
                                const float *restrict v, const float *restrict w, float *restrict r) {
  const ls_lamb_step k = *s;
  for (size_t i = 0; i < n; i++) r[i] = k.rate * m[i] / (k.root * sqrtf(v[i]) + k.eps) + k.decay * w[i];
}

CLONES static void approach(size_t n, float c, const float *restrict x, float *restrict y) {
  for (size_t i = 0; i < n; i++) y[i] += c * (x[i] - y[i]);
}

typedef struct approach_work {
  float c;
  const float *x;
  float *y;
} approach_work;

static void approach_range(void *context, size_t first, size_t count) {
  const approach_work *const k = context;
  approach(count, k->c, k->x + first, k->y + first);
}

void ls_math_approach(size_t n, float c, const float *x, float *y) {
  approach_work k = {.c = c, .x = x, .y = y};
  ls_parallel_range(n, LS_PARALLEL_ITEMS, approach_range, &k);
}
