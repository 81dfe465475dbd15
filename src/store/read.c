/* Opening files, listing groups, and reading rows. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_NAMES 10000

/* ------------------------------------------------------------------ opening */

static hid_t open_hdf5(const char *path) {
  const hid_t access = store_access();
  const hid_t file = access < 0 ? -1 : H5Fopen(path, H5F_ACC_RDONLY, access);
  store_close_id(access);
  return file;
}

/* Whether HDF5 opened the file of the descriptor, not one that replaced it since; and its size. */
static bool same_file(hid_t file, int descriptor, uint64_t *bytes) {
  void *handle = NULL;
  struct stat ours, theirs;
  if (H5Fget_vfd_handle(file, H5P_DEFAULT, &handle) < 0 || !handle) return false;
  if (fstat(descriptor, &ours) || fstat(*(const int *)handle, &theirs)) return false;
  *bytes = (uint64_t)ours.st_size;
  return ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino && ours.st_size == theirs.st_size;
}

/* Opens the file of a verified descriptor with HDF5. */
static ls_status open_store(const char *path, int descriptor, ls_store **out) {
  ls_status status = LS_OK;
  ls_store *store = calloc(1, sizeof *store);
  if (!store) return ls_fail_memory(path, sizeof *store);
  store->path = ls_strdup(path);
  store->cache = calloc(1, sizeof *store->cache);
  store->file = store->path && store->cache ? open_hdf5(path) : -1;
  if (!store->path || !store->cache)
    status = ls_fail_memory(path, sizeof *store->cache);
  else if (store->file < 0)
    status = store_open_fail(path, descriptor, store_reason());
  else if (!same_file(store->file, descriptor, &store->bytes))
    status = ls_fail(LS_ERR_DATA, "%s: was replaced while it was opened; try again", path);
  if (status != LS_OK) ls_store_close(&store);
  *out = store;
  return status;
}

static ls_status open_path(const char *path, bool sealed, ls_store **out) {
  int descriptor = -1;
  *out = NULL;
  store_start();
  LS_TRY(store_descriptor_open(path, sealed ? LS_ERR_MODEL : LS_ERR_DATA, &descriptor));
  ls_status status = sealed ? store_seal_verify(descriptor, path) : LS_OK;
  if (status == LS_OK) status = open_store(path, descriptor, out);
  close(descriptor);
  return status;
}

ls_status ls_store_open(const char *path, ls_store **out) {
  return open_path(path, false, out);
}

ls_status ls_store_open_sealed(const char *path, ls_store **out) {
  return open_path(path, true, out);
}

static void free_place(open_array *place) {
  store_close_id(place->path ? place->id : -1);
  free(place->path);
  *place = (open_array){.id = -1};
}

void ls_store_close(ls_store **store) {
  ls_store *const s = *store;
  *store = NULL;
  if (!s) return;
  for (int i = 0; s->cache && i < OPEN_ARRAYS; i++) free_place(&s->cache->places[i]);
  if (s->file >= 0) H5Fclose(s->file);
  free(s->cache);
  free(s->path);
  free(s);
}

const char *ls_store_path(const ls_store *store) {
  return store->path;
}

/* ------------------------------------------------------------------ finding */

ls_store_kind ls_store_kind_of(const ls_store *store, const char *path) {
  hid_t id;
  const ls_store_kind kind = store_object_open(store->file, path, &id);
  store_close_id(id);
  return kind;
}

/* The names of a group in one block. First pass: block is NULL, bytes add up. */
typedef struct name_list {
  char **block; /* pointers, then texts */
  size_t count;
  size_t bytes; /* of the texts */
  char *next;
} name_list;

static herr_t add_name(hid_t group, const char *name, const H5L_info_t *info, void *data) {
  (void)group;
  (void)info;
  name_list *const list = data;
  const size_t bytes = strlen(name) + 1;
  if (list->block) {
    list->block[list->count] = list->next;
    memcpy(list->next, name, bytes);
    list->next += bytes;
  }
  list->count++;
  list->bytes += bytes;
  return list->count > MAX_NAMES;
}

/* Iterates over a group twice: to measure, and to copy. */
static ls_status list_group(const ls_store *store, const char *path, hid_t group, name_list *list) {
  herr_t end = H5Literate(group, H5_INDEX_NAME, H5_ITER_INC, NULL, add_name, list);
  if (end > 0)
    return ls_fail(
        LS_ERR_DATA,
        "%s:%s: has more than %d names; if each is a sample, write one array of all samples instead",
        store->path, path, MAX_NAMES);
  const size_t pointers = (list->count + 1) * sizeof *list->block;
  if (end == 0) {
    char **const block = calloc(1, pointers + list->bytes);
    if (!block) return ls_fail_memory("a list of names", pointers + list->bytes);
    *list = (name_list){.block = block, .next = (char *)block + pointers};
    end = H5Literate(group, H5_INDEX_NAME, H5_ITER_INC, NULL, add_name, list);
  }
  if (end == 0) return LS_OK;
  return ls_fail(LS_ERR_DATA, "%s:%s: cannot be listed: %s", store->path, path, store_reason());
}

