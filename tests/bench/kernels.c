/* Compares the kernels of math with the limits of memory and BLAS, on one thread.
 *
 *   bench_kernels [NAME]     only kernels whose name begins with NAME
 *
 * Each elementwise kernel runs on a working set that fits in a core's private cache, and on one that
 * exceeds all caches. The results are the bytes per second that it must move (each array that it reads or
 * writes), and their ratio to a copy of the same working set, measured alternately. A ratio of 1 means that
 * only memory limits the kernel. A kernel that mostly reads or works in place may exceed 1, because a copy
 * first loads the cache lines that it overwrites. The products of dense layers at several numbers of rows
 * follow, as a ratio to the best product of matrices of order 1024, and to one call of BLAS, measured
 * alternately. All results are medians. Times are processor times, which other processes affect least.
 * bench_kernels_v3 has the kernels for AVX2; with OPENBLAS_CORETYPE=Zen, so has OpenBLAS. */
#include "lockstep/math.h"

#include "measure.h"

#include <cblas.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 41
#define COLS   512 /* of a row, for kernels on rows */
#define CACHED ((size_t)512 << 10)
#define LARGE  ((size_t)96 << 20)

/* Four float arrays and the other arguments of the kernels, in one block of LARGE bytes. */
typedef struct arrays {
  float *x, *y, *z, *w;
  uint32_t *words;
  uint8_t *bytes;
  float small[COLS];
} arrays;

typedef struct kernel {
  const char *name;
  size_t held;  /* bytes per element in the working set */
  size_t moved; /* bytes per element, read and written */
  void (*run)(arrays *a, size_t n);
} kernel;

static volatile double sink; /* keeps the compiler from removing a sum */

/* Copies in small pieces, so that memcpy does not bypass the caches. */
static void copy(arrays *a, size_t n) {
  for (size_t i = 0; i < n; i += COLS) memcpy(a->y + i, a->x + i, COLS * sizeof *a->x);
}

#define ACTIVATION(name, f)                                                                                \
  static void name(arrays *a, size_t n) {                                                                  \
    ls_math_activate(f, 0.1F, n / COLS, COLS, a->small, a->y);                                             \
  }                                                                                                        \
  static void name##_backward(arrays *a, size_t n) {                                                       \
    ls_math_activate_backward(f, 0.1F, n / COLS, COLS, a->x, a->y);                                        \
    ls_math_sum_rows(n / COLS, COLS, a->y, 0.0F, a->small);                                                \
  }
ACTIVATION(linear, LS_LINEAR)
ACTIVATION(sigmoid, LS_SIGMOID)
ACTIVATION(tangent, LS_TANH)
ACTIVATION(relu, LS_RELU)
ACTIVATION(leaky_relu, LS_LEAKY_RELU)
ACTIVATION(elu, LS_ELU)
ACTIVATION(gelu, LS_GELU)
ACTIVATION(softplus, LS_SOFTPLUS)
ACTIVATION(softmax, LS_SOFTMAX)

static void sum_squares(arrays *a, size_t n) {
  sink = ls_math_sum_squares(n, a->x);
}

static void add_scaled(arrays *a, size_t n) {
  ls_math_add_scaled(n, 0.5F, a->x, a->y);
}

static void clamp(arrays *a, size_t n) {
  ls_math_clamp(n, 0.5F, a->y);
}

static void soft_threshold(arrays *a, size_t n) {
  ls_math_soft_threshold(n, 0.001F, a->y);
}

static void sgd(arrays *a, size_t n) {
  ls_math_sgd_step(n, 0.01F, 0.0F, 0.5F, a->x, a->y);
}

static void momentum(arrays *a, size_t n) {
  ls_math_momentum_step(n, &(ls_momentum_step){.lr = 0.01F, .momentum = 0.9F}, 0.5F, a->x, a->y, a->z);
}

static void rmsprop(arrays *a, size_t n) {
  ls_math_rmsprop_step(n, &(ls_rmsprop_step){.lr = 0.01F, .alpha = 0.99, .eps = 1e-8F}, 0.5F, a->x, a->y,
                       a->z);
}

static void adam(arrays *a, size_t n) {
  const ls_adam_step s = {.beta1 = 0.9, .beta2 = 0.999, .rate = 0.001F, .root = 1.0F, .eps = 1e-8F};
  ls_math_adam_step(n, &s, 0.5F, a->x, a->z, a->y, a->w);
}

static void normalize_u8(arrays *a, size_t n) {
  for (size_t i = 0; i < n; i += COLS)
    ls_math_normalize_u8(COLS, a->bytes + i, a->small, a->small, a->y + i);
}

static void normalize_f32(arrays *a, size_t n) {
  for (size_t i = 0; i < n; i += COLS) ls_math_normalize_f32(COLS, a->x + i, a->small, a->small, a->y + i);
}

