/* The names of an enumeration. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define MEMBERS_MOST 10000

/* Stores in at[value] the index of the member with this value. False unless the values are 0 .. n - 1. */
static bool order_members(hid_t type, int n, int *at) {
  for (int k = 0; k < n; k++) at[k] = -1;
  for (int i = 0; i < n; i++) {
    int64_t value = 0; /* converted in place */
    const hid_t base = H5Tget_super(type);
    const bool ok = base >= 0 && H5Tget_size(base) <= sizeof value &&
                    H5Tget_member_value(type, (unsigned)i, &value) >= 0 &&
                    H5Tconvert(base, H5T_NATIVE_INT64, 1, &value, NULL, H5P_DEFAULT) >= 0;
    store_close_id(base);
    if (!ok || value < 0 || value >= n || at[value] >= 0) return false;
    at[value] = i;
  }
  return true;
}

/* Copies the names of n members in the order of `at` to one block; NULL if memory is short. */
static char **copy_names(hid_t type, int n, const int *at) {
  char *names[MEMBERS_MOST];
  size_t bytes = ((size_t)n + 1) * sizeof *names;
  const size_t pointers = bytes;
  bool ok = true;
  for (int k = 0; k < n; k++) {
    names[k] = H5Tget_member_name(type, (unsigned)at[k]);
    ok = ok && names[k];
    bytes += names[k] ? strlen(names[k]) + 1 : 0;
  }
  char **const block = ok ? calloc(1, bytes) : NULL;
  char *next = (char *)block + (block ? pointers : 0);
  for (int k = 0; k < n; k++) {
    if (block) block[k] = next;
    if (block) next = stpcpy(next, names[k]) + 1;
    H5free_memory(names[k]);
  }
  return block;
}

static bool is_bool(char **names, int n) {
  return n == 2 && strcmp(names[0], "FALSE") == 0 && strcmp(names[1], "TRUE") == 0;
}

ls_status ls_store_read_enum(const ls_store *store, const char *path, char ***names, size_t *count) {
  int at[MEMBERS_MOST];
  hid_t id = -1;
  HDF5_LOCKED;
  *names = NULL;
  *count = 0;
  const ls_store_kind kind = store_object_open(store->file, path, &id);
  const hid_t type = kind == LS_STORE_ARRAY ? H5Dget_type(id) : -1;
  const bool is_enum = type >= 0 && H5Tget_class(type) == H5T_ENUM;
  const int n = is_enum ? H5Tget_nmembers(type) : 0;
  ls_status status = LS_OK;
  *count = n > 0 ? (size_t)n : 0;
  if (n > 0 && n <= MEMBERS_MOST && order_members(type, n, at)) {
    *names = copy_names(type, n, at);
    if (!*names) status = ls_fail_memory("the names of an enumeration", (size_t)n);
    if (*names && is_bool(*names, n)) {
      free(*names);
      *names = NULL;
    }
    if (!*names) *count = 0;
  }
  store_close_id(type);
  store_close_id(id);
  return status;
}
