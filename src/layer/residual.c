/* residual (He et al. 2016): y = S x + F(x), F the layers inside, one after the other. The shortcut S is
 * the identity where F keeps the width, else a matrix of its own, `skip/W`, without bias.
 *
 *   backward  dW = dy^T x (of the skip)    dx = S^T dy + F's own
 *
 * x: (batch, n_in), W: (n_out, n_in), y: (batch, n_out) */
#include "kinds.h"

#include <string.h>

typedef struct options {
  const char *layer;
  ls_node *layers;
} options;

static const ls_key keys[] = {
    LAYER_KEY,
    LS_NODE_KEY("layers", options, layers,
                "list of the inner layers, which may be residual too; the input is added to their output, "
                "after multiplication by a matrix skip/W if the widths differ",
                .flags = LS_KEY_REQUIRED),
    {0},
};

typedef struct scratch {
  float **outputs;  /* (n_children): of each layer inside, (rows, its n_out) */
  float *deltas[2]; /* dL/d(input) of the layer at hand and of the one after it */
} scratch;

static ls_node *list(const ls_layer *layer) {
  return ((const options *)layer->options)->layers;
}

static bool has_skip(const ls_layer *layer) {
  return layer->n_params > 0;
}

static void shape(ls_layer *layer) {
  size_t width = layer->n_in;
  for (size_t k = 0; k < layer->n_children; k++) {
    ls_layer *const child = layer->children[k];
    child->n_in = width;
    child->type->shape(child);
    width = child->n_out;
  }
  layer->n_out = width;
  layer->n_params = layer->n_in == width ? 0 : 1;
  layer->params[0] =
      (ls_param){.name = "W", .kind = LS_SEGMENT_WEIGHT, .rows = layer->n_out, .cols = layer->n_in};
}

/* The skip alone: whoever holds the net goes through the layers inside. */
static void initialise(const ls_layer *layer, uint64_t seed) {
  const ls_init plain = {.gain = 1.0};
  if (has_skip(layer))
    ls_init_weights(&plain, LS_LINEAR, seed, 2 * layer->index, layer->n_out, layer->n_in,
                    layer->params[0].value);
}

static void reserve(ls_layer *layer, ls_arena *arena, size_t rows) {
  scratch *const s = ls_arena_take(arena, 1, sizeof *s);
  float **const outputs = ls_arena_take(arena, layer->n_children, sizeof *outputs);
  size_t most = 0;
  for (size_t k = 0; k < layer->n_children; k++) {
    ls_layer *const child = layer->children[k];
    float *const output = ls_layer_take_rows(arena, rows, child->n_out);
    if (outputs) outputs[k] = output;
    most = ls_size_max(most, child->n_in);
    if (child->type->reserve) child->type->reserve(child, arena, rows);
  }
  float *const first = ls_layer_take_rows(arena, rows, most);
  float *const second = ls_layer_take_rows(arena, rows, most);
  if (s) *s = (scratch){.outputs = outputs, .deltas = {first, second}};
  layer->scratch = s;
}

/* y += S x. */
static void add_shortcut(const ls_layer *layer, const ls_pass *pass, const float *x, float *y) {
  if (!has_skip(layer)) {
    ls_math_add_scaled(ls_pass_rows(pass) * layer->n_in, 1.0F, x, y);
    return;
  }
  for (size_t lane = 0; lane < pass->n_lanes; lane++) {
    const size_t first = pass->lanes[lane];
    ls_math_product_nt(pass->lanes[lane + 1] - first, layer->n_out, layer->n_in, x + first * layer->n_in,
                       layer->params[0].value, 1.0F, y + first * layer->n_out);
  }
}

static void forward(ls_layer *layer, const ls_pass *pass, const float *x, float *y) {
  const scratch *const s = layer->scratch;
  const float *input = x;
  for (size_t k = 0; k < layer->n_children; k++) {
    ls_layer_forward(layer->children[k], pass, input, s->outputs[k]);
    input = s->outputs[k];
  }
  memcpy(y, input, ls_pass_rows(pass) * layer->n_out * sizeof *y);
  add_shortcut(layer, pass, x, y);
}

/* The skip's gradient, and dx = S^T dy. */
static void shortcut_backward(const ls_layer *layer, const ls_pass *pass, const float *x, const float *dy,
                              float *dx) {
  const size_t n_in = layer->n_in;
  const size_t n_out = layer->n_out;
  if (!has_skip(layer)) {
    if (dx) memcpy(dx, dy, ls_pass_rows(pass) * n_in * sizeof *dx);
    return;
  }
  for (size_t lane = 0; lane < pass->n_lanes; lane++) {
    const size_t first = pass->lanes[lane];
    const size_t rows = pass->lanes[lane + 1] - first;
    float beta = 0.0F;
    const float *const dz = dy + first * n_out;
    float *const dw = ls_lane_gradient(layer, pass, 0, lane, &beta);
    ls_math_product_tn(n_out, n_in, rows, dz, x + first * n_in, beta, dw);
    ls_lane_end(layer, pass, 0, lane);
    if (dx) ls_math_product_nn(rows, n_in, n_out, dz, layer->params[0].value, 0.0F, dx + first * n_in);
  }
}

static void backward(ls_layer *layer, const ls_pass *pass, const float *x, const float *y, float *dy,
                     float *dx) {
  (void)y;
  const scratch *const s = layer->scratch;
  shortcut_backward(layer, pass, x, dy, dx);
  for (size_t k = layer->n_children; k-- > 0;) {
    ls_layer *const child = layer->children[k];
    float *const delta = k > 0 || dx ? s->deltas[k % 2] : NULL;
    child->type->backward(child, pass, k > 0 ? s->outputs[k - 1] : x, s->outputs[k], dy, delta);
    dy = delta;
  }
  if (dx) ls_math_add_scaled(ls_pass_rows(pass) * layer->n_in, 1.0F, dy, dx);
}

const ls_layer_type ls_layer_residual = {.name = "residual",
                                         .help = "y = x + F(x), F the layers inside",
                                         .keys = keys,
                                         .options_size = sizeof(options),
                                         .list = list,
                                         .own_name = "skip",
                                         .shape = shape,
                                         .initialise = initialise,
                                         .reserve = reserve,
                                         .forward = forward,
                                         .backward = backward};
