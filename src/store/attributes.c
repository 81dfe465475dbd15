/* Attributes: presence, and reading of numbers. */
#include "internal.h"

void store_attribute_close(attribute *a) {
  store_close_id(a->space);
  store_close_id(a->type);
  store_close_id(a->id);
}

ls_status store_attribute_fail(const ls_store *store, const char *path, const char *name, const char *why) {
  return ls_fail(LS_ERR_DATA, "%s:%s: attribute `%s` %s", store->path, path, name, why);
}

bool ls_store_has_attribute(const ls_store *store, const char *path, const char *name) {
  hid_t object;
  HDF5_LOCKED;
  store_object_open(store->file, path, &object);
  const bool exists = object >= 0 && H5Aexists(object, name) != 0; /* reading it reports the error */
  store_close_id(object);
  return exists;
}

ls_status store_attribute_open(const ls_store *store, const char *path, const char *name, attribute *out) {
  hid_t object;
  *out = (attribute){-1, -1, -1, 0};
  store_object_open(store->file, path, &object);
  const bool exists = object >= 0 && H5Aexists(object, name) > 0;
  if (exists) out->id = H5Aopen(object, name, H5P_DEFAULT);
  store_close_id(object);
  if (!exists) return store_attribute_fail(store, path, name, "does not exist");
  if (out->id >= 0) out->type = H5Aget_type(out->id);
  if (out->id >= 0) out->space = H5Aget_space(out->id);
  if (out->type < 0 || out->space < 0) return store_attribute_fail(store, path, name, store_reason());
  out->count = H5Sget_simple_extent_npoints(out->space);
  return LS_OK;
}

/* Reads an attribute of 1 to `max` numbers as `memory` type, if it has the wanted class. */
static ls_status read_numbers(const ls_store *store, const char *path, const char *name, H5T_class_t wanted,
                              hid_t memory, size_t max, void *out, size_t *count) {
  attribute a;
  HDF5_LOCKED;
  ls_status status = store_attribute_open(store, path, name, &a);
  if (status == LS_OK && (a.count < 1 || (size_t)a.count > max))
    status = store_attribute_fail(store, path, name,
                                  max == 1 ? "is not a single number" : "has too many or no elements");
  if (status == LS_OK && H5Tget_class(a.type) != wanted)
    status = store_attribute_fail(
        store, path, name, wanted == H5T_INTEGER ? "is not an integer" : "is not a floating-point number");
  if (status == LS_OK && H5Aread(a.id, memory, out) < 0)
    status = store_attribute_fail(store, path, name, store_reason());
  if (status == LS_OK) *count = (size_t)a.count;
  store_attribute_close(&a);
  return status;
}

/* Reads signed numbers first, since HDF5 converts a negative number to an unsigned 0. */
ls_status ls_store_read_u64s(const ls_store *store, const char *path, const char *name, size_t max,
                             uint64_t *out, size_t *count) {
  int64_t with_sign[LS_MAX_DIMS] = {0};
  LS_ASSERT(max <= LS_MAX_DIMS);
  LS_TRY(read_numbers(store, path, name, H5T_INTEGER, H5T_NATIVE_INT64, max, with_sign, count));
  for (size_t i = 0; i < *count; i++)
    if (with_sign[i] < 0) return store_attribute_fail(store, path, name, "is negative");
  return read_numbers(store, path, name, H5T_INTEGER, H5T_NATIVE_UINT64, max, out, count);
}

ls_status ls_store_read_u64(const ls_store *store, const char *path, const char *name, uint64_t *out) {
  size_t count;
  return ls_store_read_u64s(store, path, name, 1, out, &count);
}

ls_status ls_store_read_double(const ls_store *store, const char *path, const char *name, double *out) {
  size_t count;
  return read_numbers(store, path, name, H5T_FLOAT, H5T_NATIVE_DOUBLE, 1, out, &count);
}
