/* The blocks of a model in PyTorch's layout, where samples have channels first.
 *
 *   convolution  W (filters, kernel..., C / groups) here, (filters, C / groups, kernel...) there
 *   dense        W (n_out, n_in) here and there. If its input is a flattened sample of P positions and C
 *                channels, column p C + c here is column c P + p there
 *   norms        vectors here and there; those of a flattened sample change their order like the columns
 *
 * Therefore the order of flattened features is followed from layer to layer. Without layers that treat the
 * last dim as channels, samples of 3 or more dims have channels if data.layout is channels_first. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* Features: feature p channels + c here is feature c positions + p there. */
typedef struct order {
  size_t positions, channels; /* one of them is 1 if the order is the same */
} order;

typedef struct walk {
  const ls_model *model;
  size_t n_spatial;         /* dims of a sample without channels, by convolutions and pooling; 0: unknown */
  bool has_channels;        /* the last dim is that of channels; otherwise dims are read as listed */
  size_t leaf;              /* the next one */
  const ls_segment *states; /* those of the leaves before it are at and behind it */
  export_block *blocks;
  size_t n_blocks;
} walk;

static bool is_type(const ls_layer *layer, const char *name) {
  return strcmp(layer->type->name, name) == 0;
}

static bool is_norm(const ls_layer *layer) {
  return is_type(layer, "batch_norm") || is_type(layer, "layer_norm");
}

static bool is_conv(const ls_layer *layer) {
  return strncmp(layer->type->name, "conv", 4) == 0;
}

static bool is_plain(order o) {
  return o.positions == 1 || o.channels == 1;
}

static bool is_same(order a, order b) {
  return (is_plain(a) && is_plain(b)) || (a.positions == b.positions && a.channels == b.channels);
}

/* The order of the elements of a value; features have the order `flat`. */
static order order_of(const walk *w, const ls_shape *shape, size_t n, order flat) {
  if (shape->n_dims == 1) return flat;
  const bool has_channels = w->has_channels && shape->n_dims != w->n_spatial;
  const size_t channels = has_channels ? shape->dims[shape->n_dims - 1] : 1;
  return (order){.positions = n / channels, .channels = channels};
}

/* -------------------------------------------------------------------- blocks */

static void name_block(export_block *block) {
  static const char *const names[][2] = {
      {"W", "weight"}, {"b", "bias"}, {"gamma", "weight"}, {"beta", "bias"}};
  const char *const path = block->segment->path;
  const char *const own = strrchr(path, '/') + 1;
  const char *name = own;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strcmp(own, names[i][0]) == 0) name = names[i][1];
  snprintf(block->name, sizeof block->name, "%.*s%s", (int)(own - path), path, name);
  for (char *c = block->name; *c; c++)
    if (*c == '/') *c = '.';
}

/* The matrix or vector of a layer whose inputs have the order `in`. */
static void set_features(export_block *block, order in, bool is_vector_of_inputs) {
  const ls_segment *const segment = block->segment;
  const bool has_columns = segment->row.n_dims > 0;
  block->n_dims = 1 + segment->row.n_dims;
  block->dims[0] = segment->rows;
  if (has_columns) block->dims[1] = segment->row.dims[0];
  block->rows = has_columns ? segment->rows : 1;
  block->positions = has_columns || is_vector_of_inputs ? in.positions : 1;
  block->channels = ls_segment_count(segment) / block->rows / block->positions;
}

static void set_filters(export_block *block) {
  const ls_segment *const segment = block->segment;
  const size_t n = segment->row.n_dims - 1; /* dims of the kernel */
  block->n_dims = n + 2;
  block->dims[0] = block->rows = segment->rows;
  block->dims[1] = block->channels = segment->row.dims[n];
  block->positions = 1;
  for (size_t i = 0; i < n; i++) {
    block->dims[2 + i] = segment->row.dims[i];
    block->positions *= segment->row.dims[i];
  }
}

static void add_block(walk *w, const ls_layer *layer, const ls_segment *segment, bool is_state, order in) {
  export_block *const block = &w->blocks[w->n_blocks++];
  *block = (export_block){.segment = segment, .is_state = is_state};
  name_block(block);
  if (is_conv(layer) && segment->row.n_dims > 1)
    set_filters(block);
  else
    set_features(block, in, is_norm(layer) && layer->in.n_dims == 1);
}

/* -------------------------------------------------------------------- layers */

static ls_status fail(const ls_layer *layer, const char *what) {
  return ls_fail(LS_ERR_MODEL,
                 "%s: %s: %s; PyTorch flattens samples with channels first, so weights cannot be "
                 "converted; insert a dense or global pooling layer before it",
                 layer->where, layer->type->name, what);
}

