/* Imports CSV files, which follow each other, in two passes: the first checks cells and collects ranges and
 * labels, the second writes. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

typedef struct table {
  const char *const *sources; /* (n_sources), borrowed */
  size_t n_sources;
  csv file;                        /* the one that is open, or was last */
  size_t open;                     /* its index; n_sources: none */
  columns cols;                    /* of the first file; all have the same */
  const ls_table_options *options; /* borrowed */
  value_range *ranges;             /* (n_features + n_labels) */
  label_set set;                   /* the labels; empty if they are known to be numbers */
  ls_dtype x_dtype, y_dtype;
  uint64_t n_rows;
  output *out; /* borrowed */
} table;

/* Whether the labels may be classes. Several targets are numbers. */
static bool may_have_classes(const table *t) {
  return t->cols.n_labels == 1 && t->options->targets != LS_TARGETS_NUMBERS;
}

/* Checks the width of a row, without the empty cell after a delimiter at its end. */
static ls_status check_width(const table *t) {
  const csv *const c = &t->file;
  const size_t n = t->cols.n;
  const bool has_trailing = t->cols.has_trailing && c->n_cells == n + 1 && import_csv_cell(c, n)[0] == '\0';
  if (c->n_cells == n || has_trailing) return LS_OK;
  return ls_fail(LS_ERR_DATA, "%s, line %llu: the row has %zu columns, but the first row has %zu",
                 c->in.path, (unsigned long long)c->row_line, c->n_cells, n);
}

/* ------------------------------------------------------------------------ the files */

/* Compares the columns of the open file with those of the first. */
static ls_status check_columns(const table *t, const columns *found) {
  const char *const path = t->sources[t->open];
  const char *const first = t->sources[0];
  const columns *const cols = &t->cols;
  if (found->n != cols->n)
    return ls_fail(LS_ERR_DATA, "%s has %zu columns, but %s has %zu; all files must have the same columns",
                   path, found->n, first, cols->n);
  if (found->has_header != cols->has_header)
    return ls_fail(LS_ERR_DATA,
                   "%s has %s header, but %s has %s; all files must have one, or none; --header decides",
                   path, found->has_header ? "a" : "no", first, cols->has_header ? "one" : "none");
  for (size_t i = 0; cols->has_header && i < cols->n; i++)
    if (strcmp(found->names[i], cols->names[i]) != 0)
      return ls_fail(LS_ERR_DATA,
                     "%s: column %zu is %.*s, but %.*s in %s; all files must have the same columns", path,
                     i + 1, ls_clip(found->names[i], 60), found->names[i], ls_clip(cols->names[i], 60),
                     cols->names[i], first);
  return LS_OK;
}

/* Finds the columns of the open file. Those of the first file remain; the other files only have places of
 * their own for the header. */
static ls_status find_columns(table *t) {
  columns found = {0};
  LS_TRY(import_csv_find_delimiter(&t->file));
  ls_status status = import_columns_find(&found, &t->file, t->options);
  if (status == LS_OK && t->cols.n == 0) {
    t->cols = found;
    return LS_OK;
  }
  if (status == LS_OK) status = check_columns(t, &found);
  t->cols.has_trailing = found.has_trailing;
  t->cols.is_comment = found.is_comment;
  t->cols.first_line = found.first_line;
  import_columns_destroy(&found);
  return status;
}

/* Opens a file, unless it is open. */
static ls_status open_table(table *t, size_t i) {
  if (t->open == i) return LS_OK;
  import_csv_close(&t->file);
  t->open = i;
  LS_TRY(import_csv_open(&t->file, t->sources[i]));
  t->set.path = t->sources[i];
  return find_columns(t);
}

/* Visits the rows of the open file. *count: of all rows. */
static ls_status visit_file(table *t, ls_status (*visit)(table *t, uint64_t row), uint64_t *count) {
  csv *const c = &t->file;
  bool got = false;
  LS_TRY(import_csv_rewind(c));
  if (t->cols.has_header && !t->cols.is_comment) LS_TRY(import_csv_next(c, &got));
  for (;;) {
    LS_TRY(import_csv_next(c, &got));
    if (!got) return LS_OK;
    LS_TRY(check_width(t));
    LS_TRY(visit(t, (*count)++));
  }
}

