/* The list of kinds, and making a layer from its map in the config. */
#include "kinds.h"

#include <stdlib.h>

const ls_layer_type *const ls_layer_types[] = {
    &ls_layer_dense,      &ls_layer_dropout, &ls_layer_linear,
    &ls_layer_sigmoid,    &ls_layer_tanh,    &ls_layer_relu,
    &ls_layer_leaky_relu, &ls_layer_softmax, NULL,
};

#define KINDS (sizeof ls_layer_types / sizeof ls_layer_types[0])

/* The kind that the map's key `layer` names, or NULL after collecting the mistake. */
static const ls_layer_type *find_type(ls_config *config, const ls_node *node) {
  if (ls_node_kind_of(node) != LS_NODE_MAP) {
    ls_config_mistake(config, node, "a layer is a map such as {layer: dense, units: 10}");
    return NULL;
  }
  const ls_node *const kind = ls_node_find(node, "layer");
  if (!kind) {
    ls_config_mistake(config, node, "this layer has no key `layer`, which says what kind it is");
    return NULL;
  }
  const char *names[KINDS];
  for (size_t i = 0; i < KINDS; i++) names[i] = ls_layer_types[i] ? ls_layer_types[i]->name : NULL;
  const int found = ls_config_choose(config, kind, "layer", names);
  return found < 0 ? NULL : ls_layer_types[found];
}

ls_layer *ls_layer_create(ls_config *config, ls_node *node, uint32_t index) {
  const ls_layer_type *const type = find_type(config, node);
  if (!type) return NULL;
  ls_layer *layer = ls_calloc(1, sizeof *layer);
  void *const options = layer ? ls_calloc(1, type->options_size) : NULL;
  if (!options) {
    ls_config_mistake(config, node, "out of memory");
    free(layer);
    return NULL;
  }
  layer->type = type;
  layer->index = index;
  layer->options = options;
  ls_config_read(config, node, type->keys, options);
  if (type->check) type->check(layer, config, node);
  return layer;
}

void ls_layer_destroy(ls_layer **layer) {
  if (!*layer) return;
  free((*layer)->options);
  free(*layer);
  *layer = NULL;
}
