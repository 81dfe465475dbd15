/* The cells of a table: numbers, words, missing cells, and the errors in them. */
#include "table.h"

#include <string.h>

#define SHOWN      60 /* bytes of a cell or name in a message */
#define WORDS_SIZE 256

size_t import_table_split(const table *t) {
  return t->open < t->n_train ? SPLIT_TRAIN : t->parts[t->open - t->n_train];
}

bool import_table_may_have_classes(const table *t) {
  return t->cols.n_labels == 1 && t->options->targets != LS_TARGETS_NUMBERS;
}

ls_status import_table_fail_cell(const table *t, size_t i, const char *reason) {
  char place[IMPORT_PLACE_SIZE];
  return ls_fail(LS_ERR_DATA, "%s: %s", import_table_place(t, i, place), reason);
}

const char *import_table_place(const table *t, size_t i, char place[IMPORT_PLACE_SIZE]) {
  const char *const text = import_csv_cell(&t->file, i);
  const char *const header = t->cols.has_header ? t->cols.names[i] : "";
  place[0] = '\0';
  ls_append(place, IMPORT_PLACE_SIZE, "%s, line %llu, column %zu", t->file.in.path,
            (unsigned long long)t->file.row_line, i + 1);
  if (header[0]) ls_append(place, IMPORT_PLACE_SIZE, " (%.*s)", ls_clip(header, SHOWN), header);
  if (text[0]) ls_append(place, IMPORT_PLACE_SIZE, ": %.*s", ls_clip(text, SHOWN), text);
  return place;
}

/* ----------------------------------------------------------------------- numbers */

ls_status import_table_read_number(const table *t, size_t i, double *value) {
  static const char *const reasons[] = {
      [CELL_EMPTY] = "the cell is empty; fill it in, or leave out the row with --missing drop",
      [CELL_MISSING] = "not a usable value; fill it in, or leave out the row with --missing drop",
      [CELL_INFINITE] = "not finite; replace it by a number",
      [CELL_NUMBER] = "exceeds float32 (3.4e38); rescale the column",
      [CELL_TEXT] =
          "not a number, as the model and the other columns require; write decimals with a point"};
  const cell_kind kind = import_cell_read(import_csv_cell(&t->file, i), value);
  if (kind == CELL_NUMBER && import_cell_fits_float(*value)) return LS_OK;
  if (kind == CELL_TEXT && t->cols.roles[i] == ROLE_LABEL)
    return import_table_fail_cell(
        t, i, "not a number, as several labels, and those of --targets numbers, must be");
  if (kind == CELL_TEXT && t->cols.roles[i] == ROLE_WEIGHT)
    return import_table_fail_cell(t, i, "not a number, as a weight must be");
  return import_table_fail_cell(t, i, reasons[kind]);
}

ls_status import_table_read_weight(const table *t, double *value) {
  LS_TRY(import_table_read_number(t, t->cols.weight, value));
  if (*value >= 0) return LS_OK;
  return import_table_fail_cell(t, t->cols.weight, "negative; a weight must be at least 0");
}

/* ----------------------------------------------------------------- missing cells */

bool import_table_is_missing(const table *t, size_t i) {
  double value = 0;
  const cell_kind kind = import_cell_read(import_csv_cell(&t->file, i), &value);
  return kind == CELL_EMPTY || kind == CELL_MISSING;
}

bool import_table_leaves_out(const table *t) {
  const columns *const cols = &t->cols;
  if (t->options->missing != LS_MISSING_DROP) return false;
  bool found = cols->weight < cols->n && import_table_is_missing(t, cols->weight);
  for (size_t k = 0; k < cols->n_features && !found; k++)
    found = import_table_is_missing(t, cols->features[k]);
  for (size_t k = 0; k < cols->n_labels && !found; k++) found = import_table_is_missing(t, cols->labels[k]);
  return found;
}

bool import_table_has_means(const table *t) {
  return t->missing.n > 0 && t->options->missing == LS_MISSING_MEAN && !t->options->means;
}

ls_status import_table_check_means(const table *t) {
  char name[IMPORT_LIST_SIZE];
  if (t->options->missing != LS_MISSING_MEAN || t->options->means) return LS_OK;
  for (size_t k = 0; k < t->cols.n_features; k++) {
    const encoding *const e = &t->cols.encodings[k];
    const size_t i = t->cols.features[k];
    if (e->n_words > 0 || e->n_mean > 0) continue;
    return ls_fail(LS_ERR_DATA,
                   "%s: column %zu, %s: all cells are missing%s, so there is no mean; leave the column out "
                   "with --drop %zu",
                   t->sources[0], i + 1, import_names_list(&t->cols, &i, 1, name, sizeof name),
                   e->line > 0 ? " in the training data" : "", i + 1);
  }
  return LS_OK;
}

double import_table_replacement(const table *t, size_t k) {
  const encoding *const e = &t->cols.encodings[k];
  if (t->options->missing == LS_MISSING_NUMBER) return t->options->missing_number;
  return t->options->means ? t->options->means[e->feature] : e->mean;
}

/* ------------------------------------------------------------------------- words */

/* "blue, green and 5 more" */
static const char *list_words(const encoding *e, char text[WORDS_SIZE]) {
  size_t n = 0;
  text[0] = '\0';
  for (; n < e->n_words && strlen(text) < WORDS_SIZE / 2; n++)
    ls_append(text, WORDS_SIZE, "%s%.*s", n ? ", " : "", ls_clip(e->words[n].word, SHOWN),
              e->words[n].word[0] ? e->words[n].word : "(empty)");
  if (n < e->n_words) ls_append(text, WORDS_SIZE, " and %zu more", e->n_words - n);
  return text;
}

static ls_status fail_unknown(const table *t, size_t k) {
  const size_t i = t->cols.features[k];
  char place[IMPORT_PLACE_SIZE];
  char words[WORDS_SIZE];
  return ls_fail(LS_ERR_DATA,
                 "%s: %s; the model knows %s; --unknown zero sets all features of the column to 0",
                 import_table_place(t, i, place),
                 import_table_is_missing(t, i) ? "a missing cell, which the model does not know"
                                               : "a word that the model does not know",
                 list_words(&t->cols.encodings[k], words));
}

ls_status import_table_find_word(const table *t, size_t k, const category **found) {
  char text[CATEGORY_TEXT_SIZE];
  const char *const cell = import_csv_cell(&t->file, t->cols.features[k]);
  const encoding *const e = &t->cols.encodings[k];
  *found = import_category_find(e, cell);
  if (!*found) *found = import_category_find(e, import_category_word(cell, text));
  return *found || t->options->accepts_unknown ? LS_OK : fail_unknown(t, k);
}
