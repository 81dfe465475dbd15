/* Reading attributes. */
#include "inner.h"

#include <stdlib.h>
#include <string.h>

#define MAX_TEXT_BYTES ((size_t)1 << 20)
#define MAX_TEXTS      ((hsize_t)1000000)
#define MAX_ALL_BYTES  ((size_t)64 << 20) /* of a list of fixed-length texts */

/* An open attribute; ids are -1 where they could not be opened. */
typedef struct attribute {
  hid_t id, type, space;
  hssize_t count; /* of elements */
} attribute;

static void close_attribute(attribute *a) {
  store_close_id(a->space);
  store_close_id(a->type);
  store_close_id(a->id);
}

static ls_status refuse(const ls_store *store, const char *path, const char *name, const char *why) {
  return ls_fail(LS_ERR_DATA, "%s:%s: attribute `%s` %s", store->path, path, name, why);
}

bool ls_store_has_attribute(const ls_store *store, const char *path, const char *name) {
  hid_t object;
  store_object_open(store->file, path, &object);
  const bool has = object >= 0 && H5Aexists(object, name) > 0;
  store_close_id(object);
  return has;
}

/* Opens an attribute and asks its type and count. It is to be closed in any case. */
static ls_status open_attribute(const ls_store *store, const char *path, const char *name, attribute *out) {
  hid_t object;
  *out = (attribute){-1, -1, -1, 0};
  store_object_open(store->file, path, &object);
  const bool exists = object >= 0 && H5Aexists(object, name) > 0;
  if (exists) out->id = H5Aopen(object, name, H5P_DEFAULT);
  store_close_id(object);
  if (!exists) return refuse(store, path, name, "does not exist");
  if (out->id >= 0) out->type = H5Aget_type(out->id);
  if (out->id >= 0) out->space = H5Aget_space(out->id);
  if (out->type < 0 || out->space < 0) return refuse(store, path, name, store_reason());
  out->count = H5Sget_simple_extent_npoints(out->space);
  return LS_OK;
}

/* Reads an attribute of one number as `memory` type, if `accept` takes its class. */
static ls_status read_number(const ls_store *store, const char *path, const char *name, H5T_class_t wanted,
                             hid_t memory, void *out) {
  attribute a;
  ls_status status = open_attribute(store, path, name, &a);
  if (!status && (a.count != 1 || H5Tget_class(a.type) != wanted))
    status = refuse(store, path, name,
                    wanted == H5T_INTEGER ? "is not one whole number" : "is not one real number");
  if (!status && H5Aread(a.id, memory, out) < 0) status = refuse(store, path, name, store_reason());
  close_attribute(&a);
  return status;
}

/* HDF5 reads a negative number as an unsigned 0, so the sign is asked for first. */
ls_status ls_store_read_u64(const ls_store *store, const char *path, const char *name, uint64_t *out) {
  int64_t with_sign = 0;
  uint64_t value = 0;
  ls_status status = read_number(store, path, name, H5T_INTEGER, H5T_NATIVE_INT64, &with_sign);
  if (!status && with_sign < 0) status = refuse(store, path, name, "is negative");
  if (!status) status = read_number(store, path, name, H5T_INTEGER, H5T_NATIVE_UINT64, &value);
  if (!status) *out = value;
  return status;
}

ls_status ls_store_read_double(const ls_store *store, const char *path, const char *name, double *out) {
  double value = 0;
  const ls_status status = read_number(store, path, name, H5T_FLOAT, H5T_NATIVE_DOUBLE, &value);
  if (!status) *out = value;
  return status;
}

/* Bytes of the UTF-8 sequence that begins with `byte`; 0 where none does. */
static size_t sequence_bytes(unsigned char byte) {
  if (byte < 0x80) return 1;
  if (byte >= 0xc2 && byte < 0xe0) return 2;
  if (byte >= 0xe0 && byte < 0xf0) return 3;
  return byte >= 0xf0 && byte < 0xf5 ? 4 : 0;
}

static bool is_utf8(const char *text, size_t bytes) {
  for (size_t i = 0; i < bytes;) {
    const size_t n = sequence_bytes((unsigned char)text[i]);
    if (n == 0 || n > bytes - i) return false;
    for (size_t k = 1; k < n; k++)
      if (((unsigned char)text[i + k] & 0xc0) != 0x80) return false;
    i += n;
  }
  return true;
}

/* Bytes of a text in a field of `size` bytes, without its padding. */
static size_t field_length(const char *field, size_t size, bool spaces) {
  size_t n = strnlen(field, size);
  while (spaces && n > 0 && field[n - 1] == ' ') n--;
  return n;
}

