/* The first pass over a table: checks cells; collects ranges, words and labels; chooses types. */
#include "table.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SHOWN     60   /* bytes of a name in a message */
#define LISTED    20   /* columns or classes in a message */
#define WORD_MOST 1000 /* bytes */

/* Whether a model names the words of the columns. */
static bool has_model(const table *t) {
  return t->options->n_required > 0 || t->options->n_names > 0;
}

/* --------------------------------------------------------------------- the words */

static ls_status check_word(const table *t, size_t i, const char *word) {
  if (strlen(word) > WORD_MOST)
    return import_table_fail_cell(t, i,
                                  "too long for a category; must have at most 1000 bytes; leave the "
                                  "column out with --drop");
  if (!ls_is_utf8(word, strlen(word)))
    return import_table_fail_cell(t, i, "the word is not UTF-8; save the file as UTF-8");
  return LS_OK;
}

/* Rejects a column with too many words. */
static ls_status check_count(const table *t, size_t k) {
  const size_t i = t->cols.features[k];
  const size_t n = t->cols.encodings[k].n_words;
  char name[IMPORT_LIST_SIZE];
  import_names_list(&t->cols, &i, 1, name, sizeof name);
  if (n > LS_WORDS_MOST)
    return ls_fail(
        LS_ERR_DATA,
        "%s: column %zu, %s: %zu different words in the first %" PRIu64
        " rows with one; must be at most %d; leave an identifier or free text out with --drop %zu",
        t->file.in.path, i + 1, name, n, t->cols.encodings[k].n_cells, LS_WORDS_MOST, i + 1);
  if (t->n_word_features <= LS_WORD_FEATURES_MOST) return LS_OK;
  return ls_fail(
      LS_ERR_DATA,
      "%s: more than %d different words in all columns; the last one, in column %zu, %s, has %zu; "
      "leave out columns with --drop",
      t->file.in.path, LS_WORD_FEATURES_MOST, i + 1, name, n);
}

/* A number with a decimal comma is not a word. */
static bool is_comma_number(const char *word) {
  return strchr(word, ',') && word[strspn(word, "0123456789,.+-")] == '\0' && strpbrk(word, "0123456789");
}

/* Remembers the place of the first number or word. */
static void note_first(const table *t, encoding *e) {
  if (e->line > 0) return;
  e->line = t->file.row_line;
  e->path = t->file.in.path;
}

/* Whether all words are forms of `inf`, which is a word only among others. */
static bool has_only_infinite(const encoding *e) {
  double value = 0;
  bool only = e->n_words > 0;
  for (size_t i = 0; i < e->n_words && only; i++)
    only = import_cell_read(e->words[i].word, &value) == CELL_INFINITE;
  return only;
}

/* Rejects the cell, of another kind than the first one of its column. */
static ls_status fail_mixed(const table *t, size_t k, const char *kind, const char *other) {
  const encoding *const e = &t->cols.encodings[k];
  const bool is_same_file = strcmp(e->path, t->file.in.path) == 0;
  char place[IMPORT_PLACE_SIZE];
  return ls_fail(LS_ERR_DATA,
                 "%s: a %s, but line %" PRIu64
                 "%s%s has a %s in this column; write decimals with a point, list the "
                 "column in --categories if its numbers are codes, or leave it out with --drop",
                 import_table_place(t, t->cols.features[k], place), kind, e->line,
                 is_same_file ? "" : " of ", is_same_file ? "" : e->path, other);
}

/* Rejects the first cell of a column of numbers. */
static ls_status fail_infinite(const table *t, size_t k) {
  const encoding *const e = &t->cols.encodings[k];
  const size_t i = t->cols.features[k];
  char name[IMPORT_LIST_SIZE];
  return ls_fail(LS_ERR_DATA,
                 "%s, line %" PRIu64 ", column %zu (%s): %s: not finite; replace it by a number", e->path,
                 e->line, i + 1, import_names_list(&t->cols, &i, 1, name, sizeof name), e->words[0].word);
}

