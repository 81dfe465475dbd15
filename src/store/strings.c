/* Reading arrays of text of fixed and variable length, one text per row. */
#include "internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define FIELD_MOST ((size_t)1 << 20) /* bytes of a text of fixed length */

/* An array of text that is open. */
typedef struct text_array {
  hid_t id, type; /* of the dataset, and of its elements */
  ls_array array;
  size_t size;     /* bytes of an element as it is read: a field, or a reference */
  bool spaces;     /* fields are padded with spaces */
  bool references; /* elements are references to the heap */
  heap heap;
} text_array;

/* Opens and checks an array of text. NULL, or what is wrong with it; *status is set if it has a message. */
static const char *open_texts(const ls_store *store, const char *path, text_array *t, ls_status *status) {
  virtual_map *map = NULL;
  size_t chunk_bytes = 0;
  if (store_object_open(store->file, path, &t->id) != LS_STORE_ARRAY) return "is not an array";
  *status = store_check(store, path, t->id, &t->array, &chunk_bytes, &map);
  const bool is_virtual = map != NULL;
  store_virtual_free(&map);
  if (*status != LS_OK) return NULL;
  if (is_virtual) return "is a virtual dataset of text; copy it into one array";
  if (chunk_bytes > 0) *status = store_check_first_chunk(store, path, t->id, chunk_bytes);
  if (*status != LS_OK) return NULL;
  store_filters_expect(chunk_bytes);
  t->type = H5Dget_type(t->id);
  if (t->array.dtype != LS_TEXT || t->type < 0) return "is not text";
  t->references = H5Tis_variable_str(t->type) > 0;
  const H5T_str_t padding = H5Tget_strpad(t->type);
  if (padding == H5T_STR_ERROR) return "is not text";
  t->spaces = !t->references && padding == H5T_STR_SPACEPAD;
  const char *const why = t->references ? store_heap_open(store, &t->heap) : NULL;
  t->size = t->references ? t->heap.reference_bytes : H5Tget_size(t->type);
  return why ? why : t->size == 0 || t->size > FIELD_MOST ? "has texts of more than 1 MiB" : NULL;
}

static void close_texts(text_array *t) {
  store_heap_close(&t->heap);
  store_close_id(t->type);
  store_close_id(t->id);
}

/* Reads the elements of rows as they are stored. Returns NULL or the reason of a failure. */
static const char *read_elements(const text_array *t, uint64_t first, size_t count, unsigned char *to) {
  hsize_t start[LS_MAX_DIMS] = {first};
  hsize_t counts[LS_MAX_DIMS] = {count};
  for (unsigned i = 1; i < t->array.n_dims; i++) counts[i] = t->array.dims[i];
  const hid_t memory = H5Screate_simple((int)t->array.n_dims, counts, NULL);
  const hid_t space = H5Dget_space(t->id);
  const bool is_chosen = memory >= 0 && space >= 0 &&
                         H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, counts, NULL) >= 0;
  const char *why = is_chosen ? NULL : store_reason();
  if (!why && t->references)
    why = store_heap_references(t->id, t->type, (const hid_t[2]){memory, space}, &t->heap, to);
  else if (!why && H5Dread(t->id, t->type, memory, space, H5P_DEFAULT, to) < 0)
    why = store_reason();
  store_close_id(space);
  store_close_id(memory);
  return why;
}

/* Calls `visit` for the texts of elements. */
static ls_status visit_texts(text_array *t, const unsigned char *elements, size_t count, const char **why,
                             ls_status (*visit)(void *context, const char *text), void *context) {
  for (size_t i = 0; i < count; i++) {
    const unsigned char *const element = elements + i * t->size;
    const char *text = (const char *)element;
    size_t bytes = t->size;
    *why = t->references ? store_heap_text(&t->heap, element, &text, &bytes) : NULL;
    if (*why) return LS_OK;
    LS_ASSERT(text);
    bytes = strnlen(text, bytes);
    while (t->spaces && bytes > 0 && text[bytes - 1] == ' ') bytes--;
    char *const copy = ls_format("%.*s", (int)ls_size_min(bytes, FIELD_MOST), text);
    if (!copy) return ls_fail_memory("a text", bytes);
    const ls_status status = visit(context, copy);
    free(copy);
    LS_TRY(status);
  }
  return LS_OK;
}

/* NULL, or what is wrong. */
static const char *check_rows(const text_array *t, uint64_t first, size_t count) {
  size_t row = 0;
  if (t->array.n_dims == 0 || !ls_array_row_size(&t->array, &row) || row != 1)
    return "has another shape; must have one text per row";
  if (first > t->array.dims[0] || count > t->array.dims[0] - first) return "has too few rows";
  return NULL;
}

#define BLOCK_MOST ((size_t)16 << 20) /* bytes that are read at once */

/* Visits rows block by block. */
static ls_status visit_blocks(const ls_store *store, text_array *t, uint64_t first, size_t count,
                              const char **why, ls_status (*visit)(void *context, const char *text),
                              void *context) {
  const size_t rows =
      ls_size_min(ls_size_max(BLOCK_MOST / ls_size_max(t->size, 1), 1), ls_size_max(count, 1));
  unsigned char *const elements = ls_calloc(rows, t->size);
  ls_status status = elements ? LS_OK : ls_fail_memory("texts", rows * t->size);
  for (size_t done = 0; status == LS_OK && !*why && done < count; done += rows) {
    const size_t n = ls_size_min(rows, count - done);
    *why = read_elements(t, first + done, n, elements);
    if (!*why) status = store_check_unchanged(store);
    if (status == LS_OK && !*why) status = visit_texts(t, elements, n, why, visit, context);
  }
  free(elements);
  return status;
}

ls_status ls_store_visit_texts(const ls_store *store, const char *path, uint64_t first, size_t count,
                               ls_status (*visit)(void *context, const char *text), void *context) {
  text_array t = {.id = -1, .type = -1};
  ls_status status = LS_OK;
  HDF5_LOCKED;
  const char *why = open_texts(store, path, &t, &status);
  if (status == LS_OK && !why) why = check_rows(&t, first, count);
  if (status == LS_OK && !why) status = visit_blocks(store, &t, first, count, &why, visit, context);
  if (status == LS_OK && why) status = ls_fail(LS_ERR_DATA, "%s:%s: %s", store->path, path, why);
  close_texts(&t);
  return status;
}
