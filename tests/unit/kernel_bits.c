/* Prints a line for each kernel of math: its name and a digest of what it makes of fixed numbers.
 * tests/unit/same_bits.py compares the lines of builds for several processors. */
#include "lockstep/math.h"

#include <stdlib.h>
#include <string.h>

enum { ROWS = 7, COLS = 147, N = ROWS * COLS };

typedef struct arrays {
  float x[N], y[N], z[N], w[N]; /* -1 to 1, some below the normal range, zeros of both signs */
  float wide[N];                /* up to +-128 */
  float positive[N];
  double p[N], q[N], r[N], s[N];
  uint32_t words[N];
  uint8_t bytes[N], mask[N];
} arrays;

static void fill(uint64_t key, float *x) {
  const ls_rng rng = ls_rng_make(key, LS_RNG_CHECK, 0, 0);
  ls_rng_uniform(&rng, 0, N, x);
  for (size_t i = 0; i < N; i++) x[i] = 2.0F * x[i] - 1.0F;
  x[N / 3] = -0.0F;
  x[N / 2] = 0x1p-140F;
  x[N - 1] = -0x1.8p-130F;
}

/* The same numbers for every kernel. */
static void reset(arrays *a) {
  const ls_rng rng = ls_rng_make(9, LS_RNG_CHECK, 0, 0);
  memset(a, 0, sizeof *a);
  fill(1, a->x);
  fill(2, a->y);
  fill(3, a->z);
  fill(4, a->w);
  ls_rng_words(&rng, 0, N, a->words);
  for (size_t i = 0; i < N; i++) {
    a->wide[i] = 128.0F * a->x[i];
    a->positive[i] = a->y[i] * a->y[i];
    a->bytes[i] = (uint8_t)a->words[i];
    a->p[i] = 1.5 * (double)a->y[i] - 0.25;
    a->q[i] = 1.0 / (1.0 + (double)a->positive[i]);
    a->r[i] = (double)a->z[i] * 0.7;
    a->s[i] = (double)a->w[i] * 0.3;
  }
}

static void print(const char *name, const void *data, size_t size) {
  const unsigned char *const bytes = data;
  uint64_t digest = 14695981039346656037ULL;
  for (size_t i = 0; i < size; i++) digest = (digest ^ bytes[i]) * 1099511628211ULL;
  printf("%-28s %016llx\n", name, (unsigned long long)digest);
}

/* Resets, runs and prints: the whole state is what is compared. */
#define RUN(name, ...)                                                                                     \
  do {                                                                                                     \
    reset(a);                                                                                              \
    __VA_ARGS__;                                                                                           \
    print(name, a, sizeof *a);                                                                             \
  } while (0)

static void run_activations(arrays *a) {
  char name[64];
  for (ls_activation f = LS_LINEAR; f <= LS_SOFTMAX; f++) {
    const char *const text = ls_activation_names[f];
    RUN(text, ls_math_activate(f, 0.3F, ROWS, COLS, NULL, a->wide));
    snprintf(name, sizeof name, "%s with bias", text);
    RUN(name, ls_math_activate(f, 0.3F, ROWS, COLS, a->y, a->x));
    snprintf(name, sizeof name, "%s backward", text);
    RUN(name, ls_math_activate_backward(f, 0.3F, ROWS, COLS, a->x, a->y));
  }
}

static void run_sums(arrays *a) {
  RUN("sum_rows", ls_math_sum_rows(ROWS, COLS, a->x, 0.0F, a->y));
  RUN("sum_rows added", ls_math_sum_rows(ROWS, COLS, a->x, 0.7F, a->y));
  RUN("sum_squares", a->p[0] = ls_math_sum_squares(N, a->wide));
  RUN("fold 2", a->p[0] = ls_math_fold(N, 2, (const float *const[]){a->x, a->y}, a->x));
  RUN("fold 3", a->p[0] = ls_math_fold(N, 3, (const float *const[]){a->x, a->y, a->z}, a->z));
  RUN("add", ls_math_add(N, a->x, a->y, a->z));
  RUN("add_scaled", ls_math_add_scaled(N, 0.3F, a->x, a->y));
  RUN("clamp", ls_math_clamp(N, 0.3F, a->x));
  RUN("shrink", ls_math_soft_threshold(N, 0.3F, a->x));
  RUN("lane_fold", ls_lane_fold(a->p, 3, 7, 8));
}

/* With few columns, which are joined, and with many. */
static void run_norms(arrays *a) {
  char name[64];
  for (size_t k = 0; k < 4; k++) {
    const size_t cols = k / 2 ? 300 : 3;
    const size_t rows = N / cols;
    const ls_norm norm = {.center = a->x, .scale = a->y, .shift = a->z, .has_relu = k % 2};
#define RUN_NORM(part, ...)                                                                                \
  snprintf(name, sizeof name, "norm %s %zu", part, k);                                                     \
  RUN(name, __VA_ARGS__)
    RUN_NORM("moments", ls_math_norm_moments(rows, cols, a->x, a->y, a->p, a->q));
    RUN_NORM("forward", ls_math_norm(&norm, rows, cols, a->wide, NULL, a->w));
    RUN_NORM("sum", ls_math_norm(&norm, rows, cols, a->wide, a->x, a->w));
    RUN_NORM("backward sums", ls_math_norm_backward_sums(&norm, rows, cols, a->x, a->y, a->p, a->q));
    RUN_NORM("backward", ls_math_norm_backward(&norm, rows, cols, a->x, a->y, a->z, a->y, a->w));
#undef RUN_NORM
  }
}

