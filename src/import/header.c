/* Whether the first row of a table is a header: decided from it and the rows below it. */
#include "table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TRIAL_ROWS 16

/* The numbers of a row in the columns where the first row has numbers. Names that are numbers (of columns,
 * years, wavelengths) rise, usually in equal steps. */
typedef struct sequence {
  size_t n;
  bool rises, is_spaced;
  double last, step;
} sequence;

static void sequence_add(sequence *s, double value) {
  const double step = value - s->last;
  if (s->n == 0) s->rises = s->is_spaced = true;
  if (s->n >= 1) s->rises = s->rises && step > 0;
  if (s->n == 1) s->step = step;
  if (s->n >= 2) s->is_spaced = s->is_spaced && fabs(step - s->step) <= 1e-6 * s->step;
  s->is_spaced = s->is_spaced && s->rises;
  s->last = value;
  s->n++;
}

enum { WORDS = 1, NUMBERS = 2 };

typedef struct trial {
  size_t rows;                    /* read below the first */
  unsigned char *below;           /* (n): WORDS and NUMBERS in the rows below the first */
  size_t words, numbers, missing; /* cells of the first row; the others are empty */
  sequence first;
  bool is_positional;    /* the numbers of the first row count the columns from 0 */
  bool rises, is_spaced; /* a row below does so as well */
  bool recurs;           /* a word of the first row is in the same column of another row */
  bool has_index;        /* the first column counts the rows */
  bool counts_below;     /* from the second row on */
  double start_below;    /* the first value there */
  bool may_trail;        /* rows may end with an empty cell... */
  bool is_longer;        /* ... which the first row lacks */
} trial;

static void read_first(trial *t, const columns *cols) {
  double value = 0;
  t->is_positional = true;
  const size_t offset = cols->names[0][0] == '\0'; /* the name of pandas' index is empty */
  for (size_t i = 0; i < cols->n; i++) {
    const cell_kind kind = import_cell_read(cols->names[i], &value);
    t->words += kind == CELL_TEXT;
    t->numbers += kind == CELL_NUMBER;
    t->missing += kind == CELL_MISSING || kind == CELL_INFINITE;
    if (kind != CELL_NUMBER) continue;
    sequence_add(&t->first, value);
    t->is_positional = t->is_positional && value + (double)offset == (double)i;
  }
}

static void read_below(trial *t, const columns *cols, const csv *c) {
  sequence s = {0};
  double value = 0;
  t->rows++;
  for (size_t i = 0; i < cols->n && i < c->n_cells; i++) {
    const char *const text = import_csv_cell(c, i);
    const cell_kind kind = import_cell_read(text, &value);
    if (kind == CELL_TEXT) t->below[i] |= WORDS;
    if (kind == CELL_NUMBER) t->below[i] |= NUMBERS;
    if (kind == CELL_TEXT && strcmp(text, cols->names[i]) == 0) t->recurs = true;
    if (kind == CELL_NUMBER && import_cell_read(cols->names[i], &value) == CELL_NUMBER) {
      import_cell_read(text, &value);
      sequence_add(&s, value);
    }
  }
  double start = 0;
  import_cell_read(cols->names[0], &start);
  const bool is_number = import_cell_read(import_csv_cell(c, 0), &value) == CELL_NUMBER;
  t->has_index = t->has_index && value == start + (double)t->rows;
  if (t->rows == 1) t->start_below = value;
  t->counts_below =
      (t->rows == 1 || t->counts_below) && is_number && value == t->start_below + (double)(t->rows - 1);
  t->rises = t->rises || (s.n > 2 && s.rises);
  t->is_spaced = t->is_spaced || (s.n > 2 && s.is_spaced);
}

typedef enum verdict { NO_HEADER, HEADER, AMBIGUOUS } verdict;

/* A word of the first row is above numbers only. */
static bool is_above_numbers(const trial *t, const columns *cols) {
  double value = 0;
  for (size_t i = 0; i < cols->n; i++)
    if (t->below[i] == NUMBERS && import_cell_read(cols->names[i], &value) == CELL_TEXT) return true;
  return false;
}

/* Samples have numbers, and one word as the label at most. */
static verdict decide(const trial *t, const columns *cols) {
  const bool is_spaced = t->first.is_spaced && !t->is_spaced && t->first.n >= 3;
  const bool rises = t->first.rises && !t->rises && t->first.n >= 5;
  const bool may_be_sample = t->recurs && !is_above_numbers(t, cols);
  if (t->numbers == 0) return t->words > 0 && !may_be_sample ? HEADER : NO_HEADER;
  if (t->words == 0) return is_spaced && t->rows > 0 && cols->n >= 4 ? AMBIGUOUS : NO_HEADER;
  if (t->recurs) return NO_HEADER;
  if (is_above_numbers(t, cols))
    return (is_spaced && (t->first.n >= 4 || t->is_positional)) || rises ? HEADER : AMBIGUOUS;
  if (t->rows == 0 || !(is_spaced || (rises && t->first.n >= 8))) return NO_HEADER;
  return is_spaced && t->first.n >= 8 ? HEADER : AMBIGUOUS; /* the word may be the label of a sample */
}

