/* Activations and their derivatives, in the notation of the reference: a = f(z), z = W x + b.
 *
 *   sigmoid     a = 1 / (1 + e^-z)             f' = a (1 - a)
 *   tanh        a = (e^z - e^-z)/(e^z + e^-z)  f' = 1 - a^2
 *   relu        a = max(0, z)                  f' = 1 where z > 0, else 0
 *   leaky_relu  a = z, alpha z where z <= 0    f' = 1 where z > 0, else alpha
 *   elu         a = z, alpha (e^z - 1)         f' = 1 where z > 0, else a + alpha
 *               where z <= 0
 *   gelu        a = z P(z), P the normal       f' = P(z) + z p(z), p = P' the normal density
 *               distribution function
 *   softplus    a = log(1 + e^z)               f' = 1 - e^-a
 *   softmax     a_i = e^z_i / sum_j e^z_j      dz_i = a_i (d_i - sum_j d_j a_j)
 *
 * Except for gelu, the derivative is a function of a alone, so that z need not be stored.
 */
#include "internal.h"
#include "lockstep/math.h"

#include <string.h>

const char *const ls_activation_names[] = {"linear", "sigmoid", "tanh",     "relu",    "leaky_relu",
                                           "elu",    "gelu",    "softplus", "softmax", NULL};

/* 2^n for n in the normal range, by setting the exponent bits. */
static inline float power_of_two(int32_t n) {
  const uint32_t bits = ((uint32_t)n + 127U) << 23;
  float power;
  memcpy(&power, &bits, sizeof power);
  return power;
}

/* c[0] x^(n - 1) + ... + c[n - 1] by Horner's scheme. n is a constant, so that the loop is unrolled. */
static inline float polynomial(float x, const float *c, size_t n) {
  float p = c[0];
  for (size_t i = 1; i < n; i++) p = p * x + c[i];
  return p;
}

/* e^r - 1, |r| <= ln 2 / 2 (coefficients here and in hyperbolic_tangent: Moshier's Cephes library). */
static inline float exponential_polynomial(float r) {
  static const float c[] = {1.9875691500e-4F, 1.3981999507e-3F, 8.3334519073e-3F,
                            4.1665795894e-2F, 1.6666665459e-1F, 5.0000001201e-1F};
  return polynomial(r, c, 6) * r * r + r;
}

/* e^x by Cody and Waite's reduction x = n ln 2 + r, |r| <= ln 2 / 2; accurate to 1 ulp
 * (tests/unit/test_math.c). Plain arithmetic, so that the compiler can vectorise the callers and every
 * processor gives the same bits. */
static inline float exponential(float x) {
  const float clamped = x < -104.0F ? -104.0F : (x > 89.0F ? 89.0F : x);
  const float shift = 0x1.8p23F; /* adding it rounds to an integer, which is then in the low bits */
  const float shifted = clamped * 0x1.715476p+0F + shift;
  const float n = shifted - shift;
  const float r = (clamped - n * 0x1.63p-1F) + n * 0x1.bd0106p-13F;
  const float p = exponential_polynomial(r) + 1.0F;
  /* p 2^n in two steps, for correct results below the normal range and on overflow. */
  int32_t whole;
  memcpy(&whole, &shifted, sizeof whole);
  whole -= 0x4B400000; /* the bits of `shift` */
  const int32_t half = whole >> 1;
  return p * power_of_two(half) * power_of_two(whole - half);
}

/* tanh z = z + z^3 P(z^2) near 0, otherwise (1 - e^-2|z|) / (1 + e^-2|z|) with the sign of z. */
static inline float hyperbolic_tangent(float z) {
  const float m = z < 0.0F ? -z : z;
  const float e = exponential(-2.0F * m);
  const float far = (1.0F - e) / (1.0F + e);
  const float s = z * z;
  static const float c[] = {-5.70498872745e-3F, 2.06390887954e-2F, -5.37397155531e-2F, 1.33314422036e-1F,
                            -3.33332819422e-1F};
  const float near = z + z * s * polynomial(s, c, 5);
  return m < 0.625F ? near : (z < 0.0F ? -far : far);
}

/* e^z - 1 for z <= 0, accurate to 3 ulp. */
static inline float exponential_minus_1(float z) {
  return z > -0.34F ? exponential_polynomial(z) : exponential(z) - 1.0F;
}

