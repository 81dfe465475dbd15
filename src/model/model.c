/* Parsing and building: from the config's list to layers with shapes, views and memory. */
#include "lockstep/model.h"

#include <stdlib.h>
#include <string.h>

/* The activation with which the net ends, LS_LINEAR where the last layer has none. */
static ls_activation last_activation(const ls_model *model) {
  const ls_layer *const last = model->layers[model->n_layers - 1];
  return last->type->activation ? last->type->activation(last) : LS_LINEAR;
}

/* softmax belongs to categorical_cross_entropy at the end of the net, sigmoid to binary_cross_entropy. */
static void check_ends(ls_model *model, ls_config *config, const ls_node *list) {
  const ls_activation link = ls_loss_link(model->loss);
  const ls_activation last = last_activation(model);
  const ls_node *const end = ls_node_item(list, model->n_layers - 1);
  if (link != LS_LINEAR && last != link)
    ls_config_error(config, end, "the last activation is wrong for the loss %s; must be %s, not %s",
                    ls_loss_names[model->loss], ls_activation_names[link], ls_activation_names[last]);
  if (link == LS_LINEAR && last == LS_SOFTMAX)
    ls_config_error(config, end, "the last activation softmax needs the loss %s, not %s",
                    ls_loss_names[LS_CATEGORICAL_CROSS_ENTROPY], ls_loss_names[model->loss]);
  model->layers[model->n_layers - 1]->is_linked = link != LS_LINEAR;
}

static ls_status parse_layers(ls_model *model, ls_config *config, const ls_node *list) {
  const size_t n = ls_node_count(list);
  model->layers = ls_calloc(n, sizeof *model->layers);
  if (!model->layers) return ls_fail_memory("the list of layers", n * sizeof *model->layers);
  bool complete = true;
  uint32_t next = LS_LAYERS_MAX;
  for (size_t i = 0; i < n; i++) {
    model->layers[i] = ls_layer_create(config, ls_node_item(list, i), (uint32_t)i, &next);
    complete = complete && model->layers[i];
  }
  model->n_layers = n;
  if (complete) check_ends(model, config, list);
  return LS_OK;
}

ls_status ls_model_parse(ls_config *config, ls_loss loss, ls_model **out) {
  *out = NULL;
  ls_model *model = ls_calloc(1, sizeof *model);
  if (!model) return ls_fail_memory("the model", sizeof *model);
  model->loss = loss;
  const ls_node *const root = ls_config_root(config);
  const ls_node *const list = ls_node_find(root, "model");
  if (!list || ls_node_kind_of(list) != LS_NODE_LIST || ls_node_count(list) == 0)
    ls_config_error(config, list ? list : root,
                    "%sno layers; must be a list of layers such as [{layer: dense, units: 10}]",
                    list ? "" : "model: ");
  else if (ls_node_count(list) > LS_LAYERS_MAX)
    ls_config_error(config, list, "too many layers, %zu; must be at most %d", ls_node_count(list),
                    LS_LAYERS_MAX);
  else if (parse_layers(model, config, list) != LS_OK) {
    ls_model_destroy(&model);
    return LS_ERR_INTERNAL;
  }
  *out = model;
  return LS_OK;
}

void ls_model_destroy(ls_model **model) {
  if (!*model) return;
  for (size_t i = 0; i < (*model)->n_layers; i++) ls_layer_destroy(&(*model)->layers[i]);
  free((*model)->layers);
  free((*model)->segments);
  free((*model)->state_segments);
  free((*model)->leaves);
  free((*model)->outputs);
  ls_arena_destroy(&(*model)->arena);
  free(*model);
  *model = NULL;
}

/* Every layer's n_in, n_out and parameter shapes. */
static void infer_shapes(ls_model *model, size_t n_in) {
  model->n_in = n_in;
  for (size_t i = 0; i < model->n_layers; i++) {
    ls_layer *const layer = model->layers[i];
    layer->n_in = n_in;
    layer->type->shape(layer);
    n_in = layer->n_out;
  }
  model->n_out = n_in;
}

