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

/* The steps in a folder, newest first, which the caller frees. None if there is no folder. */
static ls_status list_steps(const char *folder, uint64_t **out, size_t *count) {
  *out = NULL;
  *count = 0;
  DIR *const dir = opendir(folder);
  if (!dir && errno == ENOENT) return LS_OK;
  if (!dir) return ls_fail(LS_ERR_OUTPUT, "%s: cannot read the folder: %s", folder, strerror(errno));
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
    status = ls_fail(LS_ERR_OUTPUT, "%s: cannot read the folder: %s", folder, strerror(errno));
  closedir(dir);
  if (*count > 1) qsort(*out, *count, sizeof **out, descending);
  return status;
}

ls_status ls_checkpoint_find(const char *folder, ls_modelfile **out) {
  uint64_t *steps = NULL;
  size_t count = 0;
  *out = NULL;
  ls_status status = list_steps(folder, &steps, &count);
  bool is_found = false;
  for (size_t i = 0; status == LS_OK && !is_found && i < count; i++) {
    char *const path = ls_checkpoint_path(folder, steps[i]);
    if (!path) {
      status = ls_fail_memory("a path", strlen(folder));
      break;
    }
    const ls_status opened = ls_modelfile_open(path, out);
    is_found = opened == LS_OK;
    if (is_found) (*out)->is_newest = i == 0;
    if (opened == LS_ERR_INTERNAL)
      status = opened; /* the file may be valid */
    else if (!is_found && i + 1 < count)
      ls_log(LS_LOG_WARNING, "%s; trying the previous checkpoint", ls_message());
    free(path);
  }
  if (status == LS_OK && count > 0 && !is_found)
    status = ls_fail(LS_ERR_MODEL, "%s: no usable checkpoint among %zu: %s", folder, count, ls_message());
  free(steps);
  return status;
}

/* After a power failure too, a run must not resume from a removed checkpoint. */
static ls_status sync_folder(const char *folder) {
  char *const inside = ls_format("%s/", folder);
  const ls_status status = inside ? ls_store_sync_name(inside) : ls_fail_memory("a path", strlen(folder));
  free(inside);
  return status;
}

ls_status ls_checkpoint_prune(const char *folder, uint64_t newest, uint64_t keep) {
  static const char *const endings[] = {".h5"};
  uint64_t *steps = NULL;
  size_t count = 0;
  size_t later = 0;
  ls_status status = list_steps(folder, &steps, &count);
  while (later < count && steps[later] > newest) later++;
  for (size_t i = 0; status == LS_OK && i < count; i++) {
    if (i >= later && i - later < keep) continue;
    char *const path = ls_checkpoint_path(folder, steps[i]);
    if (!path)
      status = ls_fail_memory("a path", strlen(folder));
    else if (unlink(path) != 0 && errno != ENOENT)
      status = ls_fail(LS_ERR_OUTPUT, "%s: cannot be removed: %s", path, strerror(errno));
    free(path);
  }
  free(steps);
  ls_store_remove_temporaries(folder, endings, 1);
  return status == LS_OK && (later > 0 || keep == 0) ? sync_folder(folder) : status;
}
