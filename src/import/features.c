/* The features of x: their names, and the columns of a table that a model names. */
#include "table.h"

#include <stdlib.h>
#include <string.h>

#define SHOWN 60 /* bytes of a name in a message */

/* Finds the column, and perhaps the word, of a feature that the model names. */
static ls_status find_feature(const columns *cols, const csv *c, const char *name, size_t *index,
                              const char **word) {
  char list[IMPORT_LIST_SIZE];
  const size_t found = import_names_find_feature(cols, name, index, word);
  const char *const sign = strchr(name, '=');
  if (found == 1) return LS_OK;
  import_names_list(cols, NULL, cols->n, list, sizeof list);
  if (!found && sign)
    return ls_fail(
        LS_ERR_DATA,
        "%s: no column has the name %.*s, a feature of the model, nor %.*s, of which it may be a "
        "word; the columns are: %s; add or rename the column",
        c->in.path, ls_clip(name, SHOWN), name, (int)ls_size_min((size_t)(sign - name), SHOWN), name, list);
  return ls_fail(LS_ERR_DATA,
                 "%s: %s column has the name %.*s, a feature of the model; the columns are: %s; choose the "
                 "features, in the model's order, with --columns%s",
                 c->in.path, found ? "more than one" : "no", ls_clip(name, SHOWN), name, list,
                 found ? ", by number" : "");
}

/* Rejects an option that gives the column of a feature another role. */
static ls_status check_role(const columns *cols, const csv *c, const char *name, size_t i) {
  static const char *const options[] = {
      [ROLE_LABEL] = "--label", [ROLE_WEIGHT] = "--weight", [ROLE_DROP] = "--drop"};
  char column[IMPORT_LIST_SIZE];
  if (cols->roles[i] == ROLE_NONE || cols->roles[i] == ROLE_FEATURE) return LS_OK;
  return ls_fail(LS_ERR_CONFIG,
                 "%s: %s %s: the model needs this column for its feature %.*s; name another column",
                 c->in.path, options[cols->roles[i]], import_names_list(cols, &i, 1, column, sizeof column),
                 ls_clip(name, SHOWN), name);
}

/* Adds feature i of the model. places: (cols->n), 1 + the encoding of a column with words, or 0 */
static ls_status add_feature(columns *cols, const csv *c, const char *name, size_t i, size_t *places) {
  size_t index = 0;
  const char *word = NULL;
  LS_TRY(find_feature(cols, c, name, &index, &word));
  LS_TRY(check_role(cols, c, name, index));
  cols->roles[index] = ROLE_FEATURE;
  if (!word || places[index] == 0) cols->features[cols->n_features++] = index;
  if (!word) cols->encodings[cols->n_features - 1].feature = i;
  if (!word) return LS_OK;
  if (places[index] == 0) places[index] = cols->n_features;
  encoding *const e = &cols->encodings[places[index] - 1];
  if (import_category_find(e, word))
    return ls_fail(LS_ERR_DATA, "%s: the model names the feature %.*s twice; its names must be unique",
                   c->in.path, ls_clip(name, SHOWN), name);
  return import_category_add(e, word, i);
}

static bool has_all(const columns *cols, const ls_table_options *o) {
  size_t index = 0;
  const char *word = NULL;
  for (size_t i = 0; i < o->n_names; i++)
    if (import_names_find_feature(cols, o->names[i], &index, &word) != 1) return false;
  return true;
}

ls_status import_features_find(columns *cols, const csv *c, const ls_table_options *o, bool only_if_all) {
  if (only_if_all && !has_all(cols, o)) return LS_OK;
  size_t *const places = ls_calloc(cols->n, sizeof *places);
  ls_status status = LS_OK;
  if (!places) return ls_fail_memory("the features", cols->n * sizeof *places);
  for (size_t i = 0; status == LS_OK && i < o->n_names; i++)
    status = add_feature(cols, c, o->names[i], i, places);
  cols->n_x = o->n_names;
  free(places);
  return status;
}

/* Adds the empty word where cells are missing, and numbers the features. */
static ls_status number_features(columns *cols) {
  for (size_t k = 0; k < cols->n_features; k++) {
    encoding *const e = &cols->encodings[k];
    if (e->n_words > 0 && e->has_missing) LS_TRY(import_category_add(e, "", 0));
    e->feature = cols->n_x;
    for (size_t i = 0; i < e->n_words; i++) e->words[i].feature = cols->n_x + i;
    cols->n_x += e->n_words > 0 ? e->n_words : 1;
  }
  return LS_OK;
}

/* The name of a word's feature must lead back to its column. */
static ls_status check_name(const columns *cols, const csv *c, const char *name) {
  size_t index = 0;
  const char *word = NULL;
  if (import_names_find_feature(cols, name, &index, &word) == 1 && word) return LS_OK;
  return ls_fail(
      LS_ERR_DATA,
      "%s: %.*s: the name of this feature, COLUMN=WORD, is ambiguous among the columns; rename the "
      "column",
      c->in.path, ls_clip(name, SHOWN), name);
}

static ls_status name_features(columns *cols, const csv *c, size_t k) {
  const encoding *const e = &cols->encodings[k];
  const char *const column = cols->names[cols->features[k]];
  if (e->n_words == 0) cols->x_names[e->feature] = ls_strdup(column);
  if (e->n_words == 0 && !cols->x_names[e->feature]) return ls_fail_memory("a name", strlen(column) + 1);
  for (size_t i = 0; i < e->n_words; i++) {
    char *const name = ls_format("%s=%s", column, e->words[i].word);
    if (!name) return ls_fail_memory("a name", strlen(column) + 1);
    cols->x_names[e->words[i].feature] = name;
    LS_TRY(check_name(cols, c, name));
  }
  return LS_OK;
}

ls_status import_columns_number(columns *cols, const csv *c) {
  bool has_words = false;
  if (cols->n_x == 0) LS_TRY(number_features(cols));
  for (size_t k = 0; k < cols->n_features; k++) has_words |= cols->encodings[k].n_words > 0;
  if (!has_words && !cols->has_header) return LS_OK;
  cols->x_names = ls_calloc(cols->n_x, sizeof *cols->x_names);
  if (!cols->x_names) return ls_fail_memory("the names of features", cols->n_x * sizeof *cols->x_names);
  for (size_t k = 0; k < cols->n_features; k++) LS_TRY(name_features(cols, c, k));
  return LS_OK;
}