/* A pass: calls `visit` for each row of samples, after checking its width, and counts the rows. */
static ls_status visit_rows(table *t, ls_status (*visit)(table *t, uint64_t row), uint64_t *count) {
  *count = 0;
  for (size_t i = 0; i < t->n_sources; i++) {
    LS_TRY(open_table(t, i));
    LS_TRY(visit_file(t, visit, count));
  }
  return LS_OK;
}

/* The position in the sources, for the progress bar, in MB. */
static void report_position(const table *t) {
  const uint64_t mb = 1000000;
  const z_off_t at = gzoffset(t->file.in.gz);
  if (t->n_sources > 1)
    import_progress("reading", t->open, t->n_sources, "files");
  else
    import_progress("reading", at > 0 ? (uint64_t)at / mb : 0, t->file.in.bytes / mb, "MB");
}

/* Reports "FILE, line L, column C (name): text: reason". */
static ls_status fail_cell(const table *t, size_t i, const char *reason) {
  char name[128] = "";
  const char *const text = import_csv_cell(&t->file, i);
  const char *const header = t->cols.has_header ? t->cols.names[i] : "";
  if (header[0]) snprintf(name, sizeof name, " (%.*s)", ls_clip(header, 60), header);
  return ls_fail(LS_ERR_DATA, "%s, line %llu, column %zu%s: %.*s%s%s", t->file.in.path,
                 (unsigned long long)t->file.row_line, i + 1, name, ls_clip(text, 60), text,
                 text[0] ? ": " : "", reason);
}

static ls_status read_number(const table *t, size_t i, double *value) {
  static const char *const reasons[] = {
      [CELL_EMPTY] = "the cell is empty; fill it in or remove the row",
      [CELL_MISSING] = "not a usable value; fill it in or remove the row",
      [CELL_NUMBER] = "exceeds float32 (3.4e38); rescale the column",
      [CELL_TEXT] = "not a number; write categories as one column of 0 and 1 each and decimals with a "
                    "point, leave the column out with --drop, or make it the label with --label"};
  const cell_kind kind = import_cell_read(import_csv_cell(&t->file, i), value);
  if (kind == CELL_NUMBER && import_cell_fits_float(*value)) return LS_OK;
  if (kind == CELL_TEXT && t->cols.roles[i] == ROLE_LABEL)
    return fail_cell(t, i, "not a number, as several labels, and those of --targets numbers, must be");
  return fail_cell(t, i, reasons[kind]);
}

static ls_status read_weight(const table *t, double *value) {
  LS_TRY(read_number(t, t->cols.weight, value));
  return *value >= 0 ? LS_OK : fail_cell(t, t->cols.weight, "negative; a weight must be at least 0");
}

/* ---------------------------------------------------------------- the first pass */

static ls_status collect_label(table *t, size_t k, uint64_t row) {
  const size_t i = t->cols.labels[k];
  const char *const text = import_csv_cell(&t->file, i);
  double value = 0;
  if (may_have_classes(t)) {
    LS_TRY(import_labels_add(&t->set, text, t->file.row_line));
    if (import_cell_read(text, &value) != CELL_NUMBER) return LS_OK;
  } else {
    LS_TRY(read_number(t, i, &value));
  }
  import_range_add(&t->ranges[t->cols.n_features + k], value, row);
  return LS_OK;
}

static ls_status collect_row(table *t, uint64_t row) {
  double value = 0;
  report_position(t);
  for (size_t k = 0; k < t->cols.n_features; k++) {
    LS_TRY(read_number(t, t->cols.features[k], &value));
    import_range_add(&t->ranges[k], value, row);
  }
  for (size_t k = 0; k < t->cols.n_labels; k++) LS_TRY(collect_label(t, k, row));
  return t->cols.weight < t->cols.n ? read_weight(t, &value) : LS_OK;
}

