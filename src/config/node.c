/* Nodes of the document and the memory they live in. */
#include "document.h"

#include <stdlib.h>
#include <string.h>

void *config_take(ls_config *config, size_t bytes) {
  size_t size;
  config_block *block = NULL;
  if (ls_size_add(bytes, sizeof *block, &size)) block = calloc(1, size);
  if (!block) {
    config->out_of_memory = true;
    return NULL;
  }
  block->next = config->blocks;
  config->blocks = block;
  return block->data;
}

const char *config_copy_text(ls_config *config, const char *text, size_t length) {
  char *const copy = config_take(config, length + 1);
  if (copy) memcpy(copy, text, length);
  return copy;
}

ls_node *config_node_make(ls_config *config, ls_node_kind kind) {
  if (config->n_nodes >= CONFIG_MAX_NODES) return NULL;
  ls_node *const node = config_take(config, sizeof *node);
  if (!node) return NULL;
  config->n_nodes++;
  node->kind = kind;
  node->text = "";
  return node;
}

/* Room for one more child. The old array stays in the blocks, which doubling keeps small. */
static bool grow(ls_config *config, ls_node *parent) {
  if (parent->count < parent->capacity) return true;
  const size_t capacity = parent->capacity ? 2 * parent->capacity : 4;
  ls_node **const children = config_take(config, capacity * sizeof(ls_node *));
  if (!children) return false;
  if (parent->count) memcpy(children, parent->children, parent->count * sizeof(ls_node *));
  parent->children = children;
  parent->capacity = capacity;
  return true;
}

bool config_node_append(ls_config *config, ls_node *parent, const char *key, ls_node *child) {
  if (!grow(config, parent)) return false;
  child->parent = parent;
  child->key = key;
  child->index = parent->count;
  parent->children[parent->count++] = child;
  return true;
}

void config_node_replace(ls_node *old, ls_node *child) {
  child->parent = old->parent;
  child->key = old->key;
  child->index = old->index;
  child->parent->children[child->index] = child;
}

bool config_node_put(ls_config *config, ls_node *map, const char *key, ls_node *child) {
  ls_node *const old = ls_node_find(map, key);
  if (old) {
    config_node_replace(old, child);
    return true;
  }
  const char *const copy = config_copy_text(config, key, strlen(key));
  return copy && config_node_append(config, map, copy, child);
}

void ls_config_destroy(ls_config **config) {
  if (!*config) return;
  config_block *next = (*config)->blocks;
  while (next) {
    config_block *const block = next;
    next = block->next;
    free(block);
  }
  free(*config);
  *config = NULL;
}

ls_node *ls_config_root(ls_config *config) {
  return config->root;
}

ls_node_kind ls_node_kind_of(const ls_node *node) {
  return node->kind;
}

const char *ls_node_text(const ls_node *node) {
  return node->text;
}

bool ls_node_is_null(const ls_node *node) {
  return config_is_null(node);
}

bool ls_node_is_quoted(const ls_node *node) {
  return node->quoted;
}

size_t ls_node_count(const ls_node *node) {
  return node->count;
}

ls_node *ls_node_item(const ls_node *list, size_t index) {
  LS_ASSERT(index < list->count);
  return list->children[index];
}

ls_node *ls_node_find(const ls_node *map, const char *key) {
  if (!map || map->kind != LS_NODE_MAP) return NULL;
  for (size_t i = 0; i < map->count; i++) {
    if (strcmp(map->children[i]->key, key) == 0) return map->children[i];
  }
  return NULL;
}

/* The part of `node` that stands where `child` does in its own parent; NULL where there is none. */
static const ls_node *counterpart(const ls_node *node, const ls_node *child) {
  if (child->key) return ls_node_find(node, child->key);
  return child->index < node->count ? node->children[child->index] : NULL;
}

/* The same text, or two plain numbers of one value: 0.2 and 0.20. */
static bool same_text(const ls_node *x, const ls_node *y) {
  double a = 0.0;
  double b = 0.0;
  if (strcmp(x->text, y->text) == 0) return true;
  return !x->quoted && !y->quoted && config_parse_real(x->text, &a) == CONFIG_FITS &&
         config_parse_real(y->text, &b) == CONFIG_FITS && a == b;
}

/* Narrows the two down to the first part in which they differ; false where they say the same. */
static bool find_difference(const ls_node **a, const ls_node **b) {
  const ls_node *const x = *a;
  const ls_node *const y = *b;
  if (!x || !y || x->kind != y->kind || !same_text(x, y)) return x != y;
  for (size_t i = 0; i < x->count; i++) {
    *a = x->children[i];
    *b = counterpart(y, *a);
    if (find_difference(a, b)) return true;
  }
  for (size_t i = 0; i < y->count; i++) {
    *b = y->children[i];
    *a = counterpart(x, *b);
    if (!*a) return true;
  }
  return false;
}

static void write_value(FILE *out, const ls_node *node) {
  const bool is_text = node && node->kind == LS_NODE_SCALAR;
  fputs(is_text ? config_excerpt(node->text).text : node ? config_kind_name(node) : "absent", out);
}

/* Every part in which the two differ; `seen`: how many there were before. */
static void write_changes(FILE *out, const ls_node *now, const ls_node *then, size_t *seen) {
  if (!now || !then || now->kind != then->kind || !same_text(now, then)) {
    fputs((*seen)++ > 0 ? "; " : "", out);
    config_write_path(out, now ? now : then);
    fputs(" is ", out);
    write_value(out, now);
    fputs(", was ", out);
    write_value(out, then);
    return;
  }
  for (size_t i = 0; i < now->count; i++)
    write_changes(out, now->children[i], counterpart(then, now->children[i]), seen);
  for (size_t i = 0; i < then->count; i++)
    if (!counterpart(now, then->children[i])) write_changes(out, NULL, then->children[i], seen);
}

void ls_node_changes(const ls_node *now, const ls_node *then, char *text, size_t size) {
  size_t seen = 0;
  text[0] = '\0';
  FILE *const out = fmemopen(text, size, "w");
  if (!out) return;
  write_changes(out, now, then, &seen);
  fclose(out);
  text[size - 1] = '\0';
}

bool ls_node_differ(const ls_node *a, const ls_node *b, char *text, size_t size) {
  text[0] = '\0';
  if (!find_difference(&a, &b)) return false;
  FILE *const out = fmemopen(text, size, "w");
  if (!out) return true;
  config_write_path(out, a ? a : b);
  fputs(" is ", out);
  write_value(out, a);
  fputs(", not ", out);
  write_value(out, b);
  fclose(out);
  text[size - 1] = '\0';
  return true;
}
