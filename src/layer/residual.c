/* residual (He et al. 2016): y = S x + F(x), where F is the list of inner layers. The skip S is the
 * identity if F keeps the shape, otherwise a linear layer without bias, `skip`, which is the last child.
 *
 *   backward  dx = S^T dy + the dx of F
 *
 * x: (batch, n_in), y: (batch, n_out) */
#include "internal.h"

#include <string.h>

typedef struct options {
  const char *layer;
  ls_node *layers;
  ls_layer *skip; /* borrowed from the children; NULL: identity */
} options;

static const ls_key keys[] = {
    LAYER_KEY,
    LS_NODE_KEY("layers", options, layers,
                "list of the inner layers, which may be residual too; the input is added to their output, "
                "after multiplication by a matrix skip/W if the widths differ",
                .flags = LS_KEY_REQUIRED),
    {0},
};

typedef struct buffers {
  float **outputs;  /* (inner layers): their outputs, (rows, n_out of the layer) */
  size_t deltas[2]; /* offsets in the workspace: dL/d(input) of the current layer and of the one after it */
} buffers;

static ls_node *list(const ls_layer *layer) {
  return ((const options *)layer->options)->layers;
}

static ls_layer *skip_of(const ls_layer *layer) {
  return ((const options *)layer->options)->skip;
}

static size_t n_inner(const ls_layer *layer) {
  return layer->n_children - (skip_of(layer) != NULL);
}

/* Adds the skip to the children. It has the residual's key, whose random numbers nobody else uses. */
static ls_status add_skip(ls_layer *layer) {
  size_t n_out = 0;
  LS_ASSERT(!skip_of(layer) && ls_shape_count(&layer->out, &n_out));
  ls_layer *const skip = layer_create_projection(n_out, layer->index);
  if (!skip) return ls_fail_memory("a skip", sizeof *skip);
  layer->children[layer->n_children++] = skip;
  ((options *)layer->options)->skip = skip;
  skip->role = "skip";
  skip->adds_output = true;
  skip->where = ls_strdup(layer->where);
  if (!skip->where) return ls_fail_memory("a skip", 0);
  return ls_layer_infer_shapes(skip, &layer->in);
}

static ls_status shape(ls_layer *layer) {
  layer->out = layer->in;
  for (size_t k = 0; k < layer->n_children; k++) {
    const ls_status status = ls_layer_infer_shapes(layer->children[k], &layer->out);
    if (status != LS_OK) return status;
    layer->out = layer->children[k]->out;
  }
  size_t n_out = 0;
  LS_ASSERT(ls_shape_count(&layer->out, &n_out));
  return n_out == layer->n_in ? LS_OK : add_skip(layer);
}

static void reserve(ls_layer *layer, ls_arena *arena, size_t rows) {
  const size_t n = n_inner(layer);
  buffers *const b = ls_arena_take(arena, 1, sizeof *b);
  float **const outputs = ls_arena_take(arena, n, sizeof *outputs);
  size_t widest = 0;
  for (size_t k = 0; k < n; k++) {
    float *const output = ls_layer_take_rows(arena, rows, layer->children[k]->n_out);
    if (outputs) outputs[k] = output;
    widest = ls_size_max(widest, layer->children[k]->n_in);
  }
  const size_t first = ls_layer_request(layer, arena, rows, widest * sizeof(float));
  const size_t second = ls_layer_request(layer, arena, rows, widest * sizeof(float));
  if (b) *b = (buffers){.outputs = outputs, .deltas = {first, second}};
  layer->kept = b;
}

static void forward(ls_layer *layer, const ls_pass *pass, const ls_rows *rows) {
  const buffers *const b = layer->kept;
  const size_t n = n_inner(layer);
  const float *input = rows->x;
  for (size_t k = 0; k < n; k++) {
    ls_layer_forward(layer->children[k], pass, input, b->outputs[k]);
    input = b->outputs[k];
  }
  memcpy(rows->y, input, rows->n * layer->n_out * sizeof *rows->y);
  if (skip_of(layer))
    ls_layer_forward(skip_of(layer), pass, rows->x, rows->y);
  else
    ls_math_add_scaled(rows->n * layer->n_in, 1.0F, rows->x, rows->y);
}

static float *delta_of(const ls_layer *layer, size_t k) {
  const buffers *const b = layer->kept;
  return (float *)(void *)((unsigned char *)layer->workspace + b->deltas[k % 2]);
}

/* The skip comes first, as it leaves dy unchanged. */
static void backward(ls_layer *layer, const ls_pass *pass, const ls_rows *rows) {
  const buffers *const b = layer->kept;
  float *dy = rows->dy;
  if (skip_of(layer))
    ls_layer_backward(skip_of(layer), pass, rows->x, rows->y, dy, rows->dx);
  else if (rows->dx)
    memcpy(rows->dx, dy, rows->n * layer->n_in * sizeof *rows->dx);
  for (size_t k = n_inner(layer); k-- > 0;) {
    float *const delta = k > 0 || rows->dx ? delta_of(layer, k) : NULL;
    ls_layer_backward(layer->children[k], pass, k > 0 ? b->outputs[k - 1] : rows->x, b->outputs[k], dy,
                      delta);
    dy = delta;
  }
  if (rows->dx) ls_math_add_scaled(rows->n * layer->n_in, 1.0F, dy, rows->dx);
}

const ls_layer_type layer_residual = {.name = "residual",
                                      .help = "y = x + F(x), F the layers inside",
                                      .keys = keys,
                                      .options_size = sizeof(options),
                                      .spans_lanes = true,
                                      .list = list,
                                      .shape = shape,
                                      .reserve = reserve,
                                      .forward = forward,
                                      .backward = backward};
