/* Reads the numbers of a file and checks their ranges. */
#include "internal.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#define CONVERT(type)                                                                                      \
  for (size_t i = 0; i < n; i++) out[i] = (double)((const type *)array)[first + i];                        \
  break

void data_elements(const void *array, ls_dtype dtype, size_t first, size_t n, double *out) {
  switch (dtype) {
  case LS_U8: CONVERT(uint8_t);
  case LS_U16: CONVERT(uint16_t);
  case LS_U32: CONVERT(uint32_t);
  case LS_U64: CONVERT(uint64_t);
  case LS_I8: CONVERT(int8_t);
  case LS_I16: CONVERT(int16_t);
  case LS_I32: CONVERT(int32_t);
  case LS_I64: CONVERT(int64_t);
  case LS_F32: CONVERT(float);
  case LS_F64: CONVERT(double);
  case LS_TEXT: LS_ASSERT(!"a string has no value");
  }
}

double data_element(const void *array, ls_dtype dtype, size_t i) {
  double value = 0.0;
  data_elements(array, dtype, i, 1, &value);
  return value;
}

/* Bytes of one read, small enough to be in the cache when they are checked. */
#define BLOCK_BYTES ((size_t)4 << 20)

static bool fits_float(double v) {
  return fabs(v) <= (double)FLT_MAX; /* false for NaN */
}

/* Whether all n numbers fit float32. The compiler vectorises this check. */
static bool all_fit(const void *v, ls_dtype dtype, size_t n) {
  int bad = 0;
  if (dtype == LS_F32)
    for (size_t i = 0; i < n; i++) bad |= !(fabsf(((const float *)v)[i]) <= FLT_MAX);
  else
    for (size_t i = 0; i < n; i++) bad |= !(fabs(((const double *)v)[i]) <= (double)FLT_MAX);
  return bad == 0;
}

static ls_status check_inputs(const ls_store *store, const char *path, const ls_dataset *d,
                              const void *block, uint64_t first, size_t rows) {
  const size_t n = rows * d->n_features;
  const size_t *const columns = d->source->map.columns;
  const ls_dtype dtype = d->x_array.dtype;
  if ((dtype != LS_F32 && dtype != LS_F64) || all_fit(block, dtype, n)) return LS_OK;
  for (size_t i = 0; i < n; i++) {
    const double v = data_element(block, dtype, i);
    if (!fits_float(v))
      return ls_fail(LS_ERR_DATA,
                     "%s:%s: row %llu, feature %zu is %g; must be finite and within the range of float32",
                     ls_store_path(store), path, (unsigned long long)(first + i / d->n_features),
                     columns ? columns[i % d->n_features] : i % d->n_features, v);
  }
  return LS_OK;
}

/* Rows of the open file, numbered in it. */
static ls_status read_part(const ls_dataset *d, uint64_t first, uint64_t rows, void *x) {
  const ls_store *const store = d->source->store;
  const char *const path = d->source->names.x;
  const bool selects = d->source->map.columns != NULL;
  const size_t size = ls_dtype_size(d->x_array.dtype);
  const size_t row_bytes = d->n_features * size;
  size_t n_stored = 0;
  ls_array_row_size(&d->stored, &n_stored);
  const size_t at_once = ls_size_max(BLOCK_BYTES / (n_stored * size), 1);
  const size_t work_bytes = n_stored * size * (selects ? at_once : 1); /* rows of the file, or one */
  ls_status status = LS_OK;
  void *const work = ls_calloc(1, work_bytes);
  if (!work) return ls_fail_memory("samples", work_bytes);
  for (uint64_t done = 0; status == LS_OK && done < rows; done += at_once) {
    const size_t count = ls_size_min(at_once, rows - done);
    unsigned char *const block = (unsigned char *)x + done * row_bytes;
    status = ls_store_read_rows(store, path, first + done, count, selects ? work : block);
    if (status == LS_OK && selects) data_select_columns(d, count, work, block);
    if (status == LS_OK) status = check_inputs(store, path, d, block, first + done, count);
    if (status == LS_OK) data_layout_convert(d, count, block, work);
  }
  free(work);
  return status;
}

