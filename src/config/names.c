/* Choices among names, and the nearest valid name of an unknown one. */
#include "internal.h"

#include <ctype.h>
#include <string.h>

#define MAX_NAME  63 /* bytes; longer texts are not misspelt names */
#define MAX_NAMES 63 /* of types, or of keys of a table */

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

const char *ls_config_nearest(const char *text, const char *const *names, size_t n) {
  const size_t n_text = strlen(text);
  const char *nearest = NULL;
  size_t smallest = SIZE_MAX;
  for (size_t i = 0; i < n && n_text <= MAX_NAME; i++) {
    const size_t n_name = strlen(names[i]);
    if (n_name > MAX_NAME) continue;
    const size_t found = distance(text, n_text, names[i], n_name);
    if (found > (ls_size_max(n_text, n_name) + 2) / 3 || found >= smallest) continue;
    nearest = names[i];
    smallest = found;
  }
  return nearest;
}

static config_phrase one_of(const char *const *names) {
  return config_expected(&(ls_key){.type = LS_KEY_CHOICE, .choices = names});
}

/* "one of a, b; did you mean b?" */
static config_phrase suggest(const char *text, const char *const *names) {
  config_phrase phrase = one_of(names);
  size_t n = 0;
  while (names[n]) n++;
  const char *const nearest = ls_config_nearest(text, names, n);
  if (nearest) config_phrase_add(&phrase, "; did you mean %s?", nearest);
  return phrase;
}

void config_report_unknown(ls_config *config, const ls_node *node, const ls_key *keys) {
  const char *names[MAX_NAMES + 1];
  for (size_t n = 0; (names[n] = keys[n].name); n++) LS_ASSERT(n < MAX_NAMES);
  config_report(config, node, NULL, "unknown key; must be %s", suggest(node->key, names).text);
}

int ls_config_choose(ls_config *config, const ls_node *node, const char *key, const char *const *names) {
  if (node->kind != LS_NODE_SCALAR) {
    config_report_kind(config, node, one_of(names).text);
    return -1;
  }
  for (int i = 0; names[i]; i++)
    if (strcmp(names[i], node->text) == 0) return i;
  ls_config_error(config, node, "unknown %s; must be %s", key, suggest(node->text, names).text);
  return -1;
}

int ls_config_choose_type(ls_config *config, const ls_node *map, const char *key,
                          const char *(*name_of)(size_t index)) {
  const char *names[MAX_NAMES + 1];
  for (size_t n = 0; (names[n] = name_of(n)); n++) LS_ASSERT(n < MAX_NAMES);
  const ls_node *const node = config_find_present(map, key);
  if (node) return ls_config_choose(config, node, key, names);
  config_report(config, map, key, "required key is missing; must be %s", one_of(names).text);
  return -1;
}
