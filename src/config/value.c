/* Checking a value of the document and storing it in a field. */
#include "internal.h"

#include <string.h>

/* These collect an error and return false. */

/* `type` is a noun: "an integer". */
static bool reject_type(ls_config *config, const ls_key *key, const ls_node *node, const char *type) {
  ls_config_error(config, node, "not %s; must be %s", type, config_expected(key).text);
  return false;
}

static bool reject_range(ls_config *config, const ls_key *key, const ls_node *node) {
  ls_config_error(config, node, "out of range; must be %s", config_expected(key).text);
  return false;
}

static bool reject_kind(ls_config *config, const ls_key *key, const ls_node *node) {
  config_report_kind(config, node, config_expected(key).text);
  return false;
}

/* Whether the node is a plain scalar; only plain scalars can be numbers, booleans or times. */
static bool is_plain(ls_config *config, const ls_key *key, const ls_node *node) {
  if (node->kind != LS_NODE_SCALAR) return reject_kind(config, key, node);
  if (node->quoted)
    ls_config_error(config, node, "quoted, and so a string; must be %s; remove the quotes",
                    config_expected(key).text);
  return !node->quoted;
}

static bool store_bool(ls_config *config, const ls_key *key, ls_node *node, void *field) {
  return is_plain(config, key, node) &&
         (config_parse_bool(node->text, field) || reject_type(config, key, node, "a boolean"));
}

static bool store_count(ls_config *config, const ls_key *key, ls_node *node, void *field) {
  uint64_t value = 0;
  if (key->word && node->kind == LS_NODE_SCALAR && strcmp(node->text, key->word) == 0) return true;
  if (!is_plain(config, key, node)) return false;
  const config_outcome outcome = config_parse_count(node->text, &value);
  if (outcome == CONFIG_NO_NUMBER) return reject_type(config, key, node, "an integer");
  if (outcome == CONFIG_OVERFLOW && node->text[0] != '-' && config_within(key, 0x1p64)) {
    ls_config_error(config, node, "out of range; must be %s, at most %llu", config_expected(key).text,
                    (unsigned long long)UINT64_MAX);
    return false;
  }
  if (outcome == CONFIG_OVERFLOW || !config_within(key, (double)value))
    return reject_range(config, key, node);
  *(uint64_t *)field = value;
  return true;
}

static bool store_real(ls_config *config, const ls_key *key, ls_node *node, void *field) {
  double value = 0;
  if (!is_plain(config, key, node)) return false;
  const config_outcome outcome = config_parse_real(node->text, &value);
  if (outcome == CONFIG_NO_NUMBER) return reject_type(config, key, node, "a number");
  if (outcome == CONFIG_OVERFLOW) return reject_range(config, key, node);
  if (outcome == CONFIG_UNDERFLOW) {
    ls_config_error(config, node,
                    "too small for float32; must be %s, and 0 or at least 1.2e-38 in magnitude",
                    config_expected(key).text);
    return false;
  }
  if (!config_within(key, value)) return reject_range(config, key, node);
  *(double *)field = value;
  return true;
}

static bool store_reals2(ls_config *config, const ls_key *key, ls_node *node, void *field) {
  if (node->kind != LS_NODE_LIST) return reject_kind(config, key, node);
  if (node->count != 2) {
    ls_config_error(config, node, "has %zu items; must be %s", node->count, config_expected(key).text);
    return false;
  }
  ls_key item = *key;
  item.type = LS_KEY_REAL;
  double values[2];
  const bool first = store_real(config, &item, node->children[0], &values[0]);
  const bool second = store_real(config, &item, node->children[1], &values[1]);
  if (first && second) memcpy(field, values, sizeof values);
  return first && second;
}

static bool store_time(ls_config *config, const ls_key *key, ls_node *node, void *field) {
  return is_plain(config, key, node) &&
         (config_parse_time(node->text, field) || reject_type(config, key, node, "a time"));
}

static bool store_text(ls_config *config, const ls_key *key, ls_node *node, void *field) {
  if (node->kind != LS_NODE_SCALAR) return reject_kind(config, key, node);
  if (node->text[0] == '\0') {
    ls_config_error(config, node, "empty string; set a value or remove the key");
    return false;
  }
  *(const char **)field = node->text;
  return true;
}

static bool store_choice(ls_config *config, const ls_key *key, ls_node *node, void *field) {
  const int index = ls_config_choose(config, node, key->name, key->choices);
  if (index >= 0) *(int *)field = index;
  return index >= 0;
}

static bool store_node(ls_config *config, const ls_key *key, ls_node *node, void *field) {
  (void)config;
  (void)key;
  *(ls_node **)field = node;
  return true;
}

/* For each type, the size of the field and the function that stores a value in it. */
static const struct {
  bool (*store)(ls_config *config, const ls_key *key, ls_node *node, void *field);
  size_t size;
} storages[] = {
    [LS_KEY_BOOL] = {store_bool, sizeof(bool)},         [LS_KEY_COUNT] = {store_count, sizeof(uint64_t)},
    [LS_KEY_REAL] = {store_real, sizeof(double)},       [LS_KEY_REALS2] = {store_reals2, sizeof(double[2])},
    [LS_KEY_TEXT] = {store_text, sizeof(const char *)}, [LS_KEY_CHOICE] = {store_choice, sizeof(int)},
    [LS_KEY_NODE] = {store_node, sizeof(ls_node *)},    [LS_KEY_TIME] = {store_time, sizeof(double)},
};

bool config_store_value(ls_config *config, const ls_key *key, ls_node *node, void *field) {
  memset(field, 0, storages[key->type].size);
  return node && storages[key->type].store(config, key, node, field);
}
