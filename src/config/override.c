/* Changes of a document: KEY=VALUE from the command line, and replaced texts.
 *
 * `source` names the place of messages, "--set KEY=VALUE"; only its config and origin are set. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* Counts the parts of a dotted path. */
static ls_status count_parts(const config_reader *source, const char *path, size_t *n) {
  *n = 0;
  for (const char *part = path; part; ++*n) {
    const size_t length = strcspn(part, ".");
    if (length == 0)
      return config_fail(source, 0, NULL,
                         "a part of the key is empty; must be a path such as optimizer.lr");
    part = part[length] ? part + length + 1 : NULL;
  }
  if (*n <= CONFIG_MAX_DEPTH) return LS_OK;
  return config_fail(source, 0, NULL, "too many parts in the key; must be at most %d parts",
                     CONFIG_MAX_DEPTH);
}

/* Finds the item of a list by its index, from 0. */
static ls_status find_item(const config_reader *source, const ls_node *list, const char *part,
                           ls_node **out) {
  uint64_t index = 0;
  if (list->count == 0) return config_fail(source, 0, list, "empty list; has no items to set");
  if (config_parse_count(part, &index) != CONFIG_FITS || index >= list->count)
    return config_fail(source, 0, list, "no item %s in a list of %zu; must be from 0 to %zu",
                       config_excerpt(part).text, list->count, list->count - 1);
  *out = list->children[index];
  return LS_OK;
}

/* Finds the child `part` of `node`; *out is NULL if a map does not have it. */
static ls_status find_child(const config_reader *source, const ls_node *node, const char *part,
                            ls_node **out) {
  if (node->kind == LS_NODE_LIST) return find_item(source, node, part, out);
  *out = ls_node_find(node, part);
  if (node->kind == LS_NODE_MAP) return LS_OK;
  return config_fail(source, 0, node, "%s: a single value has no keys; must be a map or a list",
                     config_excerpt(node->text).text);
}

static ls_status set_child(const config_reader *source, ls_node *node, const char *part, ls_node *child) {
  ls_node *old = NULL;
  LS_TRY(find_child(source, node, part, &old));
  if (old) {
    config_node_replace(old, child);
    return LS_OK;
  }
  return config_node_put(source->config, node, part, child) ? LS_OK : config_fail_space(source, 0);
}

/* Moves *node to its child `part`, a new map if there is nothing. */
static ls_status descend(const config_reader *source, ls_node **node, const char *part) {
  ls_node *child = NULL;
  LS_TRY(find_child(source, *node, part, &child));
  if (!child || ls_node_is_null(child)) {
    child = config_node_make(source->config, LS_NODE_MAP);
    if (!child) return config_fail_space(source, 0);
    child->origin = source->origin;
    LS_TRY(set_child(source, *node, part, child));
  }
  *node = child;
  return LS_OK;
}

/* Overwrites `path`. */
static ls_status apply(const config_reader *source, char *path, const char *value) {
  ls_node *node = source->config->root;
  ls_node *child = NULL;
  size_t depth;
  LS_TRY(count_parts(source, path, &depth));
  LS_TRY(config_parse_value(source->config, value, source->origin, depth, &child));
  const char *part = strsep(&path, ".");
  while (path) {
    LS_TRY(descend(source, &node, part));
    part = strsep(&path, ".");
  }
  return set_child(source, node, part, child);
}

ls_status ls_config_override(ls_config *config, const char *assignment) {
  config_phrase origin = {"--set "};
  config_phrase_add(&origin, "%s", config_excerpt(assignment).text);
  const config_reader source = {.config = config,
                                .origin = config_copy_text(config, origin.text, strlen(origin.text))};
  const size_t length = strcspn(assignment, "=");
  if (source.origin && assignment[length] == '\0')
    return config_fail(&source, 0, NULL, "no value; must be KEY=VALUE, e.g. optimizer.lr=0.01");
  char *const path = source.origin ? ls_strdup(assignment) : NULL;
  if (path) path[length] = '\0';
  const ls_status status =
      path ? apply(&source, path, assignment + length + 1) : ls_fail_memory("an override", length + 1);
  free(path);
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
