/* Removal of a sweep, of a part of it, or of a trial. */
#include "internal.h"
#include "lockstep/store.h"

#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

ls_status sweep_remove_trial(const char *path) {
  ls_rundir dir;
  ls_status status = ls_rundir_create(&dir, path);
  if (status == LS_OK) status = ls_rundir_lock(&dir);
  if (status == LS_OK) status = ls_rundir_remove_run(&dir);
  if (status == LS_OK) {
    char *const synced = ls_format("%s/" SWEEP_SYNCED, dir.folder);
    if (synced) unlink(synced);
    free(synced);
    unlink(dir.config);
    rmdir(dir.checkpoints);
  }
  ls_rundir_destroy(&dir);
  rmdir(path);
  return status;
}

static ls_status fail_path(const char *path) {
  return ls_fail(LS_ERR_OUTPUT, "%s: %s", path, strerror(errno));
}

/* Calls `act` for the folder of each trial of a part, or of all trials. */
static ls_status each_trial(const char *path, uint64_t part, uint64_t n_parts,
                            ls_status (*act)(const char *trial)) {
  DIR *const folder = opendir(path);
  ls_status status = LS_OK;
  uint64_t trial = 0;
  if (!folder) return errno == ENOENT ? LS_OK : fail_path(path);
  errno = 0;
  for (const struct dirent *entry = readdir(folder); entry && status == LS_OK; entry = readdir(folder)) {
    if (!ls_config_parse_count(entry->d_name, &trial) || trial % n_parts != part) continue;
    char *const item = ls_format("%s/%s", path, entry->d_name);
    status = item ? act(item) : ls_fail_memory("a path", strlen(path));
    free(item);
    ls_heartbeat();
    errno = 0; /* only readdir's failures count */
  }
  if (status == LS_OK && errno != 0) status = fail_path(path);
  closedir(folder);
  return status;
}

/* Removes the files of a sweep or of a part of it. */
static ls_status remove_files(const char *folder) {
  static const char *const names[] = {"trials.csv", "best.yaml", "best.h5", "sweep.yaml", "base.yaml"};
  ls_status status = LS_OK;
  for (size_t i = 0; i < sizeof names / sizeof names[0] && status == LS_OK; i++) {
    char *const path = ls_format("%s/%s", folder, names[i]);
    status = path ? ls_store_remove(path) : ls_fail_memory("a path", strlen(folder));
    free(path);
  }
  return status;
}

/* The same under the lock of the folder. */
static ls_status remove_locked(const char *folder) {
  ls_rundir dir;
  ls_status status = ls_rundir_create(&dir, folder);
  if (status == LS_OK) status = ls_rundir_lock(&dir);
  if (status == LS_OK) status = remove_files(folder);
  ls_rundir_destroy(&dir);
  return status;
}

/* Whether the folder of a part is one of n_parts. */
static bool is_part_of(const char *path, uint64_t n_parts) {
  const char *const name = strrchr(path, '/');
  const char *const of = name ? strstr(name, "-of-") : NULL;
  uint64_t n = 0;
  return of && ls_config_parse_count(of + 4, &n) && n == n_parts;
}

/* Calls `act` for the folder of each part. n_parts: not for those of this number of parts; 0: for all */
static ls_status each_part(const char *folder, uint64_t n_parts, ls_status (*act)(const char *part)) {
  glob_t found = {0};
  char *const pattern = ls_format("%s/parts/*", folder);
  if (!pattern) return ls_fail_memory("a path", strlen(folder));
  ls_status status = LS_OK;
  if (glob(pattern, 0, NULL, &found) == 0)
    for (size_t i = 0; i < found.gl_pathc && status == LS_OK; i++)
      if (!is_part_of(found.gl_pathv[i], n_parts)) status = act(found.gl_pathv[i]);
  globfree(&found);
  free(pattern);
  return status;
}

static ls_status remove_part(const char *path) {
  LS_TRY(remove_locked(path));
  rmdir(path);
  return LS_OK;
}

/* Checks that no other process uses a folder whose files are to be removed. */
static ls_status check_unused(const char *folder, bool has_parts, uint64_t spared) {
  LS_TRY(each_part(folder, spared, ls_rundir_check));
  return has_parts ? ls_rundir_check(folder) : LS_OK;
}

ls_status sweep_remove(const char *folder, const char *own, uint64_t part, uint64_t n_parts) {
  const bool has_parts = strcmp(folder, own) != 0; /* else this process has locked the folder */
  const uint64_t spared = has_parts ? n_parts : 0;
  char *const trials = ls_format("%s/trials", folder);
  if (!trials) return ls_fail_memory("a path", strlen(folder));
  ls_status status = check_unused(folder, has_parts, spared);
  if (status == LS_OK) status = each_trial(trials, part, n_parts, ls_rundir_check);
  if (status == LS_OK && has_parts) status = remove_locked(folder);
  if (status == LS_OK) status = remove_files(own);
  if (status == LS_OK) status = each_part(folder, spared, remove_part);
  if (status == LS_OK) status = each_trial(trials, part, n_parts, sweep_remove_trial);
  rmdir(trials); /* if it is empty */
  free(trials);
  return status;
}
