/* The run directory: its paths and log, its creation, the removal of a run. */
#include "internal.h"
#include "lockstep/checkpoint.h"
#include "lockstep/store.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

ls_status ls_rundir_create(ls_rundir *dir, const char *output) {
  size_t length = strlen(output);
  while (length > 1 && output[length - 1] == '/') length--;
  char folder[PATH_MAX];
  snprintf(folder, sizeof folder, "%.*s", (int)length, output);
  *dir = (ls_rundir){.folder = ls_strdup(folder),
                     .checkpoints = ls_format("%s/checkpoints", folder),
                     .config = ls_format("%s/config.yaml", folder),
                     .metrics = ls_format("%s/metrics.csv", folder),
                     .diagnostics = ls_format("%s/diagnostics.csv", folder),
                     .events = ls_format("%s/events.out.tfevents.lockstep", folder),
                     .model = ls_format("%s/model.h5", folder),
                     .average = ls_format("%s/model-ema.h5", folder),
                     .best = ls_format("%s/checkpoints/best.h5", folder),
                     .log = ls_format("%s/train.log", folder),
                     .lock = ls_format("%s/lock", folder),
                     .kept = length};
  if (dir->folder && dir->checkpoints && dir->config && dir->metrics && dir->diagnostics && dir->events &&
      dir->model && dir->average && dir->best && dir->log && dir->lock)
    return LS_OK;
  return ls_fail_memory("the paths of the run", strlen(folder));
}

void ls_rundir_destroy(ls_rundir *dir) {
  if (dir->log_file) {
    ls_log_tee(NULL);
    fclose(dir->log_file);
  }
  rundir_unlock(dir);
  if (dir->folder) rundir_remove_empty(dir->folder, dir->kept);
  free(dir->folder);
  free(dir->checkpoints);
  free(dir->config);
  free(dir->metrics);
  free(dir->diagnostics);
  free(dir->events);
  free(dir->model);
  free(dir->average);
  free(dir->best);
  free(dir->log);
  free(dir->lock);
  free(dir->lock_text);
  free(dir->previous_owner);
  *dir = (ls_rundir){0};
}

bool ls_rundir_has_run(const ls_rundir *dir) {
  const char *const own[] = {dir->config, dir->model, dir->checkpoints, dir->metrics, dir->log};
  for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
    if (ls_rundir_exists(own[i]) || (errno != ENOENT && errno != ENOTDIR)) return true;
  return false;
}

void ls_rundir_remove_temporaries(const ls_rundir *dir) {
  static const char *const own[] = {"model.h5",    "model-ema.h5",    "config.yaml",
                                    "metrics.csv", "diagnostics.csv", "lock"};
  static const char *const saved[] = {".h5"};
  if (!dir->is_locked) return;
  ls_store_remove_temporaries(dir->folder, own, sizeof own / sizeof own[0]);
  ls_store_remove_temporaries(dir->checkpoints, saved, 1);
}

/* Removes the event files that a resume has put aside. */
static ls_status remove_damaged_events(const ls_rundir *dir) {
  ls_status status = LS_OK;
  bool exists = true;
  for (int i = 1; status == LS_OK && exists; i++) {
    char *const path = ls_format("%s/events.damaged-%d", dir->folder, i);
    exists = path && ls_rundir_exists(path);
    status = path ? ls_store_remove(path) : ls_fail_memory("a path", strlen(dir->folder));
    free(path);
  }
  return status;
}

ls_status ls_rundir_remove_run(const ls_rundir *dir) {
  const char *const own[] = {dir->best,        dir->model,  dir->average, dir->metrics,
                             dir->diagnostics, dir->events, dir->log};
  ls_status status =
      ls_rundir_exists(dir->checkpoints) ? ls_checkpoint_remove_from(dir->checkpoints, 0) : LS_OK;
  for (size_t i = 0; status == LS_OK && i < sizeof own / sizeof own[0]; i++)
    status = ls_store_remove(own[i]);
  if (status == LS_OK) status = remove_damaged_events(dir);
  ls_rundir_remove_temporaries(dir);
  return status;
}

ls_status ls_rundir_open_log(ls_rundir *dir) {
  if (dir->log_file) return LS_OK;
  dir->log_file = fopen(dir->log, "a");
  if (!dir->log_file) return rundir_fail_path(dir->log);
  ls_log_tee(dir->log_file);
  if (dir->previous_owner)
    ls_log(LS_LOG_INFO, "%s: taken over from a dead run: %s", dir->lock, dir->previous_owner);
  return LS_OK;
}

ls_status ls_rundir_open(ls_rundir *dir, const char *config) {
  ls_text_file file;
  dir->is_new = !ls_rundir_has_run(dir);
  LS_TRY(rundir_make_folder(dir->checkpoints));
  ls_rundir_remove_temporaries(dir);
  LS_TRY(ls_rundir_open_log(dir));
  const ls_status status = ls_text_begin(&file, dir->config);
  if (status == LS_OK) fputs(config, file.stream);
  return ls_text_end(&file, status);
}

ls_status ls_rundir_abandon(const ls_rundir *dir, ls_status status) {
  char *const message = ls_strdup(ls_message());
  if (dir->is_new && dir->is_locked && ls_rundir_check_lock(dir) == LS_OK) {
    ls_rundir_remove_run(dir);
    unlink(dir->config);
    rmdir(dir->checkpoints);
  }
  if (message) (void)ls_fail(status, "%s", message);
  free(message);
  return status;
}

ls_status ls_rundir_check(const char *folder) {
  ls_rundir dir;
  ls_status status = ls_rundir_create(&dir, folder);
  if (status == LS_OK) status = rundir_check_free(&dir);
  /* A finished run in a read-only directory is not an error. */
  if (status == LS_OK && !ls_rundir_exists(dir.checkpoints)) status = rundir_check_folder(dir.folder);
  ls_rundir_destroy(&dir);
  return status;
}

ls_status ls_rundir_lock_existing(ls_rundir *dir) {
  dir->was_absent = !ls_rundir_exists(dir->folder);
  if (dir->was_absent) return LS_OK;
  const ls_status status = rundir_check_free(dir);
  if (status != LS_OK || rundir_take_lock(dir) == LS_OK) return status;
  return rundir_check_free(dir); /* another run may have been faster */
}

/* The run read the directory under the lock, unless the directory did not exist then. */
ls_status ls_rundir_lock(ls_rundir *dir) {
  if (dir->is_locked) return LS_OK;
  dir->kept = rundir_existing_part(dir->folder);
  LS_TRY(rundir_make_folder(dir->folder));
  LS_TRY(rundir_take_lock(dir));
  if (!dir->was_absent || !ls_rundir_has_run(dir)) return LS_OK;
  return ls_fail(LS_ERR_OUTPUT,
                 "%s: another run began and ended in this directory meanwhile; run the same command again",
                 dir->folder);
}
