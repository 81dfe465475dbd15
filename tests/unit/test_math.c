/* math: products, activations and their derivatives, sums, and the kernels of optimizers, input and
 * dropout, compared with plain loops and libm in double. */
#include "support.h"

#include <float.h>

#include "lockstep/math.h"

/* ---------------------------------------------------------------- products */

/* A product and the access to its operands: element (i, p) of the left one, (p, j) of the right one. */
typedef struct product {
  const char *name;
  void (*run)(size_t m, size_t n, size_t k, const float *a, const float *b, float beta, float *c);
  bool is_a_transposed, is_b_transposed;
} product;

static void product_nn(size_t m, size_t n, size_t k, const float *a, const float *b, float beta, float *c) {
  ls_math_product_nn_columns(0, n, m, n, k, a, b, beta, c);
}

static void product_tn(size_t m, size_t n, size_t k, const float *a, const float *b, float beta, float *c) {
  ls_math_product_tn_rows(0, m, m, n, k, a, b, beta, c);
}

static const product products[] = {
    {"nt", ls_math_product_nt, false, true},
    {"nn", product_nn, false, false},
    {"tn", product_tn, true, false},
};

static const size_t shapes[][3] = {
    {1, 1, 1}, {3, 5, 7}, {0, 4, 3}, {4, 0, 3},     {4, 3, 0},     {0, 0, 0},     {1, 9, 4},
    {9, 1, 4}, {5, 5, 1}, {2, 3, 1}, {17, 33, 129}, {64, 10, 100}, {8, 305, 784}, {305, 136, 32},
};

#define BEFORE 1 /* elements before an array, so that it is not aligned */
#define GUARD  123.0F

/* Compares the kernel with the definition c = a b + beta c, within `ulps` roundings of the terms. Elements
 * beside c must stay unchanged. */
static void check_product(const product *p, const size_t *shape, float beta, double ulps) {
  const size_t m = shape[0];
  const size_t n = shape[1];
  const size_t k = shape[2];
  float *const a = new_floats(m * k + BEFORE);
  float *const b = new_floats(k * n + BEFORE);
  float *const block = new_floats(m * n + 2 * BEFORE);
  float *const c = block + BEFORE;
  float *const old = new_floats(m * n);
  fill_random(1, m * k, a + BEFORE);
  fill_random(2, k * n, b + BEFORE);
  fill_random(3, m * n, old);
  c[-1] = c[m * n] = GUARD;
  for (size_t i = 0; i < m * n; i++) c[i] = beta == 0.0F ? NAN : old[i]; /* beta 0 must not read c */
  p->run(m, n, k, a + BEFORE, b + BEFORE, beta, c);
  for (size_t i = 0; i < m; i++)
    for (size_t j = 0; j < n; j++) {
      double want = (double)beta * (double)old[i * n + j];
      double terms = fabs(want);
      for (size_t q = 0; q < k; q++) {
        const double left = a[BEFORE + (p->is_a_transposed ? q * m + i : i * k + q)];
        const double right = b[BEFORE + (p->is_b_transposed ? j * k + q : q * n + j)];
        want += left * right;
        terms += fabs(left * right);
      }
      check_close(p->name, (double)c[i * n + j], want, ulps * (double)FLT_EPSILON * terms);
    }
  assert_true(c[-1] == GUARD && c[m * n] == GUARD);
  free(a);
  free(b);
  free(block);
  free(old);
}

static void products_are_right(void **state) {
  (void)state;
  static const float betas[] = {0.0F, 1.0F, 0.5F};
  for (size_t p = 0; p < COUNT(products); p++)
    for (size_t s = 0; s < COUNT(shapes); s++)
      for (size_t b = 0; b < COUNT(betas); b++)
        check_product(&products[p], shapes[s], betas[b], (double)shapes[s][2] + 1.0);
}

/* The shapes of the three products of a layer: rows of the batch, outputs, inputs. */
static void check_layer(size_t rows, size_t n_out, size_t n_in, float beta, double ulps) {
  const size_t of_kernels[][3] = {{rows, n_out, n_in}, {rows, n_in, n_out}, {n_out, n_in, rows}};
  for (size_t p = 0; p < COUNT(products); p++) check_product(&products[p], of_kernels[p], beta, ulps);
}

static void products_of_few_rows_are_right(void **state) {
  (void)state;
  static const size_t widths[] = {1, 2, 7, 16, 17, 47, 48, 64, 99, 113};
  for (size_t rows = 1; rows <= 70; rows += rows < 18 ? 1 : 5)
    for (size_t o = 0; o < COUNT(widths); o++)
      for (size_t i = 0; i < COUNT(widths); i++)
        check_layer(rows, widths[o], widths[i], (rows + i) % 3 == 0 ? 0.5F : 0.0F, 20.0);
}

/* Sums of several blocks of terms; 20 roundings of a sum of 2,300 are few. */
static void long_products_of_few_rows_are_accurate(void **state) {
  (void)state;
  for (size_t rows = 1; rows <= 32; rows = 3 * rows + 1) {
    check_layer(rows, 2300, 70, 0.0F, 20.0);
    check_layer(rows, 5, 2301, 1.0F, 20.0);
  }
}

/* Products in pieces, as in mode overlap, give the same bits as whole ones. */
static void pieces_of_products_have_the_same_bits(void **state) {
  (void)state;
  enum { ROWS = 32, OUT = 150, IN = 131, N = OUT * IN };
  float *const x = new_floats(ROWS * IN);
  float *const dz = new_floats(ROWS * OUT);
  float *const w = new_floats(N);
  float *const whole = new_floats(N);
  float *const pieces = new_floats(N);
  fill_random(1, ROWS * IN, x);
  fill_random(2, ROWS * OUT, dz);
  fill_random(3, N, w);
  for (size_t rows = 2; rows <= ROWS; rows += 5)
    for (size_t step = 5; step < IN; step += 32) {
      ls_math_product_tn_rows(0, OUT, OUT, IN, rows, dz, x, 0.0F, whole);
      for (size_t i = 0; i < OUT; i += step)
        ls_math_product_tn_rows(i, ls_size_min(step, OUT - i), OUT, IN, rows, dz, x, 0.0F, pieces);
      check_same("rows of dW", N, pieces, whole);
      ls_math_product_nn_columns(0, IN, rows, IN, OUT, dz, w, 0.0F, whole);
      for (size_t j = 0; j < IN; j += step)
        ls_math_product_nn_columns(j, ls_size_min(step, IN - j), rows, IN, OUT, dz, w, 0.0F, pieces);
      check_same("columns of dx", rows * IN, pieces, whole);
    }
  free(x);
  free(dz);
  free(w);
  free(whole);
  free(pieces);
}

