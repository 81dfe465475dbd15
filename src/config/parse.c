/* YAML text to nodes, from libyaml's events, with limits on what a hostile or broken text can cost. */
#include "document.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

/* The byte order mark with which some editors begin a file; libyaml would count it as a column. */
#define UTF8_MARK "\xEF\xBB\xBF"

typedef struct anchor {
  const char *name;
  ls_node *node;
} anchor;

/* One text being parsed. */
typedef struct parse {
  ls_config *config;
  yaml_parser_t yaml;
  const char *text;
  const char *origin; /* of a text from an option; NULL: the file, or a default */
  bool is_file;       /* lines count */
  size_t depth;       /* of the next node */
  const char *key;    /* of the next node, in a map */
  size_t key_line;
  anchor *anchors;
  size_t n_anchors;
} parse;

/* ------------------------------------------------------------------ errors */

/* "file:line: path: message", or with the option in the place of file and line. `node` may be NULL. */
static ls_status fail_at(const parse *p, size_t line, const ls_node *node, const char *format, ...) {
  char *text = NULL;
  size_t length = 0;
  FILE *const out = open_memstream(&text, &length);
  if (!out) return ls_fail_memory("a message", 0);
  if (p->origin)
    fprintf(out, "%s: ", p->origin);
  else if (p->is_file && line)
    fprintf(out, "%s:%zu: ", p->config->name, line);
  else
    fprintf(out, "%s: ", p->config->name);
  if (node) config_write_path(out, node);
  if (node && node->parent) fputs(": ", out);
  va_list arguments;
  va_start(arguments, format);
  vfprintf(out, format, arguments);
  va_end(arguments);
  const ls_status status =
      fclose(out) == 0 ? ls_fail(LS_ERR_CONFIG, "%s", text) : ls_fail_memory("a message", 0);
  free(text);
  return status;
}

static size_t line_of(const yaml_event_t *event) {
  return event->start_mark.line + 1;
}

/* Is line `line` of the text indented with a tab? YAML forbids it, and says so badly. */
static bool is_tab_indented(const char *text, size_t line) {
  for (; line > 1 && text; line--) {
    text = strchr(text, '\n');
    if (text) text++;
  }
  return text && text[strspn(text, " ")] == '\t';
}

static ls_status fail_encoding(const parse *p) {
  size_t line = 1;
  for (size_t i = 0; i < p->yaml.problem_offset && p->text[i]; i++) line += p->text[i] == '\n';
  return fail_at(p, line, NULL, "not UTF-8 text: %s", p->yaml.problem);
}

/* What libyaml could not read, in its words. */
static ls_status fail_syntax(const parse *p) {
  const yaml_parser_t *const yaml = &p->yaml;
  if (yaml->error == YAML_MEMORY_ERROR) return ls_fail_memory("parsing the config", strlen(p->text));
  if (yaml->error == YAML_READER_ERROR) return fail_encoding(p);
  const size_t line = yaml->problem_mark.line + 1;
  const bool has_tab = is_tab_indented(p->text, line);
  return fail_at(p, line, NULL, "not valid YAML at column %zu: %s%s%s%s", yaml->problem_mark.column + 1,
                 yaml->problem ? yaml->problem : "syntax error", yaml->context ? " " : "",
                 yaml->context ? yaml->context : "", has_tab ? " (indent with spaces, not tabs)" : "");
}

static ls_status next_event(parse *p, yaml_event_t *event) {
  return yaml_parser_parse(&p->yaml, event) ? LS_OK : fail_syntax(p);
}

/* ------------------------------------------------------------------- nodes */

static ls_status fail_node(const parse *p, size_t line) {
  if (p->config->out_of_memory) return ls_fail_memory("the config", sizeof(ls_node));
  return fail_at(p, line, NULL, "more than %d values, which is too much for a config", CONFIG_MAX_NODES);
}

