/* What layers with weights W and a bias b share: keys, blocks of parameters and initial values. */
#include "internal.h"

/* Standard deviation of bias_init: normal. */
#define BIAS_STD 0.01F

const char *const layer_bias_init_names[] = {"zeros", "normal", NULL};

/* The default and the range of alpha for all activations but elu, and for elu. */
static const ls_key alpha_keys[] = {
    LS_REAL_KEY("alpha", layer_weights, alpha, ALPHA_LEAKY_RELU, 0, 1, NULL),
    LS_REAL_KEY("alpha", layer_weights, alpha, ALPHA_ELU, 0, ALPHA_ELU_MAX, NULL),
};

static bool is_given(const ls_node *node, const char *key) {
  const ls_node *const value = ls_node_find(node, key);
  return value && !ls_node_is_null(value);
}

void layer_weights_check(layer_weights *weights, ls_config *config, ls_node *node) {
  ls_config_read_key(config, node, &alpha_keys[weights->activation == LS_ELU], weights);
  if (weights->init_node) ls_init_read(config, weights->init_node, &weights->init);
  weights->has_l1 = is_given(node, "l1");
  weights->has_l2 = is_given(node, "l2");
}

enum { W, B };

void layer_weights_shape(const layer_weights *weights, size_t rows, const ls_shape *row, ls_layer *layer) {
  layer->n_params = weights->bias ? 2 : 1;
  layer->params[W] = (ls_param){.name = "W",
                                .kind = LS_SEGMENT_WEIGHT,
                                .rows = rows,
                                .row = *row,
                                .has_l1 = weights->has_l1,
                                .has_l2 = weights->has_l2,
                                .l1 = weights->l1,
                                .l2 = weights->l2};
  layer->params[B] = (ls_param){.name = "b", .kind = LS_SEGMENT_BIAS, .rows = rows};
}

void layer_weights_initialise(const layer_weights *weights, const ls_layer *layer, size_t fan_out,
                              uint64_t seed) {
  const size_t rows = layer->params[W].rows;
  ls_init_filters(&weights->init, (ls_activation)weights->activation, seed, 2 * layer->index, rows,
                  ls_param_count(&layer->params[W]) / rows, fan_out, layer->params[W].value);
  if (!weights->bias) return;
  float *const b = layer->params[B].value;
  const ls_rng rng = ls_rng_make(seed, LS_RNG_INIT, 2 * layer->index + 1, 0);
  if (weights->bias_init == 1) ls_rng_normal(&rng, 0, rows, b);
  for (size_t i = 0; i < rows; i++) b[i] = weights->bias_init == 1 ? BIAS_STD * b[i] : 0.0F;
}

void layer_weights_reserve(ls_layer *layer, ls_arena *arena, size_t rows) {
  const bool needs_z = !layer->predicts && ls_math_activation_needs_z(layer->type->activation(layer));
  layer->kept = needs_z ? ls_layer_take_rows(arena, rows, layer->n_out) : NULL;
}

float *layer_weights_kept(const ls_layer *layer, const ls_rows *rows) {
  return (float *)layer->kept + rows->first * layer->n_out;
}
