/* The folder of checkpoints: their names, the newest valid one, those to remove. */
#include "lockstep/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STEP_NAME "step-%08llu.h5"

char *ls_checkpoint_path(const char *folder, uint64_t step) {
  return ls_format("%s/" STEP_NAME, folder, (unsigned long long)step);
}

/* The step of a file named as ls_checkpoint_path does; false for others. */
static bool parse_step(const char *name, uint64_t *step) {
  char expected[64];
  if (strncmp(name, "step-", 5) != 0) return false;
  *step = strtoull(name + 5, NULL, 10);
  snprintf(expected, sizeof expected, STEP_NAME, (unsigned long long)*step);
  return strcmp(name, expected) == 0;
}

static int descending(const void *a, const void *b) {
  const uint64_t x = *(const uint64_t *)a;
  const uint64_t y = *(const uint64_t *)b;
  return (x < y) - (x > y);
}

/* The next entry; NULL at the end, or on failure, with errno other than 0. */
static const struct dirent *next_entry(DIR *dir) {
  errno = 0;
  return readdir(dir);
}

/* The steps in a folder, newest first, which the caller frees. None if there is no folder. LS_ERR_MODEL if
 * it cannot be read. */
static ls_status list_steps(const char *folder, uint64_t **out, size_t *count) {
  *out = NULL;
  *count = 0;
  DIR *const dir = opendir(folder);
  if (!dir && errno == ENOENT) return LS_OK;
  if (!dir) return ls_fail(LS_ERR_MODEL, "%s: cannot read the folder: %s", folder, strerror(errno));
  ls_status status = LS_OK;
  size_t capacity = 0;
  for (const struct dirent *entry = next_entry(dir); entry; entry = next_entry(dir)) {
    uint64_t step = 0;
    if (!parse_step(entry->d_name, &step)) continue;
    if (*count == capacity) {
      capacity = 2 * capacity + 16;
      uint64_t *const larger = realloc(*out, capacity * sizeof *larger);
      if (!larger) {
        status = ls_fail_memory("the list of checkpoints", capacity * sizeof *larger);
        break;
      }
      *out = larger;
    }
    (*out)[(*count)++] = step;
  }
  if (status == LS_OK && errno != 0)
    status = ls_fail(LS_ERR_MODEL, "%s: cannot read the folder: %s", folder, strerror(errno));
  closedir(dir);
  if (*count > 1) qsort(*out, *count, sizeof **out, descending);
  return status;
}

ls_status ls_checkpoint_newest(const char *folder, uint64_t *step, bool *found) {
  uint64_t *steps = NULL;
  size_t count = 0;
  const ls_status status = list_steps(folder, &steps, &count);
  *found = status == LS_OK && count > 0;
  *step = *found ? steps[0] : 0;
  free(steps);
  return status;
}

/* ----------------------------------------------------------------------- the newest */

/* Opens a listed checkpoint, unless it is the known one. *out is NULL if it is proved to be damaged;
 * ls_message() then has the reason. */
static ls_status open_listed(const char *path, ls_modelfile **known, ls_modelfile **out) {
  *out = ls_modelfile_take(known, path);
  if (*out) return LS_OK;
  const ls_status status = ls_modelfile_try_open(path, out);
  if (status == LS_ERR_MODEL)
    return ls_fail(status,
                   "%s; it may be intact, so that no earlier checkpoint was used and nothing was removed; "
                   "run the command again, or resume from another checkpoint with --resume FILE",
                   ls_message());
  if (status != LS_OK || *out || access(path, F_OK) == 0) return status;
  return ls_fail(LS_ERR_MODEL,
                 "%s: cannot be found, although its folder lists it: %s; run the command again", path,
                 strerror(errno));
}

/* Opens the newest valid checkpoint. warns: of those that it skips. *count: of all that are listed */
static ls_status find(const char *folder, bool warns, ls_modelfile **known, ls_modelfile **out,
                      size_t *count) {
  uint64_t *steps = NULL;
  *out = NULL;
  ls_status status = list_steps(folder, &steps, count);
  for (size_t i = 0; status == LS_OK && !*out && i < *count; i++) {
    char *const path = ls_checkpoint_path(folder, steps[i]);
    status = path ? open_listed(path, known, out) : ls_fail_memory("a path", strlen(folder));
    if (*out) (*out)->is_newest = i == 0;
    if (status == LS_OK && !*out && i + 1 < *count && warns)
      ls_log(LS_LOG_WARNING, "%s; trying the previous checkpoint", ls_message());
    free(path);
  }
  free(steps);
  return status;
}

ls_status ls_checkpoint_find(const char *folder, ls_modelfile **known, ls_modelfile **out) {
  size_t count = 0;
  LS_TRY(find(folder, true, known, out, &count));
  if (*out || count == 0) return LS_OK;
  return ls_fail(LS_ERR_MODEL, "%s: no usable checkpoint among %zu: %s", folder, count, ls_message());
}

ls_status ls_checkpoint_try_find(const char *folder, ls_modelfile **out) {
  ls_modelfile *none = NULL;
  size_t count = 0;
  return find(folder, false, &none, out, &count);
}

/* ------------------------------------------------------------------------- removal */

/* After a power failure too, a run must not resume from a removed checkpoint. */
static ls_status sync_folder(const char *folder) {
  char *const inside = ls_format("%s/", folder);
  const ls_status status = inside ? ls_store_sync_name(inside) : ls_fail_memory("a path", strlen(folder));
  free(inside);
  return status;
}

static ls_status remove_step(const char *folder, uint64_t step) {
  char *const path = ls_checkpoint_path(folder, step);
  const ls_status status = path ? ls_store_remove(path) : ls_fail_memory("a path", strlen(folder));
  free(path);
  return status;
}

ls_status ls_checkpoint_remove_from(const char *folder, uint64_t first) {
  uint64_t *steps = NULL;
  size_t count = 0;
  ls_status status = list_steps(folder, &steps, &count);
  const bool has_any = count > 0 && steps[0] >= first;
  for (size_t i = 0; status == LS_OK && i < count && steps[i] >= first; i++)
    status = remove_step(folder, steps[i]);
  free(steps);
  return status == LS_OK && has_any ? sync_folder(folder) : status;
}

/* A failure to remove old checkpoints is a warning, unless this run must not change files any more.
 * `failed`: their number. */
static ls_status tolerate(ls_status status, size_t failed) {
  if (status != LS_ERR_OUTPUT && status != LS_ERR_MODEL) return status;
  char *const message = ls_strdup(ls_message());
  status = ls_store_may_change();
  if (status == LS_OK && message)
    ls_log(LS_LOG_WARNING,
           "%s (%zu old checkpoints remain); the next checkpoint tries again to remove them", message,
           failed);
  free(message);
  return status;
}

ls_status ls_checkpoint_prune(const char *folder, uint64_t newest, uint64_t keep, uint64_t spared) {
  static const char *const endings[] = {".h5"};
  uint64_t *steps = NULL;
  size_t count = 0;
  size_t kept = 0;
  size_t failed = 0;
  ls_status status = list_steps(folder, &steps, &count);
  for (size_t i = 0; i < count; i++) {
    if (steps[i] > newest || kept++ < keep || steps[i] == spared) continue;
    const ls_status removed = remove_step(folder, steps[i]);
    failed += removed != LS_OK;
    if (removed != LS_OK) status = removed;
  }
  free(steps);
  status = tolerate(status, failed);
  if (status == LS_OK) ls_store_remove_temporaries(folder, endings, 1);
  return status;
}
