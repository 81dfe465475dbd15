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

static double alpha_of(const ls_layer *layer) {
  return ((const options *)layer->options)->alpha;
}

/* out = f(in), or, if `known` is not NULL, out = in f'(known). Copies as many positions as stay in the
 * first-level cache, then runs the kernel on them in place: softmax is over the last dim.
 * in, known, out: (rows, n_in) */
static void apply(const ls_layer *layer, size_t rows, const float *in, const float *known, float *out) {
  const float alpha = (float)((const options *)layer->options)->alpha;
  const ls_activation f = layer_activation(layer);
  const size_t n = f == LS_SOFTMAX ? layer_channels(&layer->in) : layer->n_in;
  const size_t positions = rows * (layer->n_in / n);
  const size_t step = ls_size_max(1, 2048 / n);
  for (size_t i = 0; i < positions; i += step) {
    const size_t count = ls_size_min(step, positions - i);
    memcpy(out + i * n, in + i * n, count * n * sizeof *out);
    if (known)
      ls_math_activate_backward(f, alpha, count, n, known + i * n, out + i * n);
    else
      ls_math_activate(f, alpha, count, n, NULL, out + i * n);
  }
}

static void forward(ls_layer *layer, const ls_pass *pass, const ls_rows *rows) {
  (void)pass;
  apply(layer, rows->n, rows->x, NULL, rows->y);
}

static void backward(ls_layer *layer, const ls_pass *pass, const ls_rows *rows) {
  (void)pass;
  const bool needs_z = ls_math_activation_needs_z(layer_activation(layer));
  if (rows->dx) apply(layer, rows->n, rows->dy, needs_z ? rows->x : rows->y, rows->dx);
}

#define ACTIVATION_LAYER(kind, table, text)                                                                \
  const ls_layer_type layer_##kind = {.name = #kind,                                                       \
                                      .help = text,                                                        \
                                      .keys = table,                                                       \
                                      .options_size = sizeof(options),                                     \
                                      .shape = layer_keep_shape,                                           \
                                      .in_pieces = true,                                                   \
                                      .forward = forward,                                                  \
                                      .backward = backward,                                                \
                                      .activation = activation,                                            \
                                      .alpha = alpha_of}

ACTIVATION_LAYER(linear, keys, "y = x");
ACTIVATION_LAYER(sigmoid, keys, "y = 1 / (1 + exp(-x))");
ACTIVATION_LAYER(tanh, keys, "y = tanh(x)");
ACTIVATION_LAYER(relu, keys, "y = max(0, x)");
ACTIVATION_LAYER(leaky_relu, leaky_keys, "y = x where x > 0, else alpha x");
ACTIVATION_LAYER(elu, elu_keys, "y = x where x > 0, else alpha (exp(x) - 1)");
ACTIVATION_LAYER(gelu, keys, "y = x P(x), P the normal distribution function");
ACTIVATION_LAYER(softplus, keys, "y = log(1 + exp(x))");
ACTIVATION_LAYER(softmax, keys, "y_i = exp(x_i) / sum_j exp(x_j)");
