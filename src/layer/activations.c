/* Activations as layers of their own: y = f(x), by the kernels of math. */
#include "kinds.h"

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

static void shape(ls_layer *layer) {
  layer->n_out = layer->n_in;
}

/* The kind is told by its name: the enumeration and the names go together. */
static ls_activation activation(const ls_layer *layer) {
  int f = 0;
  while (strcmp(ls_activation_names[f], layer->type->name) != 0) f++;
  return (ls_activation)f;
}

static ls_activation applied(const ls_layer *layer) {
  return layer->is_linked ? LS_LINEAR : activation(layer);
}

/* Rows that are copied before the kernel works in place on them: few enough to be still in the nearest
 * cache. */
static size_t rows_at_once(size_t width) {
  return ls_size_max(1, 2048 / width);
}

static void forward(ls_layer *layer, const ls_pass *pass, const float *x, float *y) {
  const options *const o = layer->options;
  const size_t n = layer->n_in;
  const size_t rows = ls_pass_rows(pass);
  const size_t step = rows_at_once(n);
  for (size_t i = 0; i < rows; i += step) {
    const size_t some = ls_size_min(step, rows - i);
    memcpy(y + i * n, x + i * n, some * n * sizeof *y);
    ls_math_activate(applied(layer), (float)o->alpha, some, n, NULL, y + i * n);
  }
}

static void backward(ls_layer *layer, const ls_pass *pass, const float *x, const float *y, float *dy,
                     float *dx) {
  if (!dx) return;
  const options *const o = layer->options;
  const ls_activation f = applied(layer);
  const float *const known = ls_math_activation_needs_z(f) ? x : y;
  const size_t n = layer->n_in;
  const size_t rows = ls_pass_rows(pass);
  const size_t step = rows_at_once(n);
  for (size_t i = 0; i < rows; i += step) {
    const size_t some = ls_size_min(step, rows - i);
    memcpy(dx + i * n, dy + i * n, some * n * sizeof *dx);
    ls_math_activate_backward(f, (float)o->alpha, some, n, known + i * n, dx + i * n);
  }
}

#define ACTIVATION_LAYER(kind, table, text)                                                                \
  const ls_layer_type ls_layer_##kind = {.name = #kind,                                                    \
                                         .help = text,                                                     \
                                         .keys = table,                                                    \
                                         .options_size = sizeof(options),                                  \
                                         .shape = shape,                                                   \
                                         .forward = forward,                                               \
                                         .backward = backward,                                             \
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
