/* The columns of a table: header, names, label and features. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LISTED    20                 /* names in a message */
#define LIST_SIZE (LISTED * 64 + 64) /* bytes */

/* Copies the first row, since the second will replace it in `c`. */
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

/* The number of columns with this name, and the index of the last one. */
static size_t count_named(const columns *cols, const char *name, size_t *index) {
  size_t count = 0;
  for (size_t i = 0; i < cols->n; i++) {
    if (strcmp(cols->names[i], name) != 0) continue;
    *index = i;
    count++;
  }
  return count;
}

/* The first row is a header if it consists of words, or has a word above a number. Integers beside the
 * words may be names (years, pixels), but a number with decimals is data: then a word is an error in the
 * first sample. If the label option is a word of the first row, that row is a header. */
static bool first_row_is_header(const columns *cols, const csv *second, const char *label) {
  size_t index = 0;
  size_t words = 0;
  double value = 0;
  bool word_above_number = false;
  if (label && import_cell_read(label, &value) == CELL_TEXT && count_named(cols, label, &index) > 0)
    return true;
  for (size_t i = 0; i < cols->n; i++) {
    const cell_kind kind = import_cell_read(cols->names[i], &value);
    if (kind == CELL_NUMBER && floor(value) != value) return false;
    if (kind != CELL_TEXT) continue;
    words++;
    if (i >= second->n_cells) continue;
    if (import_cell_read(import_csv_cell(second, i), &value) == CELL_NUMBER) word_above_number = true;
  }
  return word_above_number || words == cols->n;
}

/* Checks the names, which become an attribute. A column without a name gets one, such as "column 3". */
static ls_status check_names(columns *cols, const csv *c) {
  for (size_t i = 0; i < cols->n; i++) {
    if (!ls_is_utf8(cols->names[i], strlen(cols->names[i])))
      return ls_fail(LS_ERR_DATA, "%s, header, column %zu: the name is not UTF-8; save the file as UTF-8",
                     c->in.path, i + 1);
    if (cols->names[i][0] != '\0') continue;
    free(cols->names[i]);
    cols->names[i] = ls_format("column %zu", i + 1);
    if (!cols->names[i]) return ls_fail_memory("a column name", sizeof "column" + 20);
  }
  return LS_OK;
}

/* Writes "a, b, c and 5 more" to `text` and returns it. */
static const char *list_names(const columns *cols, char text[LIST_SIZE]) {
  text[0] = '\0';
  for (size_t i = 0; i < cols->n && i < LISTED; i++)
    ls_append(text, LIST_SIZE, "%s%.60s", i ? ", " : "", cols->names[i]);
  if (cols->n > LISTED) ls_append(text, LIST_SIZE, " and %zu more", cols->n - LISTED);
  return text;
}

static ls_status fail_label(const columns *cols, const csv *c, const char *label) {
  char list[LIST_SIZE];
  if (!cols->has_header)
    return ls_fail(
        LS_ERR_DATA,
        "%s: label column %s does not exist; must be a number from 1 to %zu, because there is no header",
        c->in.path, label, cols->n);
  return ls_fail(LS_ERR_DATA,
                 "%s: label column %s does not exist; must be one of: %s; or a number from 1 to %zu",
                 c->in.path, label, list_names(cols, list), cols->n);
}

/* A name takes precedence over a number. */
static ls_status find_label(columns *cols, const csv *c, const char *label) {
  cols->label = label ? cols->n : cols->n - 1;
  if (!label || label[0] == '\0') return LS_OK;
  const size_t named = cols->has_header ? count_named(cols, label, &cols->label) : 0;
  if (named == 1) return LS_OK;
  if (named > 1)
    return ls_fail(LS_ERR_DATA, "%s: %zu columns have the name %s; give the number of the label column",
                   c->in.path, named, label);
  const unsigned long long number = strtoull(label, NULL, 10); /* ULLONG_MAX on overflow */
  const bool is_number = label[strspn(label, "0123456789")] == '\0';
  if (!is_number || number < 1 || number > cols->n) return fail_label(cols, c, label);
  cols->label = (size_t)number - 1;
  return LS_OK;
}

/* Finds one of the requested features. */
static ls_status find_feature(const columns *cols, const csv *c, const char *name, size_t *index) {
  char list[LIST_SIZE];
  const size_t named = count_named(cols, name, index);
  if (named == 1) return LS_OK;
  return ls_fail(LS_ERR_DATA, "%s: %s column has the name %s, a feature of the model; the columns are: %s",
                 c->in.path, named ? "more than one" : "no", name, list_names(cols, list));
}

/* The requested features, or all columns but the label. */
static ls_status find_features(columns *cols, const csv *c, const ls_import_options *options) {
  const bool chosen = options->columns && cols->has_header;
  cols->features = ls_calloc(ls_size_max(cols->n, options->n_columns), sizeof *cols->features);
  if (!cols->features) return ls_fail_memory("the list of features", cols->n * sizeof *cols->features);
  for (size_t i = 0; i < options->n_columns && chosen; i++)
    LS_TRY(find_feature(cols, c, options->columns[i], &cols->features[cols->n_features++]));
  for (size_t i = 0; i < cols->n && !chosen; i++)
    if (i != cols->label) cols->features[cols->n_features++] = i;
  return LS_OK;
}

ls_status import_columns_find(columns *cols, csv *c, const ls_import_options *options) {
  bool got = false;
  *cols = (columns){0};
  LS_TRY(import_csv_next(c, &got));
  if (!got) return ls_fail(LS_ERR_DATA, "%s: no samples; the file is empty", c->in.path);
  LS_TRY(keep_names(cols, c));
  LS_TRY(import_csv_next(c, &got));
  cols->has_header = first_row_is_header(cols, c, options->label);
  if (cols->has_header && !got)
    return ls_fail(LS_ERR_DATA, "%s: no samples; the file has only a header", c->in.path);
  if (cols->has_header) LS_TRY(check_names(cols, c));
  LS_TRY(find_label(cols, c, options->label));
  LS_TRY(find_features(cols, c, options));
  if (cols->n_features > 0) return LS_OK;
  return ls_fail(LS_ERR_DATA,
                 "%s: no features; the only column is the label (delimiters are comma, semicolon, tab, bar "
                 "and blanks)",
                 c->in.path);
}

void import_columns_destroy(columns *cols) {
  for (size_t i = 0; cols->names && i < cols->n; i++) free(cols->names[i]);
  free(cols->names);
  free(cols->features);
  *cols = (columns){0};
}