static ls_status collect_word(table *t, size_t k) {
  encoding *const e = &t->cols.encodings[k];
  const size_t i = t->cols.features[k];
  char text[CATEGORY_TEXT_SIZE];
  const char *const word = import_category_word(import_csv_cell(&t->file, i), text);
  const size_t before = e->n_words;
  if (e->n_words == 0 && e->line > 0) return fail_mixed(t, k, "word", "number");
  if (is_comma_number(word) && !e->is_listed)
    return import_table_fail_cell(t, i,
                                  "not a number, but similar; write decimals with a point, or list the "
                                  "column in --categories");
  note_first(t, e);
  e->n_cells++;
  if (import_category_find(e, word)) return LS_OK;
  LS_TRY(check_word(t, i, word));
  LS_TRY(import_category_add(e, word, 0));
  t->n_word_features += e->n_words - before;
  return check_count(t, k);
}

/* ------------------------------------------------------------------- the features */

/* Notes a missing cell. The first one is described if missing cells are an error, which is reported after
 * they have been counted. */
static ls_status collect_missing(table *t, size_t k) {
  char place[IMPORT_PLACE_SIZE];
  t->cols.encodings[k].has_missing = true;
  t->missing.n++;
  if (t->options->missing != LS_MISSING_REJECT || t->missing.first) return LS_OK;
  const size_t i = t->cols.features[k];
  t->missing.first = ls_format("%s: %s", import_table_place(t, i, place),
                               import_csv_cell(&t->file, i)[0] ? "a missing value" : "the cell is empty");
  return t->missing.first ? LS_OK : ls_fail_memory("a message", strlen(place) + 1);
}

static ls_status collect_number(table *t, size_t k) {
  encoding *const e = &t->cols.encodings[k];
  double value = 0;
  LS_TRY(import_table_read_number(t, t->cols.features[k], &value));
  if (has_only_infinite(e)) return fail_infinite(t, k);
  if (e->n_words > 0) return fail_mixed(t, k, "number", "word");
  note_first(t, e);
  if (import_table_split(t) == SPLIT_TRAIN) import_range_add(&e->range, value);
  return LS_OK;
}

static ls_status collect_feature(table *t, size_t k) {
  const encoding *const e = &t->cols.encodings[k];
  const category *found = NULL;
  double value = 0;
  const cell_kind kind = import_cell_read(import_csv_cell(&t->file, t->cols.features[k]), &value);
  if (has_model(t) && e->n_words > 0) {
    LS_TRY(import_table_find_word(t, k, &found));
    t->n_unknown += !found;
    return LS_OK;
  }
  if (kind == CELL_EMPTY || kind == CELL_MISSING) return collect_missing(t, k);
  const bool is_word = kind == CELL_TEXT || (kind == CELL_INFINITE && (e->n_words > 0 || e->line == 0));
  if (!has_model(t) && (is_word || e->is_listed)) return collect_word(t, k);
  return collect_number(t, k);
}

static ls_status collect_label(table *t, size_t k) {
  const size_t i = t->cols.labels[k];
  const char *const text = import_csv_cell(&t->file, i);
  double value = 0;
  if (import_table_may_have_classes(t)) {
    LS_TRY(import_labels_add(&t->set, text, t->file.row_line));
    if (import_cell_read(text, &value) != CELL_NUMBER) return LS_OK;
  } else {
    LS_TRY(import_table_read_number(t, i, &value));
  }
  import_range_add(&t->ranges[k], value);
  return LS_OK;
}

ls_status import_table_collect(table *t) {
  double weight = 0;
  const uint64_t before = t->missing.n;
  for (size_t k = 0; k < t->cols.n_features; k++) LS_TRY(collect_feature(t, k));
  t->missing.n_rows += t->missing.n > before;
  for (size_t k = 0; k < t->cols.n_labels; k++) LS_TRY(collect_label(t, k));
  return t->cols.weight < t->cols.n ? import_table_read_weight(t, &weight) : LS_OK;
}

/* ------------------------------------------------------------------ the conclusion */

