/* Rows of metrics.csv and diagnostics.csv. */
#include "internal.h"
#include "lockstep/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The columns of a file, and the position of each in the rows below the last header that was read; -1:
 * none.
 */
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

/* Opens a file of an earlier part of the run; *out is NULL if it does not exist. */
static ls_status open_old(const char *path, FILE **out) {
  *out = fopen(path, "r");
  return *out || errno == ENOENT ? LS_OK : rundir_fail_path(path);
}

/* Closes it. Fails unless all lines were read. */
static ls_status close_old(const char *path, FILE *old) {
  const ls_status status = !old || feof(old) ? LS_OK : rundir_fail_path(path);
  if (old) fclose(old);
  return status;
}

/* Copies the rows of the first `epochs` epochs, without a last row that a kill has truncated. c == NULL:
 * rows are copied as they are. */
static ls_status copy_rows(const char *path, columns *c, uint64_t epochs, FILE *out) {
  FILE *old = NULL;
  const ls_status status = open_old(path, &old);
  char *line = NULL;
  size_t size = 0;
  while (old && getline(&line, &size, old) > 0) {
    const uint64_t epoch = strtoull(line, NULL, 10); /* 0 in a header */
    const bool is_kept = epoch > 0 && epoch <= epochs && strchr(line, '\n');
    if (c && strncmp(line, "epoch,", 6) == 0)
      read_header(line, c);
    else if (c && is_kept)
      copy_row(line, c, out);
    else if (is_kept)
      fputs(line, out);
  }
  free(line);
  return status == LS_OK ? close_old(path, old) : status;
}

ls_status ls_rundir_reset_metrics(const ls_rundir *dir, const char *const *names, size_t n,
                                  uint64_t epochs) {
  ls_text_file file;
  columns c = {.names = names, .n = n};
  LS_ASSERT(n <= LS_RUNDIR_COLUMNS_MAX);
  ls_status status = ls_text_begin(&file, dir->metrics);
  for (size_t i = 0; i < n; i++) c.from[i] = (int)i; /* in a file without a header */
  for (size_t i = 0; status == LS_OK && i < n; i++)
    fprintf(file.stream, "%s%s", names[i], i + 1 < n ? "," : "\n");
  if (status == LS_OK && epochs > 0) status = copy_rows(dir->metrics, &c, epochs, file.stream);
  return ls_text_end(&file, status);
}

ls_status ls_rundir_reset_diagnostics(const ls_rundir *dir, uint64_t epochs) {
  ls_text_file file;
  ls_status status = ls_text_begin(&file, dir->diagnostics);
  if (status == LS_OK) fputs("epoch,layer,gradient_norm,weight_norm,ratio,saturated,dead\n", file.stream);
  if (status == LS_OK && epochs > 0) status = copy_rows(dir->diagnostics, NULL, epochs, file.stream);
  return ls_text_end(&file, status);
}

ls_status ls_rundir_begin_rows(const char *path, FILE **out) {
  *out = fopen(path, "a");
  return *out ? LS_OK : rundir_fail_path(path);
}

ls_status ls_rundir_end_rows(const char *path, FILE *file) {
  const bool is_written = !ferror(file) && fflush(file) == 0 && fsync(fileno(file)) == 0;
  const bool is_closed = fclose(file) == 0;
  return is_written && is_closed ? LS_OK : rundir_fail_path(path);
}