/* Path = prefix/name, or name where there is no prefix; the mistake where it does not fit. */
static ls_status join(char *path, size_t size, const char *prefix, const char *name) {
  const int length = snprintf(path, size, "%s%s%s", prefix, prefix[0] ? "/" : "", name);
  if (length >= 0 && (size_t)length < size) return LS_OK;
  return ls_fail(LS_ERR_CONFIG,
                 "model: the layers of %.100s... lie too deep: a path has at most %zu characters; put "
                 "fewer layers inside others",
                 prefix, size - 1);
}

/* A layer with all those inside it. */
static size_t count_layers(const ls_layer *layer) {
  size_t n = 1;
  for (size_t k = 0; k < layer->n_children; k++) n += count_layers(layer->children[k]);
  return n;
}

/* Adds the leaf, or the leaves of those inside it and then what is its own. The depth is that of the
 * config's nodes, which is limited. */
static ls_status add_leaves(ls_model *model, ls_layer *layer, size_t index, const char *prefix) {
  char name[64];
  char path[sizeof model->leaves->path];
  snprintf(name, sizeof name, "%zu-%s", index, layer->type->name);
  ls_status status = join(path, sizeof path, prefix, name);
  for (size_t k = 0; status == LS_OK && k < layer->n_children; k++)
    status = add_leaves(model, layer->children[k], k, path);
  if (status != LS_OK || (layer->n_children > 0 && layer->n_params == 0)) return status;
  ls_leaf *const leaf = &model->leaves[model->n_leaves++];
  leaf->layer = layer;
  if (layer->n_children == 0) return join(leaf->path, sizeof leaf->path, prefix, name);
  return join(leaf->path, sizeof leaf->path, path, layer->type->own_name);
}

/* The leaves, and tables for their segments. */
static ls_status find_leaves(ls_model *model) {
  size_t n = 0;
  size_t n_segments = 0;
  size_t n_states = 0;
  for (size_t i = 0; i < model->n_layers; i++) n += count_layers(model->layers[i]);
  model->leaves = ls_calloc(n, sizeof *model->leaves);
  if (!model->leaves) return ls_fail_memory("the list of layers", n * sizeof *model->leaves);
  for (size_t i = 0; i < model->n_layers; i++) {
    const ls_status status = add_leaves(model, model->layers[i], i, "");
    if (status != LS_OK) return status;
  }
  for (size_t i = 0; i < model->n_leaves; i++) {
    n_segments += model->leaves[i].layer->n_params;
    n_states += model->leaves[i].layer->n_states;
  }
  model->segments = ls_calloc(n_segments, sizeof *model->segments);
  model->state_segments = ls_calloc(n_states, sizeof *model->state_segments);
  if (model->segments && model->state_segments) return LS_OK;
  return ls_fail_memory("the table of parameters", (n_segments + n_states) * sizeof *model->segments);
}

/* One block behind those before it, which have *offset elements. */
static ls_status place(const ls_leaf *leaf, const ls_param *param, ls_segment *segment, size_t *offset) {
  *segment = (ls_segment){.kind = param->kind, .offset = *offset, .rows = param->rows, .cols = param->cols};
  const ls_status status = join(segment->path, sizeof segment->path, leaf->path, param->name);
  if (status != LS_OK) return status;
  size_t count = param->rows;
  if ((param->cols == 0 || ls_size_mul(param->rows, param->cols, &count)) &&
      ls_size_add(*offset, count, offset))
    return LS_OK;
  return ls_fail(LS_ERR_CONFIG, "model: %s has more parameters than this machine can count", leaf->path);
}

/* The penalties of a weight: its own, else the model's. */
static void set_penalties(const ls_model *model, const ls_param *param, ls_segment *segment) {
  if (param->kind != LS_SEGMENT_WEIGHT) return;
  segment->l1 = param->has_l1 ? param->l1 : model->l1;
  segment->l2 = param->has_l2 ? param->l2 : model->l2;
}