/* float32 if it represents all of n columns well enough. */
static ls_dtype dtype_of(const value_range *ranges, size_t n) {
  for (size_t k = 0; k < n; k++)
    if (import_range_needs_double(&ranges[k])) return LS_F64;
  return LS_F32;
}

static void choose_types(table *t) {
  const size_t n = t->cols.n_features;
  const bool is_whole = t->set.kind == LABEL_CLASS || t->set.kind == LABEL_WHOLE;
  t->x_dtype = t->options->is_wide ? LS_F64 : dtype_of(t->ranges, n);
  t->y_dtype = is_whole ? LS_I64 : dtype_of(t->ranges + n, t->cols.n_labels);
}

static void warn_row_numbers(const table *t) {
  char name[IMPORT_LIST_SIZE];
  for (size_t k = 0; k < t->cols.n_features; k++) {
    const size_t i = t->cols.features[k];
    if (!t->ranges[k].counts_rows || t->n_rows < 3) continue;
    ls_log(LS_LOG_WARNING,
           "%s: %s: this feature counts the rows; if it is an index, leave it out with --drop %zu",
           t->file.in.path, import_names_list(&t->cols, &i, 1, name, sizeof name), i + 1);
  }
}

/* Prints how the table is read: "t.csv: header in line 1; 2 features: a, b; label: c, 2 classes: x, y". */
static void print_choices(const table *t) {
  char text[3 * IMPORT_LIST_SIZE];
  import_names_describe(&t->cols, &t->file, text, sizeof text);
  if (t->n_sources > 1) ls_append(text, sizeof text, "; %zu files", t->n_sources);
  if (t->set.kind == LABEL_CLASS) {
    ls_append(text, sizeof text, "; %zu classes: ", t->set.classes);
    for (size_t k = 0; k < t->set.classes && k < 20; k++)
      ls_append(text, sizeof text, "%s%.*s", k ? ", " : "", ls_clip(t->set.names[k], 60), t->set.names[k]);
    if (t->set.classes > 20) ls_append(text, sizeof text, " and %zu more", t->set.classes - 20);
  } else if (t->cols.n_labels > 0) {
    ls_append(text, sizeof text, " (numbers)");
  }
  ls_log(LS_LOG_INFO, "%s: %s", t->file.in.path, text);
  if (t->x_dtype == LS_F64 && !t->options->is_wide)
    ls_log(LS_LOG_INFO, "%s: x is float64, because float32 cannot represent all columns", t->file.in.path);
  warn_row_numbers(t);
}

static ls_status survey(table *t) {
  t->ranges = ls_calloc(t->cols.n_features + t->cols.n_labels, sizeof *t->ranges);
  if (!t->ranges) return ls_fail_memory("the ranges of columns", t->cols.n * sizeof *t->ranges);
  LS_TRY(visit_rows(t, collect_row, &t->n_rows));
  LS_TRY(import_labels_finish(&t->set));
  choose_types(t);
  return LS_OK;
}

/* --------------------------------------------------------------- the second pass */

/* Writes the names of features and classes as attributes. */
static ls_status write_names(const table *t, split *s) {
  const size_t n = t->cols.has_header ? t->cols.n_features : 0;
  const char **names = ls_calloc(n, sizeof *names);
  if (!names) return ls_fail_memory("the names of features", n * sizeof *names);
  ls_status status = LS_OK;
  for (size_t i = 0; i < n; i++) names[i] = t->cols.names[t->cols.features[i]];
  if (n > 0) status = import_split_set_texts(s, ARRAY_X, "features", names, n);
  if (status == LS_OK && t->set.kind == LABEL_CLASS)
    status =
        import_split_set_texts(s, ARRAY_Y, "classes", (const char *const *)t->set.names, t->set.classes);
  free((void *)names);
  return status;
}