ls_status ls_store_list(const ls_store *store, const char *group, char ***names, size_t *count) {
  hid_t id;
  name_list list = {0};
  const ls_store_kind kind = store_object_open(store->file, group, &id);
  const ls_status status =
      kind == LS_STORE_GROUP
          ? list_group(store, group, id, &list)
          : ls_fail(LS_ERR_DATA, "%s:%s: is not a group of this file", store->path, group);
  store_close_id(id);
  if (status != LS_OK) {
    free(list.block);
    list = (name_list){0};
  }
  *names = list.block;
  *count = list.count;
  return status;
}

/* ------------------------------------------------------------------ reading */

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

/* Finds, checks and opens an array, or returns an open one. */
static ls_status open_checked(const ls_store *store, const char *path, const open_array **out) {
  array_cache *const cache = store->cache;
  for (int i = 0; i < OPEN_ARRAYS; i++) {
    *out = &cache->places[i];
    if ((*out)->path && strcmp((*out)->path, path) == 0) return LS_OK;
  }
  hid_t id;
  const ls_store_kind kind = store_object_open(store->file, path, &id);
  if (kind != LS_STORE_ARRAY) {
    store_close_id(id);
    char why[256];
    if (kind == LS_STORE_OTHER)
      return ls_fail(LS_ERR_DATA, "%s:%s: is not an array of this file: %s", store->path, path,
                     ls_store_explain(store, path, why, sizeof why));
    return ls_fail(LS_ERR_DATA, "%s:%s: %s", store->path, path,
                   kind == LS_STORE_NONE ? "does not exist" : "is a group, not an array");
  }
  ls_array array;
  size_t chunk_bytes = 0;
  const ls_status status = store_check(store, path, id, &array, &chunk_bytes);
  if (status != LS_OK) {
    store_close_id(id);
    return status;
  }
  id = reopen_with_cache(store->file, path, id, &array);
  if (id < 0) return ls_fail(LS_ERR_DATA, "%s:%s: cannot be opened: %s", store->path, path, store_reason());

  open_array *const place = &cache->places[cache->next];
  cache->next = (cache->next + 1) % OPEN_ARRAYS;
  free_place(place);
  *place = (open_array){.path = ls_strdup(path), .id = id, .chunk_bytes = chunk_bytes, .array = array};
  *out = place;
  if (place->path) return LS_OK;
  store_close_id(id);
  return ls_fail_memory(path, strlen(path));
}

ls_status ls_store_describe(const ls_store *store, const char *path, ls_array *out) {
  const open_array *found;
  *out = (ls_array){0};
  LS_TRY(open_checked(store, path, &found));
  *out = found->array;
  return LS_OK;
}

size_t ls_store_chunk_rows(const ls_store *store, const char *path) {
  const open_array *found;
  hsize_t chunk[H5S_MAX_RANK] = {1};
  if (open_checked(store, path, &found) != LS_OK) return 1;
  const hid_t plist = H5Dget_create_plist(found->id);
  if (plist >= 0 && H5Pget_layout(plist) == H5D_CHUNKED) (void)H5Pget_chunk(plist, H5S_MAX_RANK, chunk);
  store_close_id(plist);
  return chunk[0] ? chunk[0] : 1;
}

/* Reads rows in pieces with heartbeats, so that the watchdog accepts a slow file system. False if HDF5
 * fails. */
static bool read_pieces(const open_array *from, uint64_t first, size_t count, size_t row_bytes,
                        unsigned char *out) {
  const size_t at_once = ls_size_max(LS_HEARTBEAT_BYTES / row_bytes, 1);
  bool ok = true;
  for (size_t done = 0; ok && done < count; done += at_once) {
    ok = store_transfer_rows(from->id, &from->array, first + done, ls_size_min(at_once, count - done),
                             out + done * row_bytes, NULL);
    ls_heartbeat();
  }
  return ok;
}

ls_status ls_store_read_rows(const ls_store *store, const char *path, uint64_t first, size_t count,
                             void *buffer) {
  const open_array *from;
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
  store_filters_expect(from->chunk_bytes);
  const bool ok = array->n_dims
                      ? read_pieces(from, first, count, row_size * ls_dtype_size(array->dtype), buffer)
                      : H5Dread(from->id, store_memory_type(from->id, array->dtype), H5S_ALL, H5S_ALL,
                                H5P_DEFAULT, buffer) >= 0;
  if (ok) return LS_OK;
  return ls_fail(LS_ERR_DATA, "%s:%s: rows %" PRIu64 " to %" PRIu64 " cannot be read: %s", store->path,
                 path, first, first + count - 1, store_reason());
}
