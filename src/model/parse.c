/* From the config's list to layers without shapes. */
#include "lockstep/model.h"

#include <stdlib.h>

/* The activation at the end of the model; LS_LINEAR if the last layer has none. */
static ls_activation last_activation(const ls_model *model) {
  const ls_layer *const last = model->layers[model->n_layers - 1];
  return last->type->activation ? last->type->activation(last) : LS_LINEAR;
}

/* The loss categorical_cross_entropy requires softmax at the end of the model, binary_cross_entropy
 * sigmoid, focal one of them. */
static void check_last_activation(ls_model *model, ls_config *config, const ls_node *list) {
  const ls_activation last = last_activation(model);
  if (model->loss == LS_FOCAL && last == LS_SIGMOID) model->loss = LS_FOCAL_LABELS;
  const ls_activation link = ls_loss_link(model->loss);
  const ls_node *const end = ls_node_item(list, model->n_layers - 1);
  if (link != LS_LINEAR && last != link)
    ls_config_error(config, end, "the last activation is wrong for the loss %s; must be %s, not %s",
                    ls_loss_name(model->loss),
                    model->loss == LS_FOCAL ? "softmax or sigmoid" : ls_activation_names[link],
                    ls_activation_names[last]);
  if (link == LS_LINEAR && last == LS_SOFTMAX)
    ls_config_error(config, end, "the last activation softmax needs the loss %s, not %s",
                    ls_loss_name(LS_CATEGORICAL_CROSS_ENTROPY), ls_loss_name(model->loss));
  model->layers[model->n_layers - 1]->is_linked = link != LS_LINEAR;
}

static ls_status parse_layers(ls_model *model, ls_config *config, const ls_node *list) {
  const size_t n = ls_node_count(list);
  model->layers = ls_calloc(n, sizeof *model->layers);
  if (!model->layers) return ls_fail_memory("the list of layers", n * sizeof *model->layers);
  bool is_complete = true;
  uint32_t next = LS_LAYERS_MAX;
  for (size_t i = 0; i < n; i++) {
    model->layers[i] = ls_layer_create(config, ls_node_item(list, i), (uint32_t)i, &next);
    is_complete = is_complete && model->layers[i];
  }
  model->n_layers = n;
  if (is_complete) check_last_activation(model, config, list);
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
  ls_arena_destroy(&(*model)->arena);
  free(*model);
  *model = NULL;
}
