/* Checks of an array before HDF5 reads its data. */
#include "internal.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* Deflate compresses at most 1032 : 1, lzf 264 / 3 : 1, zstd a block of 128 KiB to 4 bytes; an array that
 * expands more is a decompression bomb. */
#define EXPANSION_LIMIT      1100
#define EXPANSION_LIMIT_ZSTD 33000

static ls_status fail_array(const ls_store *store, const char *path, const char *why) {
  return ls_fail(LS_ERR_DATA, "%s:%s: %s", store->path, path, why);
}

static ls_status check_layout(const ls_store *store, const char *path, hid_t plist) {
  if (H5Pget_external_count(plist) != 0)
    return fail_array(store, path,
                      "is stored in another file (external storage); copy the data into this file");
  return LS_OK;
}

static bool is_known(H5Z_filter_t filter) {
  return filter == H5Z_FILTER_SHUFFLE || filter == H5Z_FILTER_DEFLATE || filter == H5Z_FILTER_FLETCHER32 ||
         filter == FILTER_LZF || filter == FILTER_ZSTD;
}

static bool is_unpacked_here(H5Z_filter_t filter) {
  return filter == FILTER_LZF || filter == FILTER_ZSTD;
}

/* Whether lzf or zstd give the whole chunk: only filters that keep its size come before them. */
static bool is_last_to_unpack(const H5Z_filter_t *filters, int n) {
  bool packs = false;
  for (int i = 0; i < n; i++) {
    if (is_unpacked_here(filters[i]) && packs) return false;
    packs = packs || filters[i] != H5Z_FILTER_SHUFFLE;
  }
  return true;
}

/* Accepts only filters that HDF5 always has and that do not crash on damaged data (nbit and scale-offset
 * do), each at most once: two deflates could expand a million times. */
static ls_status check_filters(const ls_store *store, const char *path, hid_t plist) {
  H5Z_filter_t seen[8];
  const int n = H5Pget_nfilters(plist);
  if (n < 0 || n > 8) return fail_array(store, path, "has a damaged or too long list of filters");
  for (int i = 0; i < n; i++) {
    char name[64] = "";
    unsigned flags, config;
    size_t n_values = 0;
    seen[i] = H5Pget_filter2(plist, (unsigned)i, &flags, &n_values, NULL, sizeof name, name, &config);
    if (!is_known(seen[i]))
      return ls_fail(
          LS_ERR_DATA,
          "%s:%s: filter %d (%.63s) is not supported; filters must be shuffle, deflate (gzip), "
          "fletcher32, lzf or zstd; convert the file with h5repack -f GZIP=4 on a computer that has "
          "the plug-in of this filter (without it, h5repack leaves the array out), or in Python "
          "with h5py and hdf5plugin",
          store->path, path, (int)seen[i], name);
    for (int k = 0; k < i; k++)
      if (seen[k] == seen[i])
        return fail_array(store, path, "applies a filter twice; convert the file with h5repack");
  }
  if (!is_last_to_unpack(seen, n))
    return fail_array(store, path,
                      "compresses twice, or before a checksum; convert the file with h5repack -f GZIP=4");
  return LS_OK;
}

/* A compound type: complex numbers of h5py (fields r, i), or records, whose fields the message lists. */
static ls_status fail_compound(const ls_store *store, const char *path, hid_t type) {
  char fields[512] = "";
  const int n = H5Tget_nmembers(type);
  for (int i = 0; i < n && strlen(fields) + 80 < sizeof fields; i++) {
    char *const name = H5Tget_member_name(type, (unsigned)i);
    ls_append(fields, sizeof fields, "%s%.64s", i ? ", " : "", name ? name : "?");
    H5free_memory(name);
  }
  if (strcmp(fields, "r, i") == 0)
    return fail_array(store, path,
                      "has complex numbers; store the real and the imaginary part as two features");
  return ls_fail(
      LS_ERR_DATA,
      "%s:%s: is a table of records (compound type) with the fields %s; must be numbers; store the "
      "fields as arrays x (samples, features) and y, for example in Python with h5py: "
      "t = f['%s'][:]; g['x'] = numpy.stack([t[n] for n in names], axis=1)",
      store->path, path, fields, path);
}

static ls_status check_type(const ls_store *store, const char *path, hid_t type, ls_array *out) {
  if (store_dtype_of(type, &out->dtype)) return LS_OK;
  switch (H5Tget_class(type)) {
  case H5T_COMPOUND: return fail_compound(store, path, type);
  case H5T_REFERENCE:
    return fail_array(store, path,
                      "has references to other objects (as a cell array of MATLAB); must be numbers; store "
                      "all samples in one array");
  case H5T_VLEN:
    return fail_array(store, path,
                      "has rows of variable length; must have rows of one length; pad or cut them to one "
                      "length");
  default:
    return fail_array(
        store, path,
        "element type is not supported; must be integers or floating-point numbers of at most "
        "64 bits, or text");
  }
}