/* The elements of a text attribute as read: pointers to texts, or one field after the other. */
typedef struct raw_texts {
  char *fields;    /* fixed length: count * size bytes */
  char **pointers; /* variable length, each owned by HDF5; NULL is an empty text */
  size_t size;     /* of a field */
  bool spaces;     /* fields are padded with spaces */
} raw_texts;

static const char *raw_text(const raw_texts *raw, size_t i, size_t *bytes) {
  const char *const text = raw->pointers ? raw->pointers[i] : raw->fields + i * raw->size;
  *bytes = !text ? 0 : raw->pointers ? strlen(text) : field_length(text, raw->size, raw->spaces);
  return text ? text : "";
}

/* Reads all elements in one of the two ways. A reason, or NULL where it went well. */
static const char *read_raw(const attribute *a, raw_texts *raw) {
  const size_t count = (size_t)a->count;
  void *to;
  if (H5Tis_variable_str(a->type) > 0) {
    to = raw->pointers = calloc(count + 1, sizeof *raw->pointers);
  } else {
    raw->size = H5Tget_size(a->type);
    raw->spaces = H5Tget_strpad(a->type) == H5T_STR_SPACEPAD;
    size_t bytes;
    if (!ls_size_mul(raw->size, count, &bytes) || bytes > MAX_ALL_BYTES) return "is too long";
    to = raw->fields = calloc(1, bytes + 1);
  }
  if (!to) return "is too long for this machine's memory";
  return count == 0 || H5Aread(a->id, a->type, to) >= 0 ? NULL : store_reason();
}

static void free_raw(const attribute *a, raw_texts *raw) {
  if (raw->pointers) H5Dvlen_reclaim(a->type, a->space, H5P_DEFAULT, raw->pointers);
  free(raw->pointers);
  free(raw->fields);
}

/* Copies the texts into one block of pointers and texts. A reason, or NULL. */
static const char *copy_texts(const raw_texts *raw, size_t count, char ***out) {
  size_t total = (count + 1) * sizeof(char *);
  for (size_t i = 0; i < count; i++) {
    size_t bytes;
    const char *const text = raw_text(raw, i, &bytes);
    if (bytes > MAX_TEXT_BYTES) return "has a text of more than 1 MiB";
    if (!is_utf8(text, bytes)) return "has a text that is not UTF-8";
    total += bytes + 1;
  }
  char **const block = calloc(1, total);
  if (!block) return "is too long for this machine's memory";
  char *next = (char *)(block + count + 1);
  for (size_t i = 0; i < count; i++) {
    size_t bytes;
    const char *const text = raw_text(raw, i, &bytes);
    block[i] = memcpy(next, text, bytes);
    next += bytes + 1;
  }
  *out = block;
  return NULL;
}

/* Reads a text attribute of `n_dims` dimensions (0: one text in any shape of one element). */
static ls_status read_texts(const ls_store *store, const char *path, const char *name, int n_dims,
                            char ***out, size_t *count) {
  attribute a;
  raw_texts raw = {0};
  const char *why = NULL;
  ls_status status = open_attribute(store, path, name, &a);
  if (status) goto out;

  if (H5Tget_class(a.type) != H5T_STRING)
    why = "is not text";
  else if (n_dims == 0 && a.count != 1)
    why = "is not one text";
  else if (n_dims == 1 && H5Sget_simple_extent_ndims(a.space) != 1)
    why = "is not a list of texts";
  else if (a.count < 0 || (hsize_t)a.count > MAX_TEXTS)
    why = "has more than 1,000,000 texts";
  if (!why) why = read_raw(&a, &raw);
  if (!why) why = copy_texts(&raw, (size_t)a.count, out);
  if (why)
    status = refuse(store, path, name, why);
  else
    *count = (size_t)a.count;

out:
  free_raw(&a, &raw);
  close_attribute(&a);
  return status;
}

ls_status ls_store_read_text(const ls_store *store, const char *path, const char *name, char **out) {
  char **list = NULL;
  size_t count = 0;
  *out = NULL;
  ls_status status = read_texts(store, path, name, 0, &list, &count);
  if (!list) return status;
  *out = ls_strdup(list[0]);
  if (!*out) status = ls_fail_memory(name, strlen(list[0]));
  free(list);
  return status;
}

ls_status ls_store_read_texts(const ls_store *store, const char *path, const char *name, char ***out,
                              size_t *count) {
  *out = NULL;
  *count = 0;
  return read_texts(store, path, name, 1, out, count);
}
