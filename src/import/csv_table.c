/* Imports CSV files, which follow each other, in two passes: the first checks cells and collects ranges and
 * labels, the second writes. */
#include "table.h"

#include <stdlib.h>
#include <string.h>

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
  LS_TRY(find_columns(t));
  t->file.width = t->cols.n;
  return LS_OK;
}

/* Adds the file of a split, unless its columns differ. */
static ls_status add_part(table *t, const char *path, size_t which) {
  if (!path) return LS_OK;
  t->sources[t->n_sources] = path;
  t->parts[t->n_sources - t->n_train] = which;
  const ls_status status = open_table(t, t->n_sources);
  if (status == LS_OK) t->n_sources++;
  if (status != LS_ERR_DATA && status != LS_ERR_CONFIG) return status;
  ls_log(LS_LOG_WARNING, "not used as %s data: %s", import_split_names[which] + 1, ls_message());
  t->open = SIZE_MAX;
  return LS_OK;
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
    const bool leaves_out = import_table_leaves_out(t);
    t->n_left_out += leaves_out;
    if (!leaves_out) LS_TRY(visit(t, (*count)++));
  }
}

/* A pass: calls `visit` for each row of samples, after checking its width, and counts the rows. Rows that
 * are left out for a missing cell do not count. */
static ls_status visit_rows(table *t, ls_status (*visit)(table *t, uint64_t row), uint64_t *count) {
  *count = t->n_left_out = 0;
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

static ls_status fail_changed(const table *t) {
  return ls_fail(LS_ERR_DATA, "%s: changed during the import; import it again", t->file.in.path);
}

/* ---------------------------------------------------------------- the first pass */

static ls_status collect_row(table *t, uint64_t row) {
  (void)row;
  t->n_split[import_table_split(t)]++;
  report_position(t);
  return import_table_collect(t);
}

static ls_status survey(table *t) {
  t->ranges = ls_calloc(t->cols.n_labels, sizeof *t->ranges);
  if (!t->ranges) return ls_fail_memory("the ranges of labels", t->cols.n_labels * sizeof *t->ranges);
  LS_TRY(visit_rows(t, collect_row, &t->n_rows));
  return import_table_finish(t);
}

/* Adds a row that remains in the training data to the means. */
static ls_status add_to_means(table *t, uint64_t row) {
  if (row >= t->n_rows) return fail_changed(t);
  if (import_table_split(t) != SPLIT_TRAIN || import_is_test(t->out, row)) return LS_OK;
  for (size_t k = 0; k < t->cols.n_features; k++) {
    encoding *const e = &t->cols.encodings[k];
    double value = 0;
    if (e->n_words > 0 || import_table_is_missing(t, t->cols.features[k])) continue;
    LS_TRY(import_table_read_number(t, t->cols.features[k], &value));
    e->n_mean++;
    e->mean += (value - e->mean) / (double)e->n_mean;
  }
  return LS_OK;
}

/* Computes the means again if rows of the sources of the training data became test data. */
static ls_status exclude_test(table *t) {
  uint64_t n = 0;
  if (t->out->n_test == 0 || !import_table_has_means(t)) return LS_OK;
  for (size_t k = 0; k < t->cols.n_features; k++) t->cols.encodings[k].mean = 0;
  for (size_t k = 0; k < t->cols.n_features; k++) t->cols.encodings[k].n_mean = 0;
  LS_TRY(visit_rows(t, add_to_means, &n));
  return import_table_check_means(t);
}

/* --------------------------------------------------------------- the second pass */

/* Writes the names of features and classes as attributes. */
static ls_status write_names(const table *t, split *s) {
  if (t->cols.x_names)
    LS_TRY(
        import_split_set_texts(s, ARRAY_X, "features", (const char *const *)t->cols.x_names, t->cols.n_x));
  if (t->set.kind != LABEL_CLASS) return LS_OK;
  return import_split_set_texts(s, ARRAY_Y, "classes", (const char *const *)t->set.names, t->set.classes);
}

static ls_status begin_splits(table *t) {
  uint64_t n[N_SPLITS];
  memcpy(n, t->n_split, sizeof n);
  n[SPLIT_TRAIN] -= t->out->n_test;
  n[SPLIT_TEST] += t->out->n_test;
  for (size_t i = 0; i < N_SPLITS; i++) {
    split *const s = &t->out->splits[i];
    if (n[i] == 0) continue;
    const ls_array x = {t->x_dtype, 2, {n[i], t->cols.n_x}};
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

/* Stores element k of a row of the type. */
static void put(ls_dtype dtype, void *out, size_t k, double value) {
  if (dtype == LS_F64)
    ((double *)out)[k] = value;
  else if (dtype == LS_I64)
    ((int64_t *)out)[k] = (int64_t)value;
  else
    ((float *)out)[k] = (float)value;
}

static ls_status write_words(const table *t, size_t k, void *out) {
  const encoding *const e = &t->cols.encodings[k];
  const category *found = NULL;
  LS_TRY(import_table_find_word(t, k, &found));
  for (size_t i = 0; i < e->n_words; i++)
    put(t->x_dtype, out, e->words[i].feature, found == &e->words[i] ? 1.0 : 0.0);
  return LS_OK;
}

static ls_status write_features(const table *t, void *out) {
  for (size_t k = 0; k < t->cols.n_features; k++) {
    const encoding *const e = &t->cols.encodings[k];
    double value = 0;
    if (e->n_words > 0) {
      LS_TRY(write_words(t, k, out));
      continue;
    }
    if (import_table_is_missing(t, t->cols.features[k]) && t->options->missing != LS_MISSING_REJECT)
      value = import_table_replacement(t, k);
    else
      LS_TRY(import_table_read_number(t, t->cols.features[k], &value));
    put(t->x_dtype, out, e->feature, value);
  }
  return LS_OK;
}

static ls_status write_labels(const table *t, void *out) {
  const label_entry *entry = NULL;
  for (size_t k = 0; k < t->cols.n_labels && t->set.kind != LABEL_CLASS; k++) {
    double value = 0;
    LS_TRY(import_table_read_number(t, t->cols.labels[k], &value));
    put(t->y_dtype, out, k, value);
  }
  if (t->set.kind != LABEL_CLASS) return LS_OK;
  if (!import_labels_find(&t->set, import_csv_cell(&t->file, t->cols.labels[0]), &entry))
    return fail_changed(t);
  *(int64_t *)out = (int64_t)entry->class;
  return LS_OK;
}

/* Writes the row to its split. */
static ls_status write_row(table *t, uint64_t row) {
  if (row >= t->n_rows) return fail_changed(t);
  const size_t which = import_table_split(t);
  const bool is_test = which == SPLIT_TRAIN && import_is_test(t->out, row);
  split *const s = &t->out->splits[is_test ? SPLIT_TEST : which];
  void *to[N_ARRAYS];
  double weight = 0;
  import_split_next(s, to);
  LS_TRY(write_features(t, to[ARRAY_X]));
  if (to[ARRAY_Y]) LS_TRY(write_labels(t, to[ARRAY_Y]));
  if (to[ARRAY_W]) {
    LS_TRY(import_table_read_weight(t, &weight));
    *(float *)to[ARRAY_W] = (float)weight;
  }
  return import_split_add(s, 1);
}

/* Opens the first file, which decides the columns. */
static ls_status start(table *t, const char *const *sources, const ls_import_options *options) {
  LS_TRY(import_labels_create(&t->set, sources[0], t->options->targets));
  t->set.is_table = true;
  t->sources = ls_calloc(t->n_sources + N_SPLITS, sizeof *t->sources);
  if (!t->sources) return ls_fail_memory("the list of sources", t->n_sources * sizeof *t->sources);
  for (size_t i = 0; i < t->n_sources; i++) {
    t->sources[i] = sources[i];
    LS_TRY(import_check_foreign(sources[i]));
  }
  LS_TRY(open_table(t, 0));
  LS_TRY(add_part(t, options->test, SPLIT_TEST));
  return add_part(t, options->validation, SPLIT_VALIDATION);
}

static ls_status convert(const char *const *sources, size_t n_sources, const ls_import_options *options,
                         output *out) {
  ls_table_options own = options->table;
  if (own.fills && own.missing == LS_MISSING_REJECT) own.missing = LS_MISSING_MEAN;
  table t = {.n_sources = n_sources, .n_train = n_sources, .open = SIZE_MAX, .out = out, .options = &own};
  uint64_t written = 0;
  ls_status status = start(&t, sources, options);
  if (status == LS_OK) status = survey(&t);
  if (status == LS_OK)
    status = import_choose_test(sources[0], t.n_split[SPLIT_TRAIN], options->test_fraction, out);
  if (status == LS_OK) status = exclude_test(&t);
  if (status == LS_OK) status = import_output_create(out);
  if (status == LS_OK) status = begin_splits(&t);
  if (status == LS_OK) status = open_table(&t, 0);
  if (status == LS_OK) import_table_report(&t);
  if (status == LS_OK) status = visit_rows(&t, write_row, &written);
  if (status == LS_OK && written != t.n_rows) status = fail_changed(&t);
  out->n_classes = t.set.classes;
  out->n_missing = t.missing.n;
  free((void *)t.sources);
  free(t.missing.first);
  free(t.ranges);
  import_labels_destroy(&t.set);
  import_columns_destroy(&t.cols);
  import_csv_close(&t.file);
  return status;
}

const import_format import_csv_format = {.convert = convert};