/* Draws random words for one row at a time, like the layer. */
static void dropout(arrays *a, size_t n) {
  const ls_rng rng = ls_rng_make(1, LS_RNG_DROPOUT, 0, 0);
  for (size_t i = 0; i < n; i += COLS) {
    ls_rng_words(&rng, i, COLS, a->words);
    ls_math_dropout(COLS, 0.2F, a->words, a->x + i, a->bytes + i, a->y + i);
  }
}

static void dropout_backward(arrays *a, size_t n) {
  ls_math_dropout_backward(n, 0.2F, a->bytes, a->x, a->y);
}

static const kernel copying = {"copy", 8, 8, copy};

/* Arrays that are used once per row and stay in the L1 cache do not count. */
static const kernel kernels[] = {{"linear + bias", 4, 8, linear},
                                 {"relu + bias", 4, 8, relu},
                                 {"leaky_relu + bias", 4, 8, leaky_relu},
                                 {"sigmoid + bias", 4, 8, sigmoid},
                                 {"tanh + bias", 4, 8, tangent},
                                 {"elu + bias", 4, 8, elu},
                                 {"gelu + bias", 4, 8, gelu},
                                 {"softplus + bias", 4, 8, softplus},
                                 {"softmax + bias", 4, 8, softmax},
                                 {"linear backward, db", 4, 4, linear_backward},
                                 {"relu backward, db", 8, 12, relu_backward},
                                 {"leaky_relu backward, db", 8, 12, leaky_relu_backward},
                                 {"sigmoid backward, db", 8, 12, sigmoid_backward},
                                 {"tanh backward, db", 8, 12, tangent_backward},
                                 {"elu backward, db", 8, 12, elu_backward},
                                 {"gelu backward, db", 8, 12, gelu_backward},
                                 {"softplus backward, db", 8, 12, softplus_backward},
                                 {"softmax backward, db", 8, 12, softmax_backward},
                                 {"sum of squares", 4, 4, sum_squares},
                                 {"add scaled", 8, 12, add_scaled},
                                 {"clamp", 4, 8, clamp},
                                 {"soft threshold", 4, 8, soft_threshold},
                                 {"sgd", 8, 12, sgd},
                                 {"momentum", 12, 20, momentum},
                                 {"rmsprop", 12, 20, rmsprop},
                                 {"adam", 16, 28, adam},
                                 {"normalize u8", 5, 5, normalize_u8},
                                 {"normalize f32", 8, 8, normalize_f32},
                                 {"dropout with random words", 9, 9, dropout},
                                 {"dropout backward", 9, 9, dropout_backward}};

/* Places the arrays of a working set of n elements one after the other. */
static void lay_out(arrays *a, size_t n, float *block) {
  float **const all[] = {&a->x, &a->y, &a->z, &a->w};
  for (size_t k = 0; k < 4; k++) *all[k] = block + k * (n + 64);
  a->bytes = (uint8_t *)(block + 2 * (n + 64)); /* instead of z */
  for (size_t i = 0; i < COLS; i++) a->small[i] = 0.25F;
}

/* Resets the arrays before each round; otherwise repeated updates could produce denormal numbers. */
static void reset(const arrays *a, size_t n, size_t held) {
  const float values[] = {0.75F, 0.5F, 0.25F, 0.125F};
  float *const all[] = {a->x, a->y, a->z, a->w};
  for (size_t k = 0; k < 4 && 4 * k < held; k++)
    for (size_t i = 0; i < n; i++) all[k][i] = i % 3 == 0 ? values[k] : values[k] + 0.01F;
}

/* Bytes per second of one run on arrays that were just reset. */
static double rate_of(const kernel *k, arrays *a, size_t size, float *block) {
  const size_t n = size / k->held / COLS * COLS;
  lay_out(a, n, block);
  reset(a, n, k->held);
  const double start = clock_now();
  k->run(a, n);
  return (double)(n * k->moved) / (clock_now() - start);
}

static void measure(const kernel *k, arrays *a, float *block) {
  static const size_t sizes[] = {CACHED, LARGE};
  printf("%-26s", k->name);
  for (size_t s = 0; s < 2; s++) {
    double rates[ROUNDS];
    double ratios[ROUNDS];
    const size_t rounds = s == 0 ? ROUNDS : ROUNDS / 4;
    for (size_t r = 0; r < rounds; r++) {
      rates[r] = rate_of(k, a, sizes[s], block);
      ratios[r] = rates[r] / rate_of(&copying, a, sizes[s], block);
    }
    printf("  %8.1f GB/s  %6.2f", 1e-9 * median(rounds, rates), median(rounds, ratios));
  }
  printf("\n");
}

/* ---------------------------------------------------------------- products */

typedef struct product {
  const char *name;
  void (*run)(size_t m, size_t n, size_t k, const float *a, const float *b, float beta, float *c);
  enum CBLAS_TRANSPOSE ta, tb;
} product;

