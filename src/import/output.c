/* Writes the dataset: a group for each split, with x and y, block by block. */
#include "internal.h"

#include <stdlib.h>

#define BLOCK    ((size_t)1 << 20) /* bytes of x */
#define ROW_MOST ((size_t)256 << 20)

const char *const import_split_names[N_SPLITS] = {"/train", "/test", "/validation"};

static ls_status row_bytes(const ls_array *array, const char *name, size_t *bytes) {
  char text[128];
  if (ls_array_row_size(array, bytes) && ls_size_mul(*bytes, ls_dtype_size(array->dtype), bytes) &&
      *bytes <= ROW_MOST)
    return LS_OK;
  return ls_fail(LS_ERR_DATA, "%s: %s: a sample is too large; must be at most %zu MiB", name,
                 ls_array_describe(array, text, sizeof text), ROW_MOST >> 20);
}

static ls_status allocate(split *s) {
  s->capacity = ls_size_max(1, BLOCK / ls_size_max(1, s->x_size));
  s->x_rows = ls_calloc(s->capacity, s->x_size);
  s->y_rows = ls_calloc(s->capacity, s->y_size);
  if (s->x_rows && s->y_rows) return LS_OK;
  return ls_fail_memory("a block of samples", s->capacity * (s->x_size + s->y_size));
}

ls_status import_split_begin(output *out, size_t which, const ls_array *x, const ls_array *y) {
  static const char *const x_paths[N_SPLITS] = {"/train/x", "/test/x", "/validation/x"};
  static const char *const w_paths[N_SPLITS] = {"/train/w", "/test/w", "/validation/w"};
  static const char *const y_paths[N_SPLITS] = {"/train/y", "/test/y", "/validation/y"};
  split *const s = &out->splits[which];
  *s = (split){.writer = out->writer,
               .x_path = x_paths[which],
               .y_path = y_paths[which],
               .w_path = w_paths[which],
               .x = *x,
               .has_y = y != NULL};
  LS_TRY(row_bytes(x, "x", &s->x_size));
  if (y) LS_TRY(row_bytes(y, "y", &s->y_size));
  LS_TRY(allocate(s));
  LS_TRY(ls_store_begin_array(s->writer, s->x_path, x));
  return y ? ls_store_begin_array(s->writer, s->y_path, y) : LS_OK;
}

ls_status import_split_begin_weights(split *s) {
  const ls_array w = {LS_F32, 1, {s->x.dims[0]}};
  s->w_rows = ls_calloc(s->capacity, sizeof *s->w_rows);
  if (!s->w_rows) return ls_fail_memory("a block of weights", s->capacity * sizeof *s->w_rows);
  return ls_store_begin_array(s->writer, s->w_path, &w);
}

size_t import_split_next(const split *s, void **x, void **y) {
  *x = s->x_rows + s->filled * s->x_size;
  *y = s->y_rows + s->filled * s->y_size;
  return s->capacity - s->filled;
}

static ls_status write_block(split *s) {
  const size_t rows = s->filled;
  s->filled = 0;
  if (rows == 0) return LS_OK;
  LS_TRY(ls_store_append(s->writer, s->x_path, rows, s->x_rows));
  if (s->w_rows) LS_TRY(ls_store_append(s->writer, s->w_path, rows, s->w_rows));
  return s->has_y ? ls_store_append(s->writer, s->y_path, rows, s->y_rows) : LS_OK;
}

ls_status import_split_add(split *s, size_t count) {
  LS_ASSERT(count <= s->capacity - s->filled);
  s->filled += count;
  s->n_rows += count;
  return s->filled == s->capacity ? write_block(s) : LS_OK;
}

ls_status import_output_create(output *out) {
  return ls_store_create(out->path, false, &out->writer);
}

ls_status import_output_finish(output *out) {
  for (size_t i = 0; i < N_SPLITS; i++) LS_TRY(write_block(&out->splits[i]));
  return LS_OK;
}

void import_output_destroy(output *out) {
  ls_store_discard(&out->writer);
  for (size_t i = 0; i < N_SPLITS; i++) {
    free(out->splits[i].x_rows);
    free(out->splits[i].y_rows);
    free(out->splits[i].w_rows);
  }
  *out = (output){0};
}
