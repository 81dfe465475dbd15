/* What makes a file whole or absent beside its content: the name that it is written under, the folder that
 * must keep its name, and what writers that were killed have left. */
#include "internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MARK ".tmp-"

char *ls_store_temporary(const char *path) {
  return ls_format("%s" MARK "%ld", path, (long)getpid());
}

/* Whether it is a temporary name of a file whose own name has one of the endings. */
static bool is_temporary(const char *name, const char *const endings[], size_t n) {
  const char *const mark = strstr(name, MARK);
  bool found = false;
  for (size_t i = 0; mark && i < n; i++) {
    const size_t length = strlen(endings[i]);
    found = found || ((size_t)(mark - name) >= length && strncmp(mark - length, endings[i], length) == 0);
  }
  return found;
}

void ls_store_remove_temporaries(const char *folder, const char *const endings[], size_t n) {
  DIR *const dir = opendir(folder);
  if (!dir) return;
  for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
    if (!is_temporary(entry->d_name, endings, n)) continue;
    char *const path = ls_format("%s/%s", folder, entry->d_name);
    if (path) unlink(path);
    free(path);
  }
  closedir(dir);
}

/* Whether a failure is the file system's way to say that it does not sync folders, or the folder's to say
 * that it may be written but not read. */
static bool is_no_sync(int error) {
  return error == EACCES || error == EINVAL || error == ENOTSUP;
}

ls_status ls_store_sync_name(const char *path) {
  const char *const slash = strrchr(path, '/');
  char *const folder = slash ? ls_format("%.*s", (int)(slash - path) + 1, path) : ls_strdup(".");
  if (!folder) return ls_fail_memory(path, strlen(path));
  const int descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const int error = descriptor < 0 || fsync(descriptor) ? errno : 0;
  free(folder);
  if (descriptor >= 0) close(descriptor);
  if (error == 0 || is_no_sync(error)) return LS_OK;
  return ls_fail(LS_ERR_OUTPUT, "%s: its folder can't be synced: %s", path, strerror(error));
}
