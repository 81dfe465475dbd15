/* Reading a map into a struct by a table of keys. */
#include "internal.h"

#include <string.h>

static void reject_unknown(ls_config *config, const ls_node *map, const ls_key *keys) {
  for (size_t i = 0; i < map->count; i++) {
    const ls_key *key = keys;
    while (key->name && strcmp(key->name, map->children[i]->key) != 0) key++;
    if (!key->name) config_report_unknown(config, map->children[i], keys);
  }
}

/* Creates an empty map that is not part of the document, so that reading can continue after an error. */
static ls_node *make_detached(ls_config *config, ls_node *parent, const char *key) {
  ls_node *const map = config_node_make(config, LS_NODE_MAP);
  if (!map) {
    ls_config_error(config, NULL, "too many values, defaults included; must be at most %d",
                    CONFIG_MAX_NODES);
    return NULL;
  }
  map->parent = parent;
  map->key = parent ? config_copy_text(config, key, strlen(key)) : NULL;
  map->detached = true;
  return map->key || !parent ? map : NULL;
}

ls_node *ls_config_section(ls_config *config, ls_node *parent, const char *section) {
  if (!parent) return NULL;
  ls_node *const node = config_find_present(parent, section);
  if (node && node->kind == LS_NODE_MAP) return node;
  const bool is_absent = !node && parent->kind == LS_NODE_MAP;
  if (!is_absent) config_report_kind(config, node ? node : parent, "a map of keys");
  ls_node *const map = make_detached(config, parent, section);
  if (!map || !is_absent) return map;
  const ls_node *const null = ls_node_find(parent, section);
  if (null) map->line = null->line;
  if (null) map->origin = null->origin;
  map->detached = parent->detached;
  map->implicit = true;
  return config_node_put(config, parent, section, map) ? map : NULL;
}

static ls_node *make_fallback(ls_config *config, ls_node *map, const ls_key *key) {
  ls_node *node = NULL;
  if (!key->fallback) return NULL;
  if (config_parse_value(config, key->fallback, NULL, 0, &node) != LS_OK) {
    ls_config_error(config, NULL, "default of %s: %s", key->name, ls_message());
    return NULL;
  }
  node->parent = map;
  node->key = key->name;
  return ls_node_is_null(node) ? NULL : node;
}

void ls_config_read_key(ls_config *config, ls_node *map, const ls_key *key, void *out) {
  if (key->flags & LS_KEY_ELSEWHERE) return;
  ls_node *const node = config_find_present(map, key->name);
  void *const field = (char *)out + key->offset;
  const bool missing = !node && (key->flags & LS_KEY_REQUIRED) != 0;
  if (missing && !map->detached)
    config_report(config, map, key->name, "required key is missing; must be %s", config_expected(key).text);
  if (key->type == LS_KEY_MAP) {
    ls_node *const nested =
        missing ? make_detached(config, map, key->name) : ls_config_section(config, map, key->name);
    ls_config_read(config, nested, key->keys, field);
    return;
  }
  if (config_store_value(config, key, node, field)) return;
  ls_node *const fallback = make_fallback(config, map, key);
  if (!fallback) return;
  config_store_value(config, key, fallback, field);
  if (!node && !missing) config_node_put(config, map, key->name, fallback);
}

void ls_config_read(ls_config *config, ls_node *map, const ls_key *keys, void *out) {
  if (map && map->kind != LS_NODE_MAP) {
    config_report_kind(config, map, "a map of keys");
    map = NULL;
  }
  if (!map) map = make_detached(config, NULL, NULL);
  if (!map) return;
  reject_unknown(config, map, keys);
  for (const ls_key *key = keys; key->name; key++) ls_config_read_key(config, map, key, out);
}
