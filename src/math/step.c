/* The optimizers' updates: one pass over memory each. */
#include "clones.h"
#include "lockstep/math.h"

#include <math.h>

CLONES void ls_math_momentum_step(size_t n, float lr, float momentum, float scale, const float *restrict g,
                                  float *restrict v, float *restrict w) {
  for (size_t i = 0; i < n; i++) {
    v[i] = momentum * v[i] + scale * g[i];
    w[i] -= lr * v[i];
  }
}

CLONES void ls_math_adam_step(size_t n, const ls_adam_step *s, float scale, const float *restrict g,
                              float *restrict m, float *restrict v, float *restrict w) {
  const ls_adam_step k = *s;
  const float keep1 = (float)k.beta1;
  const float keep2 = (float)k.beta2;
  const float fresh1 = (float)(1.0 - k.beta1);
  const float fresh2 = (float)(1.0 - k.beta2);
  for (size_t i = 0; i < n; i++) {
    const float gi = scale * g[i];
    m[i] = keep1 * m[i] + fresh1 * gi;
    v[i] = keep2 * v[i] + fresh2 * gi * gi;
    w[i] -= k.rate * m[i] / (k.root * sqrtf(v[i]) + k.eps);
  }
}
