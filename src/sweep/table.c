/* trials.csv: the results, one row for each trial and rung.
 *
 * A row is appended and synced when its trial ends, so that a kill loses at most the row that is being
 * written. Whenever the sweep starts, and at the end of each rung, the file is replaced by one with the
 * same rows in order. Only the last two columns depend on ranks or time. */
#include "internal.h"
#include "lockstep/store.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const state_names[] = {[LS_TRIAL_ABSENT] = "",
                                          [LS_TRIAL_DONE] = "done",
                                          [LS_TRIAL_DIVERGED] = "diverged",
                                          [LS_TRIAL_FAILED] = "failed"};

char *sweep_trial_folder(const char *folder, uint64_t trial) {
  return ls_format("%s/trials/%04llu", folder, (unsigned long long)trial);
}

ls_status sweep_table_create(const sweep_plan *plan, const char *monitor, size_t n_rungs, sweep_table *t) {
  *t = (sweep_table){.plan = plan, .monitor = monitor, .n_trials = plan->trials, .n_rungs = n_rungs};
  t->rows = ls_calloc(n_rungs * t->n_trials, sizeof *t->rows);
  return t->rows ? LS_OK : ls_fail_memory("the table of trials", n_rungs * t->n_trials * sizeof *t->rows);
}

void sweep_table_destroy(sweep_table *t) {
  free(t->rows);
  *t = (sweep_table){0};
}

/* ------------------------------------------------------------------------- writing */

static void write_header(const sweep_table *t, FILE *out) {
  fputs("trial,rung,", out);
  for (size_t k = 0; k < t->plan->n_parameters; k++) fprintf(out, "%s,", t->plan->parameters[k].key);
  fprintf(out, "epochs,%s,state,seconds,directory\n", t->monitor);
}

/* An absent value leaves its cell empty. */
static void write_row(const sweep_table *t, const ls_sweep_row *row, FILE *out) {
  char text[LS_SWEEP_VALUE_MAX];
  fprintf(out, "%llu,%llu,", (unsigned long long)row->trial, (unsigned long long)row->rung);
  for (size_t k = 0; k < t->plan->n_parameters; k++) {
    sweep_value(t->plan, row->trial, k, text);
    fprintf(out, "%s,", text);
  }
  fprintf(out, "%llu,", (unsigned long long)row->epochs);
  if (!isnan(row->value)) fprintf(out, "%.9g", row->value);
  fprintf(out, ",%s,%.3f,trials/%04llu\n", state_names[row->state], row->seconds,
          (unsigned long long)row->trial);
}

ls_status sweep_table_write(const sweep_table *t, const char *path) {
  ls_text_file file;
  const ls_status status = ls_text_begin(&file, path);
  if (status == LS_OK) {
    write_header(t, file.stream);
    for (size_t i = 0; i < t->n_rungs * t->n_trials; i++)
      if (t->rows[i].state != LS_TRIAL_ABSENT) write_row(t, &t->rows[i], file.stream);
  }
  return ls_text_end(&file, status);
}

/* The value as a reader of the file finds it, so that a sweep that is resumed ranks the same values. */
static double rounded(double value) {
  char text[64];
  snprintf(text, sizeof text, "%.9g", value);
  return isnan(value) ? value : strtod(text, NULL);
}

/* Appends a row. A part of it that a failed write has left is removed, as the next row would follow it. */
static ls_status append(const sweep_table *t, const ls_rundir *dir, const char *path,
                        const ls_sweep_row *row) {
  FILE *file = NULL;
  struct stat before;
  LS_TRY(ls_rundir_begin_rows(dir, path, &file));
  const bool is_known = fstat(fileno(file), &before) == 0;
  write_row(t, row, file);
  const ls_status status = ls_rundir_end_rows(path, file);
  if (status == LS_OK || !is_known) return status;
  if (truncate(path, before.st_size) != 0)
    return ls_fail(status, "%s; remove its last line, which is incomplete", ls_message());
  return status;
}

ls_status sweep_table_append(sweep_table *t, const ls_rundir *dir, const char *path,
                             const ls_sweep_row *row) {
  ls_sweep_row *const place = sweep_table_row(t, row->rung, row->trial);
  if (place->state != LS_TRIAL_ABSENT) return LS_OK;
  LS_TRY(append(t, dir, path, row));
  *place = *row;
  place->value = rounded(row->value);
  return LS_OK;
}

/* ------------------------------------------------------------------------- reading */

/* Splits a line at its commas, which are overwritten. Returns the number of cells, at most `most`. */
static size_t split(char *line, const char **cells, size_t most) {
  size_t n = 0;
  for (char *cell = line; cell && n < most; n++) cells[n] = strsep(&cell, ",");
  return n;
}

static int find_state(const char *text) {
  for (int i = LS_TRIAL_DONE; i <= LS_TRIAL_FAILED; i++)
    if (strcmp(text, state_names[i]) == 0) return i;
  return LS_TRIAL_ABSENT;
}