static order order_after(const ls_layer *layer, order in) {
  const bool keeps = layer->n_in == layer->n_out && !is_type(layer, "dense") && !is_conv(layer);
  return keeps ? in : (order){.positions = 1, .channels = layer->n_out};
}

/* A layer without inner layers. */
static ls_status visit_leaf(walk *w, const ls_layer *layer, order *flat) {
  const ls_leaf *const leaf = &w->model->leaves[w->leaf++];
  const order in = order_of(w, &layer->in, layer->n_in, *flat);
  const bool has_blocks = layer->n_params + layer->n_states > 0;
  LS_ASSERT(leaf->layer == layer);
  w->states -= layer->n_states;
  if (has_blocks && !is_conv(layer) && !is_norm(layer) && !is_type(layer, "dense"))
    return ls_fail(LS_ERR_MODEL, "%s: %s: has no layout in PyTorch that this format knows", layer->where,
                   layer->type->name);
  const bool has_positions = is_conv(layer) || layer->type->spatial_dims;
  if (layer->in.n_dims == 1 && !is_plain(in) && has_positions)
    return fail(layer, "its input is a flattened sample with channels");
  for (size_t p = 0; p < layer->n_params; p++)
    add_block(w, layer, &w->model->segments[leaf->segment + p], false, in);
  for (size_t k = 0; k < layer->n_states; k++) add_block(w, layer, &w->states[k], true, in);
  *flat = order_after(layer, in);
  return LS_OK;
}

static ls_status visit(walk *w, const ls_layer *layer, order *flat);

/* The first n inner layers, one after the other. */
static ls_status visit_chain(walk *w, const ls_layer *layer, size_t n, order *flat) {
  for (size_t k = 0; k < n; k++) LS_TRY(visit(w, layer->children[k], flat));
  return LS_OK;
}

/* Inner layers and the skip must give features in the same order. */
static ls_status visit_residual(walk *w, const ls_layer *layer, order *flat) {
  const ls_layer *const last = layer->children[layer->n_children - 1];
  const bool has_skip = last->role != NULL;
  const size_t n = layer->n_children - has_skip;
  order skip = *flat;
  LS_TRY(visit_chain(w, layer, n, flat));
  if (has_skip) LS_TRY(visit(w, last, &skip));
  const order out = order_of(w, &layer->children[n - 1]->out, layer->n_out, *flat);
  const order other = order_of(w, has_skip ? &last->out : &layer->in, layer->n_out, skip);
  return is_same(out, other) ? LS_OK : fail(layer, "adds a flattened sample to features in another order");
}

static ls_status visit(walk *w, const ls_layer *layer, order *flat) {
  if (layer->n_children == 0) return visit_leaf(w, layer, flat);
  if (is_type(layer, "residual")) return visit_residual(w, layer, flat);
  return visit_chain(w, layer, layer->n_children, flat);
}

/* Whether some layer, unlike dense layers and activations, treats the last dim as channels. */
static bool has_channel_layer(const ls_model *model) {
  for (size_t i = 0; i < model->n_leaves; i++) {
    const ls_layer *const layer = model->leaves[i].layer;
    if (layer->in.n_dims > 1 && (is_conv(layer) || is_norm(layer) || layer->type->spatial_dims))
      return true;
  }
  return ls_model_spatial_dims(model) > 0;
}

ls_status export_layout_create(const ls_model *model, bool is_channels_first, export_block **out,
                               size_t *n) {
  const size_t n_blocks = model->n_segments + model->n_state_segments;
  order flat = {.positions = 1, .channels = model->n_in};
  ls_status status = LS_OK;
  walk w = {.model = model,
            .n_spatial = ls_model_spatial_dims(model),
            .has_channels = has_channel_layer(model) || (is_channels_first && model->in.n_dims >= 3),
            .states = model->state_segments + model->n_state_segments,
            .blocks = ls_calloc(n_blocks, sizeof *w.blocks)};
  *out = w.blocks;
  *n = n_blocks;
  if (!w.blocks) return ls_fail_memory("the layout of the weights", n_blocks * sizeof *w.blocks);
  for (size_t i = 0; status == LS_OK && i < model->n_layers; i++)
    status = visit(&w, model->layers[i], &flat);
  LS_ASSERT(status != LS_OK || w.n_blocks == n_blocks);
  if (status == LS_OK) return LS_OK;
  free(w.blocks);
  *out = NULL;
  return status;
}