/* Whether a text in a list of columns is a word of the first row. */
static bool names_word(const columns *cols, const char *list) {
  size_t index = 0;
  double value = 0;
  char *item = NULL;
  bool found =
      list && import_cell_read(list, &value) == CELL_TEXT && import_names_find(cols, list, &index) > 0;
  for (const char *at = list; at && !found && (item = import_list_next(&at)); free(item))
    found = import_cell_read(item, &value) == CELL_TEXT && import_names_find(cols, item, &index) > 0;
  return found;
}

/* Whether the options name columns of the first row. */
static bool is_named(const columns *cols, const ls_table_options *o) {
  size_t index = 0;
  const char *word = NULL;
  bool all = o->n_names > 0;
  for (size_t i = 0; i < o->n_names && all; i++)
    all = import_names_find_feature(cols, o->names[i], &index, &word) > 0;
  return all || names_word(cols, o->label) || names_word(cols, o->weight) || names_word(cols, o->drop) ||
         names_word(cols, o->columns) || names_word(cols, o->categories);
}

static ls_status fail_ambiguous(const columns *cols, const csv *c) {
  char list[IMPORT_LIST_SIZE];
  columns row = *cols;
  row.has_header = true; /* lists the cells */
  return ls_fail(LS_ERR_DATA,
                 "%s:%llu: %s: the first row may be a header or a sample; add --header yes or --header no",
                 c->in.path, (unsigned long long)cols->first_line,
                 import_names_list(&row, NULL, cols->n, list, sizeof list));
}

/* Reads the first rows below the first one. */
static ls_status read_trial(trial *t, const columns *cols, csv *c) {
  bool got = true;
  t->may_trail = t->has_index = true;
  t->is_longer = cols->names[cols->n - 1][0] != '\0';
  for (;;) {
    LS_TRY(import_csv_next(c, &got));
    if (!got) return LS_OK;
    read_below(t, cols, c);
    const size_t n = cols->n - !t->is_longer;
    const bool ends_empty = c->n_cells == n + 1 && import_csv_cell(c, n)[0] == '\0';
    t->may_trail = t->may_trail && (c->n_cells == n || ends_empty);
    if (t->rows == TRIAL_ROWS) return LS_OK;
  }
}

/* Takes the names from a comment before the first row, if it has as many words as the row has columns. */
static ls_status read_comment_names(columns *cols, const csv *c) {
  csv row = {.in = {.path = c->in.path}, .delimiter = c->delimiter, .line = cols->first_line};
  bool got = false;
  double value = 0;
  size_t words = 0;
  if (!c->comment || cols->n < 2) return LS_OK;
  ls_status status = import_csv_next_in(&row, c->comment, &got);
  for (size_t i = 0; status == LS_OK && got && i < row.n_cells; i++)
    words += import_cell_read(import_csv_cell(&row, i), &value) == CELL_TEXT;
  cols->is_comment = status == LS_OK && words == cols->n && row.n_cells == cols->n;
  if (cols->is_comment) status = import_names_keep(cols, &row);
  if (status == LS_ERR_DATA) status = LS_OK; /* the comment is not a row */
  import_csv_close(&row);
  return status;
}

/* Ignores the empty cells after a delimiter at the end of each row. */
static void drop_trailing(columns *cols, const trial *t) {
  const bool has_rows = t->rows > 0 || !t->is_longer;
  cols->has_trailing = t->may_trail && has_rows && cols->n > 1;
  if (!cols->has_trailing || t->is_longer) return;
  cols->n--;
  free(cols->names[cols->n]);
  cols->names[cols->n] = NULL;
}

static ls_status choose(columns *cols, csv *c, trial *t, const ls_table_options *options) {
  LS_TRY(read_trial(t, cols, c));
  drop_trailing(cols, t);
  cols->may_have_index = t->has_index && t->rows > 0;
  cols->counts_below = t->counts_below;
  LS_TRY(import_names_sort(cols));
  read_first(t, cols);
  verdict header = options->header == LS_HEADER_YES ? HEADER : NO_HEADER;
  if (options->header == LS_HEADER_AUTO) header = is_named(cols, options) ? HEADER : decide(t, cols);
  const bool may_be_comment = options->header == LS_HEADER_YES ? t->words == 0 : header != HEADER;
  if (may_be_comment && options->header != LS_HEADER_NO) LS_TRY(read_comment_names(cols, c));
  cols->has_header = cols->is_comment || header == HEADER;
  if (cols->is_comment) return import_names_sort(cols);
  if (header == AMBIGUOUS) return fail_ambiguous(cols, c);
  if (cols->has_header && t->rows == 0)
    return ls_fail(LS_ERR_DATA, "%s: no samples; the file has only a header", c->in.path);
  return LS_OK;
}

ls_status import_header_find(columns *cols, csv *c, const ls_table_options *options) {
  trial t = {.below = ls_calloc(cols->n, 1)};
  const ls_status status = t.below ? choose(cols, c, &t, options) : ls_fail_memory("a row", cols->n);
  free(t.below);
  return status;
}
