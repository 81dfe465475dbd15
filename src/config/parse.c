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
  ls_node *root;   /* NULL: none yet */
  size_t depth;    /* of the next node */
  const char *key; /* of the next node, in a map */
  size_t key_line;
  anchor *anchors; /* config_grow */
  size_t n_anchors;
} parse;

static size_t line_of(const yaml_event_t *event) {
  return event->start_mark.line + 1;
}

/* ------------------------------------------------------------------- nodes */

/* Creates a node at the end of `parent` (NULL: the root), with the key read before it. On failure *out
 * stays NULL. */
static ls_status make_node(parse *p, ls_node_kind kind, size_t line, ls_node *parent, ls_node **out) {
  if (p->depth > CONFIG_MAX_DEPTH)
    return config_fail(&p->reader, line, NULL, "nested too deeply; must be at most %d levels",
                       CONFIG_MAX_DEPTH);
  ls_node *const node = config_node_make(p->reader.config, kind);
  if (!node) return config_fail_space(&p->reader, line);
  if (p->reader.is_file) node->line = p->key ? p->key_line : line;
  node->origin = p->reader.origin;
  if (!parent)
    p->root = node;
  else if (!config_node_append(p->reader.config, parent, p->key, node))
    return config_fail_space(&p->reader, line);
  p->key = NULL;
  *out = node;
  return LS_OK;
}

static ls_status copy_text(parse *p, const yaml_event_t *event, const char **out) {
  const char *const text = (const char *)event->data.scalar.value;
  const size_t length = event->data.scalar.length;
  if (memchr(text, '\0', length))
    return config_fail(&p->reader, line_of(event), NULL, "a string contains a NUL character");
  *out = config_copy_text(p->reader.config, text, length);
  return *out ? LS_OK : config_fail_space(&p->reader, line_of(event));
}

static ls_status add_anchor(parse *p, size_t line, const yaml_char_t *name, ls_node *node) {
  if (!name) return LS_OK;
  if (p->n_anchors == CONFIG_MAX_ANCHORS)
    return config_fail(&p->reader, line, NULL, "too many anchors; must be at most %d", CONFIG_MAX_ANCHORS);
  ls_config *const config = p->reader.config;
  anchor *const anchors = config_grow(config, p->anchors, p->n_anchors, sizeof *anchors);
  const char *const copy = config_copy_text(config, (const char *)name, strlen((const char *)name));
  if (!anchors || !copy) return config_fail_space(&p->reader, line);
  anchors[p->n_anchors++] = (anchor){.name = copy, .node = node};
  p->anchors = anchors;
  return LS_OK;
}

/* The node of the latest anchor of that name; NULL: none. */
static ls_node *find_anchor(const parse *p, const char *name) {
  for (size_t i = p->n_anchors; i-- > 0;)
    if (strcmp(p->anchors[i].name, name) == 0) return p->anchors[i].node;
  return NULL;
}

/* Copies the node of an anchor. The descendants of the copy keep their lines. */
static ls_status copy_node(parse *p, const ls_node *source, size_t line, ls_node *parent) {
  ls_node *copy = NULL;
  const ls_status status = make_node(p, source->kind, line, parent, &copy);
  if (!copy) return status;
  copy->text = source->text;
  copy->quoted = source->quoted;
  p->depth++;
  for (size_t i = 0; i < source->count; i++) {
    const ls_node *const child = source->children[i];
    p->key = child->key;
    p->key_line = child->line;
    LS_TRY(copy_node(p, child, child->line, copy));
  }
  p->depth--;
  return LS_OK;
}

/* ------------------------------------------------------------------ values */

static ls_status parse_alias(parse *p, const yaml_event_t *event, ls_node *parent) {
  const char *const name = (const char *)event->data.alias.anchor;
  const size_t line = line_of(event);
  const ls_node *const source = find_anchor(p, name);
  if (!source)
    return config_fail(&p->reader, line, NULL, "alias *%s: no such anchor before it",
                       config_excerpt(name).text);
  for (const ls_node *outer = parent; outer; outer = outer->parent)
    if (outer == source)
      return config_fail(&p->reader, line, NULL, "alias *%s: refers to a node that contains it",
                         config_excerpt(name).text);
  return copy_node(p, source, line, parent);
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
  memcpy(sorted, map->children, map->count * sizeof(ls_node *));
  qsort(sorted, map->count, sizeof(ls_node *), compare_keys);
  const ls_node *first = NULL;
  const ls_node *second = NULL;
  for (size_t i = 1; i < map->count; i++) {
    if (strcmp(sorted[i]->key, sorted[i - 1]->key) != 0) continue;
    if (second && second->index < sorted[i]->index) continue;
    first = sorted[i - 1];
    second = sorted[i];
  }
  free(sorted);
  if (!second) return LS_OK;
  if (!p->reader.is_file) return config_fail(&p->reader, 0, second, "duplicate key; remove one of the two");
  return config_fail(&p->reader, second->line, second,
                     "duplicate key; first given on line %zu; remove one of the two", first->line);
}

static ls_status parse_node(parse *p, const yaml_event_t *event, ls_node *parent);