static ls_status fail_missing(const table *t) {
  return ls_fail(LS_ERR_DATA,
                 "%s; missing cells of features: %" PRIu64 ", in %" PRIu64 " of %" PRIu64
                 " rows; choose --missing mean (%s)%s NUMBER%s",
                 t->missing.first, t->missing.n, t->missing.n_rows, t->n_rows,
                 has_model(t) ? "of the training data" : "of the column", has_model(t) ? " or" : ",",
                 has_model(t) ? "" : " or drop (leaves out these rows)");
}

static ls_status check_rows(const table *t) {
  if (t->missing.first) return fail_missing(t);
  if (t->n_split[SPLIT_TRAIN] > 0) return LS_OK;
  if (t->n_left_out == 0)
    return ls_fail(LS_ERR_DATA, "%s: no samples; the file has no rows", t->sources[0]);
  return ls_fail(LS_ERR_DATA,
                 "%s: no samples for training; --missing drop leaves out all of its rows, and %" PRIu64
                 " rows of all files; choose --missing mean or a number",
                 t->sources[0], t->n_left_out);
}

/* Checks a column after all of its cells. */
static ls_status check_column(const table *t, size_t k) {
  const encoding *const e = &t->cols.encodings[k];
  const size_t i = t->cols.features[k];
  char name[IMPORT_LIST_SIZE];
  import_names_list(&t->cols, &i, 1, name, sizeof name);
  const bool is_id = !has_model(t) && !e->is_listed && e->n_words > 1 && e->n_words == e->n_cells;
  if (has_only_infinite(e) && !e->is_listed) return fail_infinite(t, k);
  if (is_id)
    return ls_fail(LS_ERR_DATA,
                   "%s: column %zu, %s: %zu rows with %zu different words, as in an identifier; leave the "
                   "column out with --drop %zu, or list it in --categories",
                   t->file.in.path, i + 1, name, e->n_words, e->n_words, i + 1);
  return LS_OK;
}

/* float32 if it represents all columns well enough. */
static ls_dtype type_of_features(const table *t) {
  if (t->options->is_wide) return LS_F64;
  for (size_t k = 0; k < t->cols.n_features; k++)
    if (import_range_needs_double(&t->cols.encodings[k].range)) return LS_F64;
  return LS_F32;
}

static ls_dtype type_of_labels(const table *t) {
  if (t->set.kind == LABEL_CLASS || t->set.kind == LABEL_WHOLE) return LS_I64;
  for (size_t k = 0; k < t->cols.n_labels; k++)
    if (import_range_needs_double(&t->ranges[k])) return LS_F64;
  return LS_F32;
}

ls_status import_table_finish(table *t) {
  LS_TRY(check_rows(t));
  for (size_t k = 0; k < t->cols.n_features; k++) {
    encoding *const e = &t->cols.encodings[k];
    LS_TRY(check_column(t, k));
    e->mean = e->range.mean;
    e->n_mean = e->range.n;
  }
  LS_TRY(import_table_check_means(t));
  LS_TRY(import_labels_finish(&t->set));
  LS_TRY(import_labels_check(&t->set, t->options->classes, t->options->n_classes));
  LS_TRY(import_columns_number(&t->cols, &t->file));
  t->x_dtype = type_of_features(t);
  t->y_dtype = type_of_labels(t);
  return LS_OK;
}

/* --------------------------------------------------------------------- the report */

static void warn_row_numbers(const table *t) {
  char name[IMPORT_LIST_SIZE];
  for (size_t k = 0; k < t->cols.n_features; k++) {
    const size_t i = t->cols.features[k];
    if (!t->cols.encodings[k].range.counts_rows || t->n_rows < 3) continue;
    ls_log(LS_LOG_WARNING,
           "%s: %s: this feature counts the rows; if it is an index, leave it out with --drop %zu",
           t->file.in.path, import_names_list(&t->cols, &i, 1, name, sizeof name), i + 1);
  }
}

/* "t.csv: categories, with their numbers of features: color (3), size (2)" */
static void report_categories(const table *t) {
  char text[3 * IMPORT_LIST_SIZE] = "";
  char name[IMPORT_LIST_SIZE];
  size_t n = 0;
  for (size_t k = 0; k < t->cols.n_features; k++) {
    const size_t i = t->cols.features[k];
    if (t->cols.encodings[k].n_words == 0 || n++ >= LISTED) continue;
    ls_append(text, sizeof text, "%s%s (%zu)", n > 1 ? ", " : "",
              import_names_list(&t->cols, &i, 1, name, sizeof name), t->cols.encodings[k].n_words);
  }
  if (n > LISTED) ls_append(text, sizeof text, " and %zu more", n - LISTED);
  if (n > 0)
    ls_log(LS_LOG_INFO, "%s: categories, with their numbers of features: %s", t->file.in.path, text);
}