/* The segment tables, the last layer first: the order in which backward finishes them. */
static ls_status lay_out(ls_model *model) {
  ls_status status = find_leaves(model);
  for (size_t i = model->n_leaves; status == LS_OK && i-- > 0;) {
    ls_leaf *const leaf = &model->leaves[i];
    const ls_layer *const layer = leaf->layer;
    leaf->segment = model->n_segments;
    leaf->n_segments = layer->n_params;
    for (size_t p = 0; status == LS_OK && p < layer->n_params; p++) {
      ls_segment *const segment = &model->segments[model->n_segments++];
      status = place(leaf, &layer->params[p], segment, &model->n_params);
      set_penalties(model, &layer->params[p], segment);
    }
    for (size_t k = 0; status == LS_OK && k < layer->n_states; k++)
      status = place(leaf, &layer->states[k], &model->state_segments[model->n_state_segments++],
                     &model->n_state);
  }
  return status;
}

/* The widest activation but the input, whose gradient nobody needs. */
static size_t widest(const ls_model *model) {
  size_t most = 0;
  for (size_t i = 0; i < model->n_layers; i++) most = ls_size_max(most, model->layers[i]->n_out);
  return most;
}

/* Elements of the parameters of the layer that has most. */
static size_t most_params(const ls_model *model) {
  size_t most = 0;
  for (size_t i = 0; i < model->n_leaves; i++) {
    size_t n = 0;
    for (size_t k = 0; k < model->leaves[i].n_segments; k++)
      n += ls_segment_count(&model->segments[model->leaves[i].segment + k]);
    most = ls_size_max(most, n);
  }
  return most;
}

/* Cuts the arena: called once measuring and once for real. */
static void take_memory(ls_model *model) {
  ls_arena *const arena = &model->arena;
  const size_t rows = model->max_rows;
  model->params = ls_arena_take(arena, model->n_params, sizeof(float));
  model->grads = ls_arena_take(arena, model->n_params, sizeof(float));
  model->state = ls_arena_take(arena, model->n_state, sizeof(float));
  float *const room = model->max_lanes > 1
                          ? ls_layer_take_rows(arena, ls_lane_depth(model->max_lanes), most_params(model))
                          : NULL;
  for (size_t i = 0; i < model->n_leaves; i++) {
    model->leaves[i].layer->room = room;
    model->leaves[i].layer->room_size = most_params(model);
  }
  for (size_t i = 0; i < model->n_layers; i++)
    model->outputs[i] = ls_layer_take_rows(arena, rows, model->layers[i]->n_out);
  for (int k = 0; k < 2; k++) model->deltas[k] = ls_layer_take_rows(arena, rows, widest(model));
  for (size_t i = 0; i < model->n_layers; i++)
    if (model->layers[i]->type->reserve) model->layers[i]->type->reserve(model->layers[i], arena, rows);
}

/* Points each layer's parameters and state at their segments. */
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

/* What does not fit this machine is told before anything is allocated: touching it would bring it down. */
static ls_status check_memory(const ls_model *model) {
  const size_t memory = ls_memory_bytes();
  if (!model->arena.overflow && model->arena.used < memory) return LS_OK;
  size_t most = 0;
  for (size_t i = 0; i < model->n_segments; i++)
    if (ls_segment_count(&model->segments[i]) > ls_segment_count(&model->segments[most])) most = i;
  return ls_fail(LS_ERR_CONFIG,
                 "model: %zu parameters and the activations of %zu samples need %.0f MB, this machine has "
                 "%.0f MB; the "
                 "largest block is %s with %zu; use fewer units or smaller batches",
                 model->n_params, model->max_rows, (double)model->arena.used / 1e6, (double)memory / 1e6,
                 model->n_segments ? model->segments[most].path : "none",
                 model->n_segments ? ls_segment_count(&model->segments[most]) : 0);
}

ls_status ls_model_build(ls_model *model, size_t n_in, size_t max_rows) {
  model->max_rows = max_rows;
  infer_shapes(model, n_in);
  ls_status status = lay_out(model);
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
