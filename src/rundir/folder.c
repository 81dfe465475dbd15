/* Folders of the file system. */
#include "internal.h"
#include "lockstep/store.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

bool ls_rundir_exists(const char *path) {
  return access(path, F_OK) == 0;
}

ls_status rundir_fail_path(const char *path) {
  return ls_fail(LS_ERR_OUTPUT, "%s: %s", path, strerror(errno));
}

/* The folder above, as a new text; NULL if memory is short. */
static char *parent_of(const char *path) {
  const char *const slash = strrchr(path, '/');
  if (!slash) return ls_strdup(".");
  return slash == path ? ls_strdup("/") : ls_format("%.*s", (int)(slash - path), path);
}

static bool is_folder(const char *path) {
  struct stat info;
  return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

ls_status rundir_make_folder(const char *path) {
  if (is_folder(path)) return LS_OK;
  char *const parent = parent_of(path);
  if (!parent) return ls_fail_memory("a path", strlen(path));
  ls_status status = ls_rundir_exists(parent) ? LS_OK : rundir_make_folder(parent);
  const bool made = status == LS_OK && mkdir(path, 0777) == 0;
  if (status == LS_OK && !made &&
      !(errno == EEXIST && is_folder(path))) /* another run may have been faster */
    status = ls_fail(LS_ERR_OUTPUT, "%s: cannot make the folder: %s", path, strerror(errno));
  if (status == LS_OK) status = ls_store_sync_name(path);
  free(parent);
  return status;
}

void rundir_remove_empty(const char *path, size_t kept) {
  char *folder = ls_strdup(path);
  while (folder && strlen(folder) > kept && (rmdir(folder) == 0 || errno == ENOENT)) {
    char *const parent = parent_of(folder);
    free(folder);
    folder = parent;
  }
  free(folder);
}

size_t rundir_existing_part(const char *path) {
  char *folder = ls_strdup(path);
  while (folder && !ls_rundir_exists(folder) && strcmp(folder, ".") != 0) {
    char *const parent = parent_of(folder);
    free(folder);
    folder = parent;
  }
  const size_t length = folder && strcmp(folder, ".") != 0 ? strlen(folder) : 0;
  free(folder);
  return length;
}

/* The deepest folder of a path that exists, as a new text; NULL if memory is short. */
static char *existing_folder(const char *path) {
  const size_t n = rundir_existing_part(path);
  return n > 0 ? ls_format("%.*s", (int)n, path) : ls_strdup(".");
}

ls_status rundir_check_folder(const char *path) {
  char *const folder = existing_folder(path);
  if (!folder) return ls_fail_memory("a path", strlen(path));
  ls_status status = LS_OK;
  errno = ENOTDIR;
  if (!is_folder(folder) || access(folder, W_OK | X_OK) != 0)
    status = strcmp(folder, path) == 0 ? rundir_fail_path(path)
                                       : ls_fail(LS_ERR_OUTPUT, "%s: cannot make the folder: %s: %s", path,
                                                 folder, strerror(errno));
  free(folder);
  return status;
}

uint64_t ls_rundir_free_bytes(const char *path) {
  struct statvfs info;
  char *const folder = existing_folder(path);
  const bool is_known = folder && statvfs(folder, &info) == 0 && info.f_blocks > 0;
  free(folder);
  if (!is_known) return UINT64_MAX;
  return (uint64_t)(geteuid() == 0 ? info.f_bfree : info.f_bavail) * info.f_frsize;
}

/* best.h5 and a checkpoint may be one file with two names, each of which counts half. */
static uint64_t bytes_of_file(const char *path) {
  struct stat info;
  const bool counts = lstat(path, &info) == 0 && S_ISREG(info.st_mode) && info.st_nlink <= 2;
  return counts ? (uint64_t)info.st_blocks * 512 / info.st_nlink : 0;
}

uint64_t ls_rundir_bytes_of(const char *path) {
  DIR *const folder = opendir(path);
  uint64_t sum = 0;
  if (!folder) return bytes_of_file(path);
  for (const struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) {
    char *const file = ls_format("%s/%s", path, entry->d_name);
    if (file) sum += bytes_of_file(file);
    free(file);
  }
  closedir(folder);
  return sum;
}