static void report_missing(const table *t) {
  char number[32];
  snprintf(number, sizeof number, "%g", t->options->missing_number);
  const char *const path = t->file.in.path;
  if (t->n_unknown > 0)
    ls_log(LS_LOG_WARNING,
           "%s: cells with words that the model does not know: %" PRIu64 "; their features are 0", path,
           t->n_unknown);
  if (t->n_left_out > 0)
    ls_log(LS_LOG_INFO, "%s: rows left out for missing cells: %" PRIu64, path, t->n_left_out);
  if (t->missing.n > 0)
    ls_log(LS_LOG_INFO, "%s: missing cells: %" PRIu64 ", in %" PRIu64 " rows; numbers are replaced by %s",
           path, t->missing.n, t->missing.n_rows,
           t->options->missing == LS_MISSING_NUMBER ? number
           : t->options->means                      ? "the mean of the training data"
                                                    : "the mean of the column in the training data");
}

/* A label that was chosen because it is last may be a feature. */
static void warn_label(const table *t) {
  static const char *const usual[] = {"label", "class", "target", "y", "species", "outcome"};
  if (t->options->label || has_model(t) || t->set.kind == LABEL_CLASS || t->cols.n_labels != 1) return;
  for (size_t k = 0; k < t->cols.n_features && t->cols.has_header; k++) {
    const char *const name = t->cols.names[t->cols.features[k]];
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
      if (strcasecmp(name, usual[i]) == 0)
        ls_log(LS_LOG_WARNING,
               "%s: %s is a feature, and the last column is the label; if %s is the label, add "
               "--label %s",
               t->file.in.path, name, name, name);
  }
}

/* A label that was chosen because no other column is left may be an identifier. */
static void warn_default_label(const table *t) {
  const bool is_default = has_model(t) && !t->options->label && t->cols.n_labels == 1;
  if (!is_default || t->n_rows < 3 || !t->ranges[0].counts_rows) return;
  char name[IMPORT_LIST_SIZE];
  ls_log(LS_LOG_WARNING,
         "%s: %s: this column counts the rows, but is the label, because no other column is left; name the "
         "label with --label",
         t->sources[0], import_names_list(&t->cols, t->cols.labels, 1, name, sizeof name));
}

void import_table_report(const table *t) {
  char text[3 * IMPORT_LIST_SIZE];
  import_names_describe(&t->cols, &t->file, text, sizeof text);
  if (t->n_sources > 1) ls_append(text, sizeof text, "; %zu files", t->n_sources);
  if (t->set.kind == LABEL_CLASS) {
    ls_append(text, sizeof text, "; %zu classes: ", t->set.classes);
    for (size_t k = 0; k < t->set.classes && k < LISTED; k++)
      ls_append(text, sizeof text, "%s%.*s", k ? ", " : "", ls_clip(t->set.names[k], SHOWN),
                t->set.names[k]);
    if (t->set.classes > LISTED) ls_append(text, sizeof text, " and %zu more", t->set.classes - LISTED);
  } else if (t->cols.n_labels > 0) {
    ls_append(text, sizeof text, " (numbers)");
  }
  ls_log(LS_LOG_INFO, "%s: %s", t->file.in.path, text);
  if (t->x_dtype == LS_F64 && !t->options->is_wide)
    ls_log(LS_LOG_INFO, "%s: x is float64, because float32 cannot represent all columns", t->file.in.path);
  if (t->cols.drops_index)
    ls_log(LS_LOG_INFO, "%s: the first column has no name and counts the rows; it is left out as an index",
           t->file.in.path);
  report_categories(t);
  report_missing(t);
  warn_row_numbers(t);
  warn_label(t);
  warn_default_label(t);
}
