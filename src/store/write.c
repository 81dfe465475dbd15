/* Writing groups and arrays to the temporary file. */
#include "internal.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFLATE_LEVEL 4
#define WRITE_CHUNKS  8          /* per step: HDF5 is locked, and a heartbeat follows */
#define MAX_ROW       UINT32_MAX /* bytes of a chunk, a limit of HDF5 */

ls_status store_write_fail(ls_store_writer *writer, const char *where, const char *what) {
  writer->failed = true;
  return ls_fail(LS_ERR_OUTPUT, "%s:%s: %s: %s", writer->path, where, what, store_reason());
}

/* ------------------------------------------------------------------ the file */

/* Only a regular file may be replaced: not /dev/null, not a folder. */
static ls_status check_target(const char *path) {
  struct stat about;
  if (stat(path, &about) || S_ISREG(about.st_mode)) return LS_OK;
  return ls_fail(LS_ERR_OUTPUT, "%s: cannot be written: it is %s; choose another output", path,
                 S_ISDIR(about.st_mode) ? "a folder" : "a device or pipe");
}

/* Creates the temporary file without HDF5, to report the system's reason of a failure. An existing file of
 * that name was left by a killed process. */
static ls_status create_temporary(const ls_store_writer *writer) {
  unlink(writer->temporary);
  const int descriptor = open(writer->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor < 0) return store_system_fail(writer->path);
  close(descriptor);
  return LS_OK;
}

/* Without times, so that equal contents give equal bytes. V18 at least: older formats limit attributes to
 * 64 KiB. */
static hid_t create_hdf5(const char *path, bool sealed) {
  HDF5_LOCKED;
  const hid_t access = store_access();
  const hid_t creation = H5Pcreate(H5P_FILE_CREATE);
  hid_t file = -1;
  if (H5Pset_libver_bounds(access, sealed ? H5F_LIBVER_V110 : H5F_LIBVER_V18, H5F_LIBVER_V110) >= 0 &&
      H5Pset_obj_track_times(creation, false) >= 0 &&
      H5Pset_userblock(creation, sealed ? SEAL_BYTES : 0) >= 0)
    file = H5Fcreate(path, H5F_ACC_TRUNC, creation, access);
  store_close_id(creation);
  store_close_id(access);
  return file;
}

/* A writer without its HDF5 file. NULL if memory is short. */
static ls_store_writer *new_writer(const char *path, bool sealed) {
  ls_store_writer *writer = calloc(1, sizeof *writer);
  if (!writer) return NULL;
  writer->file = -1;
  writer->sealed = sealed;
  writer->path = ls_strdup(path);
  writer->temporary = ls_store_temporary(path);
  if (!writer->path || !writer->temporary) ls_store_discard(&writer);
  return writer;
}

ls_status ls_store_create(const char *path, bool sealed, ls_store_writer **out) {
  *out = NULL;
  LS_TRY(check_target(path));
  ls_store_writer *writer = new_writer(path, sealed);
  if (!writer) return ls_fail_memory(path, sizeof *writer);
  ls_status status = create_temporary(writer);
  if (status == LS_OK) writer->file = create_hdf5(writer->temporary, sealed);
  if (status == LS_OK && writer->file < 0) status = store_write_fail(writer, "/", "cannot be created");
  if (status != LS_OK) ls_store_discard(&writer);
  *out = writer;
  return status;
}

static void free_record(record *r) {
  store_close_id(r->id);
  free(r->path);
  free(r->pending);
  XXH3_freeState(r->state);
  free(r);
}

void store_records_free(ls_store_writer *writer) {
  for (record *r = writer->records, *next; r; r = next) {
    next = r->next;
    free_record(r);
  }
  writer->records = NULL;
}

uint64_t ls_store_written_bytes(const ls_store_writer *writer) {
  hsize_t bytes = 0;
  HDF5_LOCKED;
  return H5Fget_filesize(writer->file, &bytes) < 0 ? 0 : bytes;
}

void ls_store_discard(ls_store_writer **writer) {
  ls_store_writer *const w = *writer;
  *writer = NULL;
  if (!w) return;
  HDF5_LOCKED;
  store_records_free(w);
  if (w->file >= 0) H5Fclose(w->file);
  if (w->temporary) unlink(w->temporary);
  free(w->temporary);
  free(w->path);
  free(w);
}

/* -------------------------------------------------------------------- groups */

/* Opens or creates the child group `name` of `parent`; closes the parent. */
static hid_t enter_group(hid_t parent, const char *name) {
  hid_t child = -1;
  const htri_t exists = H5Lexists(parent, name, H5P_DEFAULT);
  if (exists > 0) child = H5Gopen2(parent, name, H5P_DEFAULT);
  if (exists == 0) {
    const hid_t creation = H5Pcreate(H5P_GROUP_CREATE);
    H5Pset_obj_track_times(creation, false);
    child = H5Gcreate2(parent, name, H5P_DEFAULT, creation, H5P_DEFAULT);
    store_close_id(creation);
  }
  store_close_id(parent);
  return child;
}