/* A node at the end of `parent` (NULL: nowhere yet), under the key that was read before it. */
static ls_status make_node(parse *p, ls_node_kind kind, size_t line, ls_node *parent, ls_node **out) {
  if (p->depth > CONFIG_MAX_DEPTH) {
    return fail_at(p, line, NULL, "nested deeper than %d levels", CONFIG_MAX_DEPTH);
  }
  ls_node *const node = config_node_make(p->config, kind);
  if (!node) return fail_node(p, line);
  node->line = p->is_file ? line : 0;
  node->origin = p->origin;
  if (p->key && p->is_file) node->line = p->key_line;
  if (parent && !config_node_append(p->config, parent, p->key, node)) return fail_node(p, line);
  p->key = NULL;
  *out = node;
  return LS_OK;
}

static ls_status copy_text(parse *p, const yaml_event_t *event, const char **out) {
  const char *const text = (const char *)event->data.scalar.value;
  const size_t length = event->data.scalar.length;
  if (memchr(text, '\0', length)) return fail_at(p, line_of(event), NULL, "a text holds a NUL character");
  *out = config_copy_text(p->config, text, length);
  return *out ? LS_OK : fail_node(p, line_of(event));
}

static ls_status add_anchor(parse *p, const yaml_event_t *event, const yaml_char_t *name, ls_node *node) {
  if (!name) return LS_OK;
  if (p->n_anchors == CONFIG_MAX_ANCHORS) {
    return fail_at(p, line_of(event), NULL, "more than %d anchors", CONFIG_MAX_ANCHORS);
  }
  if (!p->anchors) p->anchors = config_take(p->config, CONFIG_MAX_ANCHORS * sizeof(anchor));
  if (!p->anchors) return fail_node(p, line_of(event));
  const char *const copy = config_copy_text(p->config, (const char *)name, strlen((const char *)name));
  if (!copy) return fail_node(p, line_of(event));
  p->anchors[p->n_anchors++] = (anchor){.name = copy, .node = node};
  return LS_OK;
}

/* The latest anchor of that name. */
static ls_node *find_anchor(const parse *p, const char *name) {
  for (size_t i = p->n_anchors; i-- > 0;) {
    if (strcmp(p->anchors[i].name, name) == 0) return p->anchors[i].node;
  }
  return NULL;
}

/* Copies what an anchor marks. The copy's parts keep the lines where they are written. */
static ls_status copy_node(parse *p, const ls_node *source, size_t line, ls_node *parent, ls_node **out) {
  ls_node *copy = NULL;
  ls_status status = make_node(p, source->kind, line, parent, &copy);
  if (status) return status;
  copy->text = source->text;
  copy->quoted = source->quoted;
  p->depth++;
  for (size_t i = 0; i < source->count && !status; i++) {
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
    return fail_at(p, line, NULL, "the alias *%s names no anchor above it", config_excerpt(name).text);
  }
  for (const ls_node *outer = parent; outer; outer = outer->parent) {
    if (outer == source) {
      return fail_at(p, line, NULL, "the alias *%s is inside what it names", config_excerpt(name).text);
    }
  }
  return copy_node(p, source, line, parent, out);
}

static ls_status parse_scalar(parse *p, const yaml_event_t *event, ls_node *parent, ls_node **out) {
  ls_node *node = NULL;
  ls_status status = make_node(p, LS_NODE_SCALAR, line_of(event), parent, &node);
  if (status) return status;
  node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
  status = copy_text(p, event, &node->text);
  if (status) return status;
  *out = node;
  return add_anchor(p, event, event->data.scalar.anchor, node);
}

static ls_status parse_list(parse *p, const yaml_event_t *start, ls_node *parent, ls_node **out) {
  ls_node *node = NULL;
  ls_status status = make_node(p, LS_NODE_LIST, line_of(start), parent, &node);
  if (!status) status = add_anchor(p, start, start->data.sequence_start.anchor, node);
  p->depth++;
  for (bool more = true; more && !status;) {
    yaml_event_t event;
    ls_node *ignored = NULL;
    status = next_event(p, &event);
    if (status) break;
    more = event.type != YAML_SEQUENCE_END_EVENT;
    if (more) status = parse_node(p, &event, node, &ignored);
    yaml_event_delete(&event);
  }
  p->depth--;
  *out = node;
  return status;
}

