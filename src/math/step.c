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