ls_status store_make_groups(ls_store_writer *writer, const char *path, bool whole) {
  char *const names = ls_strdup(path);
  if (!names) return ls_fail_memory(path, strlen(path));
  char *rest = NULL;
  hid_t here = H5Gopen2(writer->file, "/", H5P_DEFAULT);
  const char *name = strtok_r(names, "/", &rest);
  while (name && here >= 0) {
    const char *const next = strtok_r(NULL, "/", &rest);
    if (next || whole) here = enter_group(here, name);
    name = next;
  }
  const ls_status status = here < 0 ? store_write_fail(writer, path, "its group cannot be created") : LS_OK;
  store_close_id(here);
  free(names);
  return status;
}

ls_status ls_store_write_group(ls_store_writer *writer, const char *path) {
  HDF5_LOCKED;
  return store_make_groups(writer, path, true);
}

/* -------------------------------------------------------------------- arrays */

/* Rows per chunk of about BLOCK_BYTES; if the number of rows is known, chunks have about equal sizes. */
static size_t rows_per_chunk(const record *r) {
  const size_t most = ls_size_max(1, BLOCK_BYTES / ls_size_max(1, r->row_bytes));
  const uint64_t rows = r->array.dims[0];
  if (rows == 0) return most;
  const uint64_t chunks = (rows - 1) / most + 1;
  return (size_t)((rows - 1) / chunks + 1);
}

/* Chunks and filters. Shuffling does not help single bytes. */
static hid_t creation_list(const ls_store_writer *writer, const record *r) {
  const ls_array *const array = &r->array;
  const hid_t list = H5Pcreate(H5P_DATASET_CREATE);
  bool ok = H5Pset_obj_track_times(list, false) >= 0;
  if (ok && array->n_dims == 0) return list;
  hsize_t chunk[LS_MAX_DIMS];
  chunk[0] = r->chunk_rows;
  for (unsigned i = 1; i < array->n_dims; i++) chunk[i] = array->dims[i] ? array->dims[i] : 1;
  ok = ok && H5Pset_chunk(list, (int)array->n_dims, chunk) >= 0;
  if (writer->sealed) {
    ok = ok && H5Pset_fletcher32(list) >= 0;
  } else {
    if (ls_dtype_size(array->dtype) > 1) ok = ok && H5Pset_shuffle(list) >= 0;
    ok = ok && H5Pset_deflate(list, DEFLATE_LEVEL) >= 0;
  }
  if (ok) return list;
  store_close_id(list);
  return -1;
}

/* A dimension of 0 is unlimited, because a chunk has at least one element in each. */
static hid_t create_space(const ls_array *array) {
  hsize_t dims[LS_MAX_DIMS];
  hsize_t limits[LS_MAX_DIMS];
  if (array->n_dims == 0) return H5Screate(H5S_SCALAR);
  for (unsigned i = 0; i < array->n_dims; i++) {
    dims[i] = array->dims[i];
    limits[i] = dims[i] ? dims[i] : H5S_UNLIMITED;
  }
  return H5Screate_simple((int)array->n_dims, dims, limits);
}

static hid_t create_array(const ls_store_writer *writer, const record *r) {
  const hid_t space = create_space(&r->array);
  const hid_t creation = space < 0 ? -1 : creation_list(writer, r);
  hid_t id = -1;
  if (creation >= 0)
    id = H5Dcreate2(writer->file, r->path, store_type(r->array.dtype, true), space, H5P_DEFAULT, creation,
                    H5P_DEFAULT);
  store_close_id(creation);
  store_close_id(space);
  return id;
}

/* A record without its dataset. NULL if memory is short. */
static record *new_record(const char *path, const ls_array *array, size_t row_bytes) {
  record *const r = calloc(1, sizeof *r);
  if (!r) return NULL;
  *r = (record){.id = -1, .array = *array, .row_bytes = row_bytes, .path = ls_strdup(path)};
  if (array->n_dims == 0) r->array.dims[0] = 1;
  r->chunk_rows = rows_per_chunk(r);
  r->state = XXH3_createState();
  if (r->state) XXH3_128bits_reset(r->state);
  if (r->path && r->state) return r;
  free_record(r);
  return NULL;
}

/* Creates the record and dataset of an array whose rows have `row_bytes` bytes. */
static ls_status begin_array(ls_store_writer *writer, const char *path, const ls_array *array,
                             size_t row_bytes) {
  LS_TRY(store_make_groups(writer, path, false));
  record *const r = new_record(path, array, row_bytes);
  if (!r) return ls_fail_memory(path, sizeof *r);
  r->next = writer->records;
  writer->records = r;
  r->id = create_array(writer, r);
  return r->id < 0 ? store_write_fail(writer, path, "cannot be created") : LS_OK;
}

ls_status ls_store_begin_array(ls_store_writer *writer, const char *path, const ls_array *array) {
  size_t row_bytes;
  HDF5_LOCKED;
  LS_ASSERT(array->dtype < LS_TEXT && array->n_dims <= LS_MAX_DIMS);
  const bool fits = ls_array_row_size(array, &row_bytes) &&
                    ls_size_mul(row_bytes, ls_dtype_size(array->dtype), &row_bytes) && row_bytes <= MAX_ROW;
  const ls_status status =
      fits ? begin_array(writer, path, array, row_bytes)
           : ls_fail(LS_ERR_OUTPUT, "%s:%s: its rows have 4 GiB or more; must be smaller", writer->path,
                     path);
  if (status != LS_OK) writer->failed = true;
  return status;
}