static void product_nn(size_t m, size_t n, size_t k, const float *a, const float *b, float beta, float *c) {
  ls_math_product_nn_columns(0, n, m, n, k, a, b, beta, c);
}

static void product_tn(size_t m, size_t n, size_t k, const float *a, const float *b, float beta, float *c) {
  ls_math_product_tn_rows(0, m, m, n, k, a, b, beta, c);
}

enum { FORWARD, GRADIENT, BACKWARD };

static const product products[] = {{"y = x W^T", ls_math_product_nt, CblasNoTrans, CblasTrans},
                                   {"dW = dy^T x", product_tn, CblasTrans, CblasNoTrans},
                                   {"dx = dy W", product_nn, CblasNoTrans, CblasNoTrans}};

/* Flop per second of repeated products over a few milliseconds, by Lockstep or by one call of BLAS each. */
static double flops_of(const product *p, bool is_blas, size_t m, size_t n, size_t k, float *block) {
  const double flop = 2.0 * (double)m * (double)n * (double)k;
  const size_t times = (size_t)(1e7 / flop) + 1;
  const float *const a = block;
  float *const b = block + m * k;
  float *const c = b + n * k;
  const double start = clock_now();
  for (size_t i = 0; i < times; i++)
    if (is_blas)
      cblas_sgemm(CblasRowMajor, p->ta, p->tb, (int)m, (int)n, (int)k, 1.0F, a,
                  (int)(p->ta == CblasTrans ? m : k), b, (int)(p->tb == CblasTrans ? k : n), 0.0F, c,
                  (int)n);
    else
      p->run(m, n, k, a, b, 0.0F, c);
  return (double)times * flop / (clock_now() - start);
}

static void measure_product(const product *p, size_t rows, size_t n_out, size_t n_in, double best,
                            float *block) {
  const size_t m = p == &products[GRADIENT] ? n_out : rows;
  const size_t n = p == &products[FORWARD] ? n_out : n_in;
  const size_t k = p == &products[GRADIENT] ? rows : p == &products[FORWARD] ? n_in : n_out;
  const size_t rounds = m * n * k > (size_t)1e8 ? ROUNDS / 8 : ROUNDS / 4;
  double rates[ROUNDS];
  double ratios[ROUNDS];
  for (size_t r = 0; r < rounds; r++) {
    rates[r] = flops_of(p, false, m, n, k, block);
    ratios[r] = rates[r] / flops_of(p, true, m, n, k, block);
  }
  const double middle = median(rounds, rates);
  printf("%-12s %4zu rows, W %4zu x %-4zu  %8.1f GFLOP/s  %6.2f  %6.2f\n", p->name, rows, n_out, n_in,
         1e-9 * middle, middle / best, median(rounds, ratios));
}

static void measure_products(float *block) {
  static const size_t shapes[][2] = {{512, 784},  {512, 512}, {10, 512}, {2048, 2048},
                                     {2048, 784}, {128, 784}, {64, 28},  {2, 64}};
  static const size_t rows[] = {1, 2, 4, 8, 16, 32, 64, 256, 1024};
  printf("\nproducts of %s\n%-37s  %16s  %6s  %6s\n", ls_math_blas_name(), "", "", "/1024^3", "/BLAS");
  if (ls_math_threads_set(1) != LS_OK) exit(1);
  for (size_t i = 0; i < LARGE / sizeof *block; i++) block[i] = (float)(i % 7) * 0.25F - 0.5F;
  double best = 0.0;
  for (int r = 0; r < ROUNDS / 4; r++) {
    const double rate = flops_of(&products[BACKWARD], true, 1024, 1024, 1024, block);
    best = rate > best ? rate : best;
  }
  for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
    for (size_t p = 0; p < sizeof products / sizeof products[0]; p++)
      for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++)
        measure_product(&products[p], rows[r], shapes[s][0], shapes[s][1], best, block);
}

int main(int argc, char **argv) {
  arrays a = {0};
  const char *const wanted = argc > 1 ? argv[1] : "";
  float *const block = ls_calloc(LARGE + 4096, 2);
  a.words = ls_calloc(COLS, sizeof *a.words);
  if (!block || !a.words) {
    fprintf(stderr, "out of memory\n");
    return 1;
  }
  printf("%-26s  %13s  %6s  %13s  %6s\n", "kernel", "in cache", "/copy", "in memory", "/copy");
  for (size_t k = 0; k < sizeof kernels / sizeof kernels[0]; k++)
    if (strncmp(kernels[k].name, wanted, strlen(wanted)) == 0) measure(&kernels[k], &a, block);
  if (strncmp("products", wanted, strlen(wanted)) == 0) measure_products(block);
  free(block);
  free(a.words);
  return 0;
}