static void run_rows(arrays *a) {
  RUN("normalize_u8", ls_math_normalize_u8(N, a->bytes, a->x, a->y, a->z));
  RUN("normalize_f32", ls_math_normalize_f32(N, a->wide, a->x, a->y, a->z));
  RUN("normalize_f64", ls_math_normalize_f64(N, a->p, a->q, a->r, a->z));
  RUN("dropout", ls_math_dropout(N, 0.3F, a->words, a->x, a->mask, a->y));
  RUN("dropout_backward", ls_math_dropout_backward(N, 0.3F, a->bytes, a->x, a->y));
}

/* Each with weight decay and without. */
static void run_steps(arrays *a) {
  char name[64];
  for (int d = 0; d < 2; d++) {
    const float decay = d ? 0.01F : 0.0F;
    const char *const text = d ? " with decay" : "";
    const ls_adagrad_step adagrad = {.lr = 0.1F, .eps = 1e-8F, .decay = decay};
    const ls_rmsprop_step rmsprop = {.lr = 0.1F, .alpha = 0.99, .eps = 1e-8F, .decay = decay};
    const ls_adam_step adam = {
        .beta1 = 0.9, .beta2 = 0.999, .rate = 0.01F, .root = 1.7F, .eps = 1e-8F, .decay = decay};
    snprintf(name, sizeof name, "sgd%s", text);
    RUN(name, ls_math_sgd_step(N, 0.1F, decay, 0.3F, a->x, a->w));
    for (int nesterov = 0; nesterov < 2; nesterov++) {
      const ls_momentum_step s = {.lr = 0.1F, .momentum = 0.9F, .decay = decay, .nesterov = nesterov == 1};
      snprintf(name, sizeof name, "%s%s", nesterov ? "nesterov" : "momentum", text);
      RUN(name, ls_math_momentum_step(N, &s, 0.3F, a->x, a->y, a->w));
    }
    snprintf(name, sizeof name, "adagrad%s", text);
    RUN(name, ls_math_adagrad_step(N, &adagrad, 0.3F, a->x, a->positive, a->w));
    snprintf(name, sizeof name, "rmsprop%s", text);
    RUN(name, ls_math_rmsprop_step(N, &rmsprop, 0.3F, a->x, a->positive, a->w));
    snprintf(name, sizeof name, "adam%s", text);
    RUN(name, ls_math_adam_step(N, &adam, 0.3F, a->x, a->y, a->positive, a->w));
    const ls_lamb_step lamb = {
        .beta1 = 0.9, .beta2 = 0.999, .rate = 1.7F, .root = 3.1F, .eps = 1e-6F, .decay = decay};
    snprintf(name, sizeof name, "lamb moments%s", text);
    RUN(name, ls_math_lamb_moments(N, &lamb, 0.3F, a->x, a->y, a->positive));
    snprintf(name, sizeof name, "lamb update%s", text);
    RUN(name, ls_math_lamb_update(N, &lamb, a->y, a->positive, a->x, a->w));
    snprintf(name, sizeof name, "approach%s", text);
    RUN(name, ls_math_approach(N, 0.001F, a->x, a->w));
  }
}

/* Products of a layer with few rows, whose multiplications are fused too. */
static void run_products(arrays *a) {
  static const size_t shapes[][3] = {{2, 5, 147}, {6, 7, 90}, {3, 2, 300}, {20, 50, 20}, {3, 310, 3}};
  for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
    const size_t rows = shapes[i][0];
    const size_t n_out = shapes[i][1];
    const size_t n_in = shapes[i][2];
    char name[64];
    snprintf(name, sizeof name, "product %zu x %zu x %zu", rows, n_out, n_in);
    RUN(name, ls_math_product_nt(rows, n_out, n_in, a->x, a->y, 0.0F, a->z));
    RUN(name, ls_math_product_nn_columns(0, n_in, rows, n_in, n_out, a->x, a->y, 0.3F, a->z));
    RUN(name, ls_math_product_tn_rows(0, n_out, n_out, n_in, rows, a->x, a->y, 0.0F, a->z));
  }
}

/* Plans a convolution, and returns its workspace. The caller destroys the arena and frees the workspace. */
static void *make_plan(ls_conv *c, ls_arena *arena, ls_conv_plan **plan) {
  LS_ASSERT(ls_window_set_out(&c->window));
  ls_conv_reserve(c, arena, plan);
  LS_ASSERT(ls_arena_commit(arena, "the plan") == LS_OK);
  void *const workspace = ls_calloc(ls_conv_reserve(c, arena, plan), 1);
  LS_ASSERT(workspace);
  return workspace;
}

