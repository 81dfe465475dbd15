/* Writing attributes. Texts have variable length, which h5py reads as str. */
#include "internal.h"

#include <stdlib.h>

/* Writes an attribute of `count` elements (NULL: one, without a shape). */
static ls_status write_attribute(ls_store_writer *writer, const char *path, const char *name, hid_t stored,
                                 hid_t memory, const hsize_t *count, const void *data) {
  hid_t object;
  HDF5_LOCKED;
  store_object_open(writer->file, path, &object);
  const hid_t space = count ? H5Screate_simple(1, count, NULL) : H5Screate(H5S_SCALAR);
  const hid_t id = object < 0 ? -1 : H5Acreate2(object, name, stored, space, H5P_DEFAULT, H5P_DEFAULT);
  const bool ok = id >= 0 && ((count && *count == 0) || H5Awrite(id, memory, data) >= 0);
  store_close_id(id);
  store_close_id(space);
  store_close_id(object);
  if (ok) return LS_OK;
  char what[256];
  snprintf(what, sizeof what, "attribute `%s` cannot be written", name);
  return store_write_fail(writer, path, what);
}

ls_status ls_store_write_u64(ls_store_writer *writer, const char *path, const char *name, uint64_t value) {
  return write_attribute(writer, path, name, H5T_STD_U64LE, H5T_NATIVE_UINT64, NULL, &value);
}

ls_status ls_store_write_u64s(ls_store_writer *writer, const char *path, const char *name,
                              const uint64_t *values, size_t count) {
  const hsize_t n = count;
  return write_attribute(writer, path, name, H5T_STD_U64LE, H5T_NATIVE_UINT64, &n, values);
}

ls_status ls_store_write_double(ls_store_writer *writer, const char *path, const char *name, double value) {
  return write_attribute(writer, path, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, NULL, &value);
}

static ls_status write_texts(ls_store_writer *writer, const char *path, const char *name,
                             const hsize_t *count, const char *const *texts) {
  HDF5_LOCKED;
  const hid_t type = H5Tcopy(H5T_C_S1);
  const bool ok = H5Tset_size(type, H5T_VARIABLE) >= 0 && H5Tset_cset(type, H5T_CSET_UTF8) >= 0;
  const ls_status status = ok ? write_attribute(writer, path, name, type, type, count, texts)
                              : store_write_fail(writer, path, name);
  store_close_id(type);
  return status;
}

ls_status ls_store_write_text(ls_store_writer *writer, const char *path, const char *name,
                              const char *text) {
  return write_texts(writer, path, name, NULL, &text);
}

ls_status ls_store_write_texts(ls_store_writer *writer, const char *path, const char *name,
                               const char *const *texts, size_t count) {
  const hsize_t n = count;
  return write_texts(writer, path, name, &n, texts);
}
