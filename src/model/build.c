/* Shapes; the leaves and the tables of segments, the places of parameters and state in their flat vectors;
 * memory. */
#include "lockstep/model.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Of the layers and their inner layers. */
static size_t spatial_dims_of(size_t n, ls_layer *const *layers) {
  size_t dims = 0;
  for (size_t i = 0; i < n && dims == 0; i++) {
    const ls_layer *const layer = layers[i];
    if (layer->type->spatial_dims) dims = layer->type->spatial_dims(layer);
    if (dims == 0) dims = spatial_dims_of(layer->n_children, layer->children);
  }
  return dims;
}

size_t ls_model_spatial_dims(const ls_model *model) {
  return spatial_dims_of(model->n_layers, model->layers);
}

ls_status ls_model_infer_shapes(ls_model *model, const ls_shape *input) {
  LS_ASSERT(model->n_out == 0);
  model->in = model->out = *input;
  for (size_t i = 0; i < model->n_layers; i++) {
    LS_TRY(ls_layer_infer_shapes(model->layers[i], &model->out));
    model->out = model->layers[i]->out;
  }
  ls_layers_fuse(model->layers, model->n_layers);
  model->n_in = model->layers[0]->n_in;
  model->n_out = model->layers[model->n_layers - 1]->n_out;
  return LS_OK;
}

/* -------------------------------------------------------------------- segments */

/* Writes prefix/name, or name if the prefix is empty. LS_ERR_CONFIG if it does not fit. */
static ls_status join(char *path, size_t size, const char *prefix, const char *name) {
  const int length = snprintf(path, size, "%s%s%s", prefix, prefix[0] ? "/" : "", name);
  if (length >= 0 && (size_t)length < size) return LS_OK;
  return ls_fail(LS_ERR_CONFIG,
                 "model: %.100s...: the layers are nested too deeply; a path has at most %zu characters; "
                 "use fewer levels",
                 prefix, size - 1);
}

/* A layer and its inner layers. */
static size_t count_layers(const ls_layer *layer) {
  size_t n = 1;
  for (size_t k = 0; k < layer->n_children; k++) n += count_layers(layer->children[k]);
  return n;
}

/* Adds the leaves of a layer, child `index` of `prefix`. The recursion is as deep as the config's nodes,
 * whose depth is limited. */
static ls_status add_leaves(ls_model *model, ls_layer *layer, size_t index, const char *prefix) {
  char name[64];
  char path[sizeof model->leaves->path];
  if (layer->role)
    snprintf(name, sizeof name, "%s", layer->role);
  else
    snprintf(name, sizeof name, "%zu-%s", index, layer->type->name);
  LS_TRY(join(path, sizeof path, prefix, name));
  for (size_t k = 0; k < layer->n_children; k++) LS_TRY(add_leaves(model, layer->children[k], k, path));
  if (layer->n_children > 0) return LS_OK;
  ls_leaf *const leaf = &model->leaves[model->n_leaves++];
  leaf->layer = layer;
  memcpy(leaf->path, path, sizeof path);
  return LS_OK;
}

/* Creates the leaves and empty tables for their segments. */
static ls_status create_tables(ls_model *model) {
  size_t n = 0;
  size_t n_segments = 0;
  size_t n_states = 0;
  for (size_t i = 0; i < model->n_layers; i++) n += count_layers(model->layers[i]);
  model->leaves = ls_calloc(n, sizeof *model->leaves);
  if (!model->leaves) return ls_fail_memory("the list of layers", n * sizeof *model->leaves);
  for (size_t i = 0; i < model->n_layers; i++) LS_TRY(add_leaves(model, model->layers[i], i, ""));
  for (size_t i = 0; i < model->n_leaves; i++) {
    n_segments += model->leaves[i].layer->n_params;
    n_states += model->leaves[i].layer->n_states;
  }
  model->segments = ls_calloc(n_segments, sizeof *model->segments);
  model->state_segments = ls_calloc(n_states, sizeof *model->state_segments);
  if (model->segments && model->state_segments) return LS_OK;
  return ls_fail_memory("the table of parameters", (n_segments + n_states) * sizeof *model->segments);
}

