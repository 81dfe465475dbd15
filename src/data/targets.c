/* Reads y and w, and checks their ranges. */
#include "internal.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

/* Rows of an array in memory. */
typedef struct stored_block {
  size_t first, count; /* rows */
  void *data;          /* owned by the caller of open_stored, also after a failure */
} stored_block;

/* An array of rows of `cols` elements, which is read in blocks. */
typedef struct stored {
  const ls_store *store;
  const char *path;
  size_t first, end; /* rows to read */
  ls_array array;
  size_t cols, at_once; /* at_once: rows of a block */
  bool is_brief;        /* see data_source */
  stored_block *block;  /* the latest */
} stored;

/* The block holds the rows to read, or as many of them as have DATA_READ_BYTES. */
static ls_status open_stored(stored *s) {
  LS_TRY(ls_store_describe(s->store, s->path, &s->array));
  size_t row_bytes = 0;
  if (!ls_array_row_size(&s->array, &s->cols) ||
      !ls_size_mul(s->cols, ls_dtype_size(s->array.dtype), &row_bytes))
    return ls_fail(LS_ERR_DATA, "%s:%s: a row is larger than the address space of this machine",
                   ls_store_path(s->store), s->path);
  s->at_once = ls_size_max(ls_size_min(DATA_READ_BYTES / row_bytes, s->end - s->first), 1);
  s->block->data = ls_calloc(s->at_once, row_bytes);
  return s->block->data ? LS_OK : ls_fail_memory("the targets", s->at_once * row_bytes);
}

/* Reads the block that begins at a row to read, unless the row is in the current one. */
static ls_status reach(const stored *s, size_t row) {
  stored_block *const b = s->block;
  if (row >= b->first && row - b->first < b->count) return LS_OK;
  LS_ASSERT(row >= s->first && row < s->end);
  b->first = row;
  b->count = ls_size_min(s->at_once, s->end - row);
  return ls_store_read_rows(s->store, s->path, row, b->count, b->data);
}

/* An element of a row that was reached. */
static double element(const stored *s, size_t i) {
  return data_element(s->block->data, s->array.dtype, i - s->block->first * s->cols);
}

/* The class of a one-hot row, or -1. */
static int32_t hot_column(const stored *y, size_t row) {
  int32_t hot = -1;
  for (size_t k = 0; k < y->cols; k++) {
    const double v = element(y, row * y->cols + k);
    if (v == 1.0 && hot < 0)
      hot = (int32_t)k;
    else if (v != 0.0)
      return -1;
  }
  return hot;
}

static ls_status fail_label_briefly(const stored *y, size_t row, size_t n_classes) {
  return ls_fail(LS_ERR_DATA, "%s:%s: row %zu: label %g is not a class number; must be from 0 to %zu",
                 ls_store_path(y->store), y->path, row, element(y, row), n_classes - 1);
}

/* The range of all labels of an array. */
typedef struct label_range {
  double low, high;
  bool is_whole; /* all are whole numbers */
} label_range;

static ls_status measure_labels(const stored *y, label_range *range) {
  stored_block block = {0};
  stored all = {.store = y->store, .path = y->path, .end = y->array.dims[0], .block = &block};
  *range = (label_range){.low = INFINITY, .high = -INFINITY, .is_whole = true};
  ls_status status = open_stored(&all);
  for (size_t i = 0; status == LS_OK && i < all.end; i++) {
    status = reach(&all, i);
    if (status != LS_OK) break;
    const double label = element(&all, i);
    range->low = fmin(range->low, label);
    range->high = fmax(range->high, label);
    range->is_whole = range->is_whole && label == floor(label);
  }
  free(block.data);
  return status;
}

/* Rejects a label that is not a class number. Reports the range of all labels, and what would fit it.
 * has_names: n_classes is the number of names in the attribute `classes` */
static ls_status fail_label(const stored *y, size_t row, size_t n_classes, bool has_names) {
  const double v = element(y, row);
  label_range range;
  char remedy[256] = "replace the labels by class numbers from 0";
  if (y->is_brief) return fail_label_briefly(y, row, n_classes);
  LS_TRY(measure_labels(y, &range));
  const double low = range.low;
  const double high = range.high;
  const bool is_whole = range.is_whole;
  if (is_whole && low == 0.0 && has_names)
    snprintf(remedy, sizeof remedy,
             "list a name for each class, %g, in the attribute `classes`, or remove it", high + 1.0);
  else if (is_whole && low == 0.0)
    snprintf(remedy, sizeof remedy, "set units of the last layer to the number of classes, %g", high + 1.0);
  else if (is_whole && low > 0.0 && high - low < (double)n_classes)
    snprintf(remedy, sizeof remedy, "subtract %g from y", low);
  else if (is_whole && low == -1.0 && high == 1.0)
    snprintf(remedy, sizeof remedy, "replace the labels -1 and 1 by 0 and 1");
  return ls_fail(LS_ERR_DATA,
                 "%s:%s: row %zu: label %g is %s; must be from 0 to %zu; the labels are from %g to %g; %s",
                 ls_store_path(y->store), y->path, row, v,
                 v == floor(v) ? "out of range" : "not a whole number", n_classes - 1, low, high, remedy);
}

static ls_status read_class(const stored *y, size_t row, size_t n_classes, bool has_names, int32_t *class) {
  if (y->cols > 1) {
    *class = hot_column(y, row);
    if (*class >= 0) return LS_OK;
    return ls_fail(LS_ERR_DATA, "%s:%s: row %zu is not one-hot; must be a single 1, and 0 elsewhere",
                   ls_store_path(y->store), y->path, row);
  }
  const double v = element(y, row);
  if (!(v >= 0.0 && v < (double)n_classes && v == floor(v)))
    return fail_label(y, row, n_classes, has_names);
  *class = (int32_t)v;
  return LS_OK;
}

