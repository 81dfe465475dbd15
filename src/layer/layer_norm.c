/* layer_norm (Ba, Kiros & Hinton 2016), over the last dim, the C channels or features of each position:
 *
 *   forward   mean = 1/C sum x    var = 1/C sum (x - mean)^2    xhat = (x - mean) / sqrt(var + eps)
 *             y = gamma xhat + beta
 *   backward  dbeta = sum dy and dgamma = sum dy xhat, over samples and positions
 *             dx = 1 / sqrt(var + eps) (gamma dy - mean of gamma dy - xhat mean of gamma dy xhat)
 *
 * x, y: (batch, ..., C), gamma, beta: (C) */
#include "internal.h"

#include <string.h>

typedef struct options {
  const char *layer;
  double eps;
} options;

static const ls_key keys[] = {
    LAYER_KEY,
    LS_REAL_KEY("eps", options, eps, "1e-5", 0, 1, "constant added to the variance",
                .flags = LS_KEY_ABOVE_MIN),
    {0},
};

enum { GAMMA, BETA };

static ls_status shape(ls_layer *layer) {
  const size_t n = layer_channels(&layer->in);
  layer->n_params = 2;
  layer->params[GAMMA] = (ls_param){.name = "gamma", .kind = LS_SEGMENT_SCALE, .rows = n};
  layer->params[BETA] = (ls_param){.name = "beta", .kind = LS_SEGMENT_BIAS, .rows = n};
  return layer_keep_shape(layer);
}

static void initialise(const ls_layer *layer, uint64_t seed) {
  (void)seed;
  for (size_t j = 0; j < layer->params[GAMMA].rows; j++) {
    layer->params[GAMMA].value[j] = 1.0F;
    layer->params[BETA].value[j] = 0.0F;
  }
}

/* Keeps the sums of the gradients, (2, C). */
static void reserve(ls_layer *layer, ls_arena *arena, size_t rows) {
  (void)rows;
  layer->kept = ls_arena_take(arena, layer->params[GAMMA].rows, 2 * sizeof(double));
}

static void clear_sums(const ls_layer *layer) {
  memset(layer->kept, 0, layer->params[GAMMA].rows * 2 * sizeof(double));
}

static void start(ls_layer *layer, bool is_backward, bool needs_dx) {
  (void)needs_dx;
  if (is_backward) clear_sums(layer);
}

static void forward(ls_layer *layer, const ls_pass *pass, const ls_rows *rows) {
  (void)pass;
  const size_t n = layer->params[GAMMA].rows;
  ls_math_layer_norm(rows->n * (layer->n_in / n), n, ((const options *)layer->options)->eps, rows->x,
                     layer->params[GAMMA].value, layer->params[BETA].value, rows->y);
}

static void backward(ls_layer *layer, const ls_pass *pass, const ls_rows *rows) {
  (void)pass;
  const size_t n = layer->params[GAMMA].rows;
  double *const sums = layer->kept;
  ls_math_layer_norm_backward(rows->n * (layer->n_in / n), n, ((const options *)layer->options)->eps,
                              rows->x, layer->params[GAMMA].value, rows->dy, rows->dx, sums, sums + n);
}

static void finish(ls_layer *layer, const ls_rows *rows) {
  const size_t n = layer->params[GAMMA].rows;
  const double *const sums = layer->kept;
  layer_put_sums(rows, BETA, n, sums);
  layer_put_sums(rows, GAMMA, n, sums + n);
  clear_sums(layer);
}

const ls_layer_type layer_layer_norm = {.name = "layer_norm",
                                        .help = "y = gamma (x - mean) / sqrt(var + eps) + beta, over the "
                                                "channels or features of each position",
                                        .keys = keys,
                                        .options_size = sizeof(options),
                                        .shape = shape,
                                        .initialise = initialise,
                                        .reserve = reserve,
                                        .in_pieces = true,
                                        .start = start,
                                        .forward = forward,
                                        .backward = backward,
                                        .finish = finish};
