/* From YAML text to nodes, with limits that bound the cost of a broken or hostile text. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

typedef struct anchor {
  const char *name;
  ls_node *node;
} anchor;

typedef struct parse {
  config_reader reader;
  ls_config *config;
  size_t depth;    /* of the next node */
  const char *key; /* of the next node, in a map */
  size_t key_line;
  anchor *anchors;
  size_t n_anchors;
} parse;

static size_t line_of(const yaml_event_t *event) {
  return event->start_mark.line + 1;
}

/* ------------------------------------------------------------------- nodes */

static ls_status fail_node(const parse *p, size_t line) {
  if (p->config->out_of_memory) return ls_fail_memory("the config", sizeof(ls_node));
  return config_fail(&p->reader, line, NULL, "too many values; must be at most %d", CONFIG_MAX_NODES);
}

/* Creates a node at the end of `parent` (NULL: none), with the key read before it. On failure, leaves *out
 * as it is. */
static ls_status make_node(parse *p, ls_node_kind kind, size_t line, ls_node *parent, ls_node **out) {
  if (p->depth > CONFIG_MAX_DEPTH) {
    return config_fail(&p->reader, line, NULL, "nested too deeply; must be at most %d levels",
                       CONFIG_MAX_DEPTH);
  }
  ls_node *const node = config_node_make(p->config, kind);
  if (!node) return fail_node(p, line);
  node->line = p->reader.is_file ? line : 0;
  node->origin = p->reader.origin;
  if (p->key && p->reader.is_file) node->line = p->key_line;
  if (parent && !config_node_append(p->config, parent, p->key, node)) return fail_node(p, line);
  p->key = NULL;
  *out = node;
  return LS_OK;
}

static ls_status copy_text(parse *p, const yaml_event_t *event, const char **out) {
  const char *const text = (const char *)event->data.scalar.value;
  const size_t length = event->data.scalar.length;
  if (memchr(text, '\0', length))
    return config_fail(&p->reader, line_of(event), NULL, "a string contains a NUL character");
  *out = config_copy_text(p->config, text, length);
  return *out ? LS_OK : fail_node(p, line_of(event));
}

static ls_status add_anchor(parse *p, const yaml_event_t *event, const yaml_char_t *name, ls_node *node) {
  if (!name) return LS_OK;
  if (p->n_anchors == CONFIG_MAX_ANCHORS) {
    return config_fail(&p->reader, line_of(event), NULL, "too many anchors; must be at most %d",
                       CONFIG_MAX_ANCHORS);
  }
  if (!p->anchors) p->anchors = config_allocate(p->config, CONFIG_MAX_ANCHORS * sizeof(anchor));
  if (!p->anchors) return fail_node(p, line_of(event));
  const char *const copy = config_copy_text(p->config, (const char *)name, strlen((const char *)name));
  if (!copy) return fail_node(p, line_of(event));
  p->anchors[p->n_anchors++] = (anchor){.name = copy, .node = node};
  return LS_OK;
}

/* The node of the latest anchor of that name; NULL: none. */
static ls_node *find_anchor(const parse *p, const char *name) {
  for (size_t i = p->n_anchors; i-- > 0;) {
    if (strcmp(p->anchors[i].name, name) == 0) return p->anchors[i].node;
  }
  return NULL;
}

/* Copies the node of an anchor. The descendants of the copy keep their lines. */
static ls_status copy_node(parse *p, const ls_node *source, size_t line, ls_node *parent, ls_node **out) {
  ls_node *copy = NULL;
  ls_status status = make_node(p, source->kind, line, parent, &copy);
  if (!copy) return status;
  copy->text = source->text;
  copy->quoted = source->quoted;
  p->depth++;
  for (size_t i = 0; i < source->count && status == LS_OK; i++) {
    const ls_node *const child = source->children[i];
    ls_node *ignored = NULL;
    p->key = child->key;
    p->key_line = child->line;
    status = copy_node(p, child, child->line, copy, &ignored);
  }
  p->depth--;
  *out = copy;
  return status;
}

/* ------------------------------------------------------------------ values */

static ls_status parse_node(parse *p, const yaml_event_t *event, ls_node *parent, ls_node **out);

static ls_status parse_alias(parse *p, const yaml_event_t *event, ls_node *parent, ls_node **out) {
  const char *const name = (const char *)event->data.alias.anchor;
  const size_t line = line_of(event);
  const ls_node *const source = find_anchor(p, name);
  if (!source) {
    return config_fail(&p->reader, line, NULL, "alias *%s: no such anchor before it",
                       config_excerpt(name).text);
  }
  for (const ls_node *outer = parent; outer; outer = outer->parent) {
    if (outer == source) {
      return config_fail(&p->reader, line, NULL, "alias *%s: refers to a node that contains it",
                         config_excerpt(name).text);
    }
  }
  return copy_node(p, source, line, parent, out);
}

