/* Choices among names, and the nearest valid name of an unknown one. */
#include "internal.h"

#include <ctype.h>
#include <string.h>

#define MAX_NAME  63 /* longer texts are not misspelt names */
#define MAX_TYPES 63 /* of a module */

/* Ignores case, and treats '-' as '_'. */
static int folded(char c) {
  return c == '-' ? '_' : tolower((unsigned char)c);
}

/* The Damerau-Levenshtein distance (optimal string alignment): insertions, deletions, substitutions and
 * swaps of neighbours, each 1. `rows` are the last three rows of the table. */
static size_t distance(const char *a, size_t n_a, const char *b, size_t n_b) {
  size_t rows[3][MAX_NAME + 1];
  for (size_t j = 0; j <= n_b; j++) rows[0][j] = j;
  for (size_t i = 1; i <= n_a; i++) {
    size_t *const row = rows[i % 3];
    const size_t *const above = rows[(i + 2) % 3];
    row[0] = i;
    for (size_t j = 1; j <= n_b; j++) {
      const bool differ = folded(a[i - 1]) != folded(b[j - 1]);
      row[j] = ls_size_min(ls_size_min(above[j], row[j - 1]) + 1, above[j - 1] + differ);
      const bool swapped =
          i > 1 && j > 1 && folded(a[i - 1]) == folded(b[j - 2]) && folded(a[i - 2]) == folded(b[j - 1]);
      if (swapped) row[j] = ls_size_min(row[j], rows[(i + 1) % 3][j - 2] + 1);
    }
  }
  return rows[n_a % 3][n_b];
}

/* The nearest to `text` of the names offered so far; NULL: none is near enough. */
typedef struct closest {
  const char *text;
  const char *name;
  size_t distance;
} closest;

static void offer(closest *nearest, const char *name) {
  const size_t n_text = strlen(nearest->text);
  const size_t n_name = strlen(name);
  if (n_text > MAX_NAME || n_name > MAX_NAME) return;
  const size_t limit = (ls_size_max(n_text, n_name) + 2) / 3;
  const size_t found = distance(nearest->text, n_text, name, n_name);
  if (found > limit || (nearest->name && found >= nearest->distance)) return;
  nearest->name = name;
  nearest->distance = found;
}

const char *ls_config_nearest(const char *text, const char *const *names, size_t n) {
  closest nearest = {.text = text};
  for (size_t i = 0; i < n; i++) offer(&nearest, names[i]);
  return nearest.name;
}

static void add_nearest(config_phrase *phrase, const closest *nearest) {
  if (nearest->name) config_phrase_add(phrase, "; did you mean %s?", nearest->name);
}

void config_report_unknown(ls_config *config, const ls_node *node, const ls_key *keys) {
  closest nearest = {.text = node->key};
  config_phrase phrase = {""};
  for (const ls_key *key = keys; key->name; key++) {
    offer(&nearest, key->name);
    config_phrase_add(&phrase, "%s %s", key == keys ? "" : ",", key->name);
  }
  add_nearest(&phrase, &nearest);
  config_report(config, node, NULL, "unknown key; must be one of%s", phrase.text);
}

int ls_config_choose(ls_config *config, const ls_node *node, const char *key, const char *const *names) {
  const ls_key choice = {.name = key, .type = LS_KEY_CHOICE, .choices = names};
  config_phrase phrase = config_expected(&choice);
  if (node->kind != LS_NODE_SCALAR) {
    config_report_kind(config, node, phrase.text);
    return -1;
  }
  closest nearest = {.text = node->text};
  for (int i = 0; names[i]; i++) {
    if (strcmp(names[i], node->text) == 0) return i;
    offer(&nearest, names[i]);
  }
  add_nearest(&phrase, &nearest);
  ls_config_error(config, node, "unknown %s; must be %s", key, phrase.text);
  return -1;
}

int ls_config_choose_type(ls_config *config, const ls_node *map, const char *key,
                          const char *(*name_of)(size_t index)) {
  const char *names[MAX_TYPES + 1] = {NULL};
  for (size_t n = 0; (names[n] = name_of(n)); n++) LS_ASSERT(n < MAX_TYPES);
  const ls_node *const node = config_find_present(map, key);
  if (node) return ls_config_choose(config, node, key, names);
  const ls_key choice = {.name = key, .type = LS_KEY_CHOICE, .choices = names};
  config_report_absent(config, map, &choice);
  return -1;
}
