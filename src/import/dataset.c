/* Writes our data set layout: /train and /test, each with x and y, block by block. */
#include "dataset.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK           ((size_t)1 << 20) /* bytes of x */
#define ROW_MOST        ((size_t)256 << 20)
#define PATH_MAX_LENGTH 16

const char *const import_split_names[N_SPLITS] = {"train", "test"};

static const char *path_of(const split *s, const char *name, char path[PATH_MAX_LENGTH]) {
  snprintf(path, PATH_MAX_LENGTH, "/%s/%s", s->name, name);
  return path;
}

static bool row_bytes(const ls_array *array, size_t *bytes) {
  return ls_array_row_size(array, bytes) && ls_size_mul(*bytes, ls_dtype_size(array->dtype), bytes) &&
         *bytes <= ROW_MOST;
}

static ls_status allocate(split *s) {
  char text[128];
  if (!row_bytes(&s->x, &s->x_size)) {
    return ls_fail(LS_ERR_DATA, "x of %s: a sample has more than %zu MiB",
                   ls_array_describe(&s->x, text, sizeof text), ROW_MOST >> 20);
  }
  s->y_size = s->labelled ? ls_dtype_size(s->y.dtype) : 0;
  s->room = ls_size_max(1, BLOCK / ls_size_max(1, s->x_size));
  s->x_rows = ls_calloc(s->room, s->x_size);
  s->y_rows = ls_calloc(s->room, s->y_size);
  if (s->x_rows && s->y_rows) return LS_OK;
  return ls_fail_memory("a block of samples", s->room * (s->x_size + s->y_size));
}

ls_status import_split_create(split *s, ls_store_writer *writer, const char *name, const ls_array *x,
                              const ls_array *y) {
  char path[PATH_MAX_LENGTH];
  *s = (split){.writer = writer, .name = name, .x = *x, .labelled = y != NULL};
  if (y) s->y = *y;
  ls_status status = allocate(s);
  if (status == LS_OK) status = ls_store_begin_array(writer, path_of(s, "x", path), &s->x);
  if (status == LS_OK && y) status = ls_store_begin_array(writer, path_of(s, "y", path), &s->y);
  return status;
}

size_t import_split_room(const split *s) {
  return s->room - s->filled;
}

void *import_split_x(const split *s) {
  return s->x_rows + s->filled * s->x_size;
}

void *import_split_y(const split *s) {
  return s->y_rows + s->filled * s->y_size;
}

ls_status import_split_finish(split *s) {
  char path[PATH_MAX_LENGTH];
  ls_status status = LS_OK;
  if (s->filled == 0) return LS_OK;
  status = ls_store_append(s->writer, path_of(s, "x", path), s->filled, s->x_rows);
  if (status == LS_OK && s->labelled) {
    status = ls_store_append(s->writer, path_of(s, "y", path), s->filled, s->y_rows);
  }
  s->filled = 0;
  return status;
}

ls_status import_split_take(split *s, size_t count) {
  LS_ASSERT(count <= import_split_room(s));
  s->filled += count;
  return s->filled == s->room ? import_split_finish(s) : LS_OK;
}

ls_status import_split_write_classes(const split *s, const char *const *names, size_t count) {
  char path[PATH_MAX_LENGTH];
  return ls_store_write_texts(s->writer, path_of(s, "y", path), "classes", names, count);
}

ls_status import_split_write_features(const split *s, const char *const *names, size_t count) {
  char path[PATH_MAX_LENGTH];
  return ls_store_write_texts(s->writer, path_of(s, "x", path), "features", names, count);
}

void import_split_destroy(split *s) {
  free(s->x_rows);
  free(s->y_rows);
  *s = (split){0};
}
