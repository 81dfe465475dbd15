/* Layers in turn: the inner layers of a residual, and the list of layers of its skip. */
#include "internal.h"

#include <string.h>

ls_status layer_chain_shape(ls_layer *layer, size_t n) {
  layer->out = layer->in;
  for (size_t k = 0; k < n; k++) {
    LS_TRY(ls_layer_infer_shapes(layer->children[k], &layer->out));
    layer->out = layer->children[k]->out;
  }
  ls_layers_fuse(layer->children, n);
  return LS_OK;
}

void layer_chain_set_output(const ls_layer *layer, size_t n, float *y) {
  size_t k = n;
  do layer->children[--k]->output = y;
  while (layer->children[k]->is_fused);
}

/* Requests dL/d(input) of the current inner layer and of the one after it, (rows, widest) each. */
void layer_chain_reserve(ls_layer *layer, ls_arena *arena, size_t rows, size_t n, bool takes_last) {
  size_t widest = 0;
  for (size_t k = 0; k < n; k++) {
    ls_layer *const inner = layer->children[k];
    const bool is_shared = k + 1 < n && layer->children[k + 1]->is_fused;
    if (!is_shared && (takes_last || k + 1 < n))
      layer_chain_set_output(layer, k + 1, ls_layer_take_rows(arena, rows, inner->n_out));
    widest = ls_size_max(widest, inner->n_in);
  }
  for (int k = 0; k < 2; k++) ls_layer_request(layer, arena, rows, widest * sizeof(float));
}

const float *layer_chain_forward(const ls_layer *layer, const ls_pass *pass, size_t n, const float *x) {
  for (size_t k = 0, count = 0; k < n; k += count) {
    ls_layer *const *const group = layer->children + k;
    count = ls_layers_forward_group(group, n - k);
    ls_layers_forward(group, count, pass, x);
    x = group[count - 1]->output;
  }
  return x;
}

float *layer_chain_backward(const ls_layer *layer, const ls_pass *pass, size_t n, const float *x, float *dy,
                            bool needs_dx) {
  unsigned char *const base = layer->workspace;
  size_t turn = 0;
  for (size_t k = n; k-- > 0;) {
    const size_t last = k;
    if (layer->children[k]->is_fused) continue;
    k = ls_layers_backward_group(layer->children, last);
    ls_layer *const *const group = layer->children + k;
    const float *const in = k > 0 ? layer->children[k - 1]->output : x;
    void *const half = base + turn++ % 2 * (layer->workspace_size / 2);
    float *const delta = k > 0 || needs_dx ? half : NULL;
    ls_layers_backward(group, last - k + 1, pass, in, dy, delta);
    dy = delta;
  }
  return dy;
}

/* ------------------------------------------------------------ as one layer */

typedef struct options {
  ls_node *layers;
} options;

static ls_node *list(const ls_layer *layer) {
  return ((const options *)layer->options)->layers;
}

static ls_status shape(ls_layer *layer) {
  return layer_chain_shape(layer, layer->n_children);
}

static void reserve(ls_layer *layer, ls_arena *arena, size_t rows) {
  layer_chain_reserve(layer, arena, rows, layer->n_children, false);
}

static void forward(ls_layer *layer, const ls_pass *pass, const ls_rows *rows) {
  layer_chain_set_output(layer, layer->n_children, rows->y);
  layer_chain_forward(layer, pass, layer->n_children, rows->x);
}

static void backward(ls_layer *layer, const ls_pass *pass, const ls_rows *rows) {
  const float *const dx = layer_chain_backward(layer, pass, layer->n_children, rows->x, rows->dy, rows->dx);
  if (rows->dx) memcpy(rows->dx, dx, rows->n * layer->n_in * sizeof *rows->dx);
}

static const ls_layer_type type = {.name = "layers",
                                   .help = "layers in turn",
                                   .options_size = sizeof(options),
                                   .spans_lanes = true,
                                   .list = list,
                                   .shape = shape,
                                   .reserve = reserve,
                                   .forward = forward,
                                   .backward = backward};

ls_layer *layer_create_chain(ls_node *layers, uint32_t index, char *where) {
  ls_layer *const layer = layer_create(&type, index, where);
  if (layer) ((options *)layer->options)->layers = layers;
  return layer;
}
