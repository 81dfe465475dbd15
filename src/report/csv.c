/* Reading metrics.csv and diagnostics.csv. */
#include "internal.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BYTES_MOST ((size_t)1 << 30)

/* Reads an open file to its end. The caller frees *text, after a failure too. */
static ls_status read_stream(FILE *file, const char *path, char **text) {
  size_t size = 0;
  size_t capacity = 0;
  do {
    capacity = capacity ? 2 * capacity : (size_t)1 << 16;
    char *const larger = capacity <= BYTES_MOST ? realloc(*text, capacity) : NULL;
    if (!larger) return ls_fail_memory(path, capacity);
    *text = larger;
    size += fread(*text + size, 1, capacity - size - 1, file);
  } while (size + 1 == capacity);
  if (ferror(file)) return ls_fail(LS_ERR_DATA, "%s: cannot be read: %s", path, strerror(errno));
  (*text)[size] = '\0';
  return strlen(*text) == size ? LS_OK : ls_fail(LS_ERR_DATA, "%s: contains a NUL byte; not a table", path);
}

/* Reads a whole file. *text stays NULL if it does not exist. */
static ls_status read_file(const char *path, char **text) {
  FILE *const file = fopen(path, "rb");
  if (!file && errno == ENOENT) return LS_OK;
  if (!file) return ls_fail(LS_ERR_DATA, "%s: cannot be read: %s", path, strerror(errno));
  const ls_status status = read_stream(file, path, text);
  fclose(file);
  return status;
}

/* ---------------------------------------------------------------------------- cells */

static size_t count_char(const char *text, char c) {
  size_t n = 0;
  for (; *text; text++) n += *text == c;
  return n;
}

/* Splits a line at its commas into at most `most` cells; returns how many it has. */
static size_t split(char *line, size_t most, char **cells) {
  size_t n = 0;
  for (char *cell = line; cell; n++) {
    char *const comma = strchr(cell, ',');
    if (comma) *comma = '\0';
    if (n < most) cells[n] = cell;
    cell = comma ? comma + 1 : NULL;
  }
  return n;
}

static bool parse_cell(const char *cell, double *value) {
  char *end = NULL;
  *value = NAN;
  if (cell[0] == '\0') return true;
  *value = strtod(cell, &end);
  return end != cell && *end == '\0';
}

/* Removes the end of a line, and returns the next one; NULL if this line has no end. */
static char *end_line(char *line) {
  char *const end = strchr(line, '\n');
  if (!end) return NULL;
  if (end > line && end[-1] == '\r') end[-1] = '\0';
  *end = '\0';
  return end + 1;
}

/* ---------------------------------------------------------------------------- table */

static ls_status parse_row(report_csv *csv, const char *path, char *line, int label, char **cells) {
  const size_t row = csv->n_rows;
  const size_t n = split(line, csv->n_columns, cells);
  if (n != csv->n_columns)
    return ls_fail(LS_ERR_DATA, "%s:%zu: %zu cells; must be %zu, as in the first line", path, row + 2, n,
                   csv->n_columns);
  for (size_t i = 0; i < n; i++) {
    double *const value = &csv->values[row * csv->n_columns + i];
    const bool is_label = (int)i == label;
    *value = NAN;
    if (is_label) csv->labels[row] = cells[i];
    if (!is_label && !parse_cell(cells[i], value))
      return ls_fail(LS_ERR_DATA, "%s:%zu: %s: %.40s: not a number", path, row + 2, csv->names[i],
                     cells[i]);
  }
  csv->n_rows++;
  return LS_OK;
}

static ls_status parse_rows(report_csv *csv, const char *path, char *text) {
  const int label = report_csv_find(csv, "layer");
  const size_t most = count_char(text, '\n');
  size_t count = 0;
  ls_status status = LS_OK;
  char **const cells = ls_calloc(csv->n_columns, sizeof *cells);
  if (label >= 0) csv->labels = ls_calloc(most, sizeof *csv->labels);
  if (ls_size_mul(most, csv->n_columns, &count)) csv->values = ls_calloc(count, sizeof *csv->values);
  if (!cells || !csv->values || (label >= 0 && !csv->labels))
    status = ls_fail_memory(path, count * sizeof(double));
  for (char *line = text; status == LS_OK && line;) {
    char *const next = end_line(line);
    if (next) status = parse_row(csv, path, line, label, cells);
    line = next;
  }
  free(cells);
  return status;
}

ls_status report_csv_read(const char *path, report_csv *csv) {
  LS_TRY(read_file(path, &csv->text));
  char *const rows = csv->text ? end_line(csv->text) : NULL;
  if (!rows) return LS_OK;
  csv->n_columns = count_char(csv->text, ',') + 1;
  csv->names = ls_calloc(csv->n_columns, sizeof *csv->names);
  if (!csv->names) return ls_fail_memory(path, csv->n_columns * sizeof *csv->names);
  split(csv->text, csv->n_columns, csv->names);
  if (strcmp(csv->names[0], "epoch") != 0)
    return ls_fail(LS_ERR_DATA, "%s:1: %.40s: the first column must be `epoch`; not a table of a run", path,
                   csv->names[0]);
  return parse_rows(csv, path, rows);
}

void report_csv_destroy(report_csv *csv) {
  free(csv->names);
  free(csv->values);
  free(csv->labels);
  free(csv->text);
  *csv = (report_csv){0};
}

int report_csv_find(const report_csv *csv, const char *name) {
  for (size_t i = 0; i < csv->n_columns; i++)
    if (strcmp(csv->names[i], name) == 0) return (int)i;
  return -1;
}

double report_csv_at(const report_csv *csv, size_t row, int column) {
  return column < 0 ? NAN : csv->values[row * csv->n_columns + (size_t)column];
}
