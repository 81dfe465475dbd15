/* Opening arrays and reading rows. */
#include "internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of the chunks that span all columns of one band of rows; 0 if the array is not chunked. */
static size_t band_bytes(hid_t id, const ls_array *array, size_t *chunks) {
  hsize_t chunk[H5S_MAX_RANK];
  const hid_t plist = H5Dget_create_plist(id);
  const bool chunked = plist >= 0 && H5Pget_layout(plist) == H5D_CHUNKED;
  const int n = chunked ? H5Pget_chunk(plist, H5S_MAX_RANK, chunk) : 0;
  store_close_id(plist);
  size_t bytes = n > 0 ? ls_dtype_size(array->dtype) : 0;
  *chunks = 1;
  for (int i = 0; i < n; i++) {
    const size_t across = i == 0 ? 1 : array->dims[i] / chunk[i] + (array->dims[i] % chunk[i] != 0);
    if (!ls_size_mul(bytes, chunk[i], &bytes) || !ls_size_mul(bytes, across, &bytes)) return SIZE_MAX;
    *chunks *= across;
  }
  return bytes;
}

/* Reopens an array with a cache for a whole band of chunks, so that consecutive reads inflate each chunk
 * once. Bands larger than CACHE_LIMIT use HDF5's default. */
#define CACHE_LIMIT ((size_t)512 << 20)
static hid_t reopen_with_cache(hid_t file, const char *path, hid_t id, const ls_array *array) {
  static const size_t primes[] = {521, 10007, 100003, 1000003};
  size_t chunks;
  const size_t bytes = band_bytes(id, array, &chunks);
  if (bytes <= BLOCK_BYTES || bytes > CACHE_LIMIT) return id; /* HDF5's own cache has 1 MiB */
  int i = 0;
  while (i < 3 && primes[i] < 20 * chunks) i++;
  const hid_t access = H5Pcreate(H5P_DATASET_ACCESS);
  H5Pset_chunk_cache(access, primes[i], bytes + BLOCK_BYTES, 1.0);
  store_close_id(id); /* first: an open dataset keeps its cache */
  const hid_t again = H5Dopen2(file, path, access);
  store_close_id(access);
  return again;
}

/* ---------------------------------------------------------------- virtual datasets */

/* Opens the file of a source, unless it is open. */
static ls_status open_source_file(virtual_map *map, size_t i) {
  virtual_source *const s = &map->sources[i];
  if (map->store && strcmp(map->sources[map->open].file, s->file) != 0) ls_store_close(&map->store);
  if (!map->store) {
    LS_TRY(ls_store_open(s->file, &map->store));
    map->store->is_source = true;
    ls_store_use_cache(map->store, map->cache);
  }
  map->open = i;
  if (s->state.bytes == 0) s->state = ls_store_state(map->store);
  return ls_store_check_state(map->store, s->state);
}

/* Whether a source has the rows that the virtual dataset expects. */
static bool fits_source(const virtual_source *s, const ls_array *found, const ls_array *array) {
  const size_t skip = s->is_row ? 0 : 1; /* the first dim of a source of rows */
  if (found->dtype != array->dtype || found->n_dims != array->n_dims - 1 + skip ||
      memcmp(found->dims + skip, array->dims + 1, (array->n_dims - 1) * sizeof *found->dims) != 0)
    return false;
  if (s->is_row) return true;
  if (s->is_whole) return s->rows == found->dims[0];
  return s->source_first <= found->dims[0] && s->rows <= found->dims[0] - s->source_first;
}

/* Opens a source, unless it is open, and checks it. */
static ls_status open_source(virtual_map *map, size_t i, const ls_array *array) {
  virtual_source *const s = &map->sources[i];
  char text[2][128];
  ls_array found;
  LS_TRY(open_source_file(map, i));
  LS_TRY(ls_store_describe(map->store, s->path, &found));
  if (s->is_whole) s->is_row = s->rows == 1 && found.n_dims > 0 && found.n_dims + 1 == array->n_dims;
  if (fits_source(s, &found, array)) return LS_OK;
  return ls_fail(LS_ERR_DATA, "%s:%s: is %s; a virtual dataset of %s expects more rows, or others, from it",
                 s->file, s->path, ls_array_describe(&found, text[0], sizeof text[0]),
                 ls_array_describe(array, text[1], sizeof text[1]));
}