static void blas_has_a_name_and_threads(void **state) {
  (void)state;
  assert_true(strlen(ls_math_blas_name()) > 0);
  for (int threads = 2; threads >= 1; threads--) {
    assert_int_equal(ls_math_threads_set(threads), LS_OK);
    check_product(&products[0], (const size_t[]){65, 65, 65}, 0.0F, 66.0);
  }
}

/* ----------------------------------------------------------------- threads */

enum { T_ROWS = 32, T_OUT = 2048, T_IN = 900, T_W = T_OUT * T_IN };

typedef struct results {
  float y[T_ROWS * T_OUT], dx[T_ROWS * T_IN], dw[T_W], db[T_OUT], sum[T_W];
  double squares, squares_of_sum;
} results;

/* Kernels that use all threads, on arrays that have several parts. */
static void compute(const float *x, const float *w, results *r) {
  const float *const terms[] = {w, r->dw, w};
  ls_math_product_nt(T_ROWS, T_OUT, T_IN, x, w, 0.0F, r->y);
  ls_math_activate(LS_TANH, 0.0F, T_ROWS, T_OUT, w, r->y);
  ls_math_product_nn_columns(0, T_IN, T_ROWS, T_IN, T_OUT, r->y, w, 0.0F, r->dx);
  ls_math_activate_backward(LS_SIGMOID, 0.0F, T_ROWS, T_IN, x, r->dx);
  ls_math_product_tn_rows(0, T_OUT, T_OUT, T_IN, T_ROWS, r->y, r->dx, 0.0F, r->dw);
  ls_math_sum_rows(T_ROWS, T_OUT, r->y, 0.0F, r->db);
  ls_math_add_scaled(T_W, 0.5F, w, r->dw);
  ls_math_clamp(T_W, 0.7F, r->dw);
  ls_math_soft_threshold(T_W, 0.1F, r->dw);
  r->squares = ls_math_sum_squares(T_W, r->dw);
  r->squares_of_sum = ls_math_fold(T_W, COUNT(terms), terms, r->sum);
}

enum { N_ROWS = 5000, N_COLS = 20, N_ALL = N_ROWS * N_COLS };

typedef struct norm_results {
  double moments[2 * N_COLS], sums[2 * N_COLS];
  float y[N_ALL], dx[N_ALL], pooled[N_ALL / 2], routed[N_ALL];
} norm_results;

/* x: (N_ROWS, N_COLS), for pooling (N_ROWS / 50, 50, N_COLS) */
static void compute_norms(const float *x, norm_results *r) {
  const ls_norm norm = {.center = x, .scale = x + N_COLS, .shift = x + 2 * N_COLS, .has_relu = true};
  ls_window w = {
      .in = {1, 1, 50}, .size = {1, 1, 3}, .stride = {1, 1, 2}, .dilation = {1, 1, 1}, .after = {0, 0, 1}};
  memset(r, 0, sizeof *r);
  assert_true(ls_window_set_out(&w));
  ls_math_norm_moments(N_ROWS, N_COLS, x, x + N_COLS, r->moments, r->moments + N_COLS);
  ls_math_norm(&norm, N_ROWS, N_COLS, x, x, r->y);
  ls_math_norm_backward_sums(&norm, N_ROWS, N_COLS, x, r->y, r->sums, r->sums + N_COLS);
  ls_math_norm_backward(&norm, N_ROWS, N_COLS, x, x, x + N_COLS, r->y, r->dx);
  ls_pool_forward(LS_POOL_MAX, &w, N_ROWS / 50, N_COLS, x, r->pooled);
  ls_pool_backward(LS_POOL_MAX, &w, N_ROWS / 50, N_COLS, x, r->pooled, r->pooled, r->routed);
}

/* The sums for the gradient are equal to rounding, all else to the bit. */
static void norms_and_pools_do_not_depend_on_threads(void **state) {
  (void)state;
  float *const x = new_floats(N_ALL);
  norm_results *const want = ls_calloc(2, sizeof *want);
  norm_results *const got = want + 1;
  assert_non_null(want);
  fill_random(1, N_ALL, x);
  compute_norms(x, want);
  for (int threads = 2; threads <= 3; threads++) {
    assert_int_equal(ls_math_threads_set(threads), LS_OK);
    compute_norms(x, got);
    for (size_t j = 0; j < 2 * N_COLS; j++) {
      check_close("sum", got->sums[j], want->sums[j], 1e-4);
      got->sums[j] = want->sums[j];
    }
    assert_memory_equal(got, want, sizeof *want);
  }
  assert_int_equal(ls_math_threads_set(1), LS_OK);
  free(x);
  free(want);
}

static void results_do_not_depend_on_threads(void **state) {
  (void)state;
  float *const x = new_floats(T_ROWS * T_IN);
  float *const w = new_floats(T_W);
  results *const want = ls_calloc(2, sizeof *want);
  results *const got = want + 1;
  assert_non_null(want);
  fill_random(1, T_ROWS * T_IN, x);
  fill_random(2, T_W, w);
  compute(x, w, want);
  for (int threads = 2; threads <= 3; threads++) {
    assert_int_equal(ls_math_threads_set(threads), LS_OK);
    compute(x, w, got);
    assert_memory_equal(got, want, sizeof *want);
  }
  assert_int_equal(ls_math_threads_set(1), LS_OK);
  free(x);
  free(w);
  free(want);
}

/* ------------------------------------------------------------- activations */

#define ALPHA 0.125F