/* Convolutions, whose multiplications are fused: same_bits.py leaves them out where there are none. */
static void run_convolution(arrays *a, const char *name, const ls_conv *conv) {
  ls_conv c = *conv;
  ls_arena arena = {0};
  ls_conv_plan *plan = NULL;
  void *const workspace = make_plan(&c, &arena, &plan);
  reset(a);
  ls_conv_start_forward(plan, a->w, a->z);
  ls_conv_start_data(plan, a->w);
  ls_conv_start_weights(plan);
  RUN(name, ls_conv_forward(plan, 1, a->x, false, LS_RELU, 0.0F, a->y, workspace));
  RUN(name, ls_conv_backward_data(plan, 1, a->x, a->y, workspace));
  RUN(name, ls_conv_backward_weights(plan, 1, a->x, a->y, workspace);
      ls_conv_finish_weights(plan, 1.0F, a->z));
  free(workspace);
  ls_arena_destroy(&arena);
}

static void run_convolutions(arrays *a) {
  static const struct {
    size_t channels, filters, groups;
  } rows[] = {{3, 4, 1},  {3, 16, 1},   {3, 20, 1},  {3, 37, 1}, {1, 16, 1},
              {20, 3, 1}, {20, 20, 20}, {10, 20, 5}, {16, 2, 2}};
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
    for (size_t stride = 1; stride <= 2; stride++) {
      char name[64];
      snprintf(name, sizeof name, "conv %zu to %zu by %zu /%zu", rows[i].channels, rows[i].filters,
               rows[i].groups, stride);
      run_convolution(a, name,
                      &(ls_conv){.window = {.in = {1, 5, 4},
                                            .size = {1, 2, 3},
                                            .stride = {1, stride, 1},
                                            .dilation = {1, 1, 1},
                                            .before = {0, 1, 1},
                                            .after = {0, 0, 1}},
                                 .channels = rows[i].channels,
                                 .filters = rows[i].filters,
                                 .groups = rows[i].groups});
    }
}

/* Squares of 2 x 2, and windows that overlap. */
static void run_pools(arrays *a) {
  char name[64];
  for (size_t k = 0; k < 6; k++) {
    const ls_pooling kind = (ls_pooling)(k / 2);
    const size_t size = 2 + k % 2;
    ls_window w = {.in = {1, 7, 6},
                   .size = {1, size, size},
                   .stride = {1, 2, 2},
                   .dilation = {1, 1, 1},
                   .before = {0, k % 2, 0}};
    LS_ASSERT(ls_window_set_out(&w));
    snprintf(name, sizeof name, "pool %zu", k);
    RUN(name, ls_pool_forward(kind, &w, 1, 23, a->x, a->y));
    snprintf(name, sizeof name, "pool %zu backward", k);
    RUN(name, ls_pool_forward(kind, &w, 1, 23, a->x, a->y);
        ls_pool_backward(kind, &w, 1, 23, a->x, a->y, a->z, a->w));
  }
}

/* A convolution with enough channels for Winograd's algorithm. */
static void run_winograd(void) {
  enum { SIDE = 5, CHANNELS = 33, FILTERS = 50, N_X = SIDE * SIDE * CHANNELS, N_Y = SIDE * SIDE * FILTERS };
  static float x[N_X], y[N_Y], b[FILTERS], w[FILTERS * 9 * CHANNELS];
  const ls_rng rng = ls_rng_make(10, LS_RNG_CHECK, 0, 0);
  ls_conv c = {.window = {.in = {1, SIDE, SIDE},
                          .size = {1, 3, 3},
                          .stride = {1, 1, 1},
                          .dilation = {1, 1, 1},
                          .before = {0, 1, 1},
                          .after = {0, 1, 1}},
               .channels = CHANNELS,
               .filters = FILTERS,
               .groups = 1};
  ls_arena arena = {0};
  ls_conv_plan *plan = NULL;
  void *const workspace = make_plan(&c, &arena, &plan);
  ls_rng_uniform(&rng, 0, N_X, x);
  ls_rng_uniform(&rng, N_X, FILTERS * 9 * CHANNELS, w);
  ls_conv_start_forward(plan, w, b);
  ls_conv_start_data(plan, w);
  ls_conv_start_weights(plan);
  ls_conv_forward(plan, 1, x, false, LS_RELU, 0.0F, y, workspace);
  print("conv Winograd", y, sizeof y);
  ls_conv_backward_weights(plan, 1, x, y, workspace);
  ls_conv_backward_data(plan, 1, y, x, workspace);
  print("conv Winograd data", x, sizeof x);
  ls_conv_finish_weights(plan, 1.0F, w);
  print("conv Winograd weights", w, sizeof w);
  free(workspace);
  ls_arena_destroy(&arena);
}

int main(void) {
  static arrays a;
  run_activations(&a);
  run_sums(&a);
  run_norms(&a);
  run_rows(&a);
  run_steps(&a);
  run_products(&a);
  run_convolutions(&a);
  run_winograd();
  run_pools(&a);
  return 0;
}