static ls_status check_sources(virtual_map *map, const ls_array *array) {
  for (size_t i = 0; i < map->n; i++) {
    LS_TRY(open_source(map, i, array));
    ls_heartbeat();
  }
  return LS_OK;
}

/* Reads rows of a virtual dataset. */
static ls_status read_virtual(virtual_map *map, const ls_array *array, uint64_t first, size_t count,
                              size_t row_bytes, unsigned char *buffer) {
  for (size_t i = 0; i < map->n && count > 0; i++) {
    const virtual_source *const s = &map->sources[i];
    if (s->first + s->rows <= first) continue;
    const size_t n = ls_size_min(s->first + s->rows - first, count);
    LS_TRY(open_source(map, i, array));
    LS_TRY(s->is_row
               ? ls_store_read_rows(map->store, s->path, 0, array->dims[1], buffer)
               : ls_store_read_rows(map->store, s->path, s->source_first + (first - s->first), n, buffer));
    first += n;
    count -= n;
    buffer += n * row_bytes;
  }
  LS_ASSERT(count == 0); /* the sources cover all rows */
  return LS_OK;
}

/* -------------------------------------------------------------------------- arrays */

static ls_status fail_kind(const ls_store *store, const char *path, ls_store_kind kind) {
  char why[256];
  if (kind == LS_STORE_OTHER)
    return ls_fail(LS_ERR_DATA, "%s:%s: is not an array of this file: %s", store->path, path,
                   ls_store_explain(store, path, why, sizeof why));
  return ls_fail(LS_ERR_DATA, "%s:%s: %s", store->path, path,
                 kind == LS_STORE_NONE ? "does not exist" : "is a group, not an array");
}

/* Opens and checks an array, without the sources of a virtual dataset. The caller must close it after a
 * failure too. */
static ls_status open_array_of(const ls_store *store, const char *path, open_array *a) {
  HDF5_LOCKED;
  const ls_store_kind kind = store_object_open(store->file, path, &a->id);
  if (kind != LS_STORE_ARRAY) return fail_kind(store, path, kind);
  a->path = ls_strdup(path);
  a->layout = calloc(1, sizeof *a->layout);
  if (!a->path || !a->layout) return ls_fail_memory(path, sizeof *a->layout);
  LS_TRY(store_check(store, path, a->id, &a->array, &a->chunk_bytes, &a->map));
  if (a->map) {
    a->map->cache = store->cache->decoder.cache;
    return LS_OK;
  }
  char *const name = ls_format("%s:%s", store->path, path);
  if (!name) return ls_fail_memory(path, strlen(path));
  a->name = ls_digest_of(name, strlen(name));
  free(name);
  store_layout_find(store, a->id, &a->array, a->layout);
  if (a->layout->how != READ_BY_HDF5) return LS_OK;
  if (a->chunk_bytes > 0) LS_TRY(store_check_first_chunk(store, path, a->id, a->chunk_bytes));
  a->id = reopen_with_cache(store->file, path, a->id, &a->array);
  if (a->id >= 0) return LS_OK;
  return ls_fail(LS_ERR_DATA, "%s:%s: cannot be opened: %s", store->path, path, store_reason());
}

/* Finds, checks and opens an array, or returns an open one. The store is locked. */
static ls_status open_checked(const ls_store *store, const char *path, open_array **out) {
  array_cache *const cache = store->cache;
  open_array found = {.id = -1};
  for (int i = 0; i < OPEN_ARRAYS; i++) {
    *out = &cache->places[i];
    if ((*out)->path && strcmp((*out)->path, path) == 0) return LS_OK;
  }
  ls_status status = open_array_of(store, path, &found);
  if (status == LS_OK && found.map) status = check_sources(found.map, &found.array);
  HDF5_LOCKED;
  if (status != LS_OK) {
    store_place_free(&found);
    return status;
  }
  *out = &cache->places[cache->next];
  cache->next = (cache->next + 1) % OPEN_ARRAYS;
  store_place_free(*out);
  **out = found;
  return LS_OK;
}

/* Holds the lock of a store to the end of the block. */
#define STORE_LOCKED(store)                                                                                \
  __attribute__((cleanup(unlock), unused)) pthread_mutex_t *const held = lock((store)->cache)

