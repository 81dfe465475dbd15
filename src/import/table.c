/* Imports one CSV file in two passes: the first counts the rows and learns the labels, the second writes.
 */
#include "table.h"

#include "columns.h"
#include "dataset.h"
#include "labels.h"

#include <math.h>
#include <stdlib.h>

typedef struct table {
  csv file;
  columns cols;
  label_set set;
  uint64_t n_rows;
  uint64_t n_split[N_SPLITS];
  ls_permutation order; /* a row that it sends below n_split[SPLIT_TEST] is a test sample */
  ls_store_writer *writer;
  split splits[N_SPLITS];
} table;

static bool has_label(const table *t) {
  return t->cols.label < t->cols.n;
}

/* Goes to the first row of samples. */
static ls_status rewind_to_samples(table *t) {
  bool got = false;
  ls_status status = import_csv_rewind(&t->file);
  if (status == LS_OK && t->cols.header) status = import_csv_next(&t->file, &got);
  return status;
}

static ls_status check_width(const table *t) {
  if (t->file.n_cells == t->cols.n) return LS_OK;
  return ls_fail(LS_ERR_DATA, "%s, line %llu: the row has %zu columns, but the first row has %zu",
                 t->file.in.path, (unsigned long long)t->file.row_line, t->file.n_cells, t->cols.n);
}

/* The first pass. */
static ls_status learn(table *t) {
  bool got = false;
  ls_status status = rewind_to_samples(t);
  for (;;) {
    if (status == LS_OK) status = import_csv_next(&t->file, &got);
    if (status != LS_OK || !got) break;
    t->n_rows++;
    status = check_width(t);
    if (status != LS_OK || !has_label(t)) continue;
    status = import_labels_add(&t->set, import_csv_cell(&t->file, t->cols.label), t->file.row_line);
  }
  return status == LS_OK ? import_labels_finish(&t->set) : status;
}

static ls_status choose_splits(table *t, const ls_import_options *options) {
  if (t->n_rows >> 40 != 0) return ls_fail(LS_ERR_DATA, "%s: more than 2^40 rows", t->file.in.path);
  const uint64_t n_test = (uint64_t)llround(options->test_fraction * (double)t->n_rows);
  if (n_test == t->n_rows) {
    return ls_fail(LS_ERR_DATA,
                   "%s: a test fraction of %g takes all of the %llu samples: give a smaller one",
                   t->file.in.path, options->test_fraction, (unsigned long long)t->n_rows);
  }
  if (n_test == 0 && options->test_fraction > 0.0) {
    return ls_fail(LS_ERR_DATA,
                   "%s: a test fraction of %g takes none of the %llu samples: give a larger one, or none",
                   t->file.in.path, options->test_fraction, (unsigned long long)t->n_rows);
  }
  t->n_split[SPLIT_TEST] = n_test;
  t->n_split[SPLIT_TRAIN] = t->n_rows - n_test;
  t->order = ls_permutation_make(ls_rng_make(options->seed, LS_RNG_IMPORT, 0, 0), t->n_rows);
  return LS_OK;
}

/* Names for the attributes, borrowed from the columns and labels; freed by the caller as one block. */
static const char **feature_names(const table *t) {
  const char **const names = ls_calloc(t->cols.n_features, sizeof *names);
  for (size_t i = 0; names && i < t->cols.n_features; i++) names[i] = t->cols.names[t->cols.features[i]];
  return names;
}

static const char **class_names(const table *t) {
  const char **const names = ls_calloc(t->set.count, sizeof *names);
  for (size_t i = 0; names && i < t->set.count; i++) names[i] = t->set.entries[i].text;
  return names;
}

static ls_status write_names(const table *t, const split *s) {
  const char **features = t->cols.header ? feature_names(t) : NULL;
  const char **classes = t->set.kind == LABEL_CLASS_NAME ? class_names(t) : NULL;
  ls_status status = LS_OK;
  if ((t->cols.header && !features) || (t->set.kind == LABEL_CLASS_NAME && !classes)) {
    status =
        ls_fail_memory("the names of columns and classes", (t->cols.n + t->set.count) * sizeof *features);
  }
  if (status == LS_OK && features) status = import_split_write_features(s, features, t->cols.n_features);
  if (status == LS_OK && classes) status = import_split_write_classes(s, classes, t->set.count);
  free((void *)features);
  free((void *)classes);
  return status;
}

static ls_status begin_splits(table *t) {
  ls_status status = LS_OK;
  for (size_t i = 0; status == LS_OK && i < N_SPLITS; i++) {
    if (t->n_split[i] == 0) continue;
    const ls_array x = {LS_F32, 2, {t->n_split[i], t->cols.n_features}};
    const ls_array y = {t->set.kind == LABEL_REAL ? LS_F32 : LS_I64, 1, {t->n_split[i]}};
    status =
        import_split_create(&t->splits[i], t->writer, import_split_names[i], &x, has_label(t) ? &y : NULL);
    if (status == LS_OK) status = write_names(t, &t->splits[i]);
  }
  return status;
}

