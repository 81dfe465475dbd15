/* Writes the dataset: /train and /test, each with x and y, block by block. */
#include "internal.h"

#include <stdlib.h>

#define BLOCK           ((size_t)1 << 20) /* bytes of x */
#define ROW_MOST        ((size_t)256 << 20)
#define PATH_MAX_LENGTH 16

const char *const import_split_names[N_SPLITS] = {"/train", "/test"};

static const char *path_of(const split *s, const char *name, char path[PATH_MAX_LENGTH]) {
  snprintf(path, PATH_MAX_LENGTH, "%s/%s", s->name, name);
  return path;
}

static bool row_bytes(const ls_array *array, size_t *bytes) {
  return ls_array_row_size(array, bytes) && ls_size_mul(*bytes, ls_dtype_size(array->dtype), bytes) &&
         *bytes <= ROW_MOST;
}

static ls_status allocate(split *s) {
  char text[128];
  if (!row_bytes(&s->x, &s->x_size))
    return ls_fail(LS_ERR_DATA, "x is %s: a sample has more than %zu MiB",
                   ls_array_describe(&s->x, text, sizeof text), ROW_MOST >> 20);
  s->y_size = s->has_y ? ls_dtype_size(s->y.dtype) : 0;
  s->capacity = ls_size_max(1, BLOCK / ls_size_max(1, s->x_size));
  s->x_rows = ls_calloc(s->capacity, s->x_size);
  s->y_rows = ls_calloc(s->capacity, s->y_size);
  if (s->x_rows && s->y_rows) return LS_OK;
  return ls_fail_memory("a block of samples", s->capacity * (s->x_size + s->y_size));
}

ls_status import_split_begin(output *out, size_t which, const ls_array *x, const ls_array *y) {
  char path[PATH_MAX_LENGTH];
  split *const s = &out->splits[which];
  *s = (split){.writer = out->writer, .name = import_split_names[which], .x = *x, .has_y = y != NULL};
  if (y) s->y = *y;
  ls_status status = allocate(s);
  if (status == LS_OK) status = ls_store_begin_array(s->writer, path_of(s, "x", path), &s->x);
  if (status == LS_OK && y) status = ls_store_begin_array(s->writer, path_of(s, "y", path), &s->y);
  return status;
}

size_t import_split_free(const split *s) {
  return s->capacity - s->filled;
}

void *import_split_x(const split *s) {
  return s->x_rows + s->filled * s->x_size;
}

void *import_split_y(const split *s) {
  return s->y_rows + s->filled * s->y_size;
}

static ls_status write_block(split *s) {
  char path[PATH_MAX_LENGTH];
  if (s->filled == 0) return LS_OK;
  ls_status status = ls_store_append(s->writer, path_of(s, "x", path), s->filled, s->x_rows);
  if (status == LS_OK && s->has_y)
    status = ls_store_append(s->writer, path_of(s, "y", path), s->filled, s->y_rows);
  s->filled = 0;
  return status;
}

ls_status import_split_add(split *s, size_t count) {
  LS_ASSERT(count <= import_split_free(s));
  s->filled += count;
  return s->filled == s->capacity ? write_block(s) : LS_OK;
}

ls_status import_split_write_names(const split *s, const char *attribute, const char *const *names,
                                   size_t count) {
  char path[PATH_MAX_LENGTH];
  path_of(s, attribute[0] == 'f' ? "x" : "y", path);
  return ls_store_write_texts(s->writer, path, attribute, names, count);
}

ls_status import_output_finish(output *out) {
  ls_status status = LS_OK;
  for (size_t i = 0; status == LS_OK && i < N_SPLITS; i++) status = write_block(&out->splits[i]);
  return status;
}

void import_output_destroy(output *out) {
  ls_store_discard(&out->writer);
  for (size_t i = 0; i < N_SPLITS; i++) {
    free(out->splits[i].x_rows);
    free(out->splits[i].y_rows);
  }
  *out = (output){0};
}
