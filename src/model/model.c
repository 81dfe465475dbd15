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
    ls_config_mistake(config, end, "the loss %s needs %s as the last activation, not %s",
                      ls_loss_names[model->loss], ls_activation_names[link], ls_activation_names[last]);
  if (link == LS_LINEAR && last == LS_SOFTMAX)
    ls_config_mistake(config, end, "softmax as the last activation needs the loss %s, not %s",
                      ls_loss_names[LS_CATEGORICAL_CROSS_ENTROPY], ls_loss_names[model->loss]);
  model->layers[model->n_layers - 1]->is_linked = link != LS_LINEAR;
}

#define LAYERS_MAX 1000

static ls_status parse_layers(ls_model *model, ls_config *config, const ls_node *list) {
  const size_t n = ls_node_count(list);
  model->layers = ls_calloc(n, sizeof *model->layers);
  if (!model->layers) return ls_fail_memory("the list of layers", n * sizeof *model->layers);
  bool complete = true;
  for (size_t i = 0; i < n; i++) {
    model->layers[i] = ls_layer_create(config, ls_node_item(list, i), (uint32_t)i);
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
    ls_config_mistake(config, list ? list : root,
                      "%sa list of layers such as [{layer: dense, units: 10}] is needed",
                      list ? "" : "model: ");
  else if (ls_node_count(list) > LAYERS_MAX)
    ls_config_mistake(config, list, "%zu layers; at most %d", ls_node_count(list), LAYERS_MAX);
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
  free((*model)->activations);
  free((*model)->leaves);
  ls_arena_destroy(&(*model)->arena);
  free(*model);
  *model = NULL;
}

/* Every layer's n_in, n_out and parameter shapes; the number of segments. */
static size_t infer_shapes(ls_model *model, size_t n_in) {
  size_t n_segments = 0;
  model->n_in = n_in;
  for (size_t i = 0; i < model->n_layers; i++) {
    ls_layer *const layer = model->layers[i];
    layer->n_in = n_in;
    layer->type->shape(layer);
    n_in = layer->n_out;
    n_segments += layer->n_params;
  }
  model->n_out = n_in;
  return n_segments;
}

/* The segment table, the last layer first. */
static ls_status lay_out(ls_model *model, size_t n_segments) {
  model->segments = ls_calloc(n_segments, sizeof *model->segments);
  if (!model->segments)
    return ls_fail_memory("the table of parameters", n_segments * sizeof *model->segments);
  size_t offset = 0;
  for (size_t i = model->n_layers; i-- > 0;) {
    const ls_layer *const layer = model->layers[i];
    for (size_t p = 0; p < layer->n_params; p++) {
      const ls_param *const param = &layer->params[p];
      ls_segment *const segment = &model->segments[model->n_segments++];
      *segment =
          (ls_segment){.kind = param->kind, .offset = offset, .rows = param->rows, .cols = param->cols};
      snprintf(segment->path, sizeof segment->path, "%zu-%s/%s", i, layer->type->name, param->name);
      size_t count = param->rows;
      if ((param->cols && !ls_size_mul(param->rows, param->cols, &count)) ||
          !ls_size_add(offset, count, &offset))
        return ls_fail(LS_ERR_CONFIG, "model.%zu: %s has more parameters than this machine can count", i,
                       layer->type->name);
    }
  }
  model->n_params = offset;
  return LS_OK;
}

/* The widest activation but the input, whose gradient nobody needs. */
static size_t widest(const ls_model *model) {
  size_t most = 0;
  for (size_t i = 0; i < model->n_layers; i++) most = ls_size_max(most, model->layers[i]->n_out);
  return most;
}

/* Cuts the arena: called once measuring and once for real. */
static void take_memory(ls_model *model) {
  ls_arena *const arena = &model->arena;
  const size_t rows = model->max_rows;
  model->params = ls_arena_take(arena, model->n_params, sizeof(float));
  model->grads = ls_arena_take(arena, model->n_params, sizeof(float));
  for (size_t i = 0; i <= model->n_layers; i++) {
    const size_t width = i == 0 ? model->n_in : model->layers[i - 1]->n_out;
    size_t elements;
    if (!ls_size_mul(rows, width, &elements)) arena->overflow = true;
    model->activations[i] = arena->overflow ? NULL : ls_arena_take(arena, elements, sizeof(float));
  }
  for (int k = 0; k < 2; k++) {
    size_t elements;
    if (!ls_size_mul(rows, widest(model), &elements)) arena->overflow = true;
    model->deltas[k] = arena->overflow ? NULL : ls_arena_take(arena, elements, sizeof(float));
  }
  for (size_t i = 0; i < model->n_layers; i++)
    if (model->layers[i]->type->reserve) model->layers[i]->type->reserve(model->layers[i], arena, rows);
}

/* Points each layer's parameters at their segments. */
static void bind(ls_model *model) {
  const ls_segment *segment = model->segments;
  for (size_t i = model->n_layers; i-- > 0;) {
    ls_layer *const layer = model->layers[i];
    for (size_t p = 0; p < layer->n_params; p++, segment++) {
      layer->params[p].value = model->params + segment->offset;
      layer->params[p].grad = model->grads + segment->offset;
    }
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
  ls_status status = lay_out(model, infer_shapes(model, n_in));
  if (status != LS_OK) return status;
  model->activations = ls_calloc(model->n_layers + 1, sizeof *model->activations);
  if (!model->activations) return ls_fail_memory("the model", model->n_layers * sizeof *model->activations);
  take_memory(model);
  status = check_memory(model);
  if (status != LS_OK) return status;
  status = ls_arena_commit(&model->arena, "the model with its activations");
  if (status != LS_OK) return status;
  take_memory(model);
  model->n_leaves = model->n_layers;
  model->leaves = ls_calloc(model->n_layers, sizeof *model->leaves);
  if (!model->leaves) return ls_fail_memory("the model", model->n_layers * sizeof *model->leaves);
  for (size_t i = 0; i < model->n_layers; i++) {
    snprintf(model->leaves[i].path, 128, "%zu-%s", i, model->layers[i]->type->name);
    model->leaves[i].layer = model->layers[i];
  }
  for (size_t i = 0; i < model->n_segments; i++)
    if (model->segments[i].kind == LS_SEGMENT_WEIGHT) {
      model->segments[i].l1 = model->l1;
      model->segments[i].l2 = model->l2;
    }
  bind(model);
  return LS_OK;
}

size_t ls_model_bytes(const ls_model *model) {
  return model->arena.capacity;
}
