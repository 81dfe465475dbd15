/* Shapes and memory. */
#include "internal.h"

ls_status ls_model_infer_shapes(ls_model *model, const ls_shape *input) {
  LS_ASSERT(model->n_out == 0);
  model->in = model->out = *input;
  for (size_t i = 0; i < model->n_layers; i++) {
    const ls_status status = ls_layer_infer_shapes(model->layers[i], &model->out);
    if (status != LS_OK) return status;
    model->out = model->layers[i]->out;
  }
  model->n_in = model->layers[0]->n_in;
  model->n_out = model->layers[model->n_layers - 1]->n_out;
  return LS_OK;
}

/* The widest output of a layer; the input needs no gradient. */
static size_t widest_output(const ls_model *model) {
  size_t widest = 0;
  for (size_t i = 0; i < model->n_layers; i++) widest = ls_size_max(widest, model->layers[i]->n_out);
  return widest;
}

/* Takes all pieces of the arena: called twice, see ls_arena. */
static void take_memory(ls_model *model) {
  ls_arena *const arena = &model->arena;
  const size_t rows = model->max_rows;
  size_t workspace_size = 0;
  model->params = ls_arena_take(arena, model->n_params, sizeof(float));
  model->grads = ls_arena_take(arena, model->n_params, sizeof(float));
  model->state = ls_arena_take(arena, model->n_state, sizeof(float));
  for (size_t i = 0; i < model->n_layers; i++)
    model->outputs[i] = ls_layer_take_rows(arena, rows, model->layers[i]->n_out);
  for (int k = 0; k < 2; k++) model->deltas[k] = ls_layer_take_rows(arena, rows, widest_output(model));
  for (size_t i = 0; i < model->n_layers; i++)
    workspace_size =
        ls_size_max(workspace_size, ls_layer_reserve(model->layers[i], arena, rows, model->max_lanes));
  void *const workspace = ls_arena_take(arena, workspace_size, 1);
  for (size_t i = 0; workspace && i < model->n_layers; i++)
    ls_layer_set_workspace(model->layers[i], workspace, model->max_lanes);
}

/* Points each layer's parameters and state to their segments. */
static void bind(ls_model *model) {
  const ls_segment *segment = model->segments;
  const ls_segment *state = model->state_segments;
  for (size_t i = model->n_leaves; i-- > 0;) {
    ls_layer *const layer = model->leaves[i].layer;
    for (size_t p = 0; p < layer->n_params; p++, segment++) {
      layer->params[p].value = model->params + segment->offset;
      layer->params[p].grad = model->grads + segment->offset;
    }
    for (size_t k = 0; k < layer->n_states; k++, state++)
      layer->states[k].value = model->state + state->offset;
  }
}

/* Rejects a model that is too large before anything is allocated, to avoid running out of memory. */
static ls_status check_memory(const ls_model *model) {
  const size_t memory = ls_memory_bytes();
  if (!model->arena.overflow && model->arena.used < memory) return LS_OK;
  size_t largest = 0;
  for (size_t i = 0; i < model->n_segments; i++)
    if (ls_segment_count(&model->segments[i]) > ls_segment_count(&model->segments[largest])) largest = i;
  return ls_fail(LS_ERR_CONFIG,
                 "model: %zu parameters and the activations of %zu samples need %.0f MB, but this machine "
                 "has %.0f MB; the largest block is %s with %zu; use fewer units or smaller batches",
                 model->n_params, model->max_rows, (double)model->arena.used / 1e6, (double)memory / 1e6,
                 model->n_segments ? model->segments[largest].path : "none",
                 model->n_segments ? ls_segment_count(&model->segments[largest]) : 0);
}

ls_status ls_model_build(ls_model *model, size_t max_rows) {
  LS_ASSERT(model->n_out > 0);
  model->max_rows = max_rows;
  ls_status status = model_create_segments(model);
  if (status != LS_OK) return status;
  model->outputs = ls_calloc(model->n_layers, sizeof *model->outputs);
  if (!model->outputs) return ls_fail_memory("the model", model->n_layers * sizeof *model->outputs);
  take_memory(model);
  status = check_memory(model);
  if (status != LS_OK) return status;
  status = ls_arena_commit(&model->arena, "the model with its activations");
  if (status != LS_OK) return status;
  take_memory(model);
  bind(model);
  return LS_OK;
}

size_t ls_model_bytes(const ls_model *model) {
  return model->arena.capacity;
}
