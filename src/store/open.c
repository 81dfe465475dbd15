/* Opening and closing files, and listing groups. */
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

static ls_file_state state_of(const struct stat *about) {
  return (ls_file_state){.bytes = (uint64_t)about->st_size,
                         .inode = about->st_ino,
                         .seconds = about->st_mtim.tv_sec,
                         .nanoseconds = about->st_mtim.tv_nsec};
}

/* Whether HDF5 opened the file of the descriptor, not one that replaced it since; and its state. */
static bool same_file(ls_store *store, int descriptor) {
  void *handle = NULL;
  struct stat ours, theirs;
  if (H5Fget_vfd_handle(store->file, H5P_DEFAULT, &handle) < 0 || !handle) return false;
  store->descriptor = *(const int *)handle;
  if (fstat(descriptor, &ours) || fstat(store->descriptor, &theirs)) return false;
  store->bytes = (uint64_t)ours.st_size;
  store->state = state_of(&theirs);
  return ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino && ours.st_size == theirs.st_size;
}

static bool is_same_state(ls_file_state a, ls_file_state b) {
  return a.bytes == b.bytes && a.inode == b.inode && a.seconds == b.seconds &&
         a.nanoseconds == b.nanoseconds;
}

static ls_status check_state(const ls_store *store, ls_file_state now, ls_file_state then) {
  if (is_same_state(now, then)) return LS_OK;
  return ls_fail(LS_ERR_DATA,
                 "%s: has changed since it was opened first: its size, time or inode differs (%" PRIu64
                 " bytes then, %" PRIu64 " now); files must not change during a run; start it again",
                 store->path, then.bytes, now.bytes);
}

void ls_store_use_cache(ls_store *store, ls_cache *cache) {
  store->cache->decoder.cache = cache;
  store->cache->decoder.state = store->state;
}

ls_file_state ls_store_state(const ls_store *store) {
  return store->state;
}

bool ls_store_has_state(const char *path, ls_file_state state) {
  struct stat about;
  return stat(path, &about) == 0 && is_same_state(state_of(&about), state);
}

ls_status ls_store_check_state(const ls_store *store, ls_file_state first) {
  return check_state(store, store->state, first);
}

ls_status store_check_unchanged(const ls_store *store) {
  struct stat now;
  if (fstat(store->descriptor, &now)) return LS_OK; /* reading reports the error */
  return check_state(store, state_of(&now), store->state);
}

/* Opens the file of a verified descriptor with HDF5. */
static ls_status open_store(const char *path, int descriptor, ls_store **out) {
  HDF5_LOCKED;
  ls_status status = LS_OK;
  ls_store *store = calloc(1, sizeof *store);
  if (!store) return ls_fail_memory(path, sizeof *store);
  store->path = ls_strdup(path);
  store->cache = calloc(1, sizeof *store->cache);
  for (int i = 0; store->cache && i < OPEN_ARRAYS; i++) store->cache->places[i].id = -1;
  if (store->cache) pthread_mutex_init(&store->cache->mutex, NULL);
  store->file = store->path && store->cache ? open_hdf5(path) : -1;
  if (!store->path || !store->cache)
    status = ls_fail_memory(path, sizeof *store->cache);
  else if (store->file < 0)
    status = store_open_fail(path, descriptor, store_reason());
  else if (!same_file(store, descriptor))
    status = ls_fail(LS_ERR_DATA, "%s: was replaced while it was opened; try again", path);
  if (status != LS_OK) ls_store_close(&store);
  *out = store;
  return status;
}

static ls_status open_path(const char *path, bool sealed, ls_store **out) {
  int descriptor = -1;
  *out = NULL;
  LS_TRY(ls_store_open_file(path, sealed ? LS_ERR_MODEL : LS_ERR_DATA, &descriptor));
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

void store_place_free(open_array *place) {
  if (place->map) ls_store_close(&place->map->store);
  store_virtual_free(&place->map);
  if (place->layout) store_layout_free(place->layout);
  free(place->layout);
  store_close_id(place->id);
  free(place->path);
  *place = (open_array){.id = -1};
}

void ls_store_close(ls_store **store) {
  ls_store *const s = *store;
  *store = NULL;
  if (!s) return;
  HDF5_LOCKED;
  for (int i = 0; s->cache && i < OPEN_ARRAYS; i++) store_place_free(&s->cache->places[i]);
  if (s->cache) store_decoder_free(&s->cache->decoder);
  if (s->cache) pthread_mutex_destroy(&s->cache->mutex);
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
  HDF5_LOCKED;
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
  HDF5_LOCKED;
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
