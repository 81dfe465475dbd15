/* Virtual datasets: an array whose rows are those of arrays in other files.
 *
 * HDF5 would open any file that such a dataset names, and would read a missing one as zeros. So the sources
 * are opened here, with the checks of all files: only files in the same folder, each giving whole rows. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define SOURCES_MOST ((size_t)100000)
#define NAME_BYTES   4096

void store_virtual_free(virtual_map **map) {
  if (!*map) return;
  for (size_t i = 0; i < (*map)->n; i++) {
    free((*map)->sources[i].file);
    free((*map)->sources[i].path);
  }
  LS_ASSERT(!(*map)->store);
  free((*map)->sources);
  free(*map);
  *map = NULL;
}

/* ------------------------------------------------------------------------- mapping */

/* The block that a selection is; false if it is another selection, or has no limit. */
static bool block_of(hid_t space, int *n_dims, hsize_t *start, hsize_t *count) {
  hsize_t end[H5S_MAX_RANK];
  *n_dims = H5Sget_simple_extent_ndims(space);
  const hssize_t n_points = H5Sget_select_npoints(space);
  if (*n_dims < 1 || n_points < 1 || (hsize_t)n_points == H5S_UNLIMITED) return false;
  if (H5Sget_select_bounds(space, start, end) < 0) return false;
  hsize_t product = 1;
  for (int i = 0; i < *n_dims; i++) {
    count[i] = end[i] - start[i] + 1;
    if (count[i] > (hsize_t)n_points) return false;
    product *= count[i];
  }
  return product == (hsize_t)n_points;
}

/* Whether a block, without its first dim, or the whole block, has the shape of a row. */
static bool has_rows(const ls_array *array, int n_dims, const hsize_t *start, const hsize_t *count,
                     int from) {
  if (n_dims - from != (int)array->n_dims - 1) return false;
  for (int i = from; i < n_dims; i++)
    if (start[i] != 0 || count[i] != array->dims[i - from + 1]) return false;
  return true;
}

static bool map_rows(hid_t in, hid_t from, const ls_array *array, virtual_source *out) {
  int n_in, n_from;
  hsize_t in_start[H5S_MAX_RANK], in_count[H5S_MAX_RANK];
  hsize_t from_start[H5S_MAX_RANK], from_count[H5S_MAX_RANK];
  if (in < 0 || from < 0 || !block_of(in, &n_in, in_start, in_count) ||
      !has_rows(array, n_in, in_start, in_count, 1))
    return false;
  out->first = in_start[0];
  out->rows = in_count[0];
  out->is_whole = H5Sget_select_type(from) == H5S_SEL_ALL; /* as of VirtualSource without [...] in h5py */
  if (out->is_whole) return true;
  if (!block_of(from, &n_from, from_start, from_count)) return false;
  out->source_first = from_start[0];
  out->is_row =
      in_count[0] == 1 && n_from == n_in - 1 && has_rows(array, n_from, from_start, from_count, 0);
  return out->is_row || (n_from == n_in && from_count[0] == in_count[0] &&
                         has_rows(array, n_from, from_start, from_count, 1));
}

/* Why a source's name is not that of a file in the same folder, or NULL. "." is the file itself. */
static const char *check_name(const char *name) {
  if (strchr(name, '%')) return "the name of a source is a pattern";
  if (name[0] == '\0' || strchr(name, '/') || strcmp(name, "..") == 0)
    return "a source is not named as a file in the same folder";
  return NULL;
}

