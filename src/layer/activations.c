/* Activations as layers: y = f(x), by the kernels of math. */
#include "internal.h"

#include <string.h>

typedef struct options {
  const char *layer;
  double alpha;
} options;

static const ls_key keys[] = {LAYER_KEY, {0}};

static const ls_key leaky_keys[] = {
    LAYER_KEY,
    LS_REAL_KEY("alpha", options, alpha, ALPHA_LEAKY_RELU, 0, 1, "slope for x < 0"),
    {0},
};

static const ls_key elu_keys[] = {
    LAYER_KEY,
    LS_REAL_KEY("alpha", options, alpha, ALPHA_ELU, 0, ALPHA_ELU_MAX, "scale for x < 0"),
    {0},
};

/* The names of the layer types are those of the activations. */
static ls_activation activation(const ls_layer *layer) {
  int f = 0;
  while (strcmp(ls_activation_names[f], layer->type->name) != 0) f++;
  return (ls_activation)f;
}

/* Rows to copy before the kernel works on them in place: few enough to stay in the first-level cache. */
static size_t rows_at_once(size_t width) {
  return ls_size_max(1, 2048 / width);
}

static void forward(ls_layer *layer, const ls_pass *pass, const ls_rows *rows) {
  (void)pass;
  const options *const o = layer->options;
  const size_t n = layer->n_in;
  const size_t step = rows_at_once(n);
  for (size_t i = 0; i < rows->n; i += step) {
    const size_t count = ls_size_min(step, rows->n - i);
    memcpy(rows->y + i * n, rows->x + i * n, count * n * sizeof *rows->y);
    ls_math_activate(layer_activation(layer), (float)o->alpha, count, n, NULL, rows->y + i * n);
  }
}

static void backward(ls_layer *layer, const ls_pass *pass, const ls_rows *rows) {
  (void)pass;
  if (!rows->dx) return;
  const options *const o = layer->options;
  const ls_activation f = layer_activation(layer);
  const float *const known = ls_math_activation_needs_z(f) ? rows->x : rows->y;
  const size_t n = layer->n_in;
  const size_t step = rows_at_once(n);
  for (size_t i = 0; i < rows->n; i += step) {
    const size_t count = ls_size_min(step, rows->n - i);
    memcpy(rows->dx + i * n, rows->dy + i * n, count * n * sizeof *rows->dx);
    ls_math_activate_backward(f, (float)o->alpha, count, n, known + i * n, rows->dx + i * n);
  }
}

#define ACTIVATION_LAYER(kind, table, text)                                                                \
  const ls_layer_type layer_##kind = {.name = #kind,                                                       \
                                      .help = text,                                                        \
                                      .keys = table,                                                       \
                                      .options_size = sizeof(options),                                     \
                                      .shape = layer_keep_shape,                                           \
                                      .forward = forward,                                                  \
                                      .backward = backward,                                                \
                                      .activation = activation}

ACTIVATION_LAYER(linear, keys, "y = x");
ACTIVATION_LAYER(sigmoid, keys, "y = 1 / (1 + exp(-x))");
ACTIVATION_LAYER(tanh, keys, "y = tanh(x)");
ACTIVATION_LAYER(relu, keys, "y = max(0, x)");
ACTIVATION_LAYER(leaky_relu, leaky_keys, "y = x where x > 0, else alpha x");
ACTIVATION_LAYER(elu, elu_keys, "y = x where x > 0, else alpha (exp(x) - 1)");
ACTIVATION_LAYER(gelu, keys, "y = x P(x), P the normal distribution function");
ACTIVATION_LAYER(softplus, keys, "y = log(1 + exp(x))");
ACTIVATION_LAYER(softmax, keys, "y_i = exp(x_i) / sum_j exp(x_j)");
