/* JSON on standard output. */
#include "internal.h"

#include <math.h>
#include <string.h>

static bool needs_comma;

/* The bytes of the UTF-8 character at the start of a text; 0 if it is not one. */
static size_t character_bytes(const char *text) {
  for (size_t n = 1; n <= 4 && text[n - 1] != '\0'; n++)
    if (ls_is_utf8(text, n)) return n;
  return 0;
}

/* Control characters are escaped; each byte that is not UTF-8 becomes U+FFFD. */
static void print_string(const char *text) {
  size_t n = 0;
  putchar('"');
  for (const char *p = text; *p; p += n ? n : 1) {
    n = character_bytes(p);
    if (n == 0)
      printf("\\ufffd");
    else if ((unsigned char)*p < 0x20 || *p == 0x7F)
      printf("\\u%04x", (unsigned)*p);
    else
      printf("%s%.*s", *p == '"' || *p == '\\' ? "\\" : "", (int)n, p);
  }
  putchar('"');
}

static void begin_member(const char *name) {
  if (needs_comma) printf(", ");
  if (name) print_string(name);
  if (name) printf(": ");
  needs_comma = true;
}

void app_json_open(const char *name, char bracket) {
  begin_member(name);
  putchar(bracket);
  needs_comma = false;
}

void app_json_close(char bracket) {
  putchar(bracket);
  needs_comma = true;
}

void app_json_print(int digits, size_t n, const app_number *numbers) {
  for (size_t i = 0; i < n; i++) {
    begin_member(numbers[i].name);
    printf(isfinite(numbers[i].value) ? "%.*g" : "null", digits, numbers[i].value);
  }
}

void app_json_text(const char *name, const char *text) {
  begin_member(name);
  if (text)
    print_string(text);
  else
    printf("null");
}

void app_json_bool(const char *name, bool value) {
  begin_member(name);
  printf(value ? "true" : "false");
}

void app_json_texts(const char *name, char *const *texts, size_t n) {
  app_json_open(name, '[');
  for (size_t i = 0; i < n; i++) app_json_text(NULL, texts[i]);
  app_json_close(']');
}

void app_json_dims(const char *name, const ls_shape *shape) {
  app_json_open(name, '[');
  for (size_t i = 0; i < shape->n_dims; i++) APP_JSON_COUNTS({NULL, (double)shape->dims[i]});
  app_json_close(']');
}

void app_json_array(const char *name, const ls_array *array) {
  app_json_open(name, '[');
  for (size_t i = 0; i < array->n_dims; i++) APP_JSON_COUNTS({NULL, (double)array->dims[i]});
  app_json_close(']');
}

/* ---------------------------------------------------------------------- configs */

static void print_scalar(const char *name, const ls_node *node) {
  const char *const text = ls_node_text(node);
  const bool is_plain = !ls_node_is_quoted(node);
  double number = 0.0;
  if (ls_node_is_null(node))
    app_json_text(name, NULL);
  else if (is_plain && (strcmp(text, "true") == 0 || strcmp(text, "false") == 0))
    app_json_bool(name, text[0] == 't');
  else if (is_plain && ls_config_parse_real(text, &number) && isfinite(number))
    app_json_print(17, 1, &(app_number){name, number});
  else
    app_json_text(name, text);
}

void app_json_node(const char *name, const ls_node *node) {
  const ls_node_kind kind = ls_node_kind_of(node);
  if (kind == LS_NODE_SCALAR) {
    print_scalar(name, node);
    return;
  }
  app_json_open(name, kind == LS_NODE_LIST ? '[' : '{');
  for (size_t i = 0; i < ls_node_count(node); i++) {
    const ls_node *const item = ls_node_item(node, i);
    app_json_node(kind == LS_NODE_LIST ? NULL : ls_node_key(item), item);
  }
  app_json_close(kind == LS_NODE_LIST ? ']' : '}');
}
