/* Publishing a file: reads it back, seals it, syncs it, and only then gives it its final name. */
#include "internal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* The digest of an array of the file. */
static ls_status digest_stored(const ls_store *store, const record *r, ls_digest *out) {
  const size_t rows = ls_size_max(1, BLOCK_BYTES / ls_size_max(1, r->row_bytes));
  XXH3_state_t *const state = XXH3_createState();
  void *const block = malloc(ls_size_max(1, rows * r->row_bytes));
  ls_status status =
      state && block ? LS_OK : ls_fail_memory("the verification of a file", rows * r->row_bytes);
  if (state) XXH3_128bits_reset(state);
  for (uint64_t first = 0; status == LS_OK && first < r->rows; first += rows) {
    const size_t n = (size_t)(r->rows - first < rows ? r->rows - first : rows);
    status = ls_store_read_rows(store, r->path, first, n, block);
    if (status == LS_OK && r->row_bytes) XXH3_128bits_update(state, block, n * r->row_bytes);
  }
  if (status == LS_OK) *out = store_digest_end(state);
  free(block);
  XXH3_freeState(state);
  return status;
}

/* Compares an array of the file with the appended rows. */
static ls_status compare_record(const ls_store *store, const record *r) {
  ls_array found;
  ls_digest digest;
  LS_TRY(ls_store_describe(store, r->path, &found));
  const uint64_t rows = found.n_dims ? found.dims[0] : 1;
  if (found.dtype != r->array.dtype || found.n_dims != r->array.n_dims || rows != r->rows)
    return ls_fail(LS_ERR_OUTPUT, "%s:%s: its shape differs from the written one", store->path, r->path);
  LS_TRY(digest_stored(store, r, &digest));
  if (ls_digest_equal(digest, store_digest_end(r->state))) return LS_OK;
  return ls_fail(LS_ERR_OUTPUT, "%s:%s: its values differ from the written ones", store->path, r->path);
}

/* HDF5 reports success on a full disk; only reading back detects it. */
static ls_status read_back(const ls_store_writer *writer) {
  ls_store *store = NULL;
  ls_status status = ls_store_open(writer->temporary, &store);
  for (const record *r = writer->records; r && status == LS_OK; r = r->next)
    status = compare_record(store, r);
  ls_store_close(&store);
  if (status == LS_OK || status == LS_ERR_INTERNAL) return status;
  return ls_fail(LS_ERR_OUTPUT, "%s: writing failed, the disk may be full: %s", writer->path, ls_message());
}

static ls_status finish_hdf5(ls_store_writer *writer) {
  HDF5_LOCKED;
  if (writer->failed) return ls_fail(LS_ERR_OUTPUT, "%s: an earlier write failed", writer->path);
  for (record *r = writer->records; r; r = r->next) LS_TRY(store_record_finish(writer, r));
  const hid_t file = writer->file;
  writer->file = -1;
  return H5Fclose(file) < 0 ? store_write_fail(writer, "/", "cannot be closed") : LS_OK;
}

/* Seals the temporary file if requested, and syncs it. */
static ls_status seal_and_sync(const ls_store_writer *writer) {
  const int descriptor = open(writer->temporary, O_RDWR | O_CLOEXEC);
  if (descriptor < 0) return store_system_fail(writer->path);
  ls_status status = writer->sealed ? store_seal_write(descriptor, writer->path) : LS_OK;
  if (status == LS_OK && !ls_store_sync_file(descriptor, writer->path))
    status = store_system_fail(writer->path);
  if (close(descriptor) && status == LS_OK) status = store_system_fail(writer->path);
  return status;
}

ls_status ls_store_complete(ls_store_writer *writer) {
  if (writer->complete) return LS_OK;
  LS_TRY(finish_hdf5(writer));
  LS_TRY(read_back(writer));
  LS_TRY(seal_and_sync(writer));
  store_records_free(writer);
  writer->complete = true;
  return LS_OK;
}

ls_status ls_store_publish(ls_store_writer **writer) {
  ls_store_writer *const w = *writer;
  ls_status status = ls_store_complete(w);
  if (status == LS_OK) status = ls_store_may_change();
  if (status == LS_OK && rename(w->temporary, w->path)) status = store_system_fail(w->path);
  if (status == LS_OK) status = ls_store_sync_name(w->path);
  /* If another run owns the folder now and has removed the temporary file, this is the reason to report. */
  if (status == LS_ERR_OUTPUT) (void)ls_store_may_change();
  ls_store_discard(writer);
  return status;
}

/* Gives complete files their final names; *named counts those that have one. */
static ls_status name_all(ls_store_writer *const *writers, size_t n, size_t *named) {
  LS_TRY(ls_store_may_change());
  for (; *named < n; (*named)++) {
    const ls_store_writer *const w = writers[*named];
    if (rename(w->temporary, w->path)) return store_system_fail(w->path);
    ls_heartbeat();
  }
  return n > 0 ? ls_store_sync_name(writers[0]->path) : LS_OK;
}

ls_status ls_store_publish_all(ls_store_writer **writers, size_t n) {
  ls_status status = LS_OK;
  size_t named = 0;
  for (size_t i = 0; status == LS_OK && i < n; i++) status = ls_store_complete(writers[i]);
  if (status == LS_OK) status = name_all(writers, n, &named);
  for (size_t i = 0; status != LS_OK && i < named; i++) unlink(writers[i]->path);
  for (size_t i = 0; i < n; i++) ls_store_discard(&writers[i]);
  return status;
}

ls_status ls_store_end(ls_store_writer **writer, ls_status status) {
  if (status == LS_OK) return ls_store_publish(writer);
  ls_store_discard(writer);
  return status;
}

/* If both names already belong to one file, rename does nothing and leaves both. */
bool ls_store_link(const char *from, const char *to) {
  char *const temporary = ls_store_temporary(to);
  if (!temporary) return false;
  unlink(temporary); /* left by a killed process */
  const bool linked =
      link(from, temporary) == 0 && ls_store_may_change() == LS_OK && rename(temporary, to) == 0;
  unlink(temporary);
  free(temporary);
  return linked && ls_store_sync_name(to) == LS_OK;
}