static ls_status check_shape(const ls_store *store, const char *path, hid_t space, ls_array *out) {
  const int n = H5Sget_simple_extent_ndims(space);
  hsize_t dims[H5S_MAX_RANK];
  if (n < 0 || H5Sget_simple_extent_type(space) == H5S_NULL)
    return fail_array(store, path, "has no shape (null dataspace)");
  if (n > LS_MAX_DIMS)
    return ls_fail(LS_ERR_DATA, "%s:%s: has %d dimensions; must have at most %d", store->path, path, n,
                   LS_MAX_DIMS);
  if (H5Sget_simple_extent_dims(space, dims, NULL) < 0) return fail_array(store, path, store_reason());
  out->n_dims = (unsigned)n;
  for (int i = 0; i < n; i++) out->dims[i] = dims[i];
  return LS_OK;
}

/* *bytes of all elements, of `size` bytes each in the file; false if they exceed the address space. */
static bool total_bytes(const ls_array *array, size_t size, size_t *bytes) {
  size_t total;
  if (!ls_array_row_size(array, &total) ||
      !ls_size_mul(total, array->n_dims ? array->dims[0] : 1, &total) ||
      !ls_size_mul(total, ls_size_max(size, ls_dtype_size(array->dtype)), bytes) || *bytes > PTRDIFF_MAX)
    return false;
  *bytes = total * size;
  return true;
}

/* *bytes of a whole chunk, which HDF5 allocates to read any part of it; false if the chunks' shape does not
 * match the array's. */
static bool chunk_bytes(hid_t plist, size_t size, const ls_array *array, size_t *bytes) {
  hsize_t dims[H5S_MAX_RANK];
  if (H5Pget_chunk(plist, H5S_MAX_RANK, dims) != (int)array->n_dims) return false;
  *bytes = size;
  for (unsigned i = 0; i < array->n_dims; i++)
    if (!ls_size_mul(*bytes, dims[i], bytes)) return false;
  return true;
}

static size_t expansion_limit(hid_t plist) {
  const int n = H5Pget_nfilters(plist);
  for (int i = 0; i < n; i++) {
    unsigned flags, config;
    size_t n_values = 0;
    if (H5Pget_filter2(plist, (unsigned)i, &flags, &n_values, NULL, 0, NULL, &config) == FILTER_ZSTD)
      return EXPANSION_LIMIT_ZSTD;
  }
  return EXPANSION_LIMIT;
}

static const char small_chunks[] = "is damaged: its chunks store less data than their shape needs";

/* Compares the `stored` bytes of an array with the size of its chunks. */
static ls_status check_chunks(const ls_store *store, const char *path, hid_t plist, size_t size,
                              const ls_array *array, uint64_t stored, size_t *bytes) {
  if (!chunk_bytes(plist, size, array, bytes))
    return fail_array(store, path, "is damaged: the shape of its chunks does not match its own");
  return *bytes / expansion_limit(plist) > stored ? fail_array(store, path, small_chunks) : LS_OK;
}

ls_status store_check_first_chunk(const ls_store *store, const char *path, hid_t id, size_t bytes) {
  const hid_t plist = H5Dget_create_plist(id);
  const ls_status status =
      plist < 0 ? fail_array(store, path, store_reason()) : store_chunk_check(store, id, plist, bytes);
  store_close_id(plist);
  return status == LS_ERR_DATA && plist >= 0 ? fail_array(store, path, small_chunks) : status;
}

#define CHUNKS_SEARCHED 4000 /* HDF5 visits all chunks to find one */

/* The first row of which no data were ever written, for a message: the first row of a chunk that does not
 * exist. Visits at most one chunk more than are stored. */
static uint64_t first_unwritten_row(hid_t id, const ls_array *array, const hsize_t *chunk) {
  hsize_t at[H5S_MAX_RANK] = {0};
  for (;;) {
    unsigned mask;
    haddr_t address = HADDR_UNDEF;
    hsize_t bytes = 0;
    ls_heartbeat();
    if (H5Dget_chunk_info_by_coord(id, at, &mask, &address, &bytes) < 0 || bytes == 0) return at[0];
    unsigned i = array->n_dims - 1;
    while (i > 0 && at[i] + chunk[i] >= array->dims[i]) at[i--] = 0;
    at[i] += chunk[i];
    if (at[0] >= array->dims[0]) return array->dims[0];
  }
}

/* The number of chunks that were written; false if it cannot be read. */
static bool count_chunks(hid_t id, hsize_t *n) {
  const hid_t space = H5Dget_space(id);
  const bool ok = space >= 0 && H5Dget_num_chunks(id, space, n) >= 0;
  store_close_id(space);
  return ok;
}

/* Rejects an array with chunks that were never written, unless its creator has set the value that they
 * have: HDF5 reads them as zeros. */