static ls_status parse_scalar(parse *p, const yaml_event_t *event, ls_node *parent, ls_node **out) {
  ls_node *node = NULL;
  ls_status status = make_node(p, LS_NODE_SCALAR, line_of(event), parent, &node);
  if (!node) return status;
  node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
  status = copy_text(p, event, &node->text);
  if (status != LS_OK) return status;
  *out = node;
  return add_anchor(p, event, event->data.scalar.anchor, node);
}

/* Parses the next value, a child of `parent` (NULL: the root). */
static ls_status parse_next(parse *p, ls_node *parent, ls_node **out) {
  yaml_event_t event;
  ls_status status = config_reader_next(&p->reader, &event);
  if (status != LS_OK) return status;
  status = parse_node(p, &event, parent, out);
  yaml_event_delete(&event);
  return status;
}

/* Reads the key of the next value. */
static ls_status parse_key(parse *p, const yaml_event_t *event, const ls_node *map) {
  const size_t line = line_of(event);
  if (event->type != YAML_SCALAR_EVENT)
    return config_fail(&p->reader, line, map, "a key cannot be a list or a map; must be a string");
  if (event->data.scalar.tag)
    return config_fail(&p->reader, line, map, "tags (!...) are not supported; remove the tag");
  if (event->data.scalar.anchor)
    return config_fail(&p->reader, line, map, "an anchor on a key is not supported; remove the anchor");
  if (event->data.scalar.length == 0)
    return config_fail(&p->reader, line, map, "empty key; must be a string");
  p->key_line = line;
  return copy_text(p, event, &p->key);
}

static ls_status parse_entry(parse *p, const yaml_event_t *key, ls_node *map) {
  ls_node *ignored = NULL;
  const ls_status status = parse_key(p, key, map);
  return status == LS_OK ? parse_next(p, map, &ignored) : status;
}

static int compare_keys(const void *a, const void *b) {
  const ls_node *const left = *(ls_node *const *)a;
  const ls_node *const right = *(ls_node *const *)b;
  const int order = strcmp(left->key, right->key);
  return order ? order : (left->index > right->index) - (left->index < right->index);
}

/* Sorts the keys, so that equal ones are neighbours, and reports the earliest repetition. */
static ls_status reject_duplicates(const parse *p, const ls_node *map) {
  if (map->count < 2) return LS_OK;
  const ls_node **const sorted = malloc(map->count * sizeof(ls_node *));
  if (!sorted) return ls_fail_memory("the keys of a map", map->count * sizeof(ls_node *));
  for (size_t i = 0; i < map->count; i++) sorted[i] = map->children[i];
  qsort(sorted, map->count, sizeof(ls_node *), compare_keys);
  const ls_node *duplicate = NULL;
  const ls_node *first = NULL;
  for (size_t i = 1; i < map->count; i++) {
    if (strcmp(sorted[i]->key, sorted[i - 1]->key) != 0) continue;
    if (duplicate && duplicate->index < sorted[i]->index) continue;
    duplicate = sorted[i];
    first = sorted[i - 1];
  }
  free(sorted);
  if (!duplicate) return LS_OK;
  if (!p->reader.is_file)
    return config_fail(&p->reader, 0, duplicate, "duplicate key; remove one of the two");
  return config_fail(&p->reader, duplicate->line, duplicate,
                     "duplicate key; first given on line %zu; remove one of the two", first->line);
}

/* Parses the children of a list or map up to the event `end`. */
static ls_status parse_children(parse *p, ls_node *node, yaml_event_type_t end) {
  ls_status status = LS_OK;
  p->depth++;
  for (bool more = true; more && status == LS_OK;) {
    yaml_event_t event;
    ls_node *ignored = NULL;
    status = config_reader_next(&p->reader, &event);
    if (status != LS_OK) break;
    more = event.type != end;
    if (more && node->kind == LS_NODE_MAP)
      status = parse_entry(p, &event, node);
    else if (more)
      status = parse_node(p, &event, node, &ignored);
    yaml_event_delete(&event);
  }
  p->depth--;
  return status;
}

static ls_status parse_list(parse *p, const yaml_event_t *start, ls_node *parent, ls_node **out) {
  ls_status status = make_node(p, LS_NODE_LIST, line_of(start), parent, out);
  if (!*out) return status;
  status = add_anchor(p, start, start->data.sequence_start.anchor, *out);
  return status == LS_OK ? parse_children(p, *out, YAML_SEQUENCE_END_EVENT) : status;
}

