/* Atomic writing of small text files. */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static ls_status fail_path(const char *path) {
  return ls_fail(LS_ERR_OUTPUT, "%s: %s", path, strerror(errno));
}

ls_status ls_text_begin(ls_text_file *file, const char *path) {
  *file = (ls_text_file){.path = path, .temporary = ls_store_temporary(path)};
  if (!file->temporary) return ls_fail_memory("a path", strlen(path));
  file->stream = fopen(file->temporary, "w");
  return file->stream ? LS_OK : fail_path(path);
}

ls_status ls_text_end(ls_text_file *file, ls_status status) {
  FILE *const stream = file->stream;
  if (stream) {
    const bool written = !ferror(stream) && fflush(stream) == 0 && fsync(fileno(stream)) == 0;
    const bool closed = fclose(stream) == 0;
    if (status == LS_OK && !(written && closed)) status = fail_path(file->path);
    if (status == LS_OK && rename(file->temporary, file->path) != 0) status = fail_path(file->path);
    if (status == LS_OK)
      status = ls_store_sync_name(file->path);
    else
      unlink(file->temporary);
  }
  free(file->temporary);
  *file = (ls_text_file){0};
  return status;
}
