/* The list of kinds, and making a layer from its map in the config. */
#include "kinds.h"

#include <stdlib.h>

const ls_layer_type *const ls_layer_types[] = {
    &ls_layer_dense,      &ls_layer_dropout,
    &ls_layer_batch_norm, &ls_layer_residual,
    &ls_layer_linear,     &ls_layer_sigmoid,
    &ls_layer_tanh,       &ls_layer_relu,
    &ls_layer_leaky_relu, &ls_layer_elu,
    &ls_layer_gelu,       &ls_layer_softplus,
    &ls_layer_softmax,    NULL,
};

static const char *type_name(size_t index) {
  return ls_layer_types[index] ? ls_layer_types[index]->name : NULL;
}

/* The type that the key `layer` of the map names, or NULL after collecting an error. */
static const ls_layer_type *find_type(ls_config *config, const ls_node *node) {
  if (ls_node_kind_of(node) != LS_NODE_MAP) {
    ls_config_error(config, node, "not a map; must be a layer such as {layer: dense, units: 10}");
    return NULL;
  }
  const int index = ls_config_choose_type(config, node, "layer", type_name);
  return index < 0 ? NULL : ls_layer_types[index];
}

/* One layer inside another; NULL after collecting a mistake. */
static ls_layer *create_child(ls_config *config, ls_node *node, uint32_t *next) {
  if (*next >= LS_LAYER_INDEX_MAX) {
    ls_config_error(config, node, "too many nested layers; must be at most %d",
                    LS_LAYER_INDEX_MAX - LS_LAYERS_MAX);
    return NULL;
  }
  const uint32_t index = (*next)++;
  return ls_layer_create(config, node, index, next);
}

/* Those that could be made: where one could not, nobody builds the net. */
static void create_children(ls_layer *layer, ls_config *config, const ls_node *node, uint32_t *next) {
  ls_node *const list = layer->type->list(layer);
  if (!list) return; /* already reported */
  if (ls_node_kind_of(list) != LS_NODE_LIST || ls_node_count(list) == 0) {
    ls_config_error(config, list,
                    "no layers; must be a list of layers such as [{layer: dense, units: 10}]");
    return;
  }
  const size_t n = ls_node_count(list);
  layer->children = ls_calloc(n, sizeof(ls_layer *));
  if (!layer->children) ls_config_error(config, node, "out of memory");
  for (size_t i = 0; layer->children && i < n; i++) {
    ls_layer *const child = create_child(config, ls_node_item(list, i), next);
    if (child) layer->children[layer->n_children++] = child;
  }
}

ls_layer *ls_layer_create(ls_config *config, ls_node *node, uint32_t index, uint32_t *next) {
  const ls_layer_type *const type = find_type(config, node);
  if (!type) return NULL;
  ls_layer *layer = ls_calloc(1, sizeof *layer);
  void *const options = layer ? ls_calloc(1, type->options_size) : NULL;
  if (!options) {
    ls_config_error(config, node, "out of memory");
    free(layer);
    return NULL;
  }
  layer->type = type;
  layer->index = index;
  layer->options = options;
  ls_config_read(config, node, type->keys, options);
  if (type->check) type->check(layer, config, node);
  if (type->list) create_children(layer, config, node, next);
  return layer;
}

void ls_layer_destroy(ls_layer **layer) {
  if (!*layer) return;
  for (size_t k = 0; k < (*layer)->n_children; k++) ls_layer_destroy(&(*layer)->children[k]);
  free((*layer)->children);
  free((*layer)->options);
  free(*layer);
  *layer = NULL;
}

float *ls_layer_take_rows(ls_arena *arena, size_t rows, size_t width) {
  size_t elements;
  if (!ls_size_mul(rows, width, &elements)) arena->overflow = true;
  return arena->overflow ? NULL : ls_arena_take(arena, elements, sizeof(float));
}
