/* A map read by a table of keys into a room's struct. */
#include "document.h"

#include <string.h>

static void refuse_unknown(ls_config *config, const ls_node *map, const ls_key *keys) {
  for (size_t i = 0; i < map->count; i++) {
    const ls_key *key = keys;
    while (key->name && strcmp(key->name, map->children[i]->key) != 0) key++;
    if (!key->name) config_error_unknown(config, map->children[i], keys);
  }
}

/* An entry that counts: a key with nothing is as good as absent. */
static ls_node *find_present(const ls_node *map, const char *key) {
  ls_node *const node = ls_node_find(map, key);
  return node && !config_is_null(node) ? node : NULL;
}

/* An empty map in the place of what is no map, so that reading can go on. */
static ls_node *make_detached(ls_config *config, ls_node *parent, const char *key) {
  ls_node *const map = config_node_make(config, LS_NODE_MAP);
  if (!map) {
    ls_config_error(config, NULL, "more than %d values, defaults included", CONFIG_MAX_NODES);
    return NULL;
  }
  map->parent = parent;
  map->key = parent ? config_copy_text(config, key, strlen(key)) : NULL;
  map->detached = true;
  return map->key || !parent ? map : NULL;
}

static ls_node *make_section(ls_config *config, ls_node *parent, const char *section) {
  ls_node *const map = make_detached(config, parent, section);
  if (!map) return NULL;
  const ls_node *const old = ls_node_find(parent, section);
  map->detached = parent->detached;
  map->made = true;
  if (old) map->line = old->line;
  if (old) map->origin = old->origin;
  return config_node_put(config, parent, section, map) ? map : NULL;
}

ls_node *ls_config_section(ls_config *config, ls_node *parent, const char *section) {
  if (!parent) return NULL;
  ls_node *const node = find_present(parent, section);
  if (node && node->kind == LS_NODE_MAP) return node;
  if (!node && parent->kind == LS_NODE_MAP) return make_section(config, parent, section);
  const ls_node *const place = node ? node : parent;
  ls_config_error(config, place, "%s where a map of keys is expected", config_kind_name(place));
  return make_detached(config, parent, section);
}

static ls_node *make_fallback(ls_config *config, const ls_key *key) {
  ls_node *node = NULL;
  if (!key->fallback) return NULL;
  if (config_parse_value(config, key->fallback, NULL, 0, &node)) {
    ls_config_error(config, NULL, "the default of %s: %s", key->name, ls_message());
    return NULL;
  }
  return config_is_null(node) ? NULL : node;
}

/* `node`: the value given, NULL where absent. */
static void read_value(ls_config *config, ls_node *map, const ls_key *key, ls_node *node, void *field) {
  config_clear_field(key, field);
  if (node && config_take_value(config, key, node, field)) return;
  const bool missing = !node && (key->flags & LS_KEY_REQUIRED) != 0;
  if (missing && !map->detached) config_error_absent(config, map, key->name);
  ls_node *const fallback = make_fallback(config, key);
  if (!fallback) return;
  fallback->parent = map;
  fallback->key = key->name;
  config_take_value(config, key, fallback, field);
  if (!node && !missing) config_node_put(config, map, key->name, fallback);
}

void ls_config_read_key(ls_config *config, ls_node *map, const ls_key *key, void *out) {
  ls_node *const node = find_present(map, key->name);
  if (key->flags & LS_KEY_ELSEWHERE) return;
  void *const field = (char *)out + key->offset;
  if (key->type != LS_KEY_MAP) {
    read_value(config, map, key, node, field);
    return;
  }
  const bool missing = !node && (key->flags & LS_KEY_REQUIRED) != 0;
  if (missing && !map->detached) config_error_absent(config, map, key->name);
  ls_node *const nested =
      missing ? make_detached(config, map, key->name) : ls_config_section(config, map, key->name);
  ls_config_read(config, nested, key->keys, field);
}

void ls_config_read(ls_config *config, ls_node *map, const ls_key *keys, void *out) {
  if (map && map->kind != LS_NODE_MAP) {
    ls_config_error(config, map, "%s where a map of keys is expected", config_kind_name(map));
    map = NULL;
  }
  if (!map) map = make_detached(config, NULL, NULL);
  if (!map) return;
  refuse_unknown(config, map, keys);
  for (const ls_key *key = keys; key->name; key++) ls_config_read_key(config, map, key, out);
}
