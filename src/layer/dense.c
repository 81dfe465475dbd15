/* dense: a = f(x W^T + b).
 *
 *   forward   z = x W^T + b, a = f(z)
 *   backward  dz = da f'(z)    dW = dz^T x    db = sum of the rows of dz    dx = dz W
 *
 * x: (batch, n_in), W: (n_out, n_in), b: (n_out), z, a: (batch, n_out) */
#include "internal.h"

#include <string.h>

typedef struct options {
  const char *layer;
  uint64_t units;
  layer_weights weights;
} options;

static const ls_key keys[] = {
    LAYER_KEY,
    LS_COUNT_KEY("units", options, units, NULL, 1, 1048576, "number of outputs", .flags = LS_KEY_REQUIRED),
    LAYER_WEIGHTS_KEYS(options, weights),
    {0},
};

static void check(ls_layer *layer, ls_config *config, ls_node *node) {
  layer_weights_check(&((options *)layer->options)->weights, config, node);
}

enum { W, B };

static ls_status shape(ls_layer *layer) {
  const options *const o = layer->options;
  const ls_shape row = ls_shape_of(layer->n_in);
  layer->out = ls_shape_of(o->units);
  layer_weights_shape(&o->weights, o->units, &row, layer);
  return LS_OK;
}

static void initialise(const ls_layer *layer, uint64_t seed) {
  layer_weights_initialise(&((const options *)layer->options)->weights, layer, layer->n_out, seed);
}

static ls_activation activation(const ls_layer *layer) {
  return (ls_activation)((const options *)layer->options)->weights.activation;
}

static double alpha_of(const ls_layer *layer) {
  return ((const options *)layer->options)->weights.alpha;
}

static double multiply_adds(const ls_layer *layer) {
  return (double)layer->n_in * (double)layer->n_out;
}

static void forward(ls_layer *layer, const ls_pass *pass, const ls_rows *rows) {
  const layer_weights *const o = &((const options *)layer->options)->weights;
  const float *b = o->bias ? layer->params[B].value : NULL;
  const size_t n_out = layer->n_out;
  (pass->is_packed ? ls_math_product_packed
                   : ls_math_product_nt)(rows->n, n_out, layer->n_in, rows->x, layer->params[W].value,
                                         layer->adds_output ? 1.0F : 0.0F, rows->y);
  if (layer->kept) {
    ls_math_activate(LS_LINEAR, 0.0F, rows->n, n_out, b, rows->y);
    memcpy(layer_weights_kept(layer, rows), rows->y, rows->n * n_out * sizeof *rows->y);
    b = NULL;
  }
  ls_math_activate(layer_activation(layer), (float)o->alpha, rows->n, n_out, b, rows->y);
}

static void backward(ls_layer *layer, const ls_pass *pass, const ls_rows *rows) {
  const layer_weights *const o = &((const options *)layer->options)->weights;
  const float *const known = layer->kept ? layer_weights_kept(layer, rows) : rows->y;
  const size_t n_in = layer->n_in;
  const size_t n_out = layer->n_out;
  float *const dz = rows->dy;
  ls_math_activate_backward(layer_activation(layer), (float)o->alpha, rows->n, n_out, known, dz);
  layer_weight_gradient(pass, rows, n_out, n_in, dz, rows->grads[W]);
  if (o->bias) ls_math_sum_rows(rows->n, n_out, dz, rows->beta, rows->grads[B]);
  layer_input_gradient(pass, rows, n_out, n_in, dz, layer->params[W].value);
}

const ls_layer_type layer_dense = {.name = "dense",
                                   .help = "a = f(W x + b), fully connected",
                                   .keys = keys,
                                   .options_size = sizeof(options),
                                   .reads_packed = true,
                                   .check = check,
                                   .shape = shape,
                                   .initialise = initialise,
                                   .reserve = layer_weights_reserve,
                                   .forward = forward,
                                   .backward = backward,
                                   .activation = activation,
                                   .alpha = alpha_of,
                                   .multiply_adds = multiply_adds};

ls_layer *layer_create_projection(const ls_layer *parent, size_t units) {
  ls_layer *const layer = layer_create(&layer_dense, parent->index, ls_strdup(parent->where));
  if (layer) *(options *)layer->options = (options){.units = units, .weights.init = {.gain = 1.0}};
  return layer;
}
