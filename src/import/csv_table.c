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

/* A pass: calls `visit` for each row of samples, after checking its width, and counts the rows. */
static ls_status visit_rows(table *t, ls_status (*visit)(table *t, uint64_t row), uint64_t *count) {
  csv *const c = &t->file;
  bool got = false;
  *count = 0;
  LS_TRY(import_csv_rewind(c));
  if (t->cols.has_header) LS_TRY(import_csv_next(c, &got));
  for (;;) {
    LS_TRY(import_csv_next(c, &got));
    if (!got) return LS_OK;
    if (c->n_cells != t->cols.n)
      return ls_fail(LS_ERR_DATA, "%s, line %llu: the row has %zu columns, but the first row has %zu",
                     c->in.path, (unsigned long long)c->row_line, c->n_cells, t->cols.n);
    LS_TRY(visit(t, (*count)++));
  }
}

/* The first pass. */
static ls_status collect_label(table *t, uint64_t row) {
  (void)row;
  if (!has_label(t)) return LS_OK;
  return import_labels_add(&t->set, import_csv_cell(&t->file, t->cols.label), t->file.row_line);
}

static ls_status choose_splits(table *t, const ls_import_options *options) {
  if (t->n_rows >> 40 != 0)
    return ls_fail(LS_ERR_DATA, "%s: too many rows; must be fewer than 2^40", t->file.in.path);
  t->n_test = (uint64_t)llround(options->test_fraction * (double)t->n_rows);
  if (t->n_test == t->n_rows || (t->n_test == 0 && options->test_fraction > 0.0))
    return ls_fail(LS_ERR_DATA, "%s: a test fraction of %g selects %s of the %llu samples; choose a %s one",
                   t->file.in.path, options->test_fraction, t->n_test ? "all" : "none",
                   (unsigned long long)t->n_rows, t->n_test ? "smaller" : "larger");
  t->order = ls_permutation_make(ls_rng_make(options->seed, LS_RNG_IMPORT, 0, 0), t->n_rows);
  return LS_OK;
}

/* Writes the names of features and classes as attributes. */
static ls_status write_names(const table *t, const split *s) {
  const size_t n_features = t->cols.has_header ? t->cols.n_features : 0;
  const size_t n_classes = t->set.kind == LABEL_CLASS_NAME ? t->set.count : 0;
  const size_t n = ls_size_max(n_features, n_classes);
  const char **names = ls_calloc(n, sizeof *names);
  if (!names) return ls_fail_memory("the names of features and classes", n * sizeof *names);
  ls_status status = LS_OK;
  for (size_t i = 0; i < n_features; i++) names[i] = t->cols.names[t->cols.features[i]];
  if (n_features > 0) status = ls_store_write_texts(s->writer, s->x_path, "features", names, n_features);
  for (size_t i = 0; i < n_classes; i++) names[i] = t->set.entries[i].text;
  if (status == LS_OK && n_classes > 0)
    status = ls_store_write_texts(s->writer, s->y_path, "classes", names, n_classes);
  free((void *)names);
  return status;
}

static ls_status begin_splits(table *t) {
  const uint64_t n[N_SPLITS] = {t->n_rows - t->n_test, t->n_test};
  for (size_t i = 0; i < N_SPLITS; i++) {
    if (n[i] == 0) continue;
    const ls_array x = {LS_F32, 2, {n[i], t->cols.n_features}};
    const ls_array y = {t->set.kind == LABEL_REAL ? LS_F32 : LS_I64, 1, {n[i]}};
    LS_TRY(import_split_begin(t->out, i, &x, has_label(t) ? &y : NULL));
    LS_TRY(write_names(t, &t->out->splits[i]));
  }
  return LS_OK;
}

/* Reports "FILE, line L, column C (name): text: reason". */
static ls_status fail_cell(const table *t, size_t i, cell_kind kind) {
  static const char *const reasons[] = {
      [CELL_EMPTY] = "the cell is empty; fill it in or remove the row",
      [CELL_MISSING] = "not a usable value; fill it in or remove the row",
      [CELL_NUMBER] = "exceeds float32 (3.4e38); rescale the column",
      [CELL_TEXT] = "not a number; write categories as one column of 0 and 1 each and decimals with a "
                    "point, or make this column the label"};
  char name[64] = "";
  if (t->cols.has_header) snprintf(name, sizeof name, " (%.60s)", t->cols.names[i]);
  return ls_fail(LS_ERR_DATA, "%s, line %llu, column %zu%s: %.60s%s%s", t->file.in.path,
                 (unsigned long long)t->file.row_line, i + 1, name, import_csv_cell(&t->file, i),
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
  size_t index = 0;
  if (t->set.kind == LABEL_REAL) return read_float(t, t->cols.label, out);
  if (!import_labels_find(&t->set, import_csv_cell(&t->file, t->cols.label), &index))
    return fail_changed(t);
  const bool is_name = t->set.kind == LABEL_CLASS_NAME;
  *(int64_t *)out = is_name ? (int64_t)index : (int64_t)t->set.entries[index].value;
  return LS_OK;
}

/* The second pass: writes the row to its split. */
static ls_status write_row(table *t, uint64_t row) {
  if (row >= t->n_rows) return fail_changed(t);
  const bool is_test = t->n_test > 0 && ls_permutation_at(&t->order, row) < t->n_test;
  split *const s = &t->out->splits[is_test ? SPLIT_TEST : SPLIT_TRAIN];
  void *x = NULL;
  void *y = NULL;
  import_split_next(s, &x, &y);
  for (size_t i = 0; i < t->cols.n_features; i++)
    LS_TRY(read_float(t, t->cols.features[i], (float *)x + i));
  if (has_label(t)) LS_TRY(read_label(t, y));
  return import_split_add(s, 1);
}

static ls_status convert(const char *const *sources, size_t n_sources, const ls_import_options *options,
                         output *out) {
  table t = {.out = out};
  uint64_t written = 0;
  LS_ASSERT(n_sources == 1);
  ls_status status = import_csv_open(&t.file, sources[0]);
  if (status == LS_OK) status = import_columns_find(&t.cols, &t.file, options);
  if (status == LS_OK) status = import_labels_create(&t.set, sources[0]);
  if (status == LS_OK) status = visit_rows(&t, collect_label, &t.n_rows);
  if (status == LS_OK) status = import_labels_finish(&t.set);
  if (status == LS_OK) status = choose_splits(&t, options);
  if (status == LS_OK) status = import_output_create(out);
  if (status == LS_OK) status = begin_splits(&t);
  if (status == LS_OK) status = visit_rows(&t, write_row, &written);
  if (status == LS_OK && written != t.n_rows) status = fail_changed(&t);
  out->n_classes = t.set.classes;
  import_labels_destroy(&t.set);
  import_columns_destroy(&t.cols);
  import_csv_close(&t.file);
  return status;
}

const import_format import_csv_format = {.convert = convert};