/* Reads a row without its line break. False if it is not one of this sweep. */
static bool read_row(const sweep_table *t, char *line, ls_sweep_row *row) {
  const size_t n = t->plan->n_parameters;
  const char *cells[SWEEP_PARAMETERS_MAX + 8] = {NULL};
  char text[LS_SWEEP_VALUE_MAX];
  if (split(line, cells, n + 8) != n + 7) return false;
  if (!ls_config_parse_count(cells[0], &row->trial) || !ls_config_parse_count(cells[1], &row->rung) ||
      !ls_config_parse_count(cells[n + 2], &row->epochs) ||
      !ls_config_parse_real(cells[n + 5], &row->seconds))
    return false;
  if (row->trial >= t->n_trials || row->rung >= t->n_rungs) return false;
  for (size_t k = 0; k < n; k++) {
    sweep_value(t->plan, row->trial, k, text);
    LS_ASSERT(cells[k + 2]);
    if (strcmp(text, cells[k + 2]) != 0) return false;
  }
  char *end = NULL;
  LS_ASSERT(cells[n + 3] && cells[n + 4]);
  const double value = strtod(cells[n + 3], &end);
  if (*end != '\0') return false;
  row->value = cells[n + 3][0] != '\0' ? value : NAN;
  row->state = find_state(cells[n + 4]);
  return row->state != LS_TRIAL_ABSENT;
}

static ls_status fail_row(const char *path, size_t line) {
  return ls_fail(LS_ERR_OUTPUT,
                 "%s:%zu: not a row of this sweep; restore the file, or start again with --overwrite", path,
                 line);
}

/* Whether a line is the header of the table. */
static bool is_header(const sweep_table *t, const char *line) {
  char *text = NULL;
  size_t size = 0;
  FILE *const out = open_memstream(&text, &size);
  if (!out) return false;
  write_header(t, out);
  const bool is_same = fclose(out) == 0 && strcmp(text, line) == 0;
  free(text);
  return is_same;
}

/* Adds a line of n bytes; one without a line break was truncated by a kill. */
static ls_status add_line(sweep_table *t, const char *path, size_t number, char *line, size_t n) {
  ls_sweep_row row = {0};
  char *const end = line + n - 1;
  if (*end != '\n') return LS_OK;
  if (strlen(line) < n) return fail_row(path, number);
  if (number == 1) return is_header(t, line) ? LS_OK : fail_row(path, 1);
  *end = '\0';
  if (!read_row(t, line, &row)) return fail_row(path, number);
  ls_sweep_row *const place = sweep_table_row(t, row.rung, row.trial);
  if (place->state == LS_TRIAL_ABSENT) *place = row;
  return LS_OK;
}

ls_status sweep_table_read(sweep_table *t, const char *path) {
  FILE *const file = fopen(path, "r");
  char *line = NULL;
  size_t size = 0;
  ls_status status = LS_OK;
  if (!file && errno == ENOENT) return LS_OK;
  if (!file) return ls_fail(LS_ERR_OUTPUT, "%s: %s", path, strerror(errno));
  ssize_t n = 0;
  for (size_t number = 1; status == LS_OK && (n = getline(&line, &size, file)) > 0; number++)
    status = add_line(t, path, number, line, (size_t)n);
  if (status == LS_OK && !feof(file)) status = ls_fail(LS_ERR_OUTPUT, "%s: %s", path, strerror(errno));
  free(line);
  fclose(file);
  return status;
}

/* ------------------------------------------------------------------------- ranking */

/* Whether row a is better than row b. */
static bool is_better(const ls_sweep_row *a, const ls_sweep_row *b, bool is_maximized) {
  if (a->value != b->value) return is_maximized ? a->value > b->value : a->value < b->value;
  return a->trial < b->trial;
}

size_t sweep_table_rank(const sweep_table *t, size_t rung, bool is_maximized, uint64_t *trials) {
  size_t n = 0;
  for (uint64_t i = 0; i < t->n_trials; i++) {
    const ls_sweep_row *const row = sweep_table_row(t, rung, i);
    if (row->state != LS_TRIAL_DONE || isnan(row->value)) continue;
    size_t k = n++;
    for (; k > 0 && is_better(row, sweep_table_row(t, rung, trials[k - 1]), is_maximized); k--)
      trials[k] = trials[k - 1];
    trials[k] = i;
  }
  return n;
}

int sweep_table_last_state(const sweep_table *t, uint64_t trial) {
  for (size_t rung = t->n_rungs; rung-- > 0;) {
    const int state = sweep_table_row(t, rung, trial)->state;
    if (state != LS_TRIAL_ABSENT) return state;
  }
  return LS_TRIAL_ABSENT;
}

bool sweep_table_best(const sweep_table *t, bool is_maximized, uint64_t *trials, size_t *rung,
                      uint64_t *best) {
  for (*rung = t->n_rungs; *rung > 0;) {
    const size_t n = sweep_table_rank(t, --*rung, is_maximized, trials);
    for (size_t i = 0; i < n; i++) {
      *best = trials[i];
      if (sweep_table_last_state(t, *best) == LS_TRIAL_DONE) return true;
    }
  }
  return false;
}