ls_status data_read_inputs(const ls_dataset *d, uint64_t first, uint64_t rows, void *x) {
  const data_files *const files = &d->source->files;
  const size_t row_bytes = d->n_features * ls_dtype_size(d->x_array.dtype);
  for (size_t i = data_files_find(files, first); rows > 0; i++) {
    const data_part *const part = &files->parts[i];
    const uint64_t count = ls_size_min(part->first + part->rows - first, rows);
    LS_TRY(data_source_open(d->source, i, &d->stored));
    LS_TRY(read_part(d, first - part->first, count, x));
    first += count;
    rows -= count;
    x = (unsigned char *)x + count * row_bytes;
  }
  return LS_OK;
}

/* Rows of an array in memory. */
typedef struct stored_block {
  size_t first, count; /* rows */
  void *data;          /* owned by the caller of open_stored, also after a failure */
} stored_block;

/* An array of rows of `cols` elements, which is read in blocks. */
typedef struct stored {
  const ls_store *store;
  const char *path;
  ls_array array;
  size_t cols, at_once; /* at_once: rows of a block */
  stored_block *block;  /* the latest */
} stored;

static ls_status open_stored(stored *s) {
  LS_TRY(ls_store_describe(s->store, s->path, &s->array));
  size_t row_bytes = 0;
  if (!ls_array_row_size(&s->array, &s->cols) ||
      !ls_size_mul(s->cols, ls_dtype_size(s->array.dtype), &row_bytes))
    return ls_fail(LS_ERR_DATA, "%s:%s: a row is larger than the address space of this machine",
                   ls_store_path(s->store), s->path);
  s->at_once = ls_size_max(BLOCK_BYTES / row_bytes, 1);
  s->block->data = ls_calloc(s->at_once, row_bytes);
  return s->block->data ? LS_OK : ls_fail_memory("the targets", s->at_once * row_bytes);
}

