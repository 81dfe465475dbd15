/* Rows of metrics.csv and diagnostics.csv. */
#include "internal.h"
#include "lockstep/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The columns of a file, and the position of each in the rows below the latest header; -1: none. */
typedef struct columns {
  const char *const *names; /* (n) */
  size_t n;
  int from[LS_RUNDIR_COLUMNS_MAX];
} columns;

/* Splits a line at its commas, which are overwritten; returns the number of cells. */
static int split_cells(char *line, const char *cells[LS_RUNDIR_COLUMNS_MAX]) {
  int n = 0;
  line[strcspn(line, "\r\n")] = '\0';
  for (char *cell = line; cell && n < LS_RUNDIR_COLUMNS_MAX; n++) cells[n] = strsep(&cell, ",");
  return n;
}

static void read_header(char *line, columns *c) {
  const char *cells[LS_RUNDIR_COLUMNS_MAX];
  const int n = split_cells(line, cells);
  for (size_t i = 0; i < c->n; i++) {
    c->from[i] = -1;
    for (int k = 0; k < n; k++)
      if (strcmp(cells[k], c->names[i]) == 0) c->from[i] = k;
  }
}

static void copy_row(char *line, const columns *c, FILE *out) {
  const char *cells[LS_RUNDIR_COLUMNS_MAX];
  const int n = split_cells(line, cells);
  for (size_t i = 0; i < c->n; i++)
    fprintf(out, "%s%s", i > 0 ? "," : "", c->from[i] >= 0 && c->from[i] < n ? cells[c->from[i]] : "");
  fputc('\n', out);
}

/* Copies the rows of the first `epochs` epochs, if the file exists. Omits a last row that a kill has
 * truncated. */
static ls_status copy_rows(const char *path, columns *c, uint64_t epochs, FILE *out) {
  FILE *const old = fopen(path, "r");
  char *line = NULL;
  size_t size = 0;
  if (!old) return errno == ENOENT ? LS_OK : rundir_fail_path(path);
  while (getline(&line, &size, old) > 0) {
    const uint64_t epoch = strtoull(line, NULL, 10);
    if (strncmp(line, "epoch,", 6) == 0)
      read_header(line, c);
    else if (epoch > 0 && epoch <= epochs && strchr(line, '\n'))
      copy_row(line, c, out);
  }
  const ls_status status = feof(old) ? LS_OK : rundir_fail_path(path);
  free(line);
  fclose(old);
  return status;
}

ls_status ls_rundir_reset_rows(const char *path, const char *const *names, size_t n, uint64_t epochs) {
  ls_text_file file;
  columns c = {.names = names, .n = n};
  LS_ASSERT(n <= LS_RUNDIR_COLUMNS_MAX);
  ls_status status = ls_text_begin(&file, path);
  for (size_t i = 0; i < n; i++) c.from[i] = (int)i; /* in a file without a header */
  for (size_t i = 0; status == LS_OK && i < n; i++)
    fprintf(file.stream, "%s%s", names[i], i + 1 < n ? "," : "\n");
  if (status == LS_OK && epochs > 0) status = copy_rows(path, &c, epochs, file.stream);
  return ls_text_end(&file, status);
}

/* The commas of a line. */
static size_t count_commas(const char *line) {
  size_t n = 0;
  for (; *line; line++) n += *line == ',';
  return n;
}

ls_status ls_rundir_count_rows(const char *path, uint64_t *rows) {
  FILE *const file = fopen(path, "r");
  char *line = NULL;
  size_t size = 0;
  *rows = 0;
  if (!file) return errno == ENOENT ? LS_OK : rundir_fail_path(path);
  const size_t n = getline(&line, &size, file) > 0 ? count_commas(line) : 0;
  while (getline(&line, &size, file) > 0 && strtoull(line, NULL, 10) == *rows + 1 && strchr(line, '\n') &&
         count_commas(line) == n)
    ++*rows;
  const ls_status status = ferror(file) ? rundir_fail_path(path) : LS_OK;
  free(line);
  fclose(file);
  return status;
}

ls_status ls_rundir_begin_rows(const ls_rundir *dir, const char *path, FILE **out) {
  *out = NULL;
  LS_TRY(ls_rundir_check_lock(dir));
  *out = fopen(path, "a");
  return *out ? LS_OK : rundir_fail_path(path);
}

ls_status ls_rundir_end_rows(const char *path, FILE *file) {
  const bool is_written = !ferror(file) && fflush(file) == 0 && ls_store_sync_file(fileno(file), path);
  const bool is_closed = fclose(file) == 0;
  return is_written && is_closed ? LS_OK : rundir_fail_path(path);
}
