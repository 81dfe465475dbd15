/* dense: a = f(x W^T + b).
 *
 *   forward   z = x W^T + b, a = f(z)
 *   backward  dz = da f'(z)    dW = dz^T x    db = sum of the rows of dz    dx = dz W
 *
 * x: (batch, n_in), W: (n_out, n_in), b: (n_out), z, a: (batch, n_out) */
#include "kinds.h"

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

/* The reference's "small random numbers": their standard deviation. */
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

/* alpha as it is read: with the default and the range of leaky_relu (and all others), or of elu. */
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

static void shape(ls_layer *layer) {
  const options *const o = layer->options;
  layer->n_out = o->units;
  layer->n_params = o->bias ? 2 : 1;
  layer->params[0] = (ls_param){.name = "W",
                                .kind = LS_SEGMENT_WEIGHT,
                                .rows = layer->n_out,
                                .cols = layer->n_in,
                                .has_l1 = o->has_l1,
                                .has_l2 = o->has_l2,
                                .l1 = o->l1,
                                .l2 = o->l2};
  layer->params[1] = (ls_param){.name = "b", .kind = LS_SEGMENT_BIAS, .rows = layer->n_out};
}

/* The blocks' instances: two a layer. */
static void initialise(const ls_layer *layer, uint64_t seed) {
  const options *const o = layer->options;
  ls_init_weights(&o->init, (ls_activation)o->activation, seed, 2 * layer->index, layer->n_out, layer->n_in,
                  layer->params[0].value);
  if (!o->bias) return;
  float *const b = layer->params[1].value;
  const ls_rng rng = ls_rng_make(seed, LS_RNG_INIT, 2 * layer->index + 1, 0);
  if (o->bias_init == 1) ls_rng_normal(&rng, 0, layer->n_out, b);
  for (size_t i = 0; i < layer->n_out; i++) b[i] = o->bias_init == 1 ? BIAS_STD * b[i] : 0.0F;
}

static ls_activation activation(const ls_layer *layer) {
  return (ls_activation)((const options *)layer->options)->activation;
}

/* What the layer itself applies: nothing where the loss does. */
static ls_activation applied(const ls_layer *layer) {
  return layer->is_linked ? LS_LINEAR : activation(layer);
}

/* z, (rows, n_out), where the derivative needs it. */
static void reserve(ls_layer *layer, ls_arena *arena, size_t rows) {
  const bool needs_z = ls_math_activation_needs_z(activation(layer));
  layer->scratch = needs_z ? ls_layer_take_rows(arena, rows, layer->n_out) : NULL;
}

/* a = f(z + b), in place; keeps z + b in `kept` unless that is NULL.  z: (rows, n_out) */
static void activate(const ls_layer *layer, size_t rows, float *kept, float *z) {
  const options *const o = layer->options;
  const float *b = o->bias ? layer->params[1].value : NULL;
  if (kept) {
    ls_math_activate(LS_LINEAR, 0.0F, rows, layer->n_out, b, z);
    memcpy(kept, z, rows * layer->n_out * sizeof *z);
    b = NULL;
  }
  ls_math_activate(applied(layer), (float)o->alpha, rows, layer->n_out, b, z);
}

static void forward(ls_layer *layer, const ls_pass *pass, const float *x, float *y) {
  float *const kept = layer->scratch;
  const size_t n_in = layer->n_in;
  const size_t n_out = layer->n_out;
  for (size_t lane = 0; lane < pass->n_lanes; lane++) {
    const size_t first = pass->lanes[lane];
    const size_t rows = pass->lanes[lane + 1] - first;
    float *const a = y + first * n_out;
    ls_math_product_nt(rows, n_out, n_in, x + first * n_in, layer->params[0].value, 0.0F, a);
    activate(layer, rows, kept ? kept + first * n_out : NULL, a);
  }
}

/* Multiplications of a piece of a product while gradients are waited for: a few milliseconds, as a network
 * stands still in between, but many enough for BLAS to run at full speed. */
#define PIECE       ((size_t)1 << 27)
#define PIECE_LEAST 64 /* rows or columns */

/* Rows or columns of a piece, of `all` that take `each` multiplications. */
static size_t length_of_piece(const ls_pass *pass, size_t each, size_t all) {
  if (!pass->ready) return ls_size_max(all, 1);
  return ls_size_max(PIECE / ls_size_max(each, 1), PIECE_LEAST) / PIECE_LEAST * PIECE_LEAST;
}

/* dW = dz^T x, of which what is final is told.  dz: (rows, n_out), x: (rows, n_in) */
static void weight_gradient(const ls_layer *layer, const ls_pass *pass, size_t rows, const float *dz,
                            const float *x, float beta, float *dw) {
  const size_t n_in = layer->n_in;
  const size_t n_out = layer->n_out;
  const size_t step = length_of_piece(pass, rows * n_in, n_out);
  for (size_t first = 0; first < n_out; first += step) {
    const size_t count = ls_size_min(step, n_out - first);
    ls_math_product_tn_rows(first, count, n_out, n_in, rows, dz, x, beta, dw);
    if (pass->ready) pass->ready(pass->context, dw + (first + count) * n_in);
  }
}

/* dx = dz W */
static void input_gradient(const ls_layer *layer, const ls_pass *pass, size_t rows, const float *dz,
                           float *dx) {
  const size_t n_in = layer->n_in;
  const size_t n_out = layer->n_out;
  const size_t step = length_of_piece(pass, rows * n_out, n_in);
  for (size_t first = 0; first < n_in; first += step) {
    ls_math_product_nn_columns(first, ls_size_min(step, n_in - first), rows, n_in, n_out, dz,
                               layer->params[W].value, 0.0F, dx);
    if (pass->ready) pass->ready(pass->context, NULL);
  }
}

static void backward(ls_layer *layer, const ls_pass *pass, const float *x, const float *y, float *dy,
                     float *dx) {
  const options *const o = layer->options;
  const float *const known = layer->scratch ? layer->scratch : y;
  const size_t n_in = layer->n_in;
  const size_t n_out = layer->n_out;
  for (size_t lane = 0; lane < pass->n_lanes; lane++) {
    const size_t first = pass->lanes[lane];
    const size_t rows = pass->lanes[lane + 1] - first;
    float beta = 0.0F;
    float *const dz = dy + first * n_out;
    ls_math_activate_backward(applied(layer), (float)o->alpha, rows, n_out, known + first * n_out, dz);
    float *const dw = ls_lane_gradient(layer, pass, W, lane, &beta);
    weight_gradient(layer, pass, rows, dz, x + first * n_in, beta, dw);
    ls_lane_end(layer, pass, W, lane);
    if (o->bias) {
      float *const db = ls_lane_gradient(layer, pass, B, lane, &beta);
      ls_math_sum_rows(rows, n_out, dz, beta, db);
      ls_lane_end(layer, pass, B, lane);
    }
    if (dx) input_gradient(layer, pass, rows, dz, dx + first * n_in);
  }
}

const ls_layer_type ls_layer_dense = {.name = "dense",
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
