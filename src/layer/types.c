/* The layer types, and creating a layer from its map in the config. */
#include "internal.h"

#define ADDRESS(name) &layer_##name,
const ls_layer_type *const ls_layer_types[] = {LAYER_TYPES(ADDRESS) NULL};

static const char *type_name(size_t index) {
  return ls_layer_types[index] ? ls_layer_types[index]->name : NULL;
}

/* The type that the key `layer` of the map names; NULL after collecting an error. */
static const ls_layer_type *find_type(ls_config *config, const ls_node *node) {
  if (ls_node_kind_of(node) != LS_NODE_MAP) {
    ls_config_error(config, node, "not a map; must be a layer such as {layer: dense, units: 10}");
    return NULL;
  }
  const int index = ls_config_choose_type(config, node, "layer", type_name);
  return index < 0 ? NULL : ls_layer_types[index];
}

/* An inner layer; NULL after collecting an error. */
static ls_layer *create_child(ls_config *config, ls_node *node, uint32_t *next) {
  if (*next >= LS_LAYER_INDEX_MAX) {
    ls_config_error(config, node, "too many nested layers; must be at most %d",
                    LS_LAYER_INDEX_MAX - LS_LAYERS_MAX);
    return NULL;
  }
  const uint32_t index = (*next)++;
  return ls_layer_create(config, node, index, next);
}

/* Leaves out children that cannot be created: after an error the model is not built. */
static void create_children(ls_layer *layer, ls_config *config, const ls_node *node, uint32_t *next) {
  ls_node *const list = layer->type->list(layer);
  if (!list) return; /* the error is collected already */
  if (ls_node_kind_of(list) != LS_NODE_LIST || ls_node_count(list) == 0) {
    ls_config_error(config, list,
                    "no layers; must be a list of layers such as [{layer: dense, units: 10}]");
    return;
  }
  const size_t n = ls_node_count(list);
  layer->children = ls_calloc(n + 1, sizeof(ls_layer *)); /* and a skip */
  if (!layer->children) ls_config_error(config, node, "out of memory");
  for (size_t i = 0; layer->children && i < n; i++) {
    ls_layer *const child = create_child(config, ls_node_item(list, i), next);
    if (child) layer->children[layer->n_children++] = child;
  }
}

/* Adds the child `skip` for its list of layers. */
static void create_skip(ls_layer *layer, ls_config *config, ls_node *list, uint32_t *next) {
  ls_layer *const skip = layer_create_chain(list, layer->index, ls_config_place(config, list));
  if (!skip) {
    ls_config_error(config, list, "out of memory");
    return;
  }
  skip->role = "skip";
  create_children(skip, config, list, next);
  layer->children[layer->n_children++] = skip;
}

ls_layer *ls_layer_create(ls_config *config, ls_node *node, uint32_t index, uint32_t *next) {
  const ls_layer_type *const type = find_type(config, node);
  if (!type) return NULL;
  ls_layer *const layer = layer_create(type, index, ls_config_place(config, node));
  if (!layer) {
    ls_config_error(config, node, "out of memory");
    return NULL;
  }
  ls_config_read(config, node, type->keys, layer->options);
  if (type->check) type->check(layer, config, node);
  if (type->list) create_children(layer, config, node, next);
  ls_node *const skip = type->skip ? type->skip(layer) : NULL;
  if (skip && layer->children) create_skip(layer, config, skip, next);
  return layer;
}