/* Takes the event as the key of the next value. */
static ls_status parse_key(parse *p, const yaml_event_t *event, const ls_node *map) {
  const size_t line = line_of(event);
  if (event->type != YAML_SCALAR_EVENT) return fail_at(p, line, map, "a key must be a plain text");
  if (event->data.scalar.tag) return fail_at(p, line, map, "tags (!...) are not supported");
  if (event->data.scalar.anchor) return fail_at(p, line, map, "an anchor on a key is not supported");
  if (event->data.scalar.length == 0) return fail_at(p, line, map, "a key is empty");
  p->key_line = line;
  return copy_text(p, event, &p->key);
}

static ls_status parse_entry(parse *p, const yaml_event_t *key, ls_node *map) {
  ls_status status = parse_key(p, key, map);
  if (status) return status;
  yaml_event_t event;
  ls_node *ignored = NULL;
  status = next_event(p, &event);
  if (status) return status;
  status = parse_node(p, &event, map, &ignored);
  yaml_event_delete(&event);
  return status;
}

static int compare_keys(const void *a, const void *b) {
  const ls_node *const left = *(ls_node *const *)a;
  const ls_node *const right = *(ls_node *const *)b;
  const int order = strcmp(left->key, right->key);
  return order ? order : (left->index > right->index) - (left->index < right->index);
}

/* Sorted, so that equal keys are neighbours, and the earliest repetition is told. */
static ls_status refuse_twins(const parse *p, const ls_node *map) {
  if (map->count < 2) return LS_OK;
  const ls_node **const sorted = malloc(map->count * sizeof(ls_node *));
  if (!sorted) return ls_fail_memory("the keys of a map", map->count * sizeof(ls_node *));
  for (size_t i = 0; i < map->count; i++) sorted[i] = map->children[i];
  qsort(sorted, map->count, sizeof(ls_node *), compare_keys);
  const ls_node *twin = NULL;
  const ls_node *first = NULL;
  for (size_t i = 1; i < map->count; i++) {
    if (strcmp(sorted[i]->key, sorted[i - 1]->key) != 0) continue;
    if (twin && twin->index < sorted[i]->index) continue;
    twin = sorted[i];
    first = sorted[i - 1];
  }
  free(sorted);
  if (!twin) return LS_OK;
  if (!p->is_file) return fail_at(p, 0, twin, "given twice");
  return fail_at(p, twin->line, twin, "given twice; the first is on line %zu", first->line);
}

static ls_status parse_map(parse *p, const yaml_event_t *start, ls_node *parent, ls_node **out) {
  ls_node *node = NULL;
  ls_status status = make_node(p, LS_NODE_MAP, line_of(start), parent, &node);
  if (!status) status = add_anchor(p, start, start->data.mapping_start.anchor, node);
  p->depth++;
  for (bool more = true; more && !status;) {
    yaml_event_t event;
    status = next_event(p, &event);
    if (status) break;
    more = event.type != YAML_MAPPING_END_EVENT;
    if (more) status = parse_entry(p, &event, node);
    yaml_event_delete(&event);
  }
  p->depth--;
  *out = node;
  return status ? status : refuse_twins(p, node);
}

static const yaml_char_t *tag_of(const yaml_event_t *event) {
  if (event->type == YAML_SCALAR_EVENT) return event->data.scalar.tag;
  if (event->type == YAML_SEQUENCE_START_EVENT) return event->data.sequence_start.tag;
  if (event->type == YAML_MAPPING_START_EVENT) return event->data.mapping_start.tag;
  return NULL;
}