static ls_status fail_cell(const table *t, size_t i, cell_kind kind) {
  char name[COLUMN_NAME_MAX];
  const char *const path = t->file.in.path;
  const unsigned long long line = t->file.row_line;
  import_columns_describe(&t->cols, i, name);
  switch (kind) {
  case CELL_EMPTY:
    return ls_fail(LS_ERR_DATA, "%s, line %llu, %s: the cell is empty: fill it in or remove the row", path,
                   line, name);
  case CELL_MISSING:
    return ls_fail(LS_ERR_DATA,
                   "%s, line %llu, %s: '%.60s' is no usable value: fill it in or remove the row", path,
                   line, name, import_csv_cell(&t->file, i));
  case CELL_NUMBER:
    return ls_fail(LS_ERR_DATA, "%s, line %llu, %s: %.60s is beyond float32 (3.4e38): rescale the column",
                   path, line, name, import_csv_cell(&t->file, i));
  case CELL_TEXT: break;
  }
  return ls_fail(
      LS_ERR_DATA,
      "%s, line %llu, %s: '%.60s' is not a number: write it as one (categories as a column of 0 and 1 "
      "each, decimals with a point), or make this column the label",
      path, line, name, import_csv_cell(&t->file, i));
}

static ls_status read_float(const table *t, size_t i, float *out) {
  double value = 0;
  const cell_kind kind = import_cell_read(import_csv_cell(&t->file, i), &value);
  if (kind != CELL_NUMBER || !import_cell_fits_float(value)) return fail_cell(t, i, kind);
  *out = (float)value;
  return LS_OK;
}

static ls_status fail_changed(const table *t) {
  return ls_fail(LS_ERR_DATA, "%s changed while it was read: import it again", t->file.in.path);
}

static ls_status read_label(const table *t, void *out) {
  const char *const text = import_csv_cell(&t->file, t->cols.label);
  if (t->set.kind == LABEL_REAL) return read_float(t, t->cols.label, out);
  size_t place = 0;
  if (!import_labels_find(&t->set, text, &place)) return fail_changed(t);
  const bool is_name = t->set.kind == LABEL_CLASS_NAME;
  *(int64_t *)out = is_name ? (int64_t)place : (int64_t)t->set.entries[place].value;
  return LS_OK;
}

/* Puts the present row into its split. */
static ls_status write_row(table *t, uint64_t row) {
  const uint64_t n_test = t->n_split[SPLIT_TEST];
  split *const s =
      &t->splits[n_test > 0 && ls_permutation_at(&t->order, row) < n_test ? SPLIT_TEST : SPLIT_TRAIN];
  float *x = import_split_x(s);
  ls_status status = check_width(t);
  for (size_t i = 0; status == LS_OK && i < t->cols.n_features; i++)
    status = read_float(t, t->cols.features[i], x++);
  if (status == LS_OK && has_label(t)) status = read_label(t, import_split_y(s));
  return status == LS_OK ? import_split_take(s, 1) : status;
}

/* The second pass. */
static ls_status write_rows(table *t) {
  bool got = false;
  uint64_t row = 0;
  ls_status status = rewind_to_samples(t);
  for (;;) {
    if (status == LS_OK) status = import_csv_next(&t->file, &got);
    if (status != LS_OK || !got) break;
    status = row < t->n_rows ? write_row(t, row++) : fail_changed(t);
  }
  if (status == LS_OK && row != t->n_rows) status = fail_changed(t);
  for (size_t i = 0; status == LS_OK && i < N_SPLITS; i++) status = import_split_finish(&t->splits[i]);
  return status;
}

static void summarize(const table *t, ls_import_summary *summary) {
  *summary = (ls_import_summary){.train_samples = t->n_split[SPLIT_TRAIN],
                                 .test_samples = t->n_split[SPLIT_TEST],
                                 .features = t->cols.n_features,
                                 .classes = t->set.classes};
}

ls_status import_table(const char *path, const ls_import_options *options, ls_import_summary *summary) {
  table t = {0};
  ls_status status = import_csv_open(&t.file, path);
  if (status == LS_OK) status = import_columns_find(&t.cols, &t.file, options);
  if (status == LS_OK) status = import_labels_create(&t.set, path);
  if (status == LS_OK) status = learn(&t);
  if (status == LS_OK) status = choose_splits(&t, options);
  if (status == LS_OK) status = ls_store_create(options->output, false, &t.writer);
  if (status == LS_OK) status = begin_splits(&t);
  if (status == LS_OK) status = write_rows(&t);
  if (status == LS_OK) status = ls_store_publish(&t.writer);
  if (status == LS_OK) summarize(&t, summary);
  if (t.writer) ls_store_discard(&t.writer);
  for (size_t i = 0; i < N_SPLITS; i++) import_split_destroy(&t.splits[i]);
  import_labels_destroy(&t.set);
  import_columns_destroy(&t.cols);
  import_csv_close(&t.file);
  return status;
}
