/* Syncing files and names to the disk, at once or, for a folder, later. */
#include "internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ------------------------------------------------------------------- postponement */

static struct {
  _Atomic(const char *) folder; /* NULL: none */
  double until;                 /* time; constant while there is a folder */
} postponed;

void ls_store_postpone_syncs(const char *folder, double seconds) {
  postponed.until = ls_clock() + seconds;
  atomic_store(&postponed.folder, folder);
}

/* Whether a path, or the file that it will name, is synced later. */
static bool is_postponed(const char *path) {
  const char *const folder = atomic_load(&postponed.folder);
  const size_t n = folder ? strlen(folder) : 0;
  return n > 0 && strncmp(path, folder, n) == 0 && (path[n] == '/' || path[n] == '\0') &&
         ls_clock() < postponed.until;
}

/* ------------------------------------------------------------------------- syncing */

/* Writes a large file to the disk in pieces with heartbeats. Only the fsync after it reports failures and
 * syncs metadata. */
static void start_sync(int descriptor) {
  const unsigned flags = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
  const off_t end = lseek(descriptor, 0, SEEK_END);
  const off_t piece = (off_t)LS_HEARTBEAT_BYTES;
  for (off_t at = 0; end > piece && at < end; at += piece) {
    (void)sync_file_range(descriptor, at, piece, flags);
    ls_heartbeat();
  }
}

bool ls_store_sync_file(int descriptor, const char *path) {
  if (is_postponed(path)) return true;
  start_sync(descriptor);
  return fsync(descriptor) == 0;
}

/* Whether a failure means that the file system does not sync folders, or that the folder is not readable.
 */
static bool is_unsupported(int error) {
  return error == EACCES || error == EINVAL || error == ENOTSUP;
}

/* Syncs the names in a folder. path: of the message */
static ls_status sync_names(const char *folder, const char *path) {
  const int descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const int error = descriptor < 0 || fsync(descriptor) ? errno : 0;
  if (descriptor >= 0) close(descriptor);
  if (error == 0 || is_unsupported(error)) return LS_OK;
  return ls_fail(LS_ERR_OUTPUT, "%s: its folder cannot be synced: %s", path, strerror(error));
}

ls_status ls_store_sync_name(const char *path) {
  if (is_postponed(path)) return LS_OK;
  char *const folder = store_folder_of(path);
  if (!folder) return ls_fail_memory(path, strlen(path));
  const ls_status status = sync_names(folder, path);
  free(folder);
  return status;
}

static ls_status sync_tree(const char *folder);

/* Syncs an entry of a folder: a regular file, or a folder with all its files. */
static ls_status sync_entry(const char *path) {
  struct stat info;
  if (lstat(path, &info) != 0) return errno == ENOENT ? LS_OK : store_system_fail(path);
  if (S_ISDIR(info.st_mode)) return sync_tree(path);
  if (!S_ISREG(info.st_mode)) return LS_OK;
  const int descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  const bool is_synced = descriptor >= 0 && ls_store_sync_file(descriptor, path);
  const int error = errno;
  if (descriptor >= 0) close(descriptor);
  if (is_synced || error == ENOENT) return LS_OK;
  errno = error;
  return store_system_fail(path);
}

/* Syncs the files and folders in a folder, and then their names. */
static ls_status sync_tree(const char *folder) {
  DIR *const dir = opendir(folder);
  ls_status status = LS_OK;
  if (!dir) return errno == ENOENT ? LS_OK : store_system_fail(folder);
  errno = 0;
  for (const struct dirent *entry = readdir(dir); entry && status == LS_OK; entry = readdir(dir)) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    char *const path = ls_format("%s/%s", folder, entry->d_name);
    status = path ? sync_entry(path) : ls_fail_memory(folder, strlen(folder));
    free(path);
    errno = 0; /* only readdir's failures count */
  }
  if (status == LS_OK && errno != 0) status = store_system_fail(folder);
  closedir(dir);
  return status == LS_OK ? sync_names(folder, folder) : status;
}

ls_status ls_store_sync_postponed(void) {
  const char *const folder = atomic_exchange(&postponed.folder, NULL);
  if (!folder) return LS_OK;
  LS_TRY(sync_tree(folder));
  return ls_store_sync_name(folder);
}
