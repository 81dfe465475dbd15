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
  int activation; /* ls_activation */
  double alpha;
  ls_node *init_node;
  ls_init init;
  bool bias;
  int bias_init; /* 0: zeros, 1: normal */
  double l1, l2;
  bool has_l1, has_l2;
} options;

static const char *const bias_init_names[] = {"zeros", "normal", NULL};

/* Standard deviation of bias_init: normal. */
#define BIAS_STD 0.01F

static const ls_key keys[] = {
    LAYER_KEY,
    LS_COUNT_KEY("units", options, units, NULL, 1, 1048576, "number of outputs", .flags = LS_KEY_REQUIRED),
    LS_CHOICE_KEY("activation", options, activation, "linear", ls_activation_names,
                  "function applied to W x + b"),
    LS_REAL_KEY("alpha", options, alpha, ALPHA_LEAKY_RELU, 0, ALPHA_ELU_MAX,
                "leaky_relu: slope for x < 0, at most 1; elu: scale for x < 0, "
                "default " ALPHA_ELU,
                .flags = LS_KEY_ELSEWHERE), /* see alpha_keys */
    LS_NODE_KEY(
        "init", options, init_node,
        "initial W: default (he_normal for relu, leaky_relu, elu and gelu, else xavier_uniform), "
        "xavier_uniform, xavier_normal, he_uniform, he_normal, lecun_normal, normal, uniform, zeros, "
        "or as in {type: normal, std: 0.01}",
        .fallback = "default"),
    LS_REAL_KEY("gain", options, init.gain, "1", 0, 1e6, "factor of the initial W"),
    LS_BOOL_KEY("bias", options, bias, "true", "whether the layer has a bias b"),
    LS_CHOICE_KEY("bias_init", options, bias_init, "zeros", bias_init_names,
                  "initial b; normal: standard deviation 0.01"),
    LS_REAL_KEY("l1", options, l1, NULL, 0, 1e6, "penalty.l1 of this W; default: the global one"),
    LS_REAL_KEY("l2", options, l2, NULL, 0, 1e6, "penalty.l2 of this W; default: the global one"),
    {0},
};

/* The default and the range of alpha for all activations but elu, and for elu. */
static const ls_key alpha_keys[] = {
    LS_REAL_KEY("alpha", options, alpha, ALPHA_LEAKY_RELU, 0, 1, NULL),
    LS_REAL_KEY("alpha", options, alpha, ALPHA_ELU, 0, ALPHA_ELU_MAX, NULL),
};

static bool is_given(const ls_node *node, const char *key) {
  const ls_node *const value = ls_node_find(node, key);
  return value && !ls_node_is_null(value);
}

static void check(ls_layer *layer, ls_config *config, ls_node *node) {
  options *const o = layer->options;
  ls_config_read_key(config, node, &alpha_keys[o->activation == LS_ELU], o);
  if (o->init_node) ls_init_read(config, o->init_node, &o->init);
  o->has_l1 = is_given(node, "l1");
  o->has_l2 = is_given(node, "l2");
}

enum { W, B };

static ls_status shape(ls_layer *layer) {
  const options *const o = layer->options;
  layer->out = ls_shape_of(o->units);
  layer->n_params = o->bias ? 2 : 1;
  layer->params[W] = (ls_param){.name = "W",
                                .kind = LS_SEGMENT_WEIGHT,
                                .rows = o->units,
                                .row = ls_shape_of(layer->n_in),
                                .has_l1 = o->has_l1,
                                .has_l2 = o->has_l2,
                                .l1 = o->l1,
                                .l2 = o->l2};
  layer->params[B] = (ls_param){.name = "b", .kind = LS_SEGMENT_BIAS, .rows = o->units};
  return LS_OK;
}

/* A layer has two instances of the random numbers, for W and for b. */
static void initialise(const ls_layer *layer, uint64_t seed) {
  const options *const o = layer->options;
  ls_init_weights(&o->init, (ls_activation)o->activation, seed, 2 * layer->index, layer->n_out, layer->n_in,
                  layer->params[W].value);
  if (!o->bias) return;
  float *const b = layer->params[B].value;
  const ls_rng rng = ls_rng_make(seed, LS_RNG_INIT, 2 * layer->index + 1, 0);
  if (o->bias_init == 1) ls_rng_normal(&rng, 0, layer->n_out, b);
  for (size_t i = 0; i < layer->n_out; i++) b[i] = o->bias_init == 1 ? BIAS_STD * b[i] : 0.0F;
}

static ls_activation activation(const ls_layer *layer) {
  return (ls_activation)((const options *)layer->options)->activation;
}

/* Keeps z, (rows, n_out), if the derivative needs it. */
static void reserve(ls_layer *layer, ls_arena *arena, size_t rows) {
  const bool needs_z = ls_math_activation_needs_z(activation(layer));
  layer->kept = needs_z ? ls_layer_take_rows(arena, rows, layer->n_out) : NULL;
}

static float *kept_rows(const ls_layer *layer, const ls_rows *rows) {
  return (float *)layer->kept + rows->first * layer->n_out;
}

static void forward(ls_layer *layer, const ls_pass *pass, const ls_rows *rows) {
  (void)pass;
  const options *const o = layer->options;
  const float *b = o->bias ? layer->params[B].value : NULL;
  const size_t n_out = layer->n_out;
  ls_math_product_nt(rows->n, n_out, layer->n_in, rows->x, layer->params[W].value,
                     layer->adds_output ? 1.0F : 0.0F, rows->y);
  if (layer->kept) {
    ls_math_activate(LS_LINEAR, 0.0F, rows->n, n_out, b, rows->y);
    memcpy(kept_rows(layer, rows), rows->y, rows->n * n_out * sizeof *rows->y);
    b = NULL;
  }
  ls_math_activate(layer_activation(layer), (float)o->alpha, rows->n, n_out, b, rows->y);
}

static void backward(ls_layer *layer, const ls_pass *pass, const ls_rows *rows) {
  const options *const o = layer->options;
  const float *const known = layer->kept ? kept_rows(layer, rows) : rows->y;
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
                                   .check = check,
                                   .shape = shape,
                                   .initialise = initialise,
                                   .reserve = reserve,
                                   .forward = forward,
                                   .backward = backward,
                                   .activation = activation};

ls_layer *layer_create_projection(const ls_layer *parent, size_t units) {
  ls_layer *const layer = layer_create(&layer_dense, parent->index, ls_strdup(parent->where));
  if (layer) *(options *)layer->options = (options){.units = units, .init = {.gain = 1.0}};
  return layer;
}