/* Changes the number of rows of the dataset. */
static bool set_rows(const record *r, uint64_t rows) {
  hsize_t extent[LS_MAX_DIMS] = {rows};
  for (unsigned i = 1; i < r->array.n_dims; i++) extent[i] = r->array.dims[i];
  return H5Dset_extent(r->id, extent) >= 0;
}

/* Writes rows after those already stored. False if HDF5 fails. */
static bool store_rows(record *r, size_t count, const void *rows) {
  const ls_array *const array = &r->array;
  const uint64_t first = r->rows_stored;
  HDF5_LOCKED;
  r->rows_stored += count;
  if (array->n_dims == 0)
    return H5Dwrite(r->id, store_type(array->dtype, false), H5S_ALL, H5S_ALL, H5P_DEFAULT, rows) >= 0;
  if (array->dims[0] == 0 && !set_rows(r, r->rows_stored)) return false;
  return r->row_bytes == 0 || store_transfer_rows(r->id, array, first, count, NULL, rows);
}

/* Whether the next step of an append of `count` rows writes whole chunks. */
static bool writes_whole_chunks(const record *r, size_t count) {
  return r->rows == r->rows_stored && (count >= r->chunk_rows || r->row_bytes == 0);
}

static ls_status allocate_pending(ls_store_writer *writer, record *r) {
  if (!r->pending) r->pending = ls_calloc(r->chunk_rows, r->row_bytes);
  if (r->pending) return LS_OK;
  writer->failed = true;
  return ls_fail_memory(writer->path, r->chunk_rows * r->row_bytes);
}

/* One step of an append: writes whole chunks directly, or copies as many rows as fit into the pending
 * chunk. Returns the number of rows; 0 if HDF5 fails. */
static size_t append_step(record *r, size_t count, const unsigned char *rows) {
  const size_t pending = (size_t)(r->rows - r->rows_stored);
  if (writes_whole_chunks(r, count)) {
    const size_t most = WRITE_CHUNKS * r->chunk_rows;
    const size_t whole = r->row_bytes ? ls_size_min(count - count % r->chunk_rows, most) : count;
    if (!store_rows(r, whole, rows)) return 0;
    r->rows += whole;
    return whole;
  }
  const size_t n = ls_size_min(count, r->chunk_rows - pending);
  memcpy(r->pending + pending * r->row_bytes, rows, n * r->row_bytes);
  r->rows += n;
  return pending + n < r->chunk_rows || store_rows(r, r->chunk_rows, r->pending) ? n : 0;
}

static record *find_record(const ls_store_writer *writer, const char *path) {
  record *r = writer->records;
  while (r && strcmp(r->path, path) != 0) r = r->next;
  return r;
}

ls_status ls_store_append(ls_store_writer *writer, const char *path, size_t count, const void *rows) {
  record *const r = find_record(writer, path);
  LS_ASSERT(r);
  const uint64_t limit = r->array.dims[0];
  if (limit && count > limit - r->rows) {
    writer->failed = true;
    return ls_fail(LS_ERR_OUTPUT, "%s:%s: has %" PRIu64 " rows; must have at most the declared %" PRIu64,
                   writer->path, path, r->rows + count, limit);
  }
  if (count == 0) return LS_OK;
  LS_ASSERT(r->id >= 0);
  if (r->row_bytes) XXH3_128bits_update(r->state, rows, count * r->row_bytes);
  for (const unsigned char *next = rows; count > 0;) {
    LS_TRY(writes_whole_chunks(r, count) ? LS_OK : allocate_pending(writer, r));
    const size_t n = append_step(r, count, next);
    ls_heartbeat();
    if (n == 0) return store_write_fail(writer, path, "cannot be written");
    count -= n;
    if (r->row_bytes) next += n * r->row_bytes;
  }
  return r->rows == limit ? store_record_finish(writer, r) : LS_OK;
}

ls_status ls_store_write_array(ls_store_writer *writer, const char *path, const ls_array *array,
                               const void *data) {
  LS_TRY(ls_store_begin_array(writer, path, array));
  return ls_store_append(writer, path, array->n_dims ? array->dims[0] : 1, data);
}

ls_status store_record_finish(ls_store_writer *writer, record *r) {
  if (r->id < 0) return LS_OK;
  HDF5_LOCKED;
  const size_t pending = (size_t)(r->rows - r->rows_stored);
  bool ok = pending == 0 || store_rows(r, pending, r->pending);
  if (ok && r->rows < r->array.dims[0]) ok = r->array.n_dims > 0 && set_rows(r, r->rows);
  free(r->pending);
  r->pending = NULL;
  if (!ok || H5Dclose(r->id) < 0) return store_write_fail(writer, r->path, "cannot be written");
  r->id = -1;
  return LS_OK;
}
