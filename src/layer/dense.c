/* dense: a = f(x W^T + b).
 *
 *   forward   z = x W^T + b, a = f(z)
 *   backward  dz = da f'(z)    dW = dz^T x    db = sum of the rows of dz    dx = dz W
 *
 * x: (batch, n_in), W: (n_out, n_in), b: (n_out), z, a: (batch, n_out) */
#include "kinds.h"

typedef struct options {
  const char *layer;
  uint64_t units;
  int activation; /* ls_activation */
  double alpha;
  int init; /* ls_init */
  bool bias;
  int bias_init; /* 0: zeros, 1: normal */
} options;

static const char *const bias_init_names[] = {"zeros", "normal", NULL};

/* The reference's "small random numbers": their standard deviation. */
#define BIAS_STD 0.01F

static const ls_key keys[] = {
    {.name = "layer", .type = LS_KEY_TEXT, .offset = offsetof(options, layer), .help = "dense"},
    {.name = "units",
     .type = LS_KEY_COUNT,
     .offset = offsetof(options, units),
     .min = 1,
     .max = 1048576,
     .flags = LS_KEY_REQUIRED,
     .help = "number of outputs"},
    {.name = "activation",
     .type = LS_KEY_CHOICE,
     .offset = offsetof(options, activation),
     .fallback = "linear",
     .choices = ls_activation_names,
     .help = "what is applied to W x + b"},
    {.name = "alpha",
     .type = LS_KEY_REAL,
     .offset = offsetof(options, alpha),
     .fallback = LS_ALPHA_DEFAULT,
     .min = 0,
     .max = 1,
     .help = "slope of leaky_relu below 0"},
    {.name = "init",
     .type = LS_KEY_CHOICE,
     .offset = offsetof(options, init),
     .fallback = "default",
     .choices = ls_init_names,
     .help = "initial W; default: he_normal for the ReLU family, else xavier_uniform"},
    {.name = "bias",
     .type = LS_KEY_BOOL,
     .offset = offsetof(options, bias),
     .fallback = "true",
     .help = "whether there is a b"},
    {.name = "bias_init",
     .type = LS_KEY_CHOICE,
     .offset = offsetof(options, bias_init),
     .fallback = "zeros",
     .choices = bias_init_names,
     .help = "initial b; normal: standard deviation 0.01"},
    {0}};

static void shape(ls_layer *layer) {
  const options *const o = layer->options;
  layer->n_out = o->units;
  layer->n_params = o->bias ? 2 : 1;
  layer->params[0] =
      (ls_param){.name = "W", .kind = LS_SEGMENT_WEIGHT, .rows = layer->n_out, .cols = layer->n_in};
  layer->params[1] = (ls_param){.name = "b", .kind = LS_SEGMENT_BIAS, .rows = layer->n_out};
}

/* The blocks' instances: two a layer. */
static void initialise(const ls_layer *layer, uint64_t seed) {
  const options *const o = layer->options;
  ls_init_weights((ls_init)o->init, (ls_activation)o->activation, seed, 2 * layer->index, layer->n_out,
                  layer->n_in, layer->params[0].value);
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

static void forward(ls_layer *layer, const ls_pass *pass, const float *x, float *y) {
  const options *const o = layer->options;
  const size_t n_in = layer->n_in;
  const size_t n_out = layer->n_out;
  for (size_t lane = 0; lane < pass->n_lanes; lane++) {
    const size_t first = pass->lanes[lane];
    const size_t rows = pass->lanes[lane + 1] - first;
    float *const a = y + first * n_out;
    ls_math_product_nt(rows, n_out, n_in, x + first * n_in, layer->params[0].value, 0.0F, a);
    ls_math_activate(applied(layer), (float)o->alpha, rows, n_out, o->bias ? layer->params[1].value : NULL,
                     a);
  }
}

static void backward(ls_layer *layer, const ls_pass *pass, const float *x, const float *y, float *dy,
                     float *dx) {
  const options *const o = layer->options;
  const size_t n_in = layer->n_in;
  const size_t n_out = layer->n_out;
  for (size_t lane = 0; lane < pass->n_lanes; lane++) {
    const size_t first = pass->lanes[lane];
    const size_t rows = pass->lanes[lane + 1] - first;
    const float beta = lane == 0 && !pass->adds ? 0.0F : 1.0F; /* the first lane overwrites */
    float *const dz = dy + first * n_out;
    ls_math_activate_backward(applied(layer), (float)o->alpha, rows, n_out, y + first * n_out, dz);
    ls_math_product_tn(n_out, n_in, rows, dz, x + first * n_in, beta, layer->params[0].grad);
    if (o->bias) ls_math_sum_rows(rows, n_out, dz, beta, layer->params[1].grad);
    if (dx) ls_math_product_nn(rows, n_in, n_out, dz, layer->params[0].value, 0.0F, dx + first * n_in);
  }
}

const ls_layer_type ls_layer_dense = {.name = "dense",
                                      .help = "a = f(W x + b), fully connected",
                                      .keys = keys,
                                      .options_size = sizeof(options),
                                      .shape = shape,
                                      .initialise = initialise,
                                      .forward = forward,
                                      .backward = backward,
                                      .activation = activation};
