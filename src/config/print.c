/* Prints a document as YAML text. A list of plain values, or a small map that is an item of a list (a
 * layer), is printed on one line; everything else in block style. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES 100 /* of a value printed on one line */

/* Emits the event if it was created. */
static bool emit(yaml_emitter_t *emitter, int created, yaml_event_t *event) {
  return created && yaml_emitter_emit(emitter, event);
}

static bool emit_text(yaml_emitter_t *emitter, const char *text, yaml_scalar_style_t style) {
  yaml_event_t event;
  const int created = yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text,
                                                   (int)strlen(text), 1, 1, style);
  return emit(emitter, created, &event);
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
static bool emit_scalar(yaml_emitter_t *emitter, const ls_node *node) {
  yaml_scalar_style_t style = YAML_PLAIN_SCALAR_STYLE;
  if (node->quoted) style = YAML_SINGLE_QUOTED_SCALAR_STYLE;
  if (has_break(node->text)) style = YAML_DOUBLE_QUOTED_SCALAR_STYLE;
  return emit_text(emitter, visible_text(node), style);
}

/* A section that the user did not write and that is empty. */
static bool is_hidden(const ls_node *node) {
  return node->implicit && node->count == 0;
}

/* Whether the node fits on one line: plain values, or lists of them in a map. *width: the bytes so far. */
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
  const bool is_item = node->parent && node->parent->kind == LS_NODE_LIST;
  return (node->kind == LS_NODE_LIST || node->count == 0 || is_item) && is_flat(node, &width);
}

static bool emit_start(yaml_emitter_t *emitter, const ls_node *node) {
  yaml_event_t event;
  const bool flow = is_on_one_line(node);
  const int created =
      node->kind == LS_NODE_LIST
          ? yaml_sequence_start_event_initialize(
                &event, NULL, NULL, 1, flow ? YAML_FLOW_SEQUENCE_STYLE : YAML_BLOCK_SEQUENCE_STYLE)
          : yaml_mapping_start_event_initialize(&event, NULL, NULL, 1,
                                                flow ? YAML_FLOW_MAPPING_STYLE : YAML_BLOCK_MAPPING_STYLE);
  return emit(emitter, created, &event);
}

static bool emit_node(yaml_emitter_t *emitter, const ls_node *node) {
  yaml_event_t end;
  if (node->kind == LS_NODE_SCALAR) return emit_scalar(emitter, node);
  if (!emit_start(emitter, node)) return false;
  for (size_t i = 0; i < node->count; i++) {
    const ls_node *const child = node->children[i];
    if (is_hidden(child)) continue;
    if (child->key && !emit_text(emitter, child->key, YAML_ANY_SCALAR_STYLE)) return false;
    if (!emit_node(emitter, child)) return false;
  }
  return emit(emitter,
              node->kind == LS_NODE_LIST ? yaml_sequence_end_event_initialize(&end)
                                         : yaml_mapping_end_event_initialize(&end),
              &end);
}

static bool emit_document(yaml_emitter_t *emitter, const ls_node *root) {
  yaml_event_t event;
  return emit(emitter, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING), &event) &&
         emit(emitter, yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1), &event) &&
         emit_node(emitter, root) && emit(emitter, yaml_document_end_event_initialize(&event, 1), &event) &&
         emit(emitter, yaml_stream_end_event_initialize(&event), &event) && yaml_emitter_flush(emitter);
}

/* Returns the problem; NULL after success. */
static const char *print_to(FILE *out, const ls_node *root) {
  yaml_emitter_t emitter;
  if (!yaml_emitter_initialize(&emitter)) return "out of memory";
  yaml_emitter_set_output_file(&emitter, out);
  yaml_emitter_set_unicode(&emitter, 1);
  yaml_emitter_set_width(&emitter, -1);
  const bool printed = emit_document(&emitter, root);
  const char *const problem = emitter.problem ? emitter.problem : "out of memory";
  yaml_emitter_delete(&emitter);
  return printed ? NULL : problem;
}

ls_status ls_config_print(const ls_config *config, char **text) {
  *text = NULL;
  size_t length = 0;
  FILE *const out = open_memstream(text, &length);
  if (!out) return ls_fail_memory("the text of the config", 0);
  const char *problem = print_to(out, config->root);
  if (fclose(out) != 0 && !problem) problem = "out of memory";
  if (!problem) return LS_OK;
  free(*text);
  *text = NULL;
  return ls_fail(LS_ERR_INTERNAL, "%s: cannot print the config: %s", config->name, problem);
}