/* Places a block at *offset and moves *offset behind it. */
static ls_status place(const ls_leaf *leaf, const ls_param *param, ls_segment *segment, size_t *offset) {
  *segment = (ls_segment){.kind = param->kind, .offset = *offset, .rows = param->rows, .row = param->row};
  LS_TRY(join(segment->path, sizeof segment->path, leaf->path, param->name));
  size_t count = 0;
  if (ls_shape_count(&param->row, &count) && ls_size_mul(param->rows, count, &count) &&
      ls_size_add(*offset, count, offset))
    return LS_OK;
  return ls_fail(LS_ERR_CONFIG, "%s: %s has more parameters than this machine can address",
                 leaf->layer->where, leaf->path);
}

/* Sets the penalties of a weight: its own, or the model's. */
static void set_penalties(const ls_model *model, const ls_param *param, ls_segment *segment) {
  if (param->kind != LS_SEGMENT_WEIGHT) return;
  segment->l1 = param->has_l1 ? param->l1 : model->l1;
  segment->l2 = param->has_l2 ? param->l2 : model->l2;
}

/* Places the blocks of a leaf behind those before it. */
static ls_status place_leaf(ls_model *model, ls_leaf *leaf) {
  const ls_layer *const layer = leaf->layer;
  leaf->segment = model->n_segments;
  for (size_t p = 0; p < layer->n_params; p++) {
    ls_segment *const segment = &model->segments[model->n_segments++];
    LS_TRY(place(leaf, &layer->params[p], segment, &model->n_params));
    set_penalties(model, &layer->params[p], segment);
    if (segment->kind == LS_SEGMENT_WEIGHT) segment->multiply_adds = layer->type->multiply_adds(layer);
  }
  for (size_t k = 0; k < layer->n_states; k++) {
    ls_segment *const segment = &model->state_segments[model->n_state_segments++];
    LS_TRY(place(leaf, &layer->states[k], segment, &model->n_state));
  }
  return LS_OK;
}

/* Sets the leaves, the tables of segments, n_params and n_state. The last layer comes first: the order in
 * which backward finishes the gradients. LS_ERR_CONFIG if a path is too long or the parameters are too
 * many.
 */
static ls_status create_segments(ls_model *model) {
  LS_TRY(create_tables(model));
  for (size_t i = model->n_leaves; i-- > 0;) LS_TRY(place_leaf(model, &model->leaves[i]));
  return LS_OK;
}

/* ---------------------------------------------------------------------- memory */

/* The widest output of a layer; the input needs no gradient. */
static size_t widest_output(const ls_model *model) {
  size_t widest = 0;
  for (size_t i = 0; i < model->n_layers; i++) widest = ls_size_max(widest, model->layers[i]->n_out);
  return widest;
}

/* The first pieces of an arena. */
static void take_vectors(ls_model *model, ls_arena *arena) {
  model->params = ls_arena_take(arena, model->n_params, sizeof(float));
  if (!model->predicts) model->grads = ls_arena_take(arena, model->n_params, sizeof(float));
}

/* Takes all pieces of the arena: called twice, see ls_arena. */
static void take_memory(ls_model *model) {
  ls_arena *const arena = &model->arena;
  const size_t rows = model->max_rows;
  size_t workspace_size = 0;
  if (model->twin) {
    model->params = model->twin->params;
    model->state = model->twin->state;
  } else {
    take_vectors(model, arena);
    model->state = ls_arena_take(arena, model->n_state, sizeof(float));
  }
  for (size_t i = 0; i < model->n_layers; i++) {
    ls_layer *const layer = model->layers[i];
    layer->output =
        layer->is_fused ? model->layers[i - 1]->output : ls_layer_take_rows(arena, rows, layer->n_out);
  }
  for (int k = 0; k < 2 && !model->predicts; k++)
    model->deltas[k] = ls_layer_take_rows(arena, rows, widest_output(model));
  const bool has_pieces = !model->predicts && ls_layers_need_deltas(model->layers, model->n_layers);
  const size_t pieces = has_pieces ? 2 : 0;
  const size_t lanes = model->predicts ? 0 : ls_size_max(model->max_lanes, 1);
  for (size_t i = 0; i < model->n_layers; i++)
    workspace_size = ls_size_max(workspace_size, ls_layer_reserve(model->layers[i], arena, rows, lanes));
  float *const piece_deltas =
      ls_arena_take(arena, pieces * LS_PIECE_FLOATS, model->layers[0]->threads * sizeof(float));
  void *const workspace = ls_arena_take(arena, workspace_size, 1);
  for (size_t i = 0; workspace && i < model->n_layers; i++)
    ls_layer_set_workspace(model->layers[i], workspace, piece_deltas);
}

