/* Compares convolutions with BLAS, on one thread.
 *
 *   bench_conv [WORD]     only layers whose name contains WORD
 *
 * Each row is a layer at a batch of 32: GFLOP/s of the forward pass, of the gradient of the input and of
 * that of the weights, each with its ratio to a product of matrices of order 1024 (SGEMM) in the same
 * round. The operations are those of the direct sum, of which Winograd's algorithm omits 5/9 of the
 * multiplications. All results are medians. Times are processor times, which other processes affect least.
 */
#include "lockstep/math.h"

#include "measure.h"

#include <stdlib.h>
#include <string.h>

#define ROUNDS 21
#define BATCH  32
#define ORDER  1024

typedef struct layer {
  const char *name;
  size_t dims[LS_WINDOW_DIMS];
  size_t channels, filters, groups;
  size_t size[LS_WINDOW_DIMS], stride, pad; /* along H and W, or W alone */
} layer;

static const layer layers[] = {
    {"cnn 28x28 1 to 32", {1, 28, 28}, 1, 32, 1, {1, 3, 3}, 1, 1},
    {"cnn 14x14 32 to 64", {1, 14, 14}, 32, 64, 1, {1, 3, 3}, 1, 1},
    {"resnet 32x32 3 to 16", {1, 32, 32}, 3, 16, 1, {1, 3, 3}, 1, 1},
    {"resnet 32x32 16 to 16", {1, 32, 32}, 16, 16, 1, {1, 3, 3}, 1, 1},
    {"resnet 32x32 16 to 32 /2", {1, 32, 32}, 16, 32, 1, {1, 3, 3}, 2, 1},
    {"resnet 16x16 32 to 32", {1, 16, 16}, 32, 32, 1, {1, 3, 3}, 1, 1},
    {"resnet 16x16 32 to 64 /2", {1, 16, 16}, 32, 64, 1, {1, 3, 3}, 2, 1},
    {"resnet 8x8 64 to 64", {1, 8, 8}, 64, 64, 1, {1, 3, 3}, 1, 1},
    {"wide 7x7 64 to 64", {1, 7, 7}, 64, 64, 1, {1, 3, 3}, 1, 1},
    {"wide 7x7 128 to 128", {1, 7, 7}, 128, 128, 1, {1, 3, 3}, 1, 1},
    {"wide 4x4 128 to 128", {1, 4, 4}, 128, 128, 1, {1, 3, 3}, 1, 1},
    {"wide 56x56 64 to 64", {1, 56, 56}, 64, 64, 1, {1, 3, 3}, 1, 1},
    {"point 14x14 64 to 128", {1, 14, 14}, 64, 128, 1, {1, 1, 1}, 1, 0},
    {"point 32x32 16 to 32 /2", {1, 32, 32}, 16, 32, 1, {1, 1, 1}, 2, 0},
    {"point 28x28 32 to 3", {1, 28, 28}, 32, 3, 1, {1, 1, 1}, 1, 0},
    {"signal 1000 64 to 128", {1, 1, 1000}, 64, 128, 1, {1, 1, 8}, 1, 3},
    {"signal 1000 1 to 64", {1, 1, 1000}, 1, 64, 1, {1, 1, 8}, 1, 3},
    {"signal 8000 1 to 16", {1, 1, 8000}, 1, 16, 1, {1, 1, 9}, 1, 4},
    {"signal 8000 1 to 32 /4", {1, 1, 8000}, 1, 32, 1, {1, 1, 80}, 4, 38},
    {"volume 16^3 1 to 8", {16, 16, 16}, 1, 8, 1, {3, 3, 3}, 1, 1},
    {"volume 16^3 8 to 16", {16, 16, 16}, 8, 16, 1, {3, 3, 3}, 1, 1},
    {"depthwise 28x28 64", {1, 28, 28}, 64, 64, 64, {1, 3, 3}, 1, 1},
    {"depthwise 28x28 64 /2", {1, 28, 28}, 64, 64, 64, {1, 3, 3}, 2, 1},
    {"depthwise 14x14 20", {1, 14, 14}, 20, 20, 20, {1, 3, 3}, 1, 1},
    {"depthwise 28x28 32 to 64", {1, 28, 28}, 32, 64, 32, {1, 3, 3}, 1, 1},
    {"grouped 28x28 64 by 4", {1, 28, 28}, 64, 64, 16, {1, 3, 3}, 1, 1},
    {"grouped 28x28 64 by 16", {1, 28, 28}, 64, 64, 4, {1, 3, 3}, 1, 1},
};

