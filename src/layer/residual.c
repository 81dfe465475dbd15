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

static ls_node *list(const ls_layer *layer) {
  return ((const options *)layer->options)->layers;
}

static ls_layer *skip_of(const ls_layer *layer) {
  return ((const options *)layer->options)->skip;
}

static size_t n_inner(const ls_layer *layer) {
  return layer->n_children - (skip_of(layer) != NULL);
}

/* Adds the skip to the children. It has the residual's index, so its random numbers are its own. */
static ls_status add_skip(ls_layer *layer, size_t n_out) {
  LS_ASSERT(!skip_of(layer));
  ls_layer *const skip = layer_create_projection(layer, n_out);
  if (!skip) return ls_fail_memory("the skip of a residual layer", sizeof *skip);
  skip->role = "skip";
  skip->adds_output = true;
  layer->children[layer->n_children++] = skip;
  ((options *)layer->options)->skip = skip;
  return ls_layer_infer_shapes(skip, &layer->in);
}

static ls_status shape(ls_layer *layer) {
  layer->out = layer->in;
  size_t n_out = layer->n_in;
  for (size_t k = 0; k < layer->n_children; k++) {
    LS_TRY(ls_layer_infer_shapes(layer->children[k], &layer->out));
    layer->out = layer->children[k]->out;
    n_out = layer->children[k]->n_out;
  }
  return n_out == layer->n_in ? LS_OK : add_skip(layer, n_out);
}

/* Requests dL/d(input) of the current inner layer and of the one after it, (rows, widest) each. */
static void reserve(ls_layer *layer, ls_arena *arena, size_t rows) {
  size_t widest = 0;
  for (size_t k = 0; k < n_inner(layer); k++) {
    ls_layer *const inner = layer->children[k];
    inner->output = ls_layer_take_rows(arena, rows, inner->n_out);
    widest = ls_size_max(widest, inner->n_in);
  }
  for (int k = 0; k < 2; k++) ls_layer_request(layer, arena, rows, widest * sizeof(float));
}

static void forward(ls_layer *layer, const ls_pass *pass, const ls_rows *rows) {
  ls_layer *const skip = skip_of(layer);
  const float *input = rows->x;
  for (size_t k = 0; k < n_inner(layer); k++) {
    ls_layer_forward(layer->children[k], pass, input);
    input = layer->children[k]->output;
  }
  memcpy(rows->y, input, rows->n * layer->n_out * sizeof *rows->y);
  if (!skip) {
    ls_math_add_scaled(rows->n * layer->n_in, 1.0F, rows->x, rows->y);
    return;
  }
  skip->output = rows->y;
  ls_layer_forward(skip, pass, rows->x);
}

/* A half of the workspace, in turn. */
static float *delta_of(const ls_layer *layer, size_t k) {
  return (float *)(void *)((unsigned char *)layer->workspace + k % 2 * (layer->workspace_size / 2));
}

/* The skip comes first, as it leaves dy unchanged. */
static void backward(ls_layer *layer, const ls_pass *pass, const ls_rows *rows) {
  ls_pass whole = *pass;
  float *dy = rows->dy;
  whole.ready = NULL; /* the skip's products stay in one piece; the next layer reports its gradient */
  if (skip_of(layer))
    ls_layer_backward(skip_of(layer), &whole, rows->x, dy, rows->dx);
  else if (rows->dx)
    memcpy(rows->dx, dy, rows->n * layer->n_in * sizeof *rows->dx);
  for (size_t k = n_inner(layer); k-- > 0;) {
    float *const delta = k > 0 || rows->dx ? delta_of(layer, k) : NULL;
    ls_layer_backward(layer->children[k], pass, k > 0 ? layer->children[k - 1]->output : rows->x, dy,
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