/* Reads the block that begins at a row, unless the row is in the current one. */
static ls_status reach(const stored *s, size_t row) {
  stored_block *const b = s->block;
  if (row >= b->first && row - b->first < b->count) return LS_OK;
  b->first = row;
  b->count = ls_size_min(s->at_once, s->array.dims[0] - row);
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

/* Rejects a label that is not a class number. Reports the range of all labels, and what would fit it.
 * has_names: n_classes is the number of names in the attribute `classes` */
static ls_status fail_label(const stored *y, size_t row, size_t n_classes, bool has_names) {
  const size_t n = y->array.dims[0];
  const double v = element(y, row);
  double low = INFINITY;
  double high = -INFINITY;
  bool is_whole = true;
  char remedy[256] = "replace the labels by class numbers from 0";
  for (size_t i = 0; i < n; i++) {
    LS_TRY(reach(y, i));
    const double label = element(y, i);
    low = fmin(low, label);
    high = fmax(high, label);
    is_whole = is_whole && label == floor(label);
  }
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
  const bool fits = is_label ? v >= 0.0 && v <= 1.0 : fits_float(v);
  if (!fits && is_label && y->cols == 1) return fail_label(y, i, 2, false);
  if (!fits)
    return ls_fail(LS_ERR_DATA, "%s:%s: row %zu, column %zu is %g; %s", ls_store_path(y->store), y->path,
                   i / y->cols, i % y->cols, v,
                   is_label ? "must be from 0 to 1 for binary_cross_entropy"
                            : "must be finite and within the range of float32");
  *value = v;
  return LS_OK;
}

/* Adds the weights of a file to *sum. */
static ls_status read_weights(stored *w, size_t n, float *weights, double *sum) {
  LS_TRY(open_stored(w));
  for (size_t i = 0; i < n; i++) {
    LS_TRY(reach(w, i));
    const double v = element(w, i);
    if (!(v >= 0.0 && v <= (double)FLT_MAX))
      return ls_fail(LS_ERR_DATA,
                     "%s:%s: row %zu: weight %g is out of range; must be finite and at least 0",
                     ls_store_path(w->store), w->path, i, v);
    weights[i] = (float)v;
    *sum += v;
  }
  return LS_OK;
}

/* Reads the class of a row as the model numbers it. */
static ls_status read_model_class(const ls_dataset *d, const stored *y, size_t row, int32_t *class) {
  const data_mapping *const map = &d->source->map;
  const bool has_names = map->values || (d->classes && d->n_classes < d->n_outputs);
  LS_TRY(read_class(y, row, has_names ? d->n_classes : d->n_outputs, has_names, class));
  double number = *class;
  LS_TRY(data_translate(d, row, &number));
  *class = (int32_t)number;
  return LS_OK;
}

/* Reads element i of y into the column of the model. Ignores columns that the model does not have. */
static ls_status read_model_value(const ls_dataset *d, const stored *y, size_t i, void *values) {
  const data_mapping *const map = &d->source->map;
  const bool has_columns = map->values && y->cols > 1;
  const double column = has_columns ? map->values[i % y->cols] : 0.0;
  if (isnan(column)) return LS_OK;
  const size_t at = has_columns ? i / y->cols * d->n_outputs + (size_t)column : i;
  double number = 0.0;
  LS_TRY(read_value(y, i, d->target == LS_TARGET_LABELS, &number));
  if (y->cols == 1) LS_TRY(data_translate(d, i, &number));
  if (d->value_type == LS_F64)
    ((double *)values)[at] = number;
  else
    ((float *)values)[at] = (float)number;
  return LS_OK;
}

/* The targets of a row of the open file. targets: of the dataset, from the first row of the file on */
static ls_status read_target(const ls_dataset *d, const stored *y, size_t row, void *targets) {
  LS_TRY(reach(y, row));
  if (d->target == LS_TARGET_CLASSES) return read_model_class(d, y, row, (int32_t *)targets + row);
  for (size_t i = row * y->cols; i < (row + 1) * y->cols; i++) LS_TRY(read_model_value(d, y, i, targets));
  return LS_OK;
}

/* The targets of the open file, of n samples. */
static ls_status read_part_targets(const ls_dataset *d, size_t n, void *targets) {
  stored_block block = {0};
  stored y = {.path = d->source->names.y, .block = &block};
  LS_TRY(data_source_y(d->source, &y.store));
  ls_status status = open_stored(&y);
  for (size_t i = 0; status == LS_OK && i < n; i++) status = read_target(d, &y, i, targets);
  free(block.data);
  return status;
}

static ls_status read_part_weights(const ls_dataset *d, size_t n, float *weights, double *sum) {
  stored_block block = {0};
  stored w = {.store = d->source->store, .path = d->source->names.w, .block = &block};
  const ls_status status = read_weights(&w, n, weights, sum);
  free(block.data);
  return status;
}

size_t data_y_bytes(const ls_dataset *d) {
  return d->target == LS_TARGET_CLASSES ? sizeof(int32_t) : d->n_outputs * ls_dtype_size(d->value_type);
}

ls_status data_read_targets(const ls_dataset *d, void *targets, float *weights) {
  const data_files *const files = &d->source->files;
  double sum = 0.0;
  for (size_t i = 0; i < files->n; i++) {
    const data_part *const part = &files->parts[i];
    LS_TRY(data_source_open(d->source, i, &d->stored));
    LS_TRY(read_part_targets(d, part->rows, (unsigned char *)targets + part->first * data_y_bytes(d)));
    if (d->has_weights) LS_TRY(read_part_weights(d, part->rows, weights + part->first, &sum));
  }
  if (sum > 0.0 || !d->has_weights) return LS_OK;
  return ls_fail(LS_ERR_DATA, "%s:%s: all weights are 0; at least one must be positive",
                 files->parts[0].file, files->parts[0].names.w);
}
