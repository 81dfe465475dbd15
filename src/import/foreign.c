/* What a file is by its first bytes: HDF5, text, or a Git LFS pointer in place of the data. */
#include "internal.h"

#include <string.h>
#include <unistd.h>

#define HEAD_MOST ((size_t)8192) /* bytes; a larger user block is not searched */

static const char lfs[] = "version https://git-lfs";

/* The HDF5 signature is at 0, 512, 1024, 2048, ... */
static bool is_hdf5(const char *head, size_t got) {
  static const char signature[] = "\x89HDF\r\n\x1a\n";
  for (size_t at = 0; at + 8 <= got; at = at ? 2 * at : 512)
    if (memcmp(head + at, signature, 8) == 0) return true;
  return false;
}

static ls_status read_head(const char *path, char head[HEAD_MOST], size_t *got) {
  source in;
  ls_status status = import_source_open(&in, path);
  if (status == LS_OK) status = import_source_read(&in, head, HEAD_MOST, got);
  import_source_close(&in);
  return status;
}

ls_status ls_import_is_hdf5(const char *path, bool *yes) {
  char head[HEAD_MOST];
  size_t got = 0;
  LS_TRY(read_head(path, head, &got));
  *yes = is_hdf5(head, got);
  return LS_OK;
}

ls_status import_check_foreign(const char *path) {
  char head[HEAD_MOST];
  size_t got = 0;
  LS_TRY(read_head(path, head, &got));
  if (got >= sizeof lfs - 1 && memcmp(head, lfs, sizeof lfs - 1) == 0)
    return ls_fail(LS_ERR_DATA, "%s: a Git LFS pointer, not the data; fetch the data with git lfs pull",
                   path);
  return LS_OK;
}

ls_status import_check_replaced(const char *path) {
  char head[HEAD_MOST];
  size_t got = 0;
  if (access(path, F_OK) != 0) return LS_OK;
  if (read_head(path, head, &got) != LS_OK) return LS_ERR_OUTPUT;
  if (got == 0 || is_hdf5(head, got)) return LS_OK;
  return ls_fail(
      LS_ERR_OUTPUT,
      "%s: exists and is not an HDF5 file; it is not replaced; choose another output or remove it", path);
}

bool ls_import_is_text(const char *path) {
  char head[HEAD_MOST];
  size_t got = 0;
  if (read_head(path, head, &got) != LS_OK || got == 0) return false;
  const bool is_binary =
      head[0] == '\x89' || head[0] == '\x93' || head[0] == '\x80'; /* HDF5, NumPy, pickle */
  return !is_binary && !memchr(head, '\0', got) &&
         (got < sizeof lfs - 1 || memcmp(head, lfs, sizeof lfs - 1) != 0);
}