/* f(z) and f'(z) in double, except softmax, which is not elementwise. */
static double exact(ls_activation f, double z) {
  switch (f) {
  case LS_SIGMOID: return 1.0 / (1.0 + exp(-z));
  case LS_TANH: return tanh(z);
  case LS_RELU: return z > 0.0 ? z : 0.0;
  case LS_LEAKY_RELU: return z > 0.0 ? z : (double)ALPHA * z;
  case LS_ELU: return z > 0.0 ? z : (double)ALPHA * expm1(z);
  case LS_GELU: return z == -INFINITY ? 0.0 : 0.5 * z * erfc(-z / sqrt(2.0));
  case LS_SOFTPLUS: return fmax(z, 0.0) + log1p(exp(-fabs(z)));
  case LS_LINEAR:
  case LS_SOFTMAX: break;
  }
  return z;
}

static float activated(ls_activation f, float z) {
  ls_math_activate(f, ALPHA, 1, 1, NULL, &z);
  return z;
}

/* The distance of neighbouring floats at |x|. */
static double ulp_at(double x) {
  const float size = (float)fabs(x);
  return size >= FLT_MAX ? 0x1p104 : (double)nextafterf(size, INFINITY) - (double)size;
}

/* The error of `got` in ulp of `want`; 0 if both are the same infinity. */
static double ulps(float got, double want) {
  if (!isfinite(got) || fabs(want) > (double)FLT_MAX) return got == (float)want ? 0.0 : INFINITY;
  return fabs((double)got - want) / ulp_at(want);
}

/* Every 4,001st bit pattern: all magnitudes and signs, subnormal numbers, infinities. */
#define STRIDE 4001U