/* log(1 + u), 0 <= u <= 1: 2 artanh s, s = u / (2 + u), is 2 s + s^3 P(s^2). */
static inline float logarithm_of_1_plus(float u) {
  const float twice = 2.0F * u / (2.0F + u);
  const float s = 0.5F * twice;
  const float q = s * s;
  static const float c[] = {2.8011993701e-1F, 2.8001803583e-1F, 4.0021527370e-1F, 6.6666416283e-1F};
  return twice + s * (q * polynomial(q, c, 4));
}

/* The normal distribution at z. Its tail e^(-m^2 / 2) g(m), m = |z|, has a small relative error even where
 * it is tiny. g(m) = erfcx(m / sqrt 2) / 2 = t P(t), t = 1 / (1 + 0.3 m), to 4e-9. */
typedef struct normal {
  float z;       /* clamped to +-15, where the tail is 0 */
  float tail;    /* P(-|z|) */
  float density; /* e^(-z^2 / 2) / sqrt(2 pi) */
} normal;

static inline normal normal_at(float z) {
  const float size = z < 0.0F ? -z : z;
  const float m = size > 15.0F ? 15.0F : size;
  /* m^2 = square + rest exactly (Dekker), since e^x amplifies a rounding error of half an ulp of 100. */
  const float wide = 4097.0F * m;
  const float high = wide - (wide - m);
  const float low = m - high;
  const float square = m * m;
  const float rest = ((high * high - square) + 2.0F * high * low) + low * low;
  const float e = exponential(-0.5F * square) * (1.0F - 0.5F * rest);
  const float t = 1.0F / (1.0F + 0.3F * m);
  static const float c[] = {-2.062488319e-2F, 1.124435626e-1F, -2.282329991e-1F, 1.918114556e-1F,
                            -7.944685485e-2F, 9.616995376e-2F, 7.838489193e-2F,  1.102364962e-1F,
                            1.195716782e-1F,  1.196866972e-1F};
  return (normal){
      .z = z < 0.0F ? -m : m, .tail = e * (polynomial(t, c, 10) * t), .density = 0.3989422804F * e};
}

CLONES static void add_bias(size_t cols, const float *b, float *z) {
  for (size_t j = 0; j < cols; j++) z[j] += b[j];
}

CLONES static void sigmoid(size_t n, float *z) {
  for (size_t j = 0; j < n; j++) z[j] = 1.0F / (1.0F + exponential(-z[j]));
}

CLONES static void tangent(size_t n, float *z) {
  for (size_t j = 0; j < n; j++) z[j] = hyperbolic_tangent(z[j]);
}

/* NaN stays NaN, since `z < 0` is false. */
CLONES static void relu(size_t n, float *z) {
  for (size_t j = 0; j < n; j++) z[j] = z[j] < 0.0F ? 0.0F : z[j];
}

CLONES static void bias_relu(size_t n, const float *b, float *z) {
  for (size_t j = 0; j < n; j++) {
    const float sum = z[j] + b[j];
    z[j] = sum < 0.0F ? 0.0F : sum;
  }
}

CLONES static void leaky_relu(size_t n, float alpha, float *z) {
  for (size_t j = 0; j < n; j++) z[j] = z[j] > 0.0F ? z[j] : alpha * z[j];
}

CLONES static void elu(size_t n, float alpha, float *z) {
  for (size_t j = 0; j < n; j++) z[j] = z[j] > 0.0F ? z[j] : alpha * exponential_minus_1(z[j]);
}

CLONES static void gelu(size_t n, float *z) {
  for (size_t j = 0; j < n; j++) {
    const normal at = normal_at(z[j]);
    z[j] = z[j] > 0.0F ? z[j] * (1.0F - at.tail) : at.z * at.tail;
  }
}

CLONES static void softplus(size_t n, float *z) {
  for (size_t j = 0; j < n; j++) {
    const float more = logarithm_of_1_plus(exponential(z[j] < 0.0F ? z[j] : -z[j]));
    z[j] = (z[j] > 0.0F ? z[j] : 0.0F) + more;
  }
}

CLONES static void softmax(size_t n, float *z) {
  float most = z[0];
  for (size_t j = 1; j < n; j++) most = z[j] > most ? z[j] : most;
  float sum = 0.0F;
  for (size_t j = 0; j < n; j++) {
    z[j] = exponential(z[j] - most);
    sum += z[j];
  }
  for (size_t j = 0; j < n; j++) z[j] /= sum;
}

static void activate_row(ls_activation f, float alpha, size_t n, float *z) {
  switch (f) {
  case LS_LINEAR: break;
  case LS_SIGMOID: sigmoid(n, z); break;
  case LS_TANH: tangent(n, z); break;
  case LS_RELU: relu(n, z); break;
  case LS_LEAKY_RELU: leaky_relu(n, alpha, z); break;
  case LS_ELU: elu(n, alpha, z); break;
  case LS_GELU: gelu(n, z); break;
  case LS_SOFTPLUS: softplus(n, z); break;
  case LS_SOFTMAX: softmax(n, z); break;
  }
}

