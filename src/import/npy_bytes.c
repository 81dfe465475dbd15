/* The bytes of an array in NumPy's format: a file, or a member of an archive. */
#include "npy.h"

#include <zip.h>

ls_status import_npz_fail(const char *path, int code) {
  zip_error_t error;
  zip_error_init_with_code(&error, code);
  const ls_status status =
      ls_fail(LS_ERR_DATA, "%s: not a readable .npz archive: %s", path, zip_error_strerror(&error));
  zip_error_fini(&error);
  return status;
}

static ls_status open_member(npy *a) {
  int code = 0;
  a->archive = zip_open(a->file, ZIP_RDONLY, &code);
  if (!a->archive) return import_npz_fail(a->file, code);
  a->member = zip_fopen_index(a->archive, a->index, 0);
  if (a->member) return LS_OK;
  return ls_fail(LS_ERR_DATA, "%s: the archive is damaged (%s)", a->path, zip_strerror(a->archive));
}

ls_status import_npy_open_bytes(npy *a) {
  if (a->is_member) return open_member(a);
  LS_TRY(import_source_open(&a->in, a->file));
  a->limit = import_source_limit(&a->in);
  return LS_OK;
}

ls_status import_npy_bytes(npy *a, void *buffer, size_t bytes, size_t *got) {
  if (!a->is_member) return import_source_read(&a->in, buffer, bytes, got);
  *got = 0;
  while (*got < bytes) {
    const zip_int64_t n =
        zip_fread(a->member, (char *)buffer + *got, ls_size_min(bytes - *got, LS_HEARTBEAT_BYTES));
    ls_heartbeat();
    if (n < 0)
      return ls_fail(LS_ERR_DATA, "%s: the archive is damaged (%s)", a->path, zip_file_strerror(a->member));
    if (n == 0) break;
    *got += (size_t)n;
  }
  return LS_OK;
}

void import_npy_close_bytes(npy *a) {
  import_source_close(&a->in);
  if (a->member) zip_fclose(a->member);
  if (a->archive) zip_discard(a->archive);
  a->member = a->archive = NULL;
}