static pthread_mutex_t *lock(array_cache *cache) {
  pthread_mutex_lock(&cache->mutex);
  return &cache->mutex;
}

static void unlock(pthread_mutex_t *const *held) {
  pthread_mutex_unlock(*held);
}

ls_status ls_store_describe(const ls_store *store, const char *path, ls_array *out) {
  open_array *found;
  STORE_LOCKED(store);
  *out = (ls_array){0};
  LS_TRY(open_checked(store, path, &found));
  *out = found->array;
  return LS_OK;
}

size_t ls_store_chunk_rows(const ls_store *store, const char *path) {
  open_array *found;
  hsize_t chunk[H5S_MAX_RANK] = {1};
  STORE_LOCKED(store);
  if (open_checked(store, path, &found) != LS_OK) return 1;
  HDF5_LOCKED;
  const hid_t plist = H5Dget_create_plist(found->id);
  if (plist >= 0 && H5Pget_layout(plist) == H5D_CHUNKED) (void)H5Pget_chunk(plist, H5S_MAX_RANK, chunk);
  store_close_id(plist);
  return chunk[0] ? chunk[0] : 1;
}

/* Lets HDF5 read rows, in pieces with heartbeats, so that the watchdog accepts a slow file system. NULL, or
 * why that fails. */
static const char *read_by_hdf5(const open_array *a, uint64_t first, size_t count, size_t row_bytes,
                                unsigned char *out) {
  const size_t at_once = ls_size_max(LS_HEARTBEAT_BYTES / row_bytes, 1);
  bool ok = true;
  for (size_t done = 0; ok && done < count; done += at_once) {
    HDF5_LOCKED;
    store_filters_expect(a->chunk_bytes);
    ok = a->array.n_dims
             ? store_transfer_rows(a->id, &a->array, first + done, ls_size_min(at_once, count - done),
                                   out + done * row_bytes, NULL)
             : H5Dread(a->id, store_memory_type(a->id, a->array.dtype), H5S_ALL, H5S_ALL, H5P_DEFAULT,
                       out) >= 0;
    ls_heartbeat();
  }
  return ok ? NULL : store_reason();
}

void ls_store_read_ahead(const ls_store *store, const char *path, uint64_t first, size_t count) {
  open_array *a;
  STORE_LOCKED(store);
  if (open_checked(store, path, &a) != LS_OK || a->map || a->layout->how == READ_BY_HDF5 ||
      first >= a->array.dims[0])
    return;
  count = ls_size_min(count, a->array.dims[0] - first);
  if (count > 0) store_announce(&store->cache->decoder, a, first, count);
}

ls_status ls_store_read_rows(const ls_store *store, const char *path, uint64_t first, size_t count,
                             void *buffer) {
  open_array *from;
  STORE_LOCKED(store);
  LS_TRY(open_checked(store, path, &from));
  const ls_array *const array = &from->array;
  const uint64_t rows = array->n_dims ? array->dims[0] : 1;
  if (first > rows || count > rows - first)
    return ls_fail(LS_ERR_DATA,
                   "%s:%s: rows %" PRIu64 " to %" PRIu64 " are out of range; the array has %" PRIu64,
                   store->path, path, first, first + count, rows);
  if (array->dtype == LS_TEXT)
    return ls_fail(LS_ERR_DATA, "%s:%s: contains text; must contain numbers", store->path, path);
  size_t row_size;
  LS_ASSERT(ls_array_row_size(array, &row_size)); /* store_check has verified it */
  if (count == 0 || row_size == 0) return LS_OK;
  const size_t row_bytes = row_size * ls_dtype_size(array->dtype);
  if (from->map) return read_virtual(from->map, array, first, count, row_bytes, buffer);
  const char *const why = from->layout->how == READ_BY_HDF5
                              ? read_by_hdf5(from, first, count, row_bytes, buffer)
                              : store_read_stored(&store->cache->decoder, from, first, count, buffer);
  LS_TRY(store_check_unchanged(store));
  if (!why) return LS_OK;
  return ls_fail(LS_ERR_DATA, "%s:%s: rows %" PRIu64 " to %" PRIu64 " " LS_UNREADABLE ": %s", store->path,
                 path, first, first + count - 1, why);
}
