/* Reading text attributes of fixed and variable length. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define MAX_TEXT_BYTES ((size_t)1 << 20)
#define MAX_TEXTS      ((hssize_t)1 << 20) /* the columns that a table may have */
#define MAX_ALL_BYTES  ((size_t)64 << 20)  /* of a list, before and after unpacking */

/* Bytes of the text in a field of `size` bytes, without padding. */
static size_t field_length(const char *field, size_t size, bool spaces) {
  size_t n = strnlen(field, size);
  while (spaces && n > 0 && field[n - 1] == ' ') n--;
  return n;
}

/* The elements of a text attribute as stored: fields, or references to the heap. */
typedef struct raw_texts {
  unsigned char *fields; /* owned: count * size bytes */
  size_t count, size;
  bool spaces;     /* fields are padded with spaces */
  bool references; /* fields are references */
  heap heap;
} raw_texts;

/* The text of an element, valid until the next call. Returns NULL or the reason of a failure. */
static const char *raw_text(raw_texts *raw, size_t i, const char **text, size_t *bytes) {
  const unsigned char *const field = raw->fields + i * raw->size;
  *text = (const char *)field;
  *bytes = raw->size;
  const char *const why = raw->references ? store_heap_text(&raw->heap, field, text, bytes) : NULL;
  if (why) return why;
  LS_ASSERT(*text);
  *bytes = field_length(*text, *bytes, raw->spaces);
  return NULL;
}

/* Reads all elements. Returns NULL or the reason of a failure. */
static const char *read_raw(const ls_store *store, const attribute *a, raw_texts *raw) {
  raw->count = (size_t)a->count;
  raw->references = H5Tis_variable_str(a->type) > 0;
  raw->spaces = !raw->references && H5Tget_strpad(a->type) == H5T_STR_SPACEPAD;
  const char *const why = raw->references ? store_heap_open(store, &raw->heap) : NULL;
  if (why) return why;
  raw->size = raw->references ? raw->heap.reference_bytes : H5Tget_size(a->type);
  if (raw->size == 0) return store_reason();
  size_t bytes;
  if (!ls_size_mul(raw->size, raw->count, &bytes) || bytes > MAX_ALL_BYTES) return "is too long";
  raw->fields = calloc(1, bytes + 1);
  if (!raw->fields) return "is too long for this machine's memory";
  if (raw->count == 0) return NULL;
  if (raw->references) return store_heap_references(a->id, a->type, NULL, &raw->heap, raw->fields);
  return H5Aread(a->id, a->type, raw->fields) >= 0 ? NULL : store_reason();
}

/* Checks the texts and adds up their bytes, each with a final zero. Returns NULL or the reason. */
static const char *measure_texts(raw_texts *raw, size_t *total) {
  *total = 0;
  for (size_t i = 0; i < raw->count; i++) {
    const char *text;
    size_t bytes;
    const char *const why = raw_text(raw, i, &text, &bytes);
    if (why) return why;
    if (bytes > MAX_TEXT_BYTES) return "has a text of more than 1 MiB";
    if (!ls_is_utf8(text, bytes)) return "has a text that is not UTF-8";
    *total += bytes + 1;
    if (*total > MAX_ALL_BYTES) return "is too long";
  }
  return NULL;
}

/* Copies the texts into one block of pointers and texts. Returns NULL or the reason of a failure. */
static const char *copy_texts(raw_texts *raw, char ***out) {
  size_t total;
  const char *why = measure_texts(raw, &total);
  if (why) return why;
  char **const block = calloc(1, (raw->count + 1) * sizeof *block + total);
  if (!block) return "is too long for this machine's memory";
  char *next = (char *)(block + raw->count + 1);
  for (size_t i = 0; i < raw->count; i++) {
    const char *text;
    size_t bytes;
    why = raw_text(raw, i, &text, &bytes);
    if (why) break;
    block[i] = memcpy(next, text, bytes);
    next += bytes + 1;
  }
  *out = block;
  return why;
}

/* Why an attribute cannot be read as texts of `n_dims` dimensions, or NULL. */
static const char *check_texts(const attribute *a, int n_dims) {
  if (H5Tget_class(a->type) != H5T_STRING) return "is not text";
  if (n_dims == 0 && a->count != 1) return "is not one text";
  if (n_dims == 1 && H5Sget_simple_extent_ndims(a->space) != 1) return "is not a list of texts";
  return a->count < 0 || a->count > MAX_TEXTS ? "has more than 1,048,576 texts" : NULL;
}

/* Reads a text attribute of `n_dims` dimensions (0: one text in any shape with one element). */
static ls_status read_texts(const ls_store *store, const char *path, const char *name, int n_dims,
                            char ***out, size_t *count) {
  attribute a;
  raw_texts raw = {0};
  HDF5_LOCKED;
  ls_status status = store_attribute_open(store, path, name, &a);
  const char *why = status != LS_OK ? NULL : check_texts(&a, n_dims);
  if (status == LS_OK && !why) why = read_raw(store, &a, &raw);
  if (status == LS_OK && !why) why = copy_texts(&raw, out);
  if (why) status = store_attribute_fail(store, path, name, why);
  *count = status != LS_OK ? 0 : raw.count;
  store_heap_close(&raw.heap);
  free(raw.fields);
  store_attribute_close(&a);
  if (status == LS_OK) return LS_OK;
  free(*out);
  *out = NULL;
  return status;
}

ls_status ls_store_read_text(const ls_store *store, const char *path, const char *name, char **out) {
  char **list = NULL;
  size_t count = 0;
  *out = NULL;
  ls_status status = read_texts(store, path, name, 0, &list, &count);
  if (!list) return status;
  LS_ASSERT(list[0]);
  *out = ls_strdup(list[0]);
  if (!*out) status = ls_fail_memory(name, strlen(list[0]));
  free(list);
  return status;
}

bool ls_store_is_text_list(const ls_store *store, const char *path, const char *name) {
  attribute a;
  HDF5_LOCKED;
  const bool is_open = store_attribute_open(store, path, name, &a) == LS_OK;
  const H5T_class_t class = is_open ? H5Tget_class(a.type) : H5T_NO_CLASS;
  const int n_dims = is_open ? H5Sget_simple_extent_ndims(a.space) : -1;
  store_attribute_close(&a);
  return class == H5T_NO_CLASS || n_dims < 0 || (class == H5T_STRING && n_dims == 1);
}

ls_status ls_store_read_texts(const ls_store *store, const char *path, const char *name, char ***out,
                              size_t *count) {
  *out = NULL;
  *count = 0;
  return read_texts(store, path, name, 1, out, count);
}
