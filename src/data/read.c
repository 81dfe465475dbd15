/* Converts numbers; reads x and checks its range. */
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

bool data_fits_float(double v) {
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

static ls_status check_inputs(const data_source *s, const ls_dataset *d, const void *block, uint64_t first,
                              size_t rows) {
  const size_t n = rows * d->n_features;
  const size_t *const columns = d->source->map.columns;
  const ls_dtype dtype = d->x_array.dtype;
  if ((dtype != LS_F32 && dtype != LS_F64) || all_fit(block, dtype, n)) return LS_OK;
  for (size_t i = 0; i < n; i++) {
    const double v = data_element(block, dtype, i);
    if (!data_fits_float(v))
      return ls_fail(LS_ERR_DATA,
                     "%s:%s: row %llu, feature %zu is %g; must be finite and within the range of float32",
                     ls_store_path(s->store), s->names.x, (unsigned long long)(first + i / d->n_features),
                     columns ? columns[i % d->n_features] : i % d->n_features, v);
  }
  return LS_OK;
}

/* Rows of the open file, numbered in it. */
static ls_status read_part(const ls_dataset *d, const data_source *s, uint64_t first, uint64_t rows,
                           void *x) {
  const bool selects = d->source->map.columns != NULL;
  const size_t size = ls_dtype_size(d->x_array.dtype);
  const size_t row_bytes = d->n_features * size;
  size_t n_stored = 0;
  ls_array_row_size(&d->stored, &n_stored);
  const size_t at_once = ls_size_max(DATA_READ_BYTES / (n_stored * size), 1);
  const size_t work_bytes = n_stored * size * (selects ? at_once : 1); /* rows of the file, or one */
  ls_status status = LS_OK;
  void *const work = ls_calloc(1, work_bytes);
  if (!work) return ls_fail_memory("samples", work_bytes);
  for (uint64_t done = 0; status == LS_OK && done < rows; done += at_once) {
    const size_t count = ls_size_min(at_once, rows - done);
    unsigned char *const block = (unsigned char *)x + done * row_bytes;
    status = ls_store_read_rows(s->store, s->names.x, first + done, count, selects ? work : block);
    if (status == LS_OK && selects) data_select_columns(d, count, work, block);
    if (status == LS_OK) status = check_inputs(s, d, block, first + done, count);
    if (status == LS_OK) data_layout_convert(d, count, block, work);
  }
  free(work);
  return status;
}

ls_status data_read_inputs(const ls_dataset *d, data_source *s, uint64_t first, uint64_t rows, void *x) {
  const data_files *const files = &s->files;
  const size_t row_bytes = d->n_features * ls_dtype_size(d->x_array.dtype);
  for (size_t i = data_files_find(files, first); rows > 0; i++) {
    const data_part *const part = &files->parts[i];
    const uint64_t count = ls_size_min(part->first + part->rows - first, rows);
    LS_TRY(data_source_open(s, i, &d->stored));
    LS_TRY(read_part(d, s, first - part->first, count, x));
    first += count;
    rows -= count;
    x = (unsigned char *)x + count * row_bytes;
  }
  return LS_OK;
}
