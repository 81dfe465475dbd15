/* Folders. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool train_exists(const char *path) {
  return access(path, F_OK) == 0;
}

ls_status train_fail_path(const char *path) {
  return ls_fail(LS_ERR_OUTPUT, "%s: %s", path, strerror(errno));
}

/* The folder above, as a new text; NULL where memory is short. */
static char *parent_of(const char *path) {
  const char *const slash = strrchr(path, '/');
  if (!slash) return ls_strdup(".");
  return slash == path ? ls_strdup("/") : ls_format("%.*s", (int)(slash - path), path);
}

/* What was made in a folder is there after a power cut only once the folder is synced. */
static void sync_folder(const char *path) {
  const int descriptor = open(path, O_RDONLY | O_DIRECTORY);
  if (descriptor < 0) return;
  fsync(descriptor);
  close(descriptor);
}

static bool is_folder(const char *path) {
  struct stat info;
  return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

ls_status train_make_folder(const char *path) {
  if (is_folder(path)) return LS_OK;
  char *const parent = parent_of(path);
  if (!parent) return ls_fail_memory("a path", strlen(path));
  ls_status status = train_exists(parent) ? LS_OK : train_make_folder(parent);
  if (status == LS_OK && mkdir(path, 0777) != 0)
    status = ls_fail(LS_ERR_OUTPUT, "%s: the folder can't be made: %s", path, strerror(errno));
  if (status == LS_OK) sync_folder(parent);
  free(parent);
  return status;
}

void train_remove_empty(const char *path, size_t kept) {
  char *folder = ls_strdup(path);
  while (folder && strlen(folder) > kept && (rmdir(folder) == 0 || errno == ENOENT)) {
    char *const parent = parent_of(folder);
    free(folder);
    folder = parent;
  }
  free(folder);
}

size_t train_existing_part(const char *path) {
  char *folder = ls_strdup(path);
  while (folder && !train_exists(folder) && strcmp(folder, ".") != 0) {
    char *const parent = parent_of(folder);
    free(folder);
    folder = parent;
  }
  const size_t length = folder && strcmp(folder, ".") != 0 ? strlen(folder) : 0;
  free(folder);
  return length;
}