/* Points each layer's parameters and state to their segments. */
static void bind(ls_model *model) {
  const ls_segment *segment = model->segments;
  const ls_segment *state = model->state_segments;
  for (size_t i = model->n_leaves; i-- > 0;) {
    ls_layer *const layer = model->leaves[i].layer;
    for (size_t p = 0; p < layer->n_params; p++, segment++) {
      layer->params[p].value = model->params + segment->offset;
      if (model->grads) layer->params[p].grad = model->grads + segment->offset;
    }
    for (size_t k = 0; k < layer->n_states; k++, state++)
      layer->states[k].value = model->state + state->offset;
  }
}

/* Rejects a model that is too large, with the inputs of a pass, before anything is allocated, to avoid
 * running out of memory. */
static ls_status check_memory(const ls_model *model) {
  const ls_memory memory = ls_memory_limit("");
  size_t bytes = 0; /* of the inputs, which the batch owns, and of the arena */
  const bool fits = ls_size_mul(model->max_rows, model->n_in, &bytes) &&
                    ls_size_mul(bytes, sizeof(float), &bytes) &&
                    ls_size_add(bytes, model->arena.used, &bytes);
  if (!model->arena.overflow && fits && bytes < memory.bytes) return LS_OK;
  size_t largest = 0;
  for (size_t i = 0; i < model->n_segments; i++)
    if (ls_segment_count(&model->segments[i]) > ls_segment_count(&model->segments[largest])) largest = i;
  return ls_fail(LS_ERR_CONFIG,
                 "model: %zu parameters and the activations of %zu samples need %.0f MB, but this machine "
                 "has %.0f MB (%s); the largest block is %s with %zu; use fewer units or smaller batches",
                 model->n_params, model->max_rows, (double)bytes / 1e6, (double)memory.bytes / 1e6,
                 memory.source, model->n_segments ? model->segments[largest].path : "none",
                 model->n_segments ? ls_segment_count(&model->segments[largest]) : 0);
}

ls_status ls_model_measure(ls_model *model, size_t max_rows) {
  LS_ASSERT(model->n_out > 0);
  model->max_rows = max_rows;
  LS_TRY(create_segments(model));
  for (size_t i = 0; model->twin && i < model->n_layers; i++)
    ls_layer_set_twin(model->layers[i], model->twin->layers[i]);
  take_memory(model);
  return check_memory(model);
}

ls_status ls_model_build(ls_model *model, size_t max_rows) {
  if (model->max_rows == 0) LS_TRY(ls_model_measure(model, max_rows));
  LS_ASSERT(model->max_rows == max_rows);
  LS_TRY(ls_arena_commit(&model->arena, "the model with its activations"));
  take_memory(model);
  bind(model);
  return LS_OK;
}

/* Uses the model's own memory for parameters and gradients; returns its bytes. */
static size_t use_own(ls_model *model) {
  ls_arena arena = model->arena;
  arena.used = 0;
  take_vectors(model, &arena);
  return arena.used;
}

/* Returns the whole pages within the first `bytes` bytes of the arena to the system. */
static void release_pages(const ls_model *model, size_t bytes) {
  const size_t page = (size_t)sysconf(_SC_PAGESIZE);
  const size_t before = (page - (uintptr_t)model->arena.base % page) % page;
  if (bytes >= before + page)
    (void)madvise(model->arena.base + before, (bytes - before) / page * page, MADV_DONTNEED);
}

void ls_model_set_vectors(ls_model *model, float *params, float *grads) {
  if (params == model->params && grads == model->grads) return;
  model->params = params;
  model->grads = grads;
  bind(model);
}

void ls_model_borrow(ls_model *model, float *params, float *grads) {
  release_pages(model, use_own(model));
  ls_model_set_vectors(model, params, grads);
}

void ls_model_return(ls_model *model) {
  const float *const borrowed = model->params;
  (void)use_own(model);
  if (borrowed != model->params) ls_copy(model->params, borrowed, model->n_params * sizeof *borrowed);
  bind(model);
}