/* Reads mapping i. Returns NULL, or why it is not supported. */
static const char *read_source(const ls_store *store, hid_t plist, size_t i, const ls_array *array,
                               virtual_source *out) {
  char file[NAME_BYTES] = "";
  char path[NAME_BYTES] = "";
  if (H5Pget_virtual_filename(plist, i, file, sizeof file) >= NAME_BYTES ||
      H5Pget_virtual_dsetname(plist, i, path, sizeof path) >= NAME_BYTES)
    return "the name of a source is too long";
  const char *const why = check_name(file);
  if (why) return why;
  const hid_t in = H5Pget_virtual_vspace(plist, i);
  const hid_t from = H5Pget_virtual_srcspace(plist, i);
  const bool ok = map_rows(in, from, array, out);
  store_close_id(from);
  store_close_id(in);
  if (!ok) return "a source does not give whole rows in one block";
  const char *const slash = strrchr(store->path, '/');
  const int folder = slash ? (int)(slash - store->path) + 1 : 0;
  out->file =
      strcmp(file, ".") == 0 ? ls_strdup(store->path) : ls_format("%.*s%s", folder, store->path, file);
  out->path = ls_format("%s%s", path[0] == '/' ? "" : "/", path);
  return out->file && out->path ? NULL : "there is not enough memory for the names of its sources";
}

static int compare_sources(const void *a, const void *b) {
  const virtual_source *const p = a;
  const virtual_source *const q = b;
  return p->first < q->first ? -1 : p->first > q->first;
}

static const char *read_sources(const ls_store *store, hid_t plist, const ls_array *array,
                                virtual_map *map) {
  const char *why = NULL;
  for (size_t i = 0; !why && i < map->n; i++) {
    why = read_source(store, plist, i, array, &map->sources[i]);
    ls_heartbeat();
  }
  if (why) return why;
  qsort(map->sources, map->n, sizeof *map->sources, compare_sources);
  uint64_t next = 0;
  for (size_t i = 0; i < map->n; i++) {
    if (map->sources[i].first > next) return "some rows have no source";
    if (map->sources[i].first < next) return "some rows have two sources";
    next += map->sources[i].rows;
  }
  return next == array->dims[0] ? NULL : "some rows have no source";
}

static ls_status fail_virtual(const ls_store *store, const char *path, const char *why) {
  return ls_fail(
      LS_ERR_DATA,
      "%s:%s: is a virtual dataset that cannot be read: %s; name its files as data.train: [FILE, "
      "...], or copy the data into one file, in Python with h5py: g['x'] = f['%s'][:]",
      store->path, path, why, path);
}

/* Whether a mapping has no limit. HDF5 opens its sources to find the shape. */
static bool has_limits(hid_t plist, size_t n) {
  bool ok = true;
  for (size_t i = 0; ok && i < n; i++) {
    const hid_t space = H5Pget_virtual_vspace(plist, i);
    ok = space >= 0 && (hsize_t)H5Sget_select_npoints(space) != H5S_UNLIMITED;
    store_close_id(space);
  }
  return ok;
}

ls_status store_virtual_check(const ls_store *store, const char *path, hid_t plist, size_t *n) {
  *n = 0;
  if (store->is_source) return fail_virtual(store, path, "it is itself the source of a virtual dataset");
  if (H5Pget_virtual_count(plist, n) < 0) return fail_virtual(store, path, store_reason());
  if (*n == 0 || *n > SOURCES_MOST) return fail_virtual(store, path, "it has no or too many sources");
  return has_limits(plist, *n) ? LS_OK : fail_virtual(store, path, "the number of its rows has no limit");
}

ls_status store_virtual_map(const ls_store *store, const char *path, hid_t plist, size_t n,
                            const ls_array *array, virtual_map **out) {
  if (array->n_dims == 0 || array->dims[0] == 0) return fail_virtual(store, path, "it has no rows");
  virtual_map *map = calloc(1, sizeof *map);
  virtual_source *const sources = calloc(n, sizeof *sources);
  if (!map || !sources) {
    free(map);
    free(sources);
    return ls_fail_memory(path, n * sizeof *sources);
  }
  *map = (virtual_map){.n = n, .sources = sources};
  const char *const why = read_sources(store, plist, array, map);
  if (why) store_virtual_free(&map);
  *out = map;
  return why ? fail_virtual(store, path, why) : LS_OK;
}