static float float_of_bits(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/* The largest error over all floats, in ulp. In a tail of f, such as that of sigmoid below -88.7, subnormal
 * results may be 0. */
static void activations_are_accurate_to_a_few_ulp(void **state) {
  (void)state;
  static const struct {
    ls_activation f;
    double ulps;
    bool has_tail;
  } rows[] = {{LS_LINEAR, 0.0, false}, {LS_SIGMOID, 2.5, true},     {LS_TANH, 2.5, false},
              {LS_RELU, 0.0, false},   {LS_LEAKY_RELU, 0.5, false}, {LS_ELU, 3.0, false},
              {LS_GELU, 9.0, true},    {LS_SOFTPLUS, 3.0, true}};
  assert_int_equal(COUNT(rows), LS_SOFTMAX);
  for (size_t i = 0; i < COUNT(rows); i++) {
    double worst = 0.0;
    float worst_at = 0.0F;
    for (uint64_t bits = 0; bits <= UINT32_MAX; bits += STRIDE) {
      const float z = float_of_bits((uint32_t)bits);
      const double want = exact(rows[i].f, (double)z);
      const float got = activated(rows[i].f, z);
      if (isnan(z)) {
        assert_true(isnan(got));
        continue;
      }
      const bool is_tiny =
          rows[i].has_tail && fabs(want) < (double)FLT_MIN && fabsf(got) < FLT_MIN && z < -1.0F;
      if (is_tiny || ulps(got, want) <= worst) continue;
      worst = ulps(got, want);
      worst_at = z;
    }
    print_message("%s: %.3f ulp at %.9g\n", ls_activation_names[rows[i].f], worst, (double)worst_at);
    check_close(ls_activation_names[rows[i].f], worst, 0.0, rows[i].ulps);
  }
}

/* softmax(0, x)_2 is e^x for x < -17.4, which tests the exponential alone from the smallest float to 1e-8;
 * above, the test uses the whole formula. */
static void exponential_is_accurate_to_two_ulp(void **state) {
  (void)state;
  double worst = 0.0;
  double worst_ratio = 0.0;
  for (int i = -300000; i < 0; i++) {
    const float x = (float)i * 0.00037F;
    float z[2] = {x, 0.0F};
    ls_math_activate(LS_SOFTMAX, 0.0F, 1, 2, NULL, z);
    if (x < -17.4F)
      worst = fmax(worst, ulps(z[0], exp((double)x)));
    else
      worst_ratio = fmax(worst_ratio, ulps(z[0], 1.0 / (1.0 + exp(-(double)x))));
  }
  print_message("exponential: %.3f ulp, softmax of two: %.3f ulp\n", worst, worst_ratio);
  check_close("exponential", worst, 0.0, 2.0);
  check_close("softmax", worst_ratio, 0.0, 4.0);
}

static void activations_keep_their_limits(void **state) {
  (void)state;
  static const struct {
    ls_activation f;
    float z, a;
  } rows[] = {
      {LS_SIGMOID, 0.0F, 0.5F},
      {LS_SIGMOID, INFINITY, 1.0F},
      {LS_SIGMOID, -INFINITY, 0.0F},
      {LS_SIGMOID, FLT_MAX, 1.0F},
      {LS_SIGMOID, -FLT_MAX, 0.0F},
      {LS_TANH, 0.0F, 0.0F},
      {LS_TANH, INFINITY, 1.0F},
      {LS_TANH, -INFINITY, -1.0F},
      {LS_TANH, FLT_MAX, 1.0F},
      {LS_TANH, -FLT_MAX, -1.0F},
      {LS_RELU, 0.0F, 0.0F},
      {LS_RELU, INFINITY, INFINITY},
      {LS_RELU, -INFINITY, 0.0F},
      {LS_LEAKY_RELU, 0.0F, 0.0F},
      {LS_LEAKY_RELU, -8.0F, -1.0F},
      {LS_LEAKY_RELU, 8.0F, 8.0F},
      {LS_LEAKY_RELU, INFINITY, INFINITY},
      {LS_LEAKY_RELU, -INFINITY, -INFINITY},
      {LS_ELU, 0.0F, 0.0F},
      {LS_ELU, 8.0F, 8.0F},
      {LS_ELU, INFINITY, INFINITY},
      {LS_ELU, -INFINITY, -ALPHA},
      {LS_ELU, -FLT_MAX, -ALPHA},
      {LS_GELU, 0.0F, 0.0F},
      {LS_GELU, 100.0F, 100.0F},
      {LS_GELU, INFINITY, INFINITY},
      {LS_GELU, -INFINITY, -0.0F},
      {LS_GELU, -FLT_MAX, -0.0F},
      {LS_SOFTPLUS, INFINITY, INFINITY},
      {LS_SOFTPLUS, FLT_MAX, FLT_MAX},
      {LS_SOFTPLUS, -INFINITY, 0.0F},
      {LS_SOFTPLUS, -FLT_MAX, 0.0F},
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    const float got = activated(rows[i].f, rows[i].z);
    check_same(ls_activation_names[rows[i].f], 1, &got, &rows[i].a);
  }
}

/* Every column has the same bits, in a vector or in the remainder, with the bias added before or inside. */
static void columns_do_not_affect_each_other(void **state) {
  (void)state;
  enum { MOST = 70 };
  float bias[MOST];
  float inputs[MOST];
  for (size_t i = 0; i < MOST; i++) bias[i] = 0.375F;
  fill_random(7, MOST, inputs);
  for (ls_activation f = LS_LINEAR; f < LS_SOFTMAX; f++)
    for (size_t n = 1; n <= MOST; n++) {
      const float z = 4.0F * inputs[n - 1];
      const float want = activated(f, z + bias[0]);
      float row[2 * MOST];
      for (size_t j = 0; j < 2 * n; j++) row[j] = z;
      ls_math_activate(f, ALPHA, 2, n, bias, row);
      for (size_t j = 0; j < 2 * n; j++) check_same(ls_activation_names[f], 1, row + j, &want);
    }
}

/* ----------------------------------------------------------------- softmax */

static void softmax_gives_known_numbers(void **state) {
  (void)state;
  static const double want[2][3] = {{0.09003057317038046, 0.24472847105479764, 0.6652409557748218},
                                    {1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0}};
  const float bias[3] = {-1, -2, -3};
  float z[2][3] = {{1, 2, 3}, {1, 2, 3}};
  ls_math_activate(LS_SOFTMAX, 0.0F, 1, 3, NULL, z[0]);
  ls_math_activate(LS_SOFTMAX, 0.0F, 1, 3, bias, z[1]);
  for (size_t j = 0; j < 3; j++) {
    check_close("softmax", (double)z[0][j], want[0][j], 1e-7);
    check_close("softmax with bias", (double)z[1][j], want[1][j], 1e-7);
  }
}

/* The inputs are multiples of 1/8, to which adding 1000 is exact: the outputs must keep their bits. */
static void softmax_is_shift_invariant(void **state) {
  (void)state;
  static const float shifts[] = {1000.0F, -1000.0F};
  static const size_t widths[] = {1, 2, 3, 10, 17, 1000};
  float plain[1000];
  float shifted[1000];
  for (size_t w = 0; w < COUNT(widths); w++) {
    const size_t n = widths[w];
    for (size_t s = 0; s < COUNT(shifts); s++) {
      fill_random(w, n, plain);
      for (size_t j = 0; j < n; j++) {
        plain[j] = roundf(64.0F * plain[j]) / 8.0F;
        shifted[j] = plain[j] + shifts[s];
      }
      ls_math_activate(LS_SOFTMAX, 0.0F, 1, n, NULL, plain);
      ls_math_activate(LS_SOFTMAX, 0.0F, 1, n, NULL, shifted);
      check_same("softmax", n, shifted, plain);
    }
    double sum = 0.0;
    for (size_t j = 0; j < n; j++) {
      assert_true(plain[j] > 0.0F && plain[j] <= 1.0F);
      sum += (double)plain[j];
    }
    check_close("sum", sum, 1.0, (double)FLT_EPSILON * (1.0 + (double)n / 2.0));
  }
}

static void softmax_survives_extremes(void **state) {
  (void)state;
  static const struct {
    float z[3], a[3];
  } rows[] = {
      {{1e30F, -1e30F, 0.0F}, {1.0F, 0.0F, 0.0F}},
      {{-INFINITY, 2.0F, -INFINITY}, {0.0F, 1.0F, 0.0F}},
      {{-FLT_MAX, -FLT_MAX, -INFINITY}, {0.5F, 0.5F, 0.0F}},
      {{FLT_MAX, FLT_MAX, -FLT_MAX}, {0.5F, 0.5F, 0.0F}},
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    float z[3];
    memcpy(z, rows[i].z, sizeof z);
    ls_math_activate(LS_SOFTMAX, 0.0F, 1, 3, NULL, z);
    check_same("softmax", 3, z, rows[i].a);
  }
}

/* NaN anywhere makes its whole row NaN, and no other row. */
static void softmax_propagates_nan(void **state) {
  (void)state;
  for (size_t at = 0; at < 5; at++) {
    float z[10] = {0};
    z[at] = NAN;
    ls_math_activate(LS_SOFTMAX, 0.0F, 2, 5, NULL, z);
    for (size_t j = 0; j < 5; j++) {
      assert_true(isnan(z[j]));
      check_close("other row", (double)z[5 + j], 0.2, 1e-7);
    }
  }
}

/* ------------------------------------------------------------- derivatives */

/* Compares f'(z), computed from a, with central differences of libm. Near a = 1, the rounding of a limits
 * the accuracy. */
static void derivatives_match_differences(void **state) {
  (void)state;
  const double h = 1e-6;
  for (ls_activation f = LS_LINEAR; f < LS_SOFTMAX; f++)
    for (int i = -200; i < 200; i++) {
      const float z = 0.05F * (float)i + 0.025F;
      const double want = (exact(f, (double)z + h) - exact(f, (double)z - h)) / (2.0 * h);
      const float a = ls_math_activation_needs_z(f) ? z : activated(f, z);
      float d = -3.0F;
      ls_math_activate_backward(f, ALPHA, 1, 1, &a, &d);
      check_close(ls_activation_names[f], (double)d, -3.0 * want, 1e-6);
    }
}

/* In both tails, where differences are useless: the relative error of f', if a (or z) determines it. */
static void derivatives_keep_their_tails(void **state) {
  (void)state;
  for (int i = -400; i <= 400; i++) {
    const float z = 0.2F * (float)i;
    const double x = (double)z;
    const float plus = activated(LS_SOFTPLUS, z);
    float d[2] = {1.0F, 1.0F};
    ls_math_activate_backward(LS_SOFTPLUS, 0.0F, 1, 1, &plus, &d[0]);
    const double sigmoid = 1.0 / (1.0 + exp(-x));
    check_close("softplus", (double)d[0], sigmoid, 6e-7 * sigmoid);
    ls_math_activate_backward(LS_GELU, 0.0F, 1, 1, &z, &d[1]);
    const double density = exp(-0.5 * x * x) / sqrt(2.0 * acos(-1.0));
    check_close("gelu", (double)d[1], 0.5 * erfc(-x / sqrt(2.0)) + x * density,
                1e-6 * fmin(1.0, (1.0 + x * x) * density) + (x > 0.0 ? 2e-7 : 0.0) + 0x1p-126);
  }
  static const float ends[] = {INFINITY, -INFINITY, FLT_MAX, -FLT_MAX};
  float d[4] = {1.0F, 1.0F, 1.0F, 1.0F};
  ls_math_activate_backward(LS_GELU, 0.0F, 1, 4, ends, d);
  check_same("gelu", 4, d, (const float[]){1.0F, 0.0F, 1.0F, 0.0F});
}

static void derivatives_propagate_nan(void **state) {
  (void)state;
  for (ls_activation f = LS_SIGMOID; f < LS_SOFTMAX; f++) {
    const float nan = NAN;
    float d = 1.0F;
    ls_math_activate_backward(f, ALPHA, 1, 1, &nan, &d);
    if (f != LS_RELU && f != LS_LEAKY_RELU) assert_true(isnan(d)); /* kinks have a slope on either side */
  }
}

/* At exactly 0, the slope is that of the left side. */
static void kinks_have_the_left_slope(void **state) {
  (void)state;
  const float zero[2] = {0.0F, -0.0F};
  float d[2] = {5.0F, 5.0F};
  ls_math_activate_backward(LS_RELU, 0.0F, 1, 2, zero, d);
  check_same("relu", 2, d, (const float[]){0.0F, 0.0F});
  d[0] = d[1] = 5.0F;
  ls_math_activate_backward(LS_LEAKY_RELU, ALPHA, 2, 1, zero, d);
  check_same("leaky_relu", 2, d, (const float[]){0.625F, 0.625F});
}

static void softmax_of_doubles(size_t n, const double *z, double *a) {
  double sum = 0.0;
  for (size_t j = 0; j < n; j++) sum += exp(z[j]);
  for (size_t j = 0; j < n; j++) a[j] = exp(z[j]) / sum;
}

/* dz_i = sum_j d_j da_j / dz_i for each row. */
static void softmax_derivative_matches_differences(void **state) {
  (void)state;
  enum { ROWS = 3, N = 6 };
  const double h = 1e-6;
  float z[ROWS * N];
  float a[ROWS * N];
  float d[ROWS * N];
  float back[ROWS * N];
  fill_random(1, ROWS * N, z);
  fill_random(2, ROWS * N, d);
  for (size_t i = 0; i < ROWS * N; i++) z[i] *= 3.0F;
  memcpy(a, z, sizeof a);
  memcpy(back, d, sizeof back);
  ls_math_activate(LS_SOFTMAX, 0.0F, ROWS, N, NULL, a);
  ls_math_activate_backward(LS_SOFTMAX, 0.0F, ROWS, N, a, back);
  for (size_t i = 0; i < ROWS * N; i++) {
    const size_t row = i / N * N;
    double moved[2][N];
    for (size_t j = 0; j < N; j++) moved[0][j] = moved[1][j] = (double)z[row + j];
    moved[0][i - row] += h;
    moved[1][i - row] -= h;
    softmax_of_doubles(N, moved[0], moved[0]);
    softmax_of_doubles(N, moved[1], moved[1]);
    double want = 0.0;
    for (size_t j = 0; j < N; j++) want += (double)d[row + j] * (moved[0][j] - moved[1][j]) / (2.0 * h);
    check_close("softmax", (double)back[i], want, 1e-6);
  }
}

/* -------------------------------------------------------------------- sums */

static void rows_are_summed(void **state) {
  (void)state;
  static const float betas[] = {0.0F, 1.0F, 0.5F};
  for (size_t rows = 0; rows < 20; rows += 3)
    for (size_t cols = 0; cols < 40; cols += 13)
      for (size_t b = 0; b < COUNT(betas); b++) {
        float x[20 * 40];
        float out[40];
        fill_random(1, rows * cols, x);
        for (size_t j = 0; j < cols; j++) out[j] = betas[b] == 0.0F ? NAN : 2.0F;
        ls_math_sum_rows(rows, cols, x, betas[b], out);
        for (size_t j = 0; j < cols; j++) {
          double want = 2.0 * (double)betas[b];
          for (size_t i = 0; i < rows; i++) want += (double)x[i * cols + j];
          check_close("sum", (double)out[j], want, 5e-6);
        }
      }
}

/* A running float32 sum of 4e6 numbers -0.1 is wrong by 4 %. */
static void many_rows_are_summed(void **state) {
  (void)state;
  enum { ROWS = 4000000, COLS = 3 };
  float out[COLS] = {0.0F};
  float *const x = ls_calloc((size_t)ROWS * COLS, sizeof *x);
  assert_non_null(x);
  for (size_t i = 0; i < ROWS; i++)
    for (size_t j = 0; j < COLS; j++) x[i * COLS + j] = j == 2 ? (float)(i % 7) : -0.1F;
  const double want[COLS] = {ROWS * (double)-0.1F, ROWS * (double)-0.1F, 3.0 * ROWS};
  ls_math_sum_rows(ROWS, COLS, x, 0.0F, out);
  for (size_t j = 0; j < COLS; j++) check_close("sum", (double)out[j] / want[j], 1.0, 1e-6);
  ls_math_sum_rows(ROWS, COLS, x, 1.0F, out);
  for (size_t j = 0; j < COLS; j++) check_close("twice the sum", (double)out[j] / want[j], 2.0, 2e-6);
  free(x);
}

static void squares_are_summed(void **state) {
  (void)state;
  float x[100];
  double want = 0.0;
  for (size_t n = 0; n <= 100; n++) {
    check_close("squares", ls_math_sum_squares(n, x), want, 0.0);
    if (n == 100) break;
    x[n] = (float)n - 50.0F;
    want += (double)x[n] * (double)x[n];
  }
  const float large[3] = {FLT_MAX, -FLT_MAX, FLT_MAX};
  const double most = (double)FLT_MAX * (double)FLT_MAX;
  check_close("large", ls_math_sum_squares(3, large), 3.0 * most, 1e-15 * most);
  const float small = 0x1p-149F;
  check_close("small", ls_math_sum_squares(1, &small), 0x1p-298, 0.0);
}

/* One element that is not finite makes the sum not finite. */
static void sum_of_squares_propagates_nan_and_infinity(void **state) {
  (void)state;
  static const float bad[] = {NAN, INFINITY, -INFINITY};
  float x[67];
  fill_random(1, COUNT(x), x);
  for (size_t i = 0; i < COUNT(x); i++)
    for (size_t b = 0; b < COUNT(bad); b++) {
      const float good = x[i];
      x[i] = bad[b];
      const double sum = ls_math_sum_squares(COUNT(x), x);
      assert_true(isnan(sum) || isinf(sum));
      x[i] = good;
    }
}

/* out may be any of the terms. */
static void terms_are_folded(void **state) {
  (void)state;
  enum { N = 1100, TERMS = 4 }; /* two blocks */
  float x[TERMS][N];
  float want[N];
  for (size_t n_terms = 2; n_terms <= TERMS; n_terms++)
    for (size_t out = 0; out < n_terms; out++)
      for (size_t n = out; n <= N; n += n < 40 ? 1 : 53) {
        const float *const terms[TERMS] = {x[0], x[1], x[2], x[3]};
        fill_random(1, TERMS * (size_t)N, x[0]);
        for (size_t i = 0; i < N; i++) {
          want[i] = i < n ? x[0][i] : x[out][i];
          for (size_t k = 1; i < n && k < n_terms; k++) want[i] += x[k][i];
        }
        const double squares = ls_math_fold(n, n_terms, terms, x[out]);
        assert_memory_equal(x[out], want, sizeof want);
        check_close("squares", squares, ls_math_sum_squares(n, want), n <= 1024 ? 0.0 : 1e-12 * squares);
      }
}

static void scaled_sums_are_added(void **state) {
  (void)state;
  float x[37];
  float y[37];
  float want[37];
  fill_random(1, 37, x);
  fill_random(2, 37, y);
  for (size_t i = 0; i < 37; i++) want[i] = y[i] + -0.3F * x[i];
  ls_math_add_scaled(37, -0.3F, x, y);
  check_same("y", 37, y, want);
}

/* --------------------------------------------------------- optimizer steps */

/* v = 0.9 * 2 + 0.5 * 4 = 3.8, w = 1 - 0.1 * 3.8 = 0.62 */
static void momentum_steps_by_hand(void **state) {
  (void)state;
  float v[19];
  float w[19];
  float g[19];
  const ls_momentum_step s = {.lr = 0.1F, .momentum = 0.9F};
  for (size_t i = 0; i < 19; i++) v[i] = 2.0F, w[i] = 1.0F, g[i] = 4.0F;
  ls_math_momentum_step(19, &s, 0.5F, g, v, w);
  for (size_t i = 0; i < 19; i++) {
    check_close("v", (double)v[i], 3.8, 5e-7);
    check_close("w", (double)w[i], 0.62, 1e-7);
  }
}

/* With g = 0.5 * 4 = 2: m = 0.9 * 1 + 0.1 * 2 = 1.1, v = 0.99 * 3 + 0.01 * 4 = 3.01,
 * w = 1 - 0.1 * 1.1 / (2 sqrt(3.01) + 0.5) */
static void adam_steps_by_hand(void **state) {
  (void)state;
  const ls_adam_step s = {.beta1 = 0.9, .beta2 = 0.99, .rate = 0.1F, .root = 2.0F, .eps = 0.5F};
  float m[19];
  float v[19];
  float w[19];
  float g[19];
  for (size_t i = 0; i < 19; i++) m[i] = 1.0F, v[i] = 3.0F, w[i] = 1.0F, g[i] = 4.0F;
  ls_math_adam_step(19, &s, 0.5F, g, m, v, w);
  for (size_t i = 0; i < 19; i++) {
    check_close("m", (double)m[i], 1.1, 2e-7);
    check_close("v", (double)v[i], 3.01, 5e-7);
    check_close("w", (double)w[i], 1.0 - 0.1 * 1.1 / (2.0 * sqrt(3.01) + 0.5), 1e-7);
  }
}

/* A disabled option changes no bit: a gradient of -0 gives a velocity of -0, and 0 times an infinite
 * parameter is not computed. */
static void absent_decay_changes_no_bit(void **state) {
  (void)state;
  const float g[2] = {-0.0F, 2.0F};
  float v[2] = {-0.0F, 0.0F};
  float w[2] = {-0.0F, INFINITY};
  ls_math_momentum_step(2, &(ls_momentum_step){.lr = 0.5F, .momentum = 0.5F}, 1.0F, g, v, w);
  check_same("v", 2, v, (const float[]){-0.0F, 2.0F});
  check_same("w", 2, w, (const float[]){0.0F, INFINITY});
}

/* --------------------------------------------------- clamp and soft threshold */

static void clamped_values_stay_within(void **state) {
  (void)state;
  float x[] = {-3.0F, -1.0F, -0.5F, 0.0F, 0.25F, 1.0F, 1.5F, INFINITY, -INFINITY};
  ls_math_clamp(COUNT(x), 1.0F, x);
  check_same("clamped", COUNT(x), x,
             (const float[]){-1.0F, -1.0F, -0.5F, 0.0F, 0.25F, 1.0F, 1.0F, 1.0F, -1.0F});
}

static void soft_threshold_moves_towards_zero(void **state) {
  (void)state;
  float w[] = {-3.0F, -1.0F, -0.5F, 0.0F, 0.25F, 1.0F, 1.5F, INFINITY, -INFINITY};
  ls_math_soft_threshold(COUNT(w), 1.0F, w);
  check_same("shrunk", COUNT(w), w,
             (const float[]){-2.0F, 0.0F, 0.0F, 0.0F, 0.0F, 0.0F, 0.5F, INFINITY, -INFINITY});
  float same[] = {-3.0F, 0.5F};
  ls_math_soft_threshold(COUNT(same), 0.0F, same);
  check_same("by nothing", COUNT(same), same, (const float[]){-3.0F, 0.5F});
}

/* At every position of a vector register and in the remainder. */
static void nan_survives_clamp_and_soft_threshold(void **state) {
  (void)state;
  enum { N = 37 };
  for (size_t at = 0; at < N; at++) {
    float x[N];
    float w[N];
    for (size_t i = 0; i < N; i++) x[i] = w[i] = i == at ? NAN : 0.5F;
    ls_math_clamp(N, 0.25F, x);
    ls_math_soft_threshold(N, 1.0F, w);
    for (size_t i = 0; i < N; i++) {
      assert_int_equal(isnan(x[i]), i == at);
      assert_int_equal(isnan(w[i]), i == at);
    }
  }
}

/* ------------------------------------------------------------ batch norm */

/* x (rows, cols): the mean and the deviation of each column differ; the mean is up to `mean`. */
static float *new_columns(size_t rows, size_t cols, float mean) {
  float *const x = new_floats(rows * cols);
  fill_random(5, rows * cols, x);
  for (size_t i = 0; i < rows * cols; i++) {
    const float j = (float)(i % cols + 1);
    x[i] = x[i] * j / (float)cols + mean / j;
  }
  return x;
}

/* The variance of column j, by two passes in double. */
static double variance_of(size_t rows, size_t cols, const float *x, size_t j) {
  double mean = 0.0;
  double sum = 0.0;
  for (size_t i = 0; i < rows; i++) mean += (double)x[i * cols + j] / (double)rows;
  for (size_t i = 0; i < rows; i++) sum += pow((double)x[i * cols + j] - mean, 2.0);
  return sum / (double)rows;
}

/* The variance from the moments about a pivot of 0 loses no digits, even if the mean is a million
 * deviations, and if squares exceed the range of float. */
static void moments_are_accurate(void **state) {
  (void)state;
  static const struct {
    size_t rows, cols;
    float mean, factor;
  } cases[] = {{1, 3, 1.0F, 1.0F},     {7, 1, 1e3F, 1.0F},      {1029, 16, 0.0F, 1.0F},
               {2100, 5, 1e6F, 1.0F},  {1029, 300, 1e4F, 1.0F}, {50, 16, 0.0F, 1e25F},
               {50, 300, 1e3F, 1e-15F}};
  for (size_t k = 0; k < COUNT(cases); k++) {
    const size_t rows = cases[k].rows;
    const size_t cols = cases[k].cols;
    float *const x = new_columns(rows, cols, cases[k].mean);
    float *const pivot = new_floats(cols);
    double *const sums = ls_calloc(2 * cols, sizeof *sums);
    for (size_t i = 0; i < rows * cols; i++) x[i] *= cases[k].factor;
    memset(pivot, 0, cols * sizeof *pivot);
    ls_math_norm_moments(rows, cols, x, pivot, sums, sums + cols);
    for (size_t j = 0; j < cols; j++) {
      const double mean = sums[j] / (double)rows;
      const double var = sums[cols + j] / (double)rows - mean * mean;
      const double want = variance_of(rows, cols, x, j);
      check_close("variance", var, want, 2e-7 * want + 1e-14 * mean * mean);
    }
    free(x);
    free(pivot);
    free(sums);
  }
}

/* ----------------------------------------------------------- stored rows */

static void rows_are_normalized(void **state) {
  (void)state;
  enum { N = 37 };
  float offset[N];
  float factor[N];
  float x[N];
  float out[N];
  float want[N];
  uint8_t bytes[N];
  fill_random(1, N, offset);
  fill_random(2, N, factor);
  fill_random(3, N, x);
  for (size_t j = 0; j < N; j++) bytes[j] = (uint8_t)(7 * j);

  for (size_t j = 0; j < N; j++) want[j] = (x[j] - offset[j]) * factor[j];
  ls_math_normalize_f32(N, x, offset, factor, out);
  check_same("f32", N, out, want);
  for (size_t j = 0; j < N; j++) want[j] = ((float)bytes[j] - offset[j]) * factor[j];
  ls_math_normalize_u8(N, bytes, offset, factor, out);
  check_same("u8", N, out, want);
}

/* The difference is computed in double: seconds since 1970 keep their fractions. */
static void doubles_are_normalized_in_double(void **state) {
  (void)state;
  const double row[3] = {1.7e9 + 0.25, 1e300, -3.0};
  const double offset[3] = {1.7e9, 0.0, 1.0};
  const double factor[3] = {2.0, 1e-300, 0.5};
  float out[3];
  ls_math_normalize_f64(3, row, offset, factor, out);
  check_same("f64", 3, out, (const float[]){0.5F, 1.0F, -2.0F});
}

/* ------------------------------------------------------------------ dropout */

static void dropout_at_rate_0_keeps_all(void **state) {
  (void)state;
  const uint32_t words[3] = {0, 1, UINT32_MAX};
  const float x[3] = {1.0F, -2.0F, 3.0F};
  uint8_t mask[3] = {0};
  float y[3];
  ls_math_dropout(3, 0.0F, words, x, mask, y);
  check_same("y", 3, y, x);
  ls_math_dropout_backward(3, 0.0F, mask, x, y);
  check_same("dx", 3, y, x);
  for (size_t j = 0; j < 3; j++) assert_int_equal(mask[j], 1);
}

/* The limit is 2^32 / 4, and the scale 1 / (1 - 1/4). */
static void dropout_compares_words(void **state) {
  (void)state;
  const uint32_t words[4] = {0, 0x3fffffff, 0x40000000, UINT32_MAX};
  const float x[4] = {3.0F, 3.0F, 3.0F, -6.0F};
  uint8_t mask[4];
  float y[4];
  float dx[4];
  ls_math_dropout(4, 0.25F, words, x, mask, y);
  check_same("y", 4, y, (const float[]){0.0F, 0.0F, 3.0F * (1.0F / 0.75F), -6.0F * (1.0F / 0.75F)});
  assert_memory_equal(mask, ((const uint8_t[]){0, 0, 1, 1}), 4);
  ls_math_dropout_backward(4, 0.25F, mask, x, dx);
  check_same("dx", 4, dx, y);
}

/* Dropout also drops values that are not finite. */
static void dropout_drops_nan(void **state) {
  (void)state;
  const uint32_t word = 0;
  const float x = NAN;
  uint8_t mask = 7;
  float y = 7.0F;
  ls_math_dropout(1, 0.5F, &word, &x, &mask, &y);
  check_same("y", 1, &y, (const float[]){0.0F});
}

static void dropout_drops_the_expected_fraction(void **state) {
  (void)state;
  enum { N = 100000 };
  static const float rates[] = {0.01F, 0.2F, 0.5F, 0.9F};
  const ls_rng rng = ls_rng_make(1, LS_RNG_DROPOUT, 0, 0);
  uint32_t *const words = ls_calloc(N, sizeof *words);
  uint8_t *const mask = ls_calloc(N, 1);
  float *const x = new_floats(N);
  float *const y = new_floats(N);
  assert_true(words && mask);
  for (size_t i = 0; i < N; i++) x[i] = 1.0F;
  ls_rng_words(&rng, 0, N, words);
  for (size_t r = 0; r < COUNT(rates); r++) {
    const double rate = (double)rates[r];
    ls_math_dropout(N, rates[r], words, x, mask, y);
    double sum = 0.0;
    size_t kept = 0;
    for (size_t i = 0; i < N; i++) {
      sum += (double)y[i];
      kept += mask[i];
    }
    const double error = 5.0 * sqrt(rate * (1.0 - rate) / N); /* five standard errors */
    check_close("kept", (double)kept / N, 1.0 - rate, error);
    check_close("mean", sum / N, 1.0, error / (1.0 - rate));
  }
  free(words);
  free(mask);
  free(x);
  free(y);
}

static void shapes_are_counted_and_compared(void **state) {
  (void)state;
  const ls_shape image = {3, {28, 27, 3}};
  const ls_shape flat = ls_shape_of(28 * 27 * 3);
  const ls_shape single = {0};
  size_t count = 0;
  char text[64];
  assert_true(ls_shape_count(&image, &count) && count == 28 * 27 * 3);
  assert_true(ls_shape_count(&single, &count) && count == 1);
  assert_false(ls_shape_count(&(ls_shape){4, {1 << 16, 1 << 16, 1 << 16, 1 << 16}}, &count));
  assert_true(same_shape(&image, &(ls_shape){3, {28, 27, 3}}));
  assert_false(same_shape(&image, &flat));
  assert_false(same_shape(&image, &(ls_shape){3, {28, 27, 1}}));
  assert_string_equal(ls_shape_describe(&image, text, sizeof text), "(28, 27, 3)");
  assert_string_equal(ls_shape_describe(&single, text, sizeof text), "()");
}

int main(void) {
#if defined(LS_NO_CLONES) && defined(__AVX2__)
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 77; /* skipped */
#endif
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(shapes_are_counted_and_compared),
      cmocka_unit_test(products_are_right),
      cmocka_unit_test(products_of_few_rows_are_right),
      cmocka_unit_test(long_products_of_few_rows_are_accurate),
      cmocka_unit_test(pieces_of_products_have_the_same_bits),
      cmocka_unit_test(blas_has_a_name_and_threads),
      cmocka_unit_test(results_do_not_depend_on_threads),
      cmocka_unit_test(norms_and_pools_do_not_depend_on_threads),
      cmocka_unit_test(activations_are_accurate_to_a_few_ulp),
      cmocka_unit_test(exponential_is_accurate_to_two_ulp),
      cmocka_unit_test(activations_keep_their_limits),
      cmocka_unit_test(columns_do_not_affect_each_other),
      cmocka_unit_test(softmax_gives_known_numbers),
      cmocka_unit_test(softmax_is_shift_invariant),
      cmocka_unit_test(softmax_survives_extremes),
      cmocka_unit_test(softmax_propagates_nan),
      cmocka_unit_test(derivatives_match_differences),
      cmocka_unit_test(derivatives_keep_their_tails),
      cmocka_unit_test(derivatives_propagate_nan),
      cmocka_unit_test(kinks_have_the_left_slope),
      cmocka_unit_test(softmax_derivative_matches_differences),
      cmocka_unit_test(rows_are_summed),
      cmocka_unit_test(many_rows_are_summed),
      cmocka_unit_test(squares_are_summed),
      cmocka_unit_test(terms_are_folded),
      cmocka_unit_test(sum_of_squares_propagates_nan_and_infinity),
      cmocka_unit_test(scaled_sums_are_added),
      cmocka_unit_test(momentum_steps_by_hand),
      cmocka_unit_test(adam_steps_by_hand),
      cmocka_unit_test(absent_decay_changes_no_bit),
      cmocka_unit_test(clamped_values_stay_within),
      cmocka_unit_test(soft_threshold_moves_towards_zero),
      cmocka_unit_test(nan_survives_clamp_and_soft_threshold),
      cmocka_unit_test(moments_are_accurate),
      cmocka_unit_test(rows_are_normalized),
      cmocka_unit_test(doubles_are_normalized_in_double),
      cmocka_unit_test(dropout_at_rate_0_keeps_all),
      cmocka_unit_test(dropout_compares_words),
      cmocka_unit_test(dropout_drops_nan),
      cmocka_unit_test(dropout_drops_the_expected_fraction),
  };
  return cmocka_run_group_tests_name("math", tests, NULL, NULL);
}
