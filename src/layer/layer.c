/* A layer's shapes and memory. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

ls_layer *layer_create(const ls_layer_type *type, uint32_t index, char *where) {
  ls_layer *const layer = ls_calloc(1, sizeof *layer);
  void *const options = ls_calloc(1, type->options_size);
  if (!layer || !options || !where) {
    free(layer);
    free(options);
    free(where);
    return NULL;
  }
  *layer = (ls_layer){.type = type, .index = index, .options = options, .where = where};
  return layer;
}

void ls_layer_destroy(ls_layer **layer) {
  if (!*layer) return;
  for (size_t k = 0; k < (*layer)->n_children; k++) ls_layer_destroy(&(*layer)->children[k]);
  free((*layer)->children);
  free((*layer)->options);
  free((*layer)->where);
  free(*layer);
  *layer = NULL;
}

double ls_layer_number(const ls_layer *layer, const char *key) {
  const ls_key *row = layer->type->keys;
  while (strcmp(row->name, key) != 0) row++;
  const void *const field = (const unsigned char *)layer->options + row->offset;
  if (row->type == LS_KEY_BOOL) return *(const bool *)field ? 1.0 : 0.0;
  LS_ASSERT(row->type == LS_KEY_REAL);
  return *(const double *)field;
}

/* ---------------------------------------------------------------------- shapes */

static ls_status fail_size(const ls_layer *layer, const char *what, const ls_shape *shape) {
  char text[128];
  return ls_fail(LS_ERR_CONFIG,
                 "%s: %s: the %s of shape %s has more elements than this machine can address", layer->where,
                 layer->type->name, what, ls_shape_describe(shape, text, sizeof text));
}

/* The loss applies a linked softmax to all outputs, the layer to the channels of each position. */
static ls_status check_link(const ls_layer *layer) {
  char text[128];
  const bool is_softmax = layer->is_linked && layer->type->activation(layer) == LS_SOFTMAX;
  if (!is_softmax || layer_channels(&layer->out) == layer->n_out) return LS_OK;
  return ls_fail(LS_ERR_CONFIG,
                 "%s: %s: the last layer has outputs of shape %s; must be one dim with the classes; add "
                 "global_avg_pool before the softmax, or use a dense layer",
                 layer->where, layer->type->name, ls_shape_describe(&layer->out, text, sizeof text));
}

ls_status ls_layer_infer_shapes(ls_layer *layer, const ls_shape *in) {
  layer->in = *in;
  if (!ls_shape_count(in, &layer->n_in)) return fail_size(layer, "input", in);
  LS_TRY(layer->type->shape(layer));
  if (!ls_shape_count(&layer->out, &layer->n_out)) return fail_size(layer, "output", &layer->out);
  return check_link(layer);
}

ls_status layer_keep_shape(ls_layer *layer) {
  layer->out = layer->in;
  return LS_OK;
}

void ls_layers_fuse(ls_layer *const *layers, size_t n) {
  for (size_t k = 1; k < n; k++) {
    ls_layer *const last = layers[k - 1]; /* and the one before it, if it is fused */
    ls_layer *const before = last->is_fused ? layers[k - 2] : last;
    layers[k]->is_fused = last->applies_relu = last->type->fuses && layers[k]->type == &layer_relu;
    last->sums_output = layers[k]->type->reduce ? layers[k] : NULL;
    layers[k]->sums_delta = before->type->reduce && !layers[k]->is_fused ? before : NULL;
  }
}

/* ---------------------------------------------------------------------- memory */

float *ls_layer_take_rows(ls_arena *arena, size_t rows, size_t width) {
  size_t elements;
  if (!ls_size_mul(rows, width, &elements)) arena->overflow = true;
  return arena->overflow ? NULL : ls_arena_take(arena, elements, sizeof(float));
}

/* a + count * size, rounded up to the alignment; an overflow becomes the arena's. */
static size_t extend(ls_arena *arena, size_t a, size_t count, size_t size) {
  size_t bytes = 0;
  if (!ls_size_mul(count, size, &bytes) || !ls_size_add(bytes, LS_ALIGNMENT - 1, &bytes) ||
      !ls_size_add(a, bytes / LS_ALIGNMENT * LS_ALIGNMENT, &bytes))
    arena->overflow = true;
  return arena->overflow ? 0 : bytes;
}

size_t ls_layer_request(ls_layer *layer, ls_arena *arena, size_t count, size_t size) {
  const size_t offset = layer->workspace_size;
  layer->workspace_size = extend(arena, offset, count, size);
  return offset;
}

size_t ls_layer_reserve(ls_layer *layer, ls_arena *arena, size_t rows, size_t max_lanes) {
  const size_t levels = max_lanes > 1 ? ls_lane_depth(max_lanes) : 0;
  size_t inner = 0;
  layer->workspace_size = 0;
  layer->predicts = max_lanes == 0;
  if (layer->threads == 0) layer->threads = ls_parallel_threads();
  if (layer->type->reserve) layer->type->reserve(layer, arena, rows);
  const size_t n_params = ls_layer_n_params(layer);
  layer->kept_fold = NULL;
  if (layer->type->in_pieces)
    layer->kept_fold = ls_arena_take(arena, n_params, levels * sizeof(float));
  else
    layer->fold = ls_layer_request(layer, arena, n_params, levels * sizeof(float));
  for (size_t k = 0; k < layer->n_children; k++)
    inner = ls_size_max(inner, ls_layer_reserve(layer->children[k], arena, rows, max_lanes));
  return extend(arena, layer->workspace_size, inner, 1);
}

void ls_layer_set_twin(ls_layer *layer, const ls_layer *twin) {
  layer->twin = twin;
  for (size_t k = 0; k < layer->n_children; k++) ls_layer_set_twin(layer->children[k], twin->children[k]);
}

void ls_layer_set_workspace(ls_layer *layer, void *workspace, float *piece_deltas) {
  unsigned char *const inner = (unsigned char *)workspace + layer->workspace_size;
  layer->workspace = workspace;
  layer->piece_deltas = piece_deltas;
  for (size_t k = 0; k < layer->n_children; k++)
    ls_layer_set_workspace(layer->children[k], inner, piece_deltas);
}
