/* The nodes of a document and their memory. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

void *config_allocate(ls_config *config, size_t bytes) {
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
  char *const copy = config_allocate(config, length + 1);
  if (copy) memcpy(copy, text, length);
  return copy;
}

ls_node *config_node_make(ls_config *config, ls_node_kind kind) {
  if (config->n_nodes >= CONFIG_MAX_NODES) return NULL;
  ls_node *const node = config_allocate(config, sizeof *node);
  if (!node) return NULL;
  config->n_nodes++;
  node->kind = kind;
  node->text = "";
  return node;
}

void *config_grow(ls_config *config, void *items, size_t count, size_t size) {
  if ((count & (count - 1)) != 0) return items;
  void *const larger = config_allocate(config, (count ? 2 * count : 1) * size);
  if (larger && count) memcpy(larger, items, count * size);
  return larger;
}

bool config_node_append(ls_config *config, ls_node *parent, const char *key, ls_node *child) {
  ls_node **const children = config_grow(config, parent->children, parent->count, sizeof(ls_node *));
  if (!children) return false;
  parent->children = children;
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
  for (config_block *block = NULL; (block = next); free(block)) next = block->next;
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
  return node->kind == LS_NODE_SCALAR && !node->quoted && config_is_null_text(node->text);
}

bool ls_node_is_quoted(const ls_node *node) {
  return node->quoted;
}

size_t ls_node_count(const ls_node *node) {
  return node->count;
}

ls_node *ls_node_item(const ls_node *node, size_t index) {
  LS_ASSERT(index < node->count);
  return node->children[index];
}

const char *ls_node_key(const ls_node *node) {
  return node->key;
}

ls_node *ls_node_find(const ls_node *map, const char *key) {
  if (!map || map->kind != LS_NODE_MAP) return NULL;
  for (size_t i = 0; i < map->count; i++)
    if (strcmp(map->children[i]->key, key) == 0) return map->children[i];
  return NULL;
}

ls_node *config_find_present(const ls_node *map, const char *key) {
  ls_node *const node = ls_node_find(map, key);
  return node && !ls_node_is_null(node) ? node : NULL;
}

const char *config_kind_name(const ls_node *node) {
  static const char *const names[] = {
      [LS_NODE_SCALAR] = "a single value", [LS_NODE_LIST] = "a list", [LS_NODE_MAP] = "a map of keys"};
  return names[node->kind];
}

void config_write_path(FILE *out, const ls_node *node) {
  if (!node->parent) return;
  config_write_path(out, node->parent);
  if (node->parent->parent) fputc('.', out);
  if (node->key)
    fputs(config_excerpt(node->key).text, out);
  else
    fprintf(out, "%zu", node->index);
}