/* The value that begins with `event`, up to its end. */
static ls_status parse_node(parse *p, const yaml_event_t *event, ls_node *parent, ls_node **out) {
  if (tag_of(event)) return fail_at(p, line_of(event), NULL, "tags (!...) are not supported");
  if (event->type == YAML_ALIAS_EVENT) return parse_alias(p, event, parent, out);
  if (event->type == YAML_SCALAR_EVENT) return parse_scalar(p, event, parent, out);
  if (event->type == YAML_SEQUENCE_START_EVENT) return parse_list(p, event, parent, out);
  if (event->type == YAML_MAPPING_START_EVENT) return parse_map(p, event, parent, out);
  return fail_at(p, line_of(event), NULL, "a value is missing here");
}

/* --------------------------------------------------------------- documents */

static ls_status expect_event(parse *p, yaml_event_type_t wanted, const char *otherwise) {
  yaml_event_t event;
  const ls_status status = next_event(p, &event);
  if (status) return status;
  const bool found = event.type == wanted;
  const size_t line = line_of(&event);
  yaml_event_delete(&event);
  return found ? LS_OK : fail_at(p, line, NULL, "%s", otherwise);
}

static ls_status parse_first_value(parse *p, ls_node **out) {
  yaml_event_t event;
  ls_status status = next_event(p, &event);
  if (status) return status;
  status = parse_node(p, &event, NULL, out);
  yaml_event_delete(&event);
  return status;
}

/* The events of the one document; *out stays NULL where there is none. */
static ls_status parse_stream(parse *p, ls_node **out) {
  ls_status status = expect_event(p, YAML_STREAM_START_EVENT, "no YAML stream");
  if (status) return status;
  yaml_event_t event;
  status = next_event(p, &event);
  if (status) return status;
  const bool is_empty = event.type == YAML_STREAM_END_EVENT;
  yaml_event_delete(&event);
  if (is_empty) return LS_OK;
  status = parse_first_value(p, out);
  if (!status) status = expect_event(p, YAML_DOCUMENT_END_EVENT, "the document should end here");
  if (status) return status;
  return expect_event(p, YAML_STREAM_END_EVENT, "a second document begins here; write one only");
}

static ls_status parse_text(parse *p, ls_node **out) {
  if (!yaml_parser_initialize(&p->yaml)) return ls_fail_memory("the YAML parser", sizeof p->yaml);
  yaml_parser_set_encoding(&p->yaml, YAML_UTF8_ENCODING);
  if (strncmp(p->text, UTF8_MARK, strlen(UTF8_MARK)) == 0) p->text += strlen(UTF8_MARK);
  yaml_parser_set_input_string(&p->yaml, (const unsigned char *)p->text, strlen(p->text));
  const ls_status status = parse_stream(p, out);
  yaml_parser_delete(&p->yaml);
  return status;
}

ls_status config_parse_value(ls_config *config, const char *text, const char *origin, size_t depth,
                             ls_node **out) {
  parse p = {.config = config, .text = text, .origin = origin, .depth = depth};
  *out = NULL;
  ls_node *node = NULL;
  ls_status status = parse_text(&p, &node);
  if (!status && !node) status = make_node(&p, LS_NODE_SCALAR, 0, NULL, &node);
  if (!status) *out = node;
  return status;
}

static ls_status parse_root(ls_config *config, const char *text) {
  parse p = {.config = config, .text = text, .is_file = true};
  ls_node *root = NULL;
  const ls_status status = parse_text(&p, &root);
  if (status) return status;
  if (!root || config_is_null(root)) return fail_at(&p, 0, NULL, "the file is empty");
  if (root->kind != LS_NODE_MAP) {
    return fail_at(&p, root->line, NULL, "a config is a map of keys (name: value), not a %s",
                   root->kind == LS_NODE_LIST ? "list" : "text");
  }
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
  if (status) ls_config_destroy(&config);
  *out = config;
  return status;
}