static float *new_floats(size_t n) {
  float *const x = ls_calloc(n, sizeof *x);
  if (!x) {
    fprintf(stderr, "out of memory\n");
    exit(1);
  }
  for (size_t i = 0; i < n; i++) x[i] = (float)(i % 7) * 0.25F - 0.5F;
  return x;
}

typedef struct bench {
  ls_conv conv;
  ls_arena arena;
  ls_conv_plan *plan;
  float *x, *w, *b, *y, *a; /* a: (3, ORDER, ORDER), for SGEMM */
  void *workspace;
} bench;

/* Runs a pass (0: forward, 1: data, 2: weights, 3: SGEMM) once. */
static void run(const bench *p, int pass) {
  const size_t square = (size_t)ORDER * ORDER;
  switch (pass) {
  case 0:
    ls_conv_start_forward(p->plan, p->w, p->b);
    ls_conv_forward(p->plan, BATCH, p->x, false, LS_RELU, 0.0F, p->y, p->workspace);
    break;
  case 1:
    ls_conv_start_data(p->plan, p->w);
    ls_conv_backward_data(p->plan, BATCH, p->y, p->x, p->workspace);
    break;
  case 2:
    ls_conv_start_weights(p->plan);
    ls_conv_backward_weights(p->plan, BATCH, p->x, p->y, p->workspace);
    ls_conv_finish_weights(p->plan, 0.0F, p->w);
    break;
  default:
    ls_math_product_nn_columns(0, ORDER, ORDER, ORDER, ORDER, p->a, p->a + square, 0.0F, p->a + 2 * square);
  }
}

/* Flop per second over a few milliseconds. */
static double rate_of(const bench *p, int pass, double flop) {
  const size_t times = (size_t)(3e8 / flop) + 1;
  const double start = clock_now();
  for (size_t i = 0; i < times; i++) run(p, pass);
  return (double)times * flop / (clock_now() - start);
}

static void measure(const layer *l, bench *p) {
  ls_window *const w = &p->conv.window;
  double rates[4][ROUNDS];
  p->conv = (ls_conv){.channels = l->channels, .filters = l->filters, .groups = l->groups};
  for (size_t i = 0; i < LS_WINDOW_DIMS; i++) {
    const bool is_used = l->dims[i] > 1;
    w->in[i] = l->dims[i];
    w->size[i] = l->size[i];
    w->stride[i] = is_used ? l->stride : 1;
    w->dilation[i] = 1;
    w->before[i] = w->after[i] = is_used ? l->pad : 0;
  }
  LS_ASSERT(ls_window_set_out(w));
  const size_t terms = ls_window_count(w->size) * l->channels / l->groups;
  const double flop = 2.0 * BATCH * (double)(ls_window_count(w->out) * l->filters * terms);
  p->x = new_floats(BATCH * ls_window_count(w->in) * l->channels);
  p->y = new_floats(BATCH * ls_window_count(w->out) * l->filters);
  p->w = new_floats(l->filters * terms);
  p->b = new_floats(l->filters);
  p->arena = (ls_arena){0};
  ls_conv_reserve(&p->conv, &p->arena, &p->plan);
  LS_ASSERT(ls_arena_commit(&p->arena, "the plan") == LS_OK);
  p->workspace = ls_calloc(ls_conv_reserve(&p->conv, &p->arena, &p->plan), 1);
  for (int r = 0; r < ROUNDS; r++)
    for (int pass = 3; pass >= 0; pass--) {
      rates[pass][r] = rate_of(p, pass, pass == 3 ? 2.0 * ORDER * ORDER * ORDER : flop);
      if (pass < 3) rates[pass][r] /= rates[3][r];
    }
  const double best = median(ROUNDS, rates[3]);
  printf("%-26s", l->name);
  for (int pass = 0; pass < 3; pass++) {
    const double ratio = median(ROUNDS, rates[pass]);
    printf("  %7.1f GFLOP/s  %5.2f", 1e-9 * ratio * best, ratio);
  }
  printf("\n");
  free(p->x);
  free(p->y);
  free(p->w);
  free(p->b);
  free(p->workspace);
  ls_arena_destroy(&p->arena);
}

int main(int argc, char **argv) {
  bench p = {.a = new_floats((size_t)3 * ORDER * ORDER)};
  if (ls_math_threads_set(1) != LS_OK) exit(1);
  printf("%s\n%-26s  %22s  %22s  %22s\n", ls_math_blas_name(), "layer", "forward /1024^3", "data /1024^3",
         "weights /1024^3");
  for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++)
    if (argc < 2 || strstr(layers[i].name, argv[1])) measure(&layers[i], &p);
  free(p.a);
  return 0;
}
