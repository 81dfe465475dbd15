/* Temporary names, the temporary files of killed writers, and the check before names change. */
#include "internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MARK ".tmp-"

ls_status store_system_fail(const char *path) {
  return ls_fail(LS_ERR_OUTPUT, "%s: cannot be written: %s", path, strerror(errno));
}

static uint32_t token;

static void make_token(void) {
  if (getrandom(&token, sizeof token, 0) != (ssize_t)sizeof token) token = (uint32_t)time(NULL);
}

/* On other machines and in other containers, a process may have the same number. */
char *ls_store_temporary(const char *path) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  (void)pthread_once(&once, make_token);
  return ls_format("%s" MARK "%ld-%08x", path, (long)getpid(), token);
}

static struct {
  ls_store_check *check;
  const void *context;
} guard;

void ls_store_set_guard(ls_store_check *check, const void *context) {
  guard.check = check;
  guard.context = context;
}

ls_status ls_store_may_change(void) {
  return guard.check ? guard.check(guard.context) : LS_OK;
}

ls_status ls_store_remove(const char *path) {
  LS_TRY(ls_store_may_change());
  if (unlink(path) == 0) return LS_OK;
  const int error = errno; /* EROFS too where there is no such file */
  struct stat facts;
  if (lstat(path, &facts) != 0 && (errno == ENOENT || errno == ENOTDIR)) return LS_OK;
  return ls_fail(LS_ERR_OUTPUT, "%s: cannot be removed: %s", path, strerror(error));
}

/* Whether it is the temporary name of a file whose final name has one of the endings. */
static bool is_temporary(const char *name, const char *const endings[], size_t n) {
  const char *const mark = strstr(name, MARK);
  for (size_t i = 0; mark && i < n; i++) {
    const size_t length = strlen(endings[i]);
    if ((size_t)(mark - name) >= length && strncmp(mark - length, endings[i], length) == 0) return true;
  }
  return false;
}

void ls_store_remove_temporaries(const char *folder, const char *const endings[], size_t n) {
  DIR *const dir = opendir(folder);
  if (!dir) return;
  for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
    if (!is_temporary(entry->d_name, endings, n)) continue;
    char *const path = ls_format("%s/%s", folder, entry->d_name);
    if (path) (void)ls_store_remove(path);
    free(path);
  }
  closedir(dir);
}

/* Whether the process in a temporary name exists on this machine. mark: where its final name ends */
static bool has_process(const char *mark) {
  const long pid = strtol(mark + strlen(MARK), NULL, 10);
  return pid > 0 && (kill((pid_t)pid, 0) == 0 || errno != ESRCH);
}

char *store_folder_of(const char *path) {
  const char *const slash = strrchr(path, '/');
  return slash ? ls_format("%.*s", (int)(slash - path) + 1, path) : ls_strdup(".");
}

void ls_store_remove_abandoned(const char *path) {
  const char *const slash = strrchr(path, '/');
  const char *const name = slash ? slash + 1 : path;
  const size_t length = strlen(name);
  char *const folder = store_folder_of(path);
  DIR *const dir = folder ? opendir(folder) : NULL;
  for (const struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
    const char *const mark = entry->d_name + length;
    if (strncmp(entry->d_name, name, length) != 0 || strncmp(mark, MARK, strlen(MARK)) != 0) continue;
    char *const left = has_process(mark) ? NULL : ls_format("%s/%s", folder, entry->d_name);
    if (left) (void)ls_store_remove(left);
    free(left);
  }
  if (dir) closedir(dir);
  free(folder);
}
