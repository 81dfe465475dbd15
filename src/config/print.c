/* Prints a document as YAML text. A list of plain values, or a small map that is an item of a list (a
 * layer), is printed on one line; everything else in block style. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES 100 /* of a value printed on one line */

typedef struct printer {
  yaml_emitter_t emitter;
  char *text;
  size_t length, capacity;
} printer;

/* The write handler of libyaml: appends to the text and its terminating NUL. */
static int append(void *data, unsigned char *buffer, size_t size) {
  printer *const p = data;
  if (p->length + size + 1 > p->capacity) {
    const size_t capacity = 2 * (p->length + size + 1);
    char *const text = realloc(p->text, capacity);
    if (!text) return 0;
    p->text = text;
    p->capacity = capacity;
  }
  memcpy(p->text + p->length, buffer, size);
  p->length += size;
  p->text[p->length] = '\0';
  return 1;
}

/* Emits the event if it was created. */
static bool emit(printer *p, int created, yaml_event_t *event) {
  return created && yaml_emitter_emit(&p->emitter, event);
}

static bool emit_text(printer *p, const char *text, yaml_scalar_style_t style) {
  yaml_event_t event;
  const int created = yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text,
                                                   (int)strlen(text), 1, 1, style);
  return emit(p, created, &event);
}

/* An empty null is printed as `null`. */
static const char *visible_text(const ls_node *node) {
  return ls_node_is_null(node) && !node->text[0] ? "null" : node->text;
}

/* Whether the text has a line break in the sense of YAML 1.1. */
static bool has_break(const char *text) {
  return strpbrk(text, "\r\n") || strstr(text, "\xC2\x85") || strstr(text, "\xE2\x80\xA8") ||
         strstr(text, "\xE2\x80\xA9");
}

/* If a text cannot be plain, libyaml uses single quotes or, if these do not suffice, double quotes. Line
 * breaks are always escaped. */
static bool emit_scalar(printer *p, const ls_node *node) {
  yaml_scalar_style_t style = YAML_PLAIN_SCALAR_STYLE;
  if (node->quoted) style = YAML_SINGLE_QUOTED_SCALAR_STYLE;
  if (has_break(node->text)) style = YAML_DOUBLE_QUOTED_SCALAR_STYLE;
  return emit_text(p, visible_text(node), style);
}

/* A section that the user did not write and that is empty. */
static bool is_hidden(const ls_node *node) {
  return node->implicit && node->count == 0;
}

/* Whether the node fits on one line: plain values, or lists of them in a map. Adds their bytes to *width.
 */
static bool is_flat(const ls_node *node, size_t *width) {
  *width += strlen(visible_text(node)) + 2 + (node->key ? strlen(node->key) + 2 : 0);
  if (*width > LINE_MAX_BYTES) return false;
  for (size_t i = 0; i < node->count; i++) {
    const ls_node *const child = node->children[i];
    if (is_hidden(child)) continue;
    if (child->kind == LS_NODE_MAP || (child->kind == LS_NODE_LIST && node->kind == LS_NODE_LIST))
      return false;
    if (!is_flat(child, width)) return false;
  }
  return true;
}

static bool is_on_one_line(const ls_node *node) {
  size_t width = 0;
  if (node->kind == LS_NODE_MAP && node->count && !(node->parent && node->parent->kind == LS_NODE_LIST)) {
    return false;
  }
  return is_flat(node, &width);
}

static bool emit_node(printer *p, const ls_node *node);

static bool emit_list(printer *p, const ls_node *node) {
  yaml_event_t event;
  const yaml_sequence_style_t style =
      is_on_one_line(node) ? YAML_FLOW_SEQUENCE_STYLE : YAML_BLOCK_SEQUENCE_STYLE;
  if (!emit(p, yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, style), &event)) return false;
  for (size_t i = 0; i < node->count; i++) {
    if (!emit_node(p, node->children[i])) return false;
  }
  return emit(p, yaml_sequence_end_event_initialize(&event), &event);
}

static bool emit_map(printer *p, const ls_node *node) {
  yaml_event_t event;
  const yaml_mapping_style_t style =
      is_on_one_line(node) ? YAML_FLOW_MAPPING_STYLE : YAML_BLOCK_MAPPING_STYLE;
  if (!emit(p, yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, style), &event)) return false;
  for (size_t i = 0; i < node->count; i++) {
    const ls_node *const child = node->children[i];
    if (is_hidden(child)) continue;
    if (!emit_text(p, child->key, YAML_ANY_SCALAR_STYLE) || !emit_node(p, child)) return false;
  }
  return emit(p, yaml_mapping_end_event_initialize(&event), &event);
}

static bool emit_node(printer *p, const ls_node *node) {
  if (node->kind == LS_NODE_LIST) return emit_list(p, node);
  if (node->kind == LS_NODE_MAP) return emit_map(p, node);
  return emit_scalar(p, node);
}

static bool emit_document(printer *p, const ls_node *root) {
  yaml_event_t event;
  return emit(p, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING), &event) &&
         emit(p, yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1), &event) &&
         emit_node(p, root) && emit(p, yaml_document_end_event_initialize(&event, 1), &event) &&
         emit(p, yaml_stream_end_event_initialize(&event), &event) && yaml_emitter_flush(&p->emitter);
}

ls_status ls_config_print(const ls_config *config, char **text) {
  printer p = {.text = NULL};
  ls_status status = LS_OK;
  *text = NULL;
  if (!yaml_emitter_initialize(&p.emitter)) return ls_fail_memory("the YAML emitter", sizeof p.emitter);
  yaml_emitter_set_output(&p.emitter, append, &p);
  yaml_emitter_set_unicode(&p.emitter, 1);
  yaml_emitter_set_width(&p.emitter, -1);
  if (emit_document(&p, config->root)) {
    *text = p.text;
    p.text = NULL;
  } else {
    const char *const problem = p.emitter.problem;
    status = ls_fail(LS_ERR_INTERNAL, "%s: cannot print the config: %s", config->name,
                     problem ? problem : "out of memory");
  }
  yaml_emitter_delete(&p.emitter);
  free(p.text);
  return status;
}
