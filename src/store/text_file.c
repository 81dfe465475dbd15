/* Atomic writing of small text files. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

ls_status ls_text_begin(ls_text_file *file, const char *path) {
  *file = (ls_text_file){.path = path, .temporary = ls_store_temporary(path)};
  if (!file->temporary) return ls_fail_memory("a path", strlen(path));
  file->stream = fopen(file->temporary, "w");
  return file->stream ? LS_OK : store_system_fail(path);
}

ls_status ls_text_end(ls_text_file *file, ls_status status) {
  FILE *const stream = file->stream;
  if (stream) {
    const bool written =
        fflush(stream) == 0 && !ferror(stream) && ls_store_sync_file(fileno(stream), file->path);
    const bool closed = fclose(stream) == 0;
    if (status == LS_OK && !(written && closed)) status = store_system_fail(file->path);
    if (status == LS_OK) status = ls_store_may_change();
    if (status == LS_OK && rename(file->temporary, file->path) != 0) status = store_system_fail(file->path);
    if (status == LS_OK)
      status = ls_store_sync_name(file->path);
    else
      unlink(file->temporary);
  }
  free(file->temporary);
  *file = (ls_text_file){0};
  return status;
}