/* Parses the next value, a child of `parent` (NULL: the root). */
static ls_status parse_next(parse *p, ls_node *parent) {
  yaml_event_t event;
  LS_TRY(config_reader_next(&p->reader, &event));
  const ls_status status = parse_node(p, &event, parent);
  yaml_event_delete(&event);
  return status;
}

/* Parses an item of a list, or an entry of a map, that begins with `event`. */
static ls_status parse_child(parse *p, const yaml_event_t *event, ls_node *parent) {
  if (parent->kind == LS_NODE_LIST) return parse_node(p, event, parent);
  LS_TRY(parse_key(p, event, parent));
  return parse_next(p, parent);
}

/* Parses the children of a list or map, and the event that ends it. */
static ls_status parse_children(parse *p, ls_node *node) {
  ls_status status = LS_OK;
  p->depth++;
  for (bool more = true; more && status == LS_OK;) {
    yaml_event_t event;
    LS_TRY(config_reader_next(&p->reader, &event));
    more = event.type != YAML_SEQUENCE_END_EVENT && event.type != YAML_MAPPING_END_EVENT;
    if (more) status = parse_child(p, &event, node);
    yaml_event_delete(&event);
  }
  p->depth--;
  return status;
}

/* What the events share that begin a scalar, a list or a map. */
typedef struct start {
  ls_node_kind kind;
  const yaml_char_t *tag, *anchor;
} start;

static start start_of(const yaml_event_t *event) {
  if (event->type == YAML_SCALAR_EVENT)
    return (start){LS_NODE_SCALAR, event->data.scalar.tag, event->data.scalar.anchor};
  if (event->type == YAML_SEQUENCE_START_EVENT)
    return (start){LS_NODE_LIST, event->data.sequence_start.tag, event->data.sequence_start.anchor};
  LS_ASSERT(event->type == YAML_MAPPING_START_EVENT);
  return (start){LS_NODE_MAP, event->data.mapping_start.tag, event->data.mapping_start.anchor};
}

/* Parses the value that begins with `event`. */
static ls_status parse_node(parse *p, const yaml_event_t *event, ls_node *parent) {
  if (event->type == YAML_ALIAS_EVENT) return parse_alias(p, event, parent);
  const start s = start_of(event);
  const size_t line = line_of(event);
  ls_node *node = NULL;
  if (s.tag) return config_fail(&p->reader, line, NULL, "tags (!...) are not supported; remove the tag");
  const ls_status status = make_node(p, s.kind, line, parent, &node);
  if (!node) return status;
  LS_TRY(add_anchor(p, line, s.anchor, node));
  if (s.kind == LS_NODE_SCALAR) {
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    return copy_text(p, event, &node->text);
  }
  LS_TRY(parse_children(p, node));
  return s.kind == LS_NODE_MAP ? reject_duplicates(p, node) : LS_OK;
}

/* --------------------------------------------------------------- documents */

static ls_status skip_event(parse *p, yaml_event_type_t *type, size_t *line) {
  yaml_event_t event;
  LS_TRY(config_reader_next(&p->reader, &event));
  *type = event.type;
  *line = line_of(&event);
  yaml_event_delete(&event);
  return LS_OK;
}

/* Parses the only document. p->root stays NULL if there is none. */
static ls_status parse_stream(parse *p) {
  yaml_event_type_t type;
  size_t line;
  LS_TRY(skip_event(p, &type, &line)); /* the start of the stream */
  LS_TRY(skip_event(p, &type, &line)); /* the start of a document, or the end of the stream */
  if (type == YAML_STREAM_END_EVENT) return LS_OK;
  LS_TRY(parse_next(p, NULL));
  LS_TRY(skip_event(p, &type, &line)); /* the end of the document */
  LS_TRY(skip_event(p, &type, &line));
  if (type == YAML_STREAM_END_EVENT) return LS_OK;
  return config_fail(&p->reader, line, NULL, "second document; a config must be a single document");
}

static ls_status parse_text(parse *p) {
  LS_TRY(config_reader_open(&p->reader));
  const ls_status status = parse_stream(p);
  config_reader_close(&p->reader);
  return status;
}

ls_status config_parse_value(ls_config *config, const char *text, const char *origin, size_t depth,
                             ls_node **out) {
  parse p = {.reader = {.config = config, .text = text, .origin = origin}, .depth = depth};
  *out = NULL;
  LS_TRY(parse_text(&p));
  if (!p.root) LS_TRY(make_node(&p, LS_NODE_SCALAR, 0, NULL, &p.root));
  *out = p.root;
  return LS_OK;
}

static ls_status parse_root(ls_config *config, const char *text) {
  parse p = {.reader = {.config = config, .text = text, .is_file = true}};
  LS_TRY(parse_text(&p));
  if (!p.root || ls_node_is_null(p.root))
    return config_fail(&p.reader, 0, NULL, "empty file; must be a map of keys (name: value)");
  if (p.root->kind != LS_NODE_MAP)
    return config_fail(&p.reader, p.root->line, NULL,
                       "the file cannot be %s; must be a map of keys (name: value)",
                       config_kind_name(p.root));
  config->root = p.root;
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
