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

/* Reads an attribute of one number as `memory` type. `wanted`: its class. */
static ls_status read_number(const ls_store *store, const char *path, const char *name, H5T_class_t wanted,
                             hid_t memory, void *out) {
  attribute a;
  ls_status status = store_attribute_open(store, path, name, &a);
  if (status == LS_OK && (a.count != 1 || H5Tget_class(a.type) != wanted))
    status = store_attribute_fail(store, path, name,
                                  wanted == H5T_INTEGER ? "is not one integer"
                                                        : "is not one floating-point number");
  if (status == LS_OK && H5Aread(a.id, memory, out) < 0)
    status = store_attribute_fail(store, path, name, store_reason());
  store_attribute_close(&a);
  return status;
}

/* HDF5 converts negative numbers to unsigned 0, so the sign is checked first. */
ls_status ls_store_read_u64(const ls_store *store, const char *path, const char *name, uint64_t *out) {
  int64_t with_sign = 0;
  uint64_t value = 0;
  ls_status status = read_number(store, path, name, H5T_INTEGER, H5T_NATIVE_INT64, &with_sign);
  if (status == LS_OK && with_sign < 0) status = store_attribute_fail(store, path, name, "is negative");
  if (status == LS_OK) status = read_number(store, path, name, H5T_INTEGER, H5T_NATIVE_UINT64, &value);
  if (status == LS_OK) *out = value;
  return status;
}

ls_status ls_store_read_double(const ls_store *store, const char *path, const char *name, double *out) {
  double value = 0;
  const ls_status status = read_number(store, path, name, H5T_FLOAT, H5T_NATIVE_DOUBLE, &value);
  if (status == LS_OK) *out = value;
  return status;
}
