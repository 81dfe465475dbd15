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

/* Bytes of one read: whole chunks, small enough to be in the cache when they are checked. */
#define BLOCK_BYTES ((size_t)4 << 20)

/* The sum of v * 0 is 0 exactly if all v are finite. The compiler vectorises this check. */
static bool all_finite_f32(const float *v, size_t n) {
  float sum = 0.0F;
  for (size_t i = 0; i < n; i++) sum += v[i] * 0.0F;
  return sum == 0.0F;
}

static bool fits_float(double v) {
  return fabs(v) <= (double)FLT_MAX; /* false for NaN */
}

static ls_status check_inputs(const ls_store *store, const char *path, const ls_dataset *d,
                              const void *block, uint64_t first, size_t rows) {
  const size_t n = rows * d->n_features;
  const ls_dtype dtype = d->x_array.dtype;
  if (dtype != LS_F32 && dtype != LS_F64) return LS_OK;
  if (dtype == LS_F32 && all_finite_f32(block, n)) return LS_OK;
  for (size_t i = 0; i < n; i++) {
    const double v = data_element(block, dtype, i);
    if (!fits_float(v))
      return ls_fail(LS_ERR_DATA,
                     "%s:%s: row %llu, feature %zu is %g; must be finite and within the range of float32",
                     ls_store_path(store), path, (unsigned long long)(first + i / d->n_features),
                     i % d->n_features, v);
  }
  return LS_OK;
}

ls_status data_read_inputs(const ls_dataset *d, uint64_t first, uint64_t rows, void *x) {
  const ls_store *const store = d->source->store;
  const char *const path = d->source->names.x;
  const size_t row_bytes = d->n_features * ls_dtype_size(d->x_array.dtype);
  const size_t at_once = ls_size_max(BLOCK_BYTES / row_bytes, 1);
  for (uint64_t done = 0; done < rows; done += at_once) {
    const size_t count = ls_size_min(at_once, rows - done);
    unsigned char *const block = (unsigned char *)x + done * row_bytes;
    ls_status status = ls_store_read_rows(store, path, first + done, count, block);
    if (status == LS_OK) status = check_inputs(store, path, d, block, first + done, count);
    if (status != LS_OK) return status;
  }
  return LS_OK;
}

/* Reads a whole array of rows of *cols elements. The caller frees *out, also after a failure. */
static ls_status read_whole(const ls_store *store, const char *path, ls_array *array, size_t *cols,
                            void **out) {
  size_t count = 0;
  LS_TRY(ls_store_describe(store, path, array));
  if (!ls_array_row_size(array, cols) || !ls_size_mul(array->dims[0], *cols, &count))
    return ls_fail(LS_ERR_DATA, "%s:%s: the array is larger than the address space of this machine",
                   ls_store_path(store), path);
  *out = ls_calloc(count, ls_dtype_size(array->dtype));
  if (!*out) return ls_fail_memory("the targets", count * ls_dtype_size(array->dtype));
  return ls_store_read_rows(store, path, 0, array->dims[0], *out);
}

static ls_status fail_label(const ls_store *store, const char *path, size_t row, double v,
                            size_t n_classes) {
  return ls_fail(
      LS_ERR_DATA,
      "%s:%s: row %zu: label %g is %s; must be from 0 to %zu; set units of the last layer to the "
      "number of classes",
      ls_store_path(store), path, row, v, v == floor(v) ? "out of range" : "not a whole number",
      n_classes - 1);
}

/* The class of a one-hot row, or -1. */
static int32_t hot_column(const void *y, ls_dtype dtype, size_t row, size_t cols) {
  int32_t hot = -1;
  for (size_t k = 0; k < cols; k++) {
    const double v = data_element(y, dtype, row * cols + k);
    if (v == 1.0 && hot < 0)
      hot = (int32_t)k;
    else if (v != 0.0)
      return -1;
  }
  return hot;
}

static ls_status read_classes(const ls_store *store, const char *path, const ls_array *array, size_t cols,
                              const void *y, const ls_dataset *d, int32_t *classes) {
  for (size_t i = 0; i < d->n_samples; i++) {
    if (cols > 1) {
      classes[i] = hot_column(y, array->dtype, i, cols);
      if (classes[i] < 0)
        return ls_fail(LS_ERR_DATA, "%s:%s: row %zu is not one-hot; must be a single 1, and 0 elsewhere",
                       ls_store_path(store), path, i);
      continue;
    }
    const double v = data_element(y, array->dtype, i);
    if (!(v >= 0.0 && v < (double)d->n_outputs && v == floor(v)))
      return fail_label(store, path, i, v, d->n_outputs);
    classes[i] = (int32_t)v;
  }
  return LS_OK;
}

static ls_status read_values(const ls_store *store, const char *path, const ls_array *array, size_t cols,
                             const void *y, const ls_dataset *d, float *values) {
  const bool is_label = d->target == LS_TARGET_LABELS;
  for (size_t i = 0; i < d->n_samples * cols; i++) {
    const double v = data_element(y, array->dtype, i);
    if (is_label ? !(v >= 0.0 && v <= 1.0) : !fits_float(v))
      return ls_fail(LS_ERR_DATA, "%s:%s: row %zu, column %zu is %g; %s", ls_store_path(store), path,
                     i / cols, i % cols, v,
                     is_label ? "must be from 0 to 1 for binary_cross_entropy"
                              : "must be finite and within the range of float32");
    values[i] = (float)v;
  }
  return LS_OK;
}

static ls_status read_weights(const ls_store *store, const char *path, size_t n, float *weights) {
  ls_array array;
  size_t cols = 0;
  void *w = NULL;
  double sum = 0.0;
  ls_status status = read_whole(store, path, &array, &cols, &w);
  for (size_t i = 0; status == LS_OK && i < n; i++) {
    const double v = data_element(w, array.dtype, i);
    if (!(v >= 0.0 && v <= (double)FLT_MAX))
      status =
          ls_fail(LS_ERR_DATA, "%s:%s: row %zu: weight %g is out of range; must be finite and at least 0",
                  ls_store_path(store), path, i, v);
    weights[i] = (float)v;
    sum += v;
  }
  if (status == LS_OK && !(sum > 0.0))
    status = ls_fail(LS_ERR_DATA, "%s:%s: all weights are 0; at least one must be positive",
                     ls_store_path(store), path);
  free(w);
  return status;
}

ls_status data_read_targets(const ls_dataset *d, void *y, float *w) {
  const ls_store *const store = d->source->store;
  const data_names *const names = &d->source->names;
  ls_array array;
  size_t cols = 0;
  void *stored = NULL;
  ls_status status = read_whole(store, names->y, &array, &cols, &stored);
  if (status == LS_OK)
    status = d->target == LS_TARGET_CLASSES ? read_classes(store, names->y, &array, cols, stored, d, y)
                                            : read_values(store, names->y, &array, cols, stored, d, y);
  if (status == LS_OK && d->has_weights) status = read_weights(store, names->w, d->n_samples, w);
  free(stored);
  return status;
}
