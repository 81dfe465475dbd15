/* The differences between two nodes. */
#include "internal.h"

#include <string.h>

/* The child of `node` with the key or index of `child`; NULL: none. */
static const ls_node *counterpart(const ls_node *node, const ls_node *child) {
  if (child->key) return ls_node_find(node, child->key);
  return child->index < node->count ? node->children[child->index] : NULL;
}

/* Whether the texts are the same, or plain numbers of the same value (0.2 and 0.20). */
static bool same_text(const ls_node *x, const ls_node *y) {
  double a = 0.0;
  double b = 0.0;
  if (strcmp(x->text, y->text) == 0) return true;
  return !x->quoted && !y->quoted && config_parse_real(x->text, &a) == CONFIG_FITS &&
         config_parse_real(y->text, &b) == CONFIG_FITS && a == b;
}

/* The differences found so far. */
typedef struct comparison {
  FILE *out;        /* NULL: only counts */
  const char *link; /* between the two values */
  size_t n, limit;
} comparison;

static void write_value(FILE *out, const ls_node *node) {
  const bool is_text = node && node->kind == LS_NODE_SCALAR;
  fputs(is_text ? config_excerpt(node->text).text : node ? config_kind_name(node) : "absent", out);
}

static void add_difference(comparison *c, const ls_node *a, const ls_node *b) {
  if (c->n++ >= c->limit || !c->out) return;
  fputs(c->n > 1 ? "; " : "", c->out);
  config_write_path(c->out, a ? a : b);
  fputs(" is ", c->out);
  write_value(c->out, a);
  fputs(c->link, c->out);
  write_value(c->out, b);
}

static void compare(comparison *c, const ls_node *a, const ls_node *b) {
  if (a && ls_node_is_null(a)) a = NULL;
  if (b && ls_node_is_null(b)) b = NULL;
  if (!a || !b || a->kind != b->kind || !same_text(a, b)) {
    if (a != b) add_difference(c, a, b);
    return;
  }
  for (size_t i = 0; i < a->count; i++) compare(c, a->children[i], counterpart(b, a->children[i]));
  for (size_t i = 0; i < b->count; i++)
    if (!counterpart(a, b->children[i])) compare(c, NULL, b->children[i]);
}

/* Returns the number of differences. */
static size_t write_differences(comparison c, const ls_node *a, const ls_node *b, char *text, size_t size) {
  text[0] = '\0';
  c.out = fmemopen(text, size, "w");
  compare(&c, a, b);
  if (c.out) fclose(c.out);
  text[size - 1] = '\0';
  return c.n;
}

void ls_node_changes(const ls_node *now, const ls_node *then, char *text, size_t size) {
  write_differences((comparison){.link = ", was ", .limit = SIZE_MAX}, now, then, text, size);
}

bool ls_node_differ(const ls_node *a, const ls_node *b, char *text, size_t size) {
  return write_differences((comparison){.link = ", not ", .limit = 1}, a, b, text, size) > 0;
}
