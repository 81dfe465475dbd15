/* Changes of a document: KEY=VALUE from the command line, and replaced texts. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* An assignment being applied. */
typedef struct override {
  config_reader source; /* only config and origin, "--set KEY=VALUE", are set */
  char *path;           /* segments, each ended by NUL */
  size_t n_segments;
  const char *value;
} override;

/* Splits the path at its dots. */
static ls_status split(override *o, const char *assignment) {
  const char *const equals = strchr(assignment, '=');
  if (!equals)
    return config_fail(&o->source, 0, NULL, "no value; must be KEY=VALUE, e.g. optimizer.lr=0.01");
  o->value = equals + 1;
  const size_t length = (size_t)(equals - assignment);
  o->path = calloc(1, length + 1);
  if (!o->path) return ls_fail_memory("an override", length + 1);
  memcpy(o->path, assignment, length);
  o->n_segments = 1;
  bool is_empty = length == 0 || o->path[length - 1] == '.' || o->path[0] == '.';
  for (size_t i = 0; i < length; i++) {
    if (o->path[i] != '.') continue;
    is_empty = is_empty || o->path[i + 1] == '.';
    o->path[i] = '\0';
    o->n_segments++;
  }
  if (is_empty)
    return config_fail(&o->source, 0, NULL,
                       "a part of the key is empty; must be a path such as optimizer.lr");
  if (o->n_segments > CONFIG_MAX_DEPTH)
    return config_fail(&o->source, 0, NULL, "too many parts in the key; must be at most %d parts",
                       CONFIG_MAX_DEPTH);
  return LS_OK;
}

/* Finds the item of a list by its index, from 0. */
static ls_status find_item(const override *o, const ls_node *list, const char *segment, ls_node **out) {
  uint64_t index = 0;
  if (config_parse_count(segment, &index) == CONFIG_FITS && index < list->count) {
    *out = list->children[index];
    return LS_OK;
  }
  if (list->count == 0) return config_fail(&o->source, 0, list, "empty list; has no items to set");
  return config_fail(&o->source, 0, list, "no item %s in a list of %zu; must be from 0 to %zu",
                     config_excerpt(segment).text, list->count, list->count - 1);
}

static ls_status fail_space(const override *o) {
  if (o->source.config->out_of_memory) return ls_fail_memory("an override", sizeof(ls_node));
  return config_fail(&o->source, 0, NULL, "too many values; must be at most %d", CONFIG_MAX_NODES);
}

/* Finds the child of `node` named by `segment`; *out is NULL if a map does not have it. */
static ls_status find_inside(const override *o, const ls_node *node, const char *segment, ls_node **out) {
  *out = NULL;
  if (node->kind == LS_NODE_LIST) return find_item(o, node, segment, out);
  if (node->kind == LS_NODE_MAP) {
    *out = ls_node_find(node, segment);
    return LS_OK;
  }
  return config_fail(&o->source, 0, node, "a single value, %s, which has no keys; must be a map or a list",
                     config_excerpt(node->text).text);
}

/* Sets `segment` of `node`, now `old` (may be NULL), to `child`. */
static ls_status place(const override *o, ls_node *node, const char *segment, ls_node *old,
                       ls_node *child) {
  if (old)
    config_node_replace(old, child);
  else if (!config_node_put(o->source.config, node, segment, child))
    return fail_space(o);
  return LS_OK;
}

/* Moves *node one step down the path. Creates a map if there is nothing. */
static ls_status descend(const override *o, ls_node **node, const char *segment) {
  ls_node *next = NULL;
  ls_status status = find_inside(o, *node, segment, &next);
  if (status != LS_OK) return status;
  if (!next || ls_node_is_null(next)) {
    ls_node *const map = config_node_make(o->source.config, LS_NODE_MAP);
    if (!map) return fail_space(o);
    map->origin = o->source.origin;
    status = place(o, *node, segment, next, map);
    next = map;
  }
  *node = next;
  return status;
}

static ls_status apply(const override *o) {
  ls_node *value = NULL;
  ls_node *old = NULL;
  ls_status status =
      config_parse_value(o->source.config, o->value, o->source.origin, o->n_segments, &value);
  ls_node *node = o->source.config->root;
  const char *segment = o->path;
  for (size_t i = 1; i < o->n_segments && status == LS_OK; i++) {
    status = descend(o, &node, segment);
    segment += strlen(segment) + 1;
  }
  if (status == LS_OK) status = find_inside(o, node, segment, &old);
  return status != LS_OK ? status : place(o, node, segment, old, value);
}

ls_status ls_config_override(ls_config *config, const char *assignment) {
  const config_phrase excerpt = config_excerpt(assignment);
  char origin[sizeof excerpt.text];
  snprintf(origin, sizeof origin, "--set %.200s", excerpt.text);
  override o = {.source = {.config = config, .origin = config_copy_text(config, origin, strlen(origin))}};
  if (!o.source.origin) return ls_fail_memory("an override", sizeof origin);
  ls_status status = split(&o, assignment);
  if (status == LS_OK) status = apply(&o);
  free(o.path);
  return status;
}

/* libyaml creates scalars only from valid UTF-8. */
static bool is_utf8(const char *text) {
  yaml_event_t event;
  const int created = yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text,
                                                   (int)strlen(text), 1, 1, YAML_ANY_SCALAR_STYLE);
  if (created) yaml_event_delete(&event);
  return created;
}

ls_status ls_config_replace(ls_config *config, ls_node *scalar, const char *text) {
  LS_ASSERT(scalar->kind == LS_NODE_SCALAR);
  if (strlen(text) > CONFIG_MAX_BYTES || !is_utf8(text)) {
    return ls_fail(LS_ERR_CONFIG, "%s: not UTF-8 text", config_excerpt(text).text);
  }
  const char *const copy = config_copy_text(config, text, strlen(text));
  if (!copy) return ls_fail_memory("the config", strlen(text));
  scalar->text = copy;
  scalar->quoted = scalar->quoted || config_is_null_text(copy);
  return LS_OK;
}