static ls_status parse_map(parse *p, const yaml_event_t *start, ls_node *parent, ls_node **out) {
  ls_status status = make_node(p, LS_NODE_MAP, line_of(start), parent, out);
  if (!*out) return status;
  status = add_anchor(p, start, start->data.mapping_start.anchor, *out);
  if (status == LS_OK) status = parse_children(p, *out, YAML_MAPPING_END_EVENT);
  return status == LS_OK ? reject_duplicates(p, *out) : status;
}

static const yaml_char_t *tag_of(const yaml_event_t *event) {
  if (event->type == YAML_SCALAR_EVENT) return event->data.scalar.tag;
  if (event->type == YAML_SEQUENCE_START_EVENT) return event->data.sequence_start.tag;
  if (event->type == YAML_MAPPING_START_EVENT) return event->data.mapping_start.tag;
  return NULL;
}

/* Parses the value that begins with `event`. *out must be NULL. */
static ls_status parse_node(parse *p, const yaml_event_t *event, ls_node *parent, ls_node **out) {
  if (tag_of(event))
    return config_fail(&p->reader, line_of(event), NULL, "tags (!...) are not supported; remove the tag");
  if (event->type == YAML_ALIAS_EVENT) return parse_alias(p, event, parent, out);
  if (event->type == YAML_SCALAR_EVENT) return parse_scalar(p, event, parent, out);
  if (event->type == YAML_SEQUENCE_START_EVENT) return parse_list(p, event, parent, out);
  if (event->type == YAML_MAPPING_START_EVENT) return parse_map(p, event, parent, out);
  return config_fail(&p->reader, line_of(event), NULL, "missing value");
}

/* --------------------------------------------------------------- documents */

static ls_status expect_event(parse *p, yaml_event_type_t wanted, const char *otherwise) {
  yaml_event_t event;
  LS_TRY(config_reader_next(&p->reader, &event));
  const bool found = event.type == wanted;
  const size_t line = line_of(&event);
  yaml_event_delete(&event);
  return found ? LS_OK : config_fail(&p->reader, line, NULL, "%s", otherwise);
}

/* Parses the only document; *out stays NULL if there is none. */
static ls_status parse_stream(parse *p, ls_node **out) {
  ls_status status = expect_event(p, YAML_STREAM_START_EVENT, "no YAML stream");
  if (status != LS_OK) return status;
  yaml_event_t event;
  status = config_reader_next(&p->reader, &event);
  if (status != LS_OK) return status;
  const bool is_empty = event.type == YAML_STREAM_END_EVENT;
  yaml_event_delete(&event);
  if (is_empty) return LS_OK;
  status = parse_next(p, NULL, out);
  if (status == LS_OK)
    status = expect_event(p, YAML_DOCUMENT_END_EVENT, "text after the end of the document");
  if (status != LS_OK) return status;
  return expect_event(p, YAML_STREAM_END_EVENT, "second document; a config must be a single document");
}

static ls_status parse_text(parse *p, ls_node **out) {
  ls_status status = config_reader_open(&p->reader);
  if (status != LS_OK) return status;
  status = parse_stream(p, out);
  config_reader_close(&p->reader);
  return status;
}

ls_status config_parse_value(ls_config *config, const char *text, const char *origin, size_t depth,
                             ls_node **out) {
  parse p = {
      .reader = {.config = config, .text = text, .origin = origin}, .config = config, .depth = depth};
  *out = NULL;
  ls_node *node = NULL;
  ls_status status = parse_text(&p, &node);
  if (status == LS_OK && !node) status = make_node(&p, LS_NODE_SCALAR, 0, NULL, &node);
  if (status == LS_OK) *out = node;
  return status;
}

static ls_status parse_root(ls_config *config, const char *text) {
  parse p = {.reader = {.config = config, .text = text, .is_file = true}, .config = config};
  ls_node *root = NULL;
  LS_TRY(parse_text(&p, &root));
  if (!root || ls_node_is_null(root))
    return config_fail(&p.reader, 0, NULL, "empty file; must be a map of keys (name: value)");
  if (root->kind != LS_NODE_MAP)
    return config_fail(&p.reader, root->line, NULL,
                       "the file cannot be %s; must be a map of keys (name: value)",
                       config_kind_name(root));
  config->root = root;
  return LS_OK;
}

ls_status ls_config_create(const char *text, const char *name, ls_config **out) {
  *out = NULL;
  ls_config *config = calloc(1, sizeof *config);
  if (!config) return ls_fail_memory("the config", sizeof *config);
  config->name = config_copy_text(config, name, strlen(name));
  const ls_status status =
      config->name ? parse_root(config, text) : ls_fail_memory("the config", strlen(name));
  if (status != LS_OK) ls_config_destroy(&config);
  *out = config;
  return status;
}
