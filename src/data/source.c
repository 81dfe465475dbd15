/* The open file of a dataset. At most one file is open at a time, and one more if y is in a file of its
 * own, so that a dataset may have any number of files. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

void data_source_close(data_source *s) {
  ls_store_close(&s->y_store);
  ls_store_close(&s->store);
  s->names = (data_names){0};
}

void data_source_destroy(data_source **source) {
  if (!*source) return;
  data_source_close(*source);
  data_files_free(&(*source)->files);
  free(*source);
  *source = NULL;
}

/* Compares a file with its state when this process, or rank 0, opened it first. Threads share the states.
 */
static ls_status check_state(const ls_store *store, ls_file_state *state) {
  static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&mutex);
  if (state->bytes == 0) *state = ls_store_state(store);
  const ls_file_state first = *state;
  pthread_mutex_unlock(&mutex);
  return ls_store_check_state(store, first);
}

/* Opens the file of a part; closes another one. */
static ls_status open_part(data_source *s, size_t part) {
  if (s->store && s->open == part) return LS_OK;
  data_source_close(s);
  LS_TRY(ls_store_open(s->files.parts[part].file, &s->store));
  ls_store_use_cache(s->store, s->cache);
  s->open = part;
  const ls_status status = check_state(s->store, &s->files.parts[part].state);
  if (status != LS_OK) data_source_close(s);
  LS_TRY(status);
  s->names = s->files.parts[part].names;
  ls_heartbeat();
  return LS_OK;
}

/* Splits an explicit name of y that has a file. */
static ls_status find_y_file(const ls_dataset_request *request, const data_files *files, data_part *part) {
  LS_TRY(ls_spec_split(request->y, &part->y_file, &part->names.y));
  if (files->n == 1) return LS_OK;
  return ls_fail(LS_ERR_DATA,
                 "%s: y is in one file, but x is in %zu files; must be one file too, or y must be beside x",
                 request->y, files->n);
}

ls_status data_source_find(data_source *s, const ls_dataset_request *request, size_t part) {
  data_part *const p = &s->files.parts[part];
  LS_TRY(open_part(s, part));
  ls_dataset_request rest = *request;
  const bool has_y_file = request->target != LS_TARGET_NONE && data_has_file(request->y);
  if (has_y_file) rest.y = NULL;
  LS_TRY(data_find_arrays(s->store, &rest, p->group, has_y_file, &p->names));
  if (has_y_file) LS_TRY(find_y_file(request, &s->files, p));
  s->names = p->names;
  return LS_OK;
}

ls_status data_source_open(data_source *s, size_t part, const ls_array *stored) {
  ls_array x;
  const uint64_t rows = s->files.parts[part].rows;
  if (s->store && s->open == part) return LS_OK;
  LS_TRY(open_part(s, part));
  LS_TRY(ls_store_describe(s->store, s->names.x, &x));
  if (x.dtype == stored->dtype && x.n_dims == stored->n_dims && x.dims[0] == rows &&
      memcmp(x.dims + 1, stored->dims + 1, (x.n_dims - 1) * sizeof *x.dims) == 0)
    return LS_OK;
  return ls_fail(LS_ERR_DATA,
                 "%s:%s: shape or type differs from what rank 0 has read; the file was replaced, or nodes "
                 "have different files under this name; give all nodes the same file",
                 ls_store_path(s->store), s->names.x);
}

const char *data_source_y_file(const data_source *s) {
  const data_part *const part = &s->files.parts[s->open];
  return part->y_file ? part->y_file : part->file;
}

ls_status data_source_y(data_source *s, const ls_store **store) {
  data_part *const part = &s->files.parts[s->open];
  const char *const file = part->y_file;
  if (file && !s->y_store) {
    LS_TRY(ls_store_open(file, &s->y_store));
    ls_store_use_cache(s->y_store, s->cache);
    const ls_status status = check_state(s->y_store, &part->y_state);
    if (status != LS_OK) ls_store_close(&s->y_store);
    LS_TRY(status);
  }
  *store = file ? s->y_store : s->store;
  return LS_OK;
}
