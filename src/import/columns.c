/* The columns of a table: header, names, label and features. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LISTED 20 /* names in a message */

const char *import_columns_describe(const columns *cols, size_t i, char text[COLUMN_NAME_MAX]) {
  if (cols->has_header)
    snprintf(text, COLUMN_NAME_MAX, "column %zu (%.60s)", i + 1, cols->names[i]);
  else
    snprintf(text, COLUMN_NAME_MAX, "column %zu", i + 1);
  return text;
}

/* Copies the first row, which the second replaces in `c`. */
static ls_status keep_names(columns *cols, const csv *c) {
  cols->names = ls_calloc(c->n_cells, sizeof *cols->names);
  if (!cols->names) return ls_fail_memory("column names", c->n_cells * sizeof *cols->names);
  cols->n = c->n_cells;
  for (size_t i = 0; i < cols->n; i++) {
    cols->names[i] = ls_strdup(import_csv_cell(c, i));
    if (!cols->names[i]) return ls_fail_memory("a column name", strlen(import_csv_cell(c, i)) + 1);
  }
  return LS_OK;
}

static size_t count_named(const columns *cols, const char *name, size_t *index) {
  size_t count = 0;
  for (size_t i = 0; i < cols->n; i++) {
    if (strcmp(cols->names[i], name) != 0) continue;
    *index = i;
    count++;
  }
  return count;
}

static bool is_word(const char *text) {
  double value = 0;
  return import_cell_read(text, &value) == CELL_TEXT;
}

/* The first row is a header if it has only words, or a word above a number. Whole numbers beside the words
 * may be names (years, pixels), but other numbers are data: then the word is an error in the first sample.
 * A label option that names a word of the first row decides it. */
static bool first_row_is_header(const columns *cols, const csv *second, const char *label) {
  size_t index = 0;
  size_t words = 0;
  bool word_above_number = false;
  if (label && is_word(label) && count_named(cols, label, &index) > 0) return true;
  for (size_t i = 0; i < cols->n; i++) {
    double value = 0;
    const cell_kind kind = import_cell_read(cols->names[i], &value);
    if (kind == CELL_NUMBER && floor(value) != value) return false;
    if (kind != CELL_TEXT) continue;
    words++;
    if (i >= second->n_cells) continue;
    if (import_cell_read(import_csv_cell(second, i), &value) == CELL_NUMBER) word_above_number = true;
  }
  return word_above_number || words == cols->n;
}

/* Checks the names, which become an attribute. Columns without a name are named by number. */
static ls_status check_names(columns *cols, const csv *c) {
  for (size_t i = 0; i < cols->n; i++) {
    if (!import_cell_is_utf8(cols->names[i])) {
      return ls_fail(LS_ERR_DATA, "%s, line 1, column %zu: the name is not UTF-8; save the file as UTF-8",
                     c->in.path, i + 1);
    }
    if (cols->names[i][0] != '\0') continue;
    free(cols->names[i]);
    cols->names[i] = ls_format("column %zu", i + 1);
    if (!cols->names[i]) return ls_fail_memory("a column name", COLUMN_NAME_MAX);
  }
  return LS_OK;
}

/* "a, b, c and 5 more". */
static void list_names(const columns *cols, char *text, size_t size) {
  for (size_t i = 0; i < cols->n && i < LISTED; i++)
    ls_append(text, size, "%s%.60s", i ? ", " : "", cols->names[i]);
  if (cols->n > LISTED) ls_append(text, size, " and %zu more", cols->n - LISTED);
}

static ls_status fail_label(const columns *cols, const csv *c, const char *label) {
  char list[LISTED * 64 + 64] = "";
  if (!cols->has_header) {
    return ls_fail(
        LS_ERR_DATA,
        "%s: label column %s does not exist; the file has no header, so give a number from 1 to %zu",
        c->in.path, label, cols->n);
  }
  list_names(cols, list, sizeof list);
  return ls_fail(LS_ERR_DATA,
                 "%s: label column %s does not exist; must be one of: %s; or a number from 1 to %zu",
                 c->in.path, label, list, cols->n);
}

/* A name takes precedence over a number. */
static ls_status find_label(columns *cols, const csv *c, const char *label) {
  size_t index = cols->n;
  const size_t named = label && cols->has_header ? count_named(cols, label, &index) : 0;
  if (named > 1) {
    return ls_fail(LS_ERR_DATA, "%s: %zu columns have the name %s; give the number of the label column",
                   c->in.path, named, label);
  }
  if (!label)
    index = cols->n - 1;
  else if (label[0] == '\0')
    index = cols->n;
  else if (named == 0) {
    char *end = NULL;
    const unsigned long long number = strtoull(label, &end, 10);
    const bool digits = label[strspn(label, "0123456789")] == '\0' && *end == '\0';
    if (!digits || number < 1 || number > cols->n) return fail_label(cols, c, label);
    index = (size_t)number - 1;
  }
  cols->label = index;
  return LS_OK;
}

/* Finds one of the requested features. */
static ls_status find_feature(const columns *cols, const csv *c, const char *name, size_t *index) {
  char list[LISTED * 64 + 64] = "";
  const size_t named = count_named(cols, name, index);
  if (named == 1) return LS_OK;
  list_names(cols, list, sizeof list);
  return ls_fail(LS_ERR_DATA, "%s: %s column has the name %s, a feature of the model; the columns are: %s",
                 c->in.path, named ? "more than one" : "no", name, list);
}

/* The requested features, or all columns but the label. */
static ls_status find_features(columns *cols, const csv *c, const ls_import_options *options) {
  const bool chosen = options->columns && cols->has_header;
  cols->features = ls_calloc(ls_size_max(cols->n, options->n_columns), sizeof *cols->features);
  if (!cols->features) return ls_fail_memory("the list of features", cols->n * sizeof *cols->features);
  for (size_t i = 0; i < options->n_columns && chosen; i++) {
    const ls_status status =
        find_feature(cols, c, options->columns[i], &cols->features[cols->n_features++]);
    if (status != LS_OK) return status;
  }
  for (size_t i = 0; i < cols->n && !chosen; i++)
    if (i != cols->label) cols->features[cols->n_features++] = i;
  return LS_OK;
}

ls_status import_columns_find(columns *cols, csv *c, const ls_import_options *options) {
  const char *const label = options->label;
  *cols = (columns){0};
  bool got = false;
  ls_status status = import_csv_next(c, &got);
  if (status != LS_OK) return status;
  if (!got) return ls_fail(LS_ERR_DATA, "%s: no samples; the file is empty", c->in.path);
  status = keep_names(cols, c);
  if (status == LS_OK) status = import_csv_next(c, &got);
  if (status != LS_OK) return status;
  cols->has_header = first_row_is_header(cols, c, label);
  if (cols->has_header && !got)
    return ls_fail(LS_ERR_DATA, "%s: no samples; the file has only a header", c->in.path);
  if (cols->has_header) status = check_names(cols, c);
  if (status == LS_OK) status = find_label(cols, c, label);
  if (status == LS_OK) status = find_features(cols, c, options);
  if (status != LS_OK || cols->n_features > 0) return status;
  return ls_fail(LS_ERR_DATA,
                 "%s: the only column is the label, so there are no features (delimiters are comma, "
                 "semicolon, tab, bar "
                 "and blanks)",
                 c->in.path);
}

void import_columns_destroy(columns *cols) {
  for (size_t i = 0; cols->names && i < cols->n; i++) free(cols->names[i]);
  free(cols->names);
  free(cols->features);
  *cols = (columns){0};
}