static ls_status read_value(const stored *y, size_t i, bool is_label, double *value) {
  const double v = element(y, i);
  const bool fits = is_label ? v >= 0.0 && v <= 1.0 : data_fits_float(v);
  if (!fits && is_label && y->cols == 1) return fail_label(y, i, 2, false);
  if (!fits)
    return ls_fail(LS_ERR_DATA, "%s:%s: row %zu, column %zu is %g; %s", ls_store_path(y->store), y->path,
                   i / y->cols, i % y->cols, v,
                   is_label ? "must be from 0 to 1 for binary_cross_entropy"
                            : "must be finite and within the range of float32");
  *value = v;
  return LS_OK;
}

/* Reads the class of a row as the model numbers it. */
static ls_status read_model_class(const ls_dataset *d, const data_source *s, const stored *y, size_t row,
                                  int32_t *class) {
  const data_mapping *const map = &s->map;
  LS_TRY(read_class(y, row, map->n_labels, map->has_names, class));
  double number = *class;
  LS_TRY(data_translate(d, s, row, &number));
  *class = (int32_t)number;
  return LS_OK;
}

/* Reads element i of y into the column of the model, of the targets `values` of its row. Ignores columns
 * that the model does not have. */
static ls_status read_model_value(const ls_dataset *d, const data_source *s, const stored *y, size_t i,
                                  void *values) {
  const data_mapping *const map = &s->map;
  const double column = map->values && y->cols > 1 ? map->values[i % y->cols] : (double)(i % y->cols);
  if (isnan(column)) return LS_OK;
  double number = 0.0;
  LS_TRY(read_value(y, i, d->target == LS_TARGET_LABELS, &number));
  if (y->cols == 1) LS_TRY(data_translate(d, s, i, &number));
  if (d->value_type == LS_F64)
    ((double *)values)[(size_t)column] = number;
  else
    ((float *)values)[(size_t)column] = (float)number;
  return LS_OK;
}

/* Reads the targets of a row of the open file. */
static ls_status read_target(const ls_dataset *d, const data_source *s, const stored *y, size_t row,
                             void *target) {
  LS_TRY(reach(y, row));
  if (d->target == LS_TARGET_CLASSES) return read_model_class(d, s, y, row, target);
  for (size_t k = 0; k < y->cols; k++) LS_TRY(read_model_value(d, s, y, row * y->cols + k, target));
  return LS_OK;
}

/* Rows of the open file, numbered in it. */
static ls_status read_part_targets(const ls_dataset *d, data_source *s, size_t first, size_t n,
                                   unsigned char *targets) {
  stored_block block = {0};
  stored y = {
      .path = s->names.y, .first = first, .end = first + n, .block = &block, .is_brief = s->is_brief};
  LS_TRY(data_source_y(s, &y.store));
  ls_status status = open_stored(&y);
  for (size_t i = 0; status == LS_OK && i < n; i++)
    status = read_target(d, s, &y, first + i, targets + i * data_y_bytes(d));
  free(block.data);
  return status;
}

size_t data_y_bytes(const ls_dataset *d) {
  return d->target == LS_TARGET_CLASSES ? sizeof(int32_t) : d->n_outputs * ls_dtype_size(d->value_type);
}

ls_status data_read_targets(const ls_dataset *d, data_source *s, uint64_t first, uint64_t rows, void *y) {
  for (size_t i = data_files_find(&s->files, first); rows > 0; i++) {
    const data_part *const part = &s->files.parts[i];
    const uint64_t count = ls_size_min(part->first + part->rows - first, rows);
    LS_TRY(data_source_open(s, i, &d->stored));
    LS_TRY(read_part_targets(d, s, first - part->first, count, y));
    first += count;
    rows -= count;
    y = (unsigned char *)y + count * data_y_bytes(d);
  }
  return LS_OK;
}

/* ------------------------------------------------------------------------- weights */

/* Rows of the open file, numbered in it. */
static ls_status read_part_weights(const stored *w, float *weights) {
  for (size_t i = w->first; i < w->end; i++) {
    LS_TRY(reach(w, i));
    const double v = element(w, i);
    if (!(v >= 0.0 && v <= (double)FLT_MAX))
      return ls_fail(LS_ERR_DATA,
                     "%s:%s: row %zu: weight %g is out of range; must be finite and at least 0",
                     ls_store_path(w->store), w->path, i, v);
    weights[i - w->first] = (float)v;
  }
  return LS_OK;
}

ls_status data_read_weights(const ls_dataset *d, data_source *s, uint64_t first, uint64_t rows, float *w) {
  for (size_t i = data_files_find(&s->files, first); rows > 0; i++) {
    const data_part *const part = &s->files.parts[i];
    const uint64_t count = ls_size_min(part->first + part->rows - first, rows);
    stored_block block = {0};
    LS_TRY(data_source_open(s, i, &d->stored));
    stored open = {.store = s->store,
                   .path = s->names.w,
                   .first = first - part->first,
                   .end = first - part->first + count,
                   .block = &block};
    ls_status status = open_stored(&open);
    if (status == LS_OK) status = read_part_weights(&open, w);
    free(block.data);
    LS_TRY(status);
    first += count;
    rows -= count;
    w += count;
  }
  return LS_OK;
}
