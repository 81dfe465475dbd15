/* Reading train.log. A line is "YYYY-MM-DD HH:MM:SS text". */
#include "internal.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { STAMP = 20, START_MOST = 16384 };

const char *const report_share_names[REPORT_SHARES] = {"compute", "communication", "data", "other"};

/* The text of a line after its date and time, which is copied to `stamp`; the line itself without one. */
static const char *text_of(const char *line, char stamp[STAMP]) {
  const bool has_stamp = strlen(line) >= STAMP && isdigit((unsigned char)line[0]) && line[4] == '-' &&
                         line[13] == ':' && line[19] == ' ';
  if (!has_stamp) return line;
  memcpy(stamp, line, STAMP - 1);
  stamp[STAMP - 1] = '\0';
  return line + STAMP;
}

static bool begins(const char *text, const char *start) {
  return strncmp(text, start, strlen(start)) == 0;
}

/* Adds the time of an epoch: "... 1.13 s: compute 80 %, communication 17 %, data 2 %, other 1 %". */
static void add_epoch(report_log *log, const char *text) {
  const char *const at = strstr(text, " s: compute ");
  const char *number = at;
  int percent[REPORT_SHARES] = {0};
  while (number && number > text && number[-1] != ' ') number--;
  if (!at || sscanf(at, " s: compute %d %%, communication %d %%, data %d %%, other %d %%", &percent[0],
                    &percent[1], &percent[2], &percent[3]) != REPORT_SHARES)
    return;
  const double seconds = strtod(number, NULL);
  for (int i = 0; i < REPORT_SHARES; i++) log->shares[i] += seconds * percent[i];
  log->seconds += seconds;
}

/* Keeps the last warnings: the oldest one makes room. */
static bool add_warning(report_log *log, const char *text) {
  char *const copy = ls_strdup(text);
  const size_t kept = ls_size_min(log->n_warnings, REPORT_WARNINGS);
  if (!copy) return false;
  if (kept == REPORT_WARNINGS) {
    free(log->warnings[0]);
    memmove(log->warnings, log->warnings + 1, (REPORT_WARNINGS - 1) * sizeof *log->warnings);
  }
  log->warnings[ls_size_min(kept, REPORT_WARNINGS - 1)] = copy;
  log->n_warnings++;
  return true;
}

/* The first line of a process. */
static bool is_start(const char *text) {
  return begins(text, "lockstep ") && strstr(text, " rank") && strstr(text, " thread");
}

static bool is_end(const char *text) {
  return begins(text, "done: ") || begins(text, "stopped early: ") || strstr(text, " is finished: ");
}

static void forget_end(report_log *log) {
  free(log->end);
  log->end = NULL;
}

/* Returns false if memory is short. `is_starting`: the start of the process is being collected. */
static bool add_line(report_log *log, const char *line, bool *is_starting) {
  char stamp[STAMP] = "";
  const char *const text = text_of(line, stamp);
  LS_ASSERT(text); /* GCC with sanitizers does not know it */
  if (stamp[0] && !log->first[0]) memcpy(log->first, stamp, STAMP);
  if (stamp[0]) memcpy(log->last, stamp, STAMP);
  if (is_start(text)) {
    log->n_starts++;
    log->start[0] = '\0';
    *is_starting = true;
    forget_end(log);
  }
  if (*is_starting && !begins(text, "warning: ")) ls_append(log->start, START_MOST, "%s\n", text);
  if (begins(text, "ready in ")) *is_starting = false;
  if (begins(text, "epoch ")) add_epoch(log, text);
  if (begins(text, "warning: ") || begins(text, "error: ")) return add_warning(log, text);
  if (!is_end(text)) return true;
  forget_end(log);
  log->end = ls_strdup(text);
  return log->end != NULL;
}

ls_status report_log_read(const char *path, report_log *log) {
  FILE *const file = fopen(path, "r");
  char *line = NULL;
  size_t capacity = 0;
  bool is_starting = false;
  bool has_memory = true;
  if (!file && errno == ENOENT) return LS_OK;
  if (!file) return ls_fail(LS_ERR_DATA, "%s: cannot be read: %s", path, strerror(errno));
  log->exists = true;
  log->start = ls_calloc(START_MOST, 1);
  has_memory = log->start != NULL;
  while (has_memory && getline(&line, &capacity, file) >= 0) {
    line[strcspn(line, "\r\n")] = '\0';
    has_memory = add_line(log, line, &is_starting);
  }
  const bool failed = ferror(file);
  free(line);
  fclose(file);
  if (!has_memory) return ls_fail_memory(path, START_MOST);
  if (failed) return ls_fail(LS_ERR_DATA, "%s: cannot be read", path);
  for (int i = 0; i < REPORT_SHARES && log->seconds > 0.0; i++) log->shares[i] /= log->seconds;
  return LS_OK;
}

void report_log_destroy(report_log *log) {
  free(log->start);
  free(log->end);
  for (size_t i = 0; i < REPORT_WARNINGS; i++) free(log->warnings[i]);
  *log = (report_log){0};
}