static ls_status begin_splits(table *t) {
  const uint64_t n[N_SPLITS] = {t->n_rows - t->out->n_test, t->out->n_test};
  for (size_t i = 0; i < N_SPLITS; i++) {
    split *const s = &t->out->splits[i];
    if (n[i] == 0) continue;
    const ls_array x = {t->x_dtype, 2, {n[i], t->cols.n_features}};
    const ls_array y = {t->y_dtype, t->cols.n_labels > 1 ? 2 : 1, {n[i], t->cols.n_labels}};
    const ls_array w = {LS_F32, 1, {n[i]}};
    const bool has_weights = t->cols.weight < t->cols.n;
    LS_TRY(import_split_begin(
        t->out, i,
        (const ls_array *const[N_ARRAYS]){&x, t->cols.n_labels > 0 ? &y : NULL, has_weights ? &w : NULL}));
    LS_TRY(write_names(t, s));
  }
  return LS_OK;
}

static ls_status fail_changed(const table *t) {
  return ls_fail(LS_ERR_DATA, "%s: changed during the import; import it again", t->file.in.path);
}

/* Stores the cells of some columns in a row of the type. */
static ls_status write_cells(const table *t, const size_t *cells, size_t n, ls_dtype dtype, void *out) {
  double value = 0;
  for (size_t k = 0; k < n; k++) {
    LS_TRY(read_number(t, cells[k], &value));
    if (dtype == LS_F64)
      ((double *)out)[k] = value;
    else if (dtype == LS_I64)
      ((int64_t *)out)[k] = (int64_t)value;
    else
      ((float *)out)[k] = (float)value;
  }
  return LS_OK;
}

static ls_status write_labels(const table *t, void *out) {
  const label_entry *entry = NULL;
  if (t->set.kind != LABEL_CLASS) return write_cells(t, t->cols.labels, t->cols.n_labels, t->y_dtype, out);
  if (!import_labels_find(&t->set, import_csv_cell(&t->file, t->cols.labels[0]), &entry))
    return fail_changed(t);
  *(int64_t *)out = (int64_t)entry->class;
  return LS_OK;
}

/* Writes the row to its split. */
static ls_status write_row(table *t, uint64_t row) {
  if (row >= t->n_rows) return fail_changed(t);
  split *const s = &t->out->splits[import_is_test(t->out, row) ? SPLIT_TEST : SPLIT_TRAIN];
  void *to[N_ARRAYS];
  double weight = 0;
  import_split_next(s, to);
  LS_TRY(write_cells(t, t->cols.features, t->cols.n_features, t->x_dtype, to[ARRAY_X]));
  if (to[ARRAY_Y]) LS_TRY(write_labels(t, to[ARRAY_Y]));
  if (to[ARRAY_W]) {
    LS_TRY(read_weight(t, &weight));
    *(float *)to[ARRAY_W] = (float)weight;
  }
  return import_split_add(s, 1);
}

static ls_status convert(const char *const *sources, size_t n_sources, const ls_import_options *options,
                         output *out) {
  table t = {.sources = sources,
             .n_sources = n_sources,
             .open = n_sources,
             .out = out,
             .options = &options->table};
  uint64_t written = 0;
  ls_status status = import_labels_create(&t.set, sources[0], t.options->targets);
  for (size_t i = 0; status == LS_OK && i < n_sources; i++) status = import_check_foreign(sources[i]);
  if (status == LS_OK) status = open_table(&t, 0);
  if (status == LS_OK) status = survey(&t);
  if (status == LS_OK) status = import_choose_test(sources[0], t.n_rows, options->test_fraction, out);
  if (status == LS_OK) status = import_output_create(out);
  if (status == LS_OK) status = begin_splits(&t);
  if (status == LS_OK) status = open_table(&t, 0);
  if (status == LS_OK) print_choices(&t);
  if (status == LS_OK) status = visit_rows(&t, write_row, &written);
  if (status == LS_OK && written != t.n_rows) status = fail_changed(&t);
  out->n_classes = t.set.classes;
  free(t.ranges);
  import_labels_destroy(&t.set);
  import_columns_destroy(&t.cols);
  import_csv_close(&t.file);
  return status;
}

const import_format import_csv_format = {.convert = convert};