static ls_status check_written(const ls_store *store, const char *path, hid_t id, hid_t plist,
                               const ls_array *array) {
  H5D_fill_value_t fill;
  hsize_t chunk[H5S_MAX_RANK];
  hsize_t n = 0;
  size_t n_all = 1;
  char shape[128];
  char row[32] = "ROWS";
  char first[64] = "";
  if (H5Pfill_value_defined(plist, &fill) < 0 || H5Pget_chunk(plist, H5S_MAX_RANK, chunk) < 0)
    return fail_array(store, path, store_reason());
  if (fill == H5D_FILL_VALUE_USER_DEFINED) return LS_OK;
  if (!count_chunks(id, &n)) return fail_array(store, path, store_reason());
  for (unsigned i = 0; i < array->n_dims; i++)
    if (!ls_size_mul(n_all, (array->dims[i] - 1) / chunk[i] + 1, &n_all)) n_all = SIZE_MAX;
  if (n >= n_all) return LS_OK;
  if (n <= CHUNKS_SEARCHED) {
    snprintf(row, sizeof row, "%" PRIu64, first_unwritten_row(id, array, chunk));
    snprintf(first, sizeof first, ", and row %s is the first without", row);
  }
  return ls_fail(
      LS_ERR_DATA,
      "%s:%s: %s was not written completely: only %llu of %zu chunks have data%s; the others would "
      "be read as zeros; write them, or shorten the array, for example in Python with h5py: "
      "f['%s'].resize(%s, axis=0)",
      store->path, path, ls_array_describe(array, shape, sizeof shape), (unsigned long long)n, n_all, first,
      path, row);
}

/* Compares the stored bytes of an array with its shape. */
static ls_status check_storage(const ls_store *store, const char *path, hid_t id, hid_t plist, size_t size,
                               const ls_array *array, size_t *in_chunk) {
  size_t bytes;
  char shape[128];
  ls_array_describe(array, shape, sizeof shape);
  if (!total_bytes(array, size, &bytes))
    return ls_fail(LS_ERR_DATA, "%s:%s: %s is too large for this machine", store->path, path, shape);
  if (bytes == 0) return LS_OK;
  const uint64_t stored = H5Dget_storage_size(id);
  if (stored == 0)
    return ls_fail(LS_ERR_DATA, "%s:%s: %s has no stored data: it was created but never written",
                   store->path, path, shape);
  if (stored > store->bytes)
    return ls_fail(LS_ERR_DATA,
                   "%s:%s: is truncated or damaged: %" PRIu64 " stored bytes in a file of %" PRIu64,
                   store->path, path, stored, store->bytes);
  const bool chunked = H5Pget_layout(plist) == H5D_CHUNKED;
  if ((chunked ? bytes / expansion_limit(plist) : bytes) > stored)
    return ls_fail(LS_ERR_DATA,
                   "%s:%s: %s would expand from only %" PRIu64
                   " stored bytes: most of it was never written, "
                   "or the file is damaged",
                   store->path, path, shape, stored);
  if (!chunked) return LS_OK;
  LS_TRY(check_chunks(store, path, plist, size, array, stored, in_chunk));
  return check_written(store, path, id, plist, array);
}

/* The size of a virtual dataset, and its sources. */
static ls_status check_virtual(const ls_store *store, const char *path, hid_t plist, size_t size, size_t n,
                               const ls_array *array, virtual_map **map) {
  size_t bytes;
  char shape[128];
  if (!total_bytes(array, size, &bytes))
    return ls_fail(LS_ERR_DATA, "%s:%s: %s is too large for this machine", store->path, path,
                   ls_array_describe(array, shape, sizeof shape));
  return store_virtual_map(store, path, plist, n, array, map);
}

/* Layout first: HDF5 may open the sources of a virtual dataset to get its shape. */
ls_status store_check(const ls_store *store, const char *path, hid_t id, ls_array *out, size_t *in_chunk,
                      virtual_map **map) {
  *out = (ls_array){0};
  *in_chunk = 0;
  *map = NULL;
  size_t n_sources = 0;
  const hid_t plist = H5Dget_create_plist(id);
  if (plist < 0) return fail_array(store, path, store_reason());
  const bool is_virtual = H5Pget_layout(plist) == H5D_VIRTUAL;
  ls_status status =
      is_virtual ? store_virtual_check(store, path, plist, &n_sources) : check_layout(store, path, plist);
  if (status == LS_OK) status = check_filters(store, path, plist);
  const hid_t type = status == LS_OK ? H5Dget_type(id) : -1;
  const hid_t space = type < 0 ? -1 : H5Dget_space(id);
  if (status == LS_OK && space < 0) status = fail_array(store, path, store_reason());
  if (status == LS_OK) status = check_type(store, path, type, out);
  if (status == LS_OK) status = check_shape(store, path, space, out);
  const size_t size = status == LS_OK ? H5Tget_size(type) : 0;
  if (status == LS_OK && is_virtual) status = check_virtual(store, path, plist, size, n_sources, out, map);
  if (status == LS_OK && !is_virtual) status = check_storage(store, path, id, plist, size, out, in_chunk);
  store_close_id(space);
  store_close_id(type);
  store_close_id(plist);
  return status;
}
