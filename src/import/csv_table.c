/* Imports one CSV file in two passes: the first counts rows and collects labels, the second writes. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>

typedef struct table {
  csv file;
  columns cols;
  label_set set;
  uint64_t n_rows, n_test;
  ls_permutation order; /* a row that it maps below n_test is a test sample */
  output *out;          /* borrowed */
} table;

static bool has_label(const table *t) {
  return t->cols.label < t->cols.n;
}

/* Moves to the first row of samples. */
static ls_status rewind_to_samples(table *t) {
  bool got = false;
  ls_status status = import_csv_rewind(&t->file);
  if (status == LS_OK && t->cols.has_header) status = import_csv_next(&t->file, &got);
  return status;
}

static ls_status check_width(const table *t) {
  if (t->file.n_cells == t->cols.n) return LS_OK;
  return ls_fail(LS_ERR_DATA, "%s, line %llu: the row has %zu columns, but the first row has %zu",
                 t->file.in.path, (unsigned long long)t->file.row_line, t->file.n_cells, t->cols.n);
}

/* The first pass. */
static ls_status scan(table *t) {
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
  t->n_test = (uint64_t)llround(options->test_fraction * (double)t->n_rows);
  if (t->n_test == t->n_rows || (t->n_test == 0 && options->test_fraction > 0.0)) {
    return ls_fail(LS_ERR_DATA, "%s: a test fraction of %g selects %s of the %llu samples; choose a %s one",
                   t->file.in.path, options->test_fraction, t->n_test ? "all" : "none",
                   (unsigned long long)t->n_rows, t->n_test ? "smaller" : "larger");
  }
  t->order = ls_permutation_make(ls_rng_make(options->seed, LS_RNG_IMPORT, 0, 0), t->n_rows);
  return LS_OK;
}

/* Writes the names of columns and classes as attributes. */
static ls_status write_names(const table *t, const split *s) {
  const size_t n_features = t->cols.has_header ? t->cols.n_features : 0;
  const size_t n_classes = t->set.kind == LABEL_CLASS_NAME ? t->set.count : 0;
  const char **names = ls_calloc(ls_size_max(n_features, n_classes), sizeof *names);
  if (!names) return ls_fail_memory("the names of columns and classes", t->cols.n * sizeof *names);
  ls_status status = LS_OK;
  for (size_t i = 0; i < n_features; i++) names[i] = t->cols.names[t->cols.features[i]];
  if (n_features > 0) status = import_split_write_names(s, "features", names, n_features);
  for (size_t i = 0; i < n_classes; i++) names[i] = t->set.entries[i].text;
  if (status == LS_OK && n_classes > 0) status = import_split_write_names(s, "classes", names, n_classes);
  free((void *)names);
  return status;
}

static ls_status begin_splits(table *t) {
  const uint64_t n[N_SPLITS] = {t->n_rows - t->n_test, t->n_test};
  ls_status status = LS_OK;
  for (size_t i = 0; status == LS_OK && i < N_SPLITS; i++) {
    if (n[i] == 0) continue;
    const ls_array x = {LS_F32, 2, {n[i], t->cols.n_features}};
    const ls_array y = {t->set.kind == LABEL_REAL ? LS_F32 : LS_I64, 1, {n[i]}};
    status = import_split_begin(t->out, i, &x, has_label(t) ? &y : NULL);
    if (status == LS_OK) status = write_names(t, &t->out->splits[i]);
  }
  return status;
}

static ls_status fail_cell(const table *t, size_t i, cell_kind kind) {
  static const char *const reasons[] = {
      [CELL_EMPTY] = "the cell is empty; fill it in or remove the row",
      [CELL_MISSING] = "not a usable value; fill it in or remove the row",
      [CELL_NUMBER] = "exceeds float32 (3.4e38); rescale the column",
      [CELL_TEXT] = "not a number; write categories as one column of 0 and 1 each and decimals with a "
                    "point, or make this column the label"};
  char name[COLUMN_NAME_MAX];
  const char *const text = import_csv_cell(&t->file, i);
  return ls_fail(LS_ERR_DATA, "%s, line %llu, %s: %.60s%s%s", t->file.in.path,
                 (unsigned long long)t->file.row_line, import_columns_describe(&t->cols, i, name), text,
                 kind == CELL_EMPTY ? "" : ": ", reasons[kind]);
}

static ls_status read_float(const table *t, size_t i, float *out) {
  double value = 0;
  const cell_kind kind = import_cell_read(import_csv_cell(&t->file, i), &value);
  if (kind != CELL_NUMBER || !import_cell_fits_float(value)) return fail_cell(t, i, kind);
  *out = (float)value;
  return LS_OK;
}

static ls_status fail_changed(const table *t) {
  return ls_fail(LS_ERR_DATA, "%s: changed during the import; import it again", t->file.in.path);
}

static ls_status read_label(const table *t, void *out) {
  const char *const text = import_csv_cell(&t->file, t->cols.label);
  if (t->set.kind == LABEL_REAL) return read_float(t, t->cols.label, out);
  size_t index = 0;
  if (!import_labels_find(&t->set, text, &index)) return fail_changed(t);
  const bool is_name = t->set.kind == LABEL_CLASS_NAME;
  *(int64_t *)out = is_name ? (int64_t)index : (int64_t)t->set.entries[index].value;
  return LS_OK;
}

/* Writes the current row to its split. */
static ls_status write_row(table *t, uint64_t row) {
  const bool is_test = t->n_test > 0 && ls_permutation_at(&t->order, row) < t->n_test;
  split *const s = &t->out->splits[is_test ? SPLIT_TEST : SPLIT_TRAIN];
  float *x = import_split_x(s);
  ls_status status = check_width(t);
  for (size_t i = 0; status == LS_OK && i < t->cols.n_features; i++)
    status = read_float(t, t->cols.features[i], x++);
  if (status == LS_OK && has_label(t)) status = read_label(t, import_split_y(s));
  return status == LS_OK ? import_split_add(s, 1) : status;
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
  return status == LS_OK && row != t->n_rows ? fail_changed(t) : status;
}

/* Any file may be a table. */
static ls_status recognize(const char *const *sources, size_t n_sources, bool *yes) {
  (void)sources;
  (void)n_sources;
  *yes = true;
  return LS_OK;
}

static ls_status convert(const char *const *sources, size_t n_sources, const ls_import_options *options,
                         output *out) {
  table t = {.out = out};
  LS_ASSERT(n_sources == 1);
  ls_status status = import_csv_open(&t.file, sources[0]);
  if (status == LS_OK) status = import_columns_find(&t.cols, &t.file, options);
  if (status == LS_OK) status = import_labels_create(&t.set, sources[0]);
  if (status == LS_OK) status = scan(&t);
  if (status == LS_OK) status = choose_splits(&t, options);
  if (status == LS_OK) status = begin_splits(&t);
  if (status == LS_OK) status = write_rows(&t);
  out->n_classes = t.set.classes;
  import_labels_destroy(&t.set);
  import_columns_destroy(&t.cols);
  import_csv_close(&t.file);
  return status;
}

const import_format import_csv_format = {.recognize = recognize, .convert = convert};