/* Rows of activations or of their derivatives; a: the values that a derivative needs. */
typedef struct rows_job {
  ls_activation f;
  float alpha;
  size_t cols;
  const float *b, *a;
  float *z;
} rows_job;

static void run_rows(size_t rows, void (*run)(void *context, size_t first, size_t count), rows_job *job) {
  ls_parallel_range(rows, ls_size_max(LS_PARALLEL_ITEMS / ls_size_max(job->cols, 1), 1), run, job);
}

static void activate_rows(void *context, size_t first, size_t count) {
  const rows_job *const job = context;
  float *z = job->z + first * job->cols;
  for (size_t i = 0; i < count; i++, z += job->cols) {
    if (job->b && job->f == LS_RELU) {
      bias_relu(job->cols, job->b, z);
      continue;
    }
    if (job->b) add_bias(job->cols, job->b, z);
    activate_row(job->f, job->alpha, job->cols, z);
  }
}

void ls_math_activate(ls_activation f, float alpha, size_t rows, size_t cols, const float *b, float *z) {
  rows_job job = {.f = f, .alpha = alpha, .cols = cols, .b = b, .z = z};
  run_rows(rows, activate_rows, &job);
}

CLONES static void sigmoid_backward(size_t n, const float *a, float *d) {
  for (size_t j = 0; j < n; j++) d[j] *= a[j] * (1.0F - a[j]);
}

CLONES static void tangent_backward(size_t n, const float *a, float *d) {
  for (size_t j = 0; j < n; j++) d[j] *= 1.0F - a[j] * a[j];
}

/* alpha is 0 for relu. With alpha >= 0, a > 0 exactly where z > 0. */
CLONES static void relu_backward(size_t n, float alpha, const float *a, float *d) {
  for (size_t j = 0; j < n; j++) d[j] = a[j] > 0.0F ? d[j] : alpha * d[j];
}

/* With alpha >= 0, a > 0 exactly where z > 0. */
CLONES static void elu_backward(size_t n, float alpha, const float *a, float *d) {
  for (size_t j = 0; j < n; j++) d[j] *= a[j] > 0.0F ? 1.0F : a[j] + alpha;
}

CLONES static void gelu_backward(size_t n, const float *z, float *d) {
  for (size_t j = 0; j < n; j++) {
    const normal at = normal_at(z[j]);
    d[j] *= (z[j] > 0.0F ? 1.0F - at.tail : at.tail) + at.z * at.density;
  }
}

CLONES static void softplus_backward(size_t n, const float *a, float *d) {
  for (size_t j = 0; j < n; j++) d[j] *= -exponential_minus_1(-a[j]);
}

static void softmax_backward(size_t n, const float *a, float *d) {
  float mean = 0.0F;
  for (size_t j = 0; j < n; j++) mean += d[j] * a[j];
  for (size_t j = 0; j < n; j++) d[j] = a[j] * (d[j] - mean);
}

bool ls_math_activation_needs_z(ls_activation f) {
  return f == LS_GELU;
}

static void activate_rows_backward(void *context, size_t first, size_t count) {
  const rows_job *const job = context;
  const size_t cols = job->cols;
  const size_t n = count * cols;
  const float *const a = job->a + first * cols;
  float *const d = job->z + first * cols;
  switch (job->f) {
  case LS_LINEAR: break;
  case LS_SIGMOID: sigmoid_backward(n, a, d); break;
  case LS_TANH: tangent_backward(n, a, d); break;
  case LS_RELU: relu_backward(n, 0.0F, a, d); break;
  case LS_LEAKY_RELU: relu_backward(n, job->alpha, a, d); break;
  case LS_ELU: elu_backward(n, job->alpha, a, d); break;
  case LS_GELU: gelu_backward(n, a, d); break;
  case LS_SOFTPLUS: softplus_backward(n, a, d); break;
  case LS_SOFTMAX:
    for (size_t i = 0; i < count; i++) softmax_backward(cols, a + i * cols, d + i * cols);
    break;
  }
}

void ls_math_activate_backward(ls_activation f, float alpha, size_t rows, size_t cols, const float *a,
                               float *d) {
  rows_job job = {.f = f, .alpha = alpha, .cols = cols, .a = a, .z = d};
  if (f != LS_LINEAR) run_rows(rows, activate_rows_backward, &job);
}
