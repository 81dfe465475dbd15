/* A text file as rows of cells: quotes as in RFC 4180, all types of line ends, comment lines. */
#include "internal.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define END         (-1)
#define BLOCK       ((size_t)256 << 10)
#define ROW_MOST    ((size_t)64 << 20) /* bytes; without a limit, an open quote would read the whole file */
#define COLUMN_MOST ((size_t)1 << 20)

/* Stores the first failure and simulates the end of the file, so that all loops below end. */
static void fail(csv *c, ls_status status) {
  if (c->status == LS_OK) c->status = status;
  c->at = c->filled = 0;
}

/* The next byte, or END. */
static int peek(csv *c) {
  if (c->at == c->filled && c->status == LS_OK && c->in.gz) {
    c->at = 0;
    const ls_status status = import_source_read(&c->in, c->block, BLOCK, &c->filled);
    if (status != LS_OK) fail(c, status);
  }
  return c->at < c->filled ? c->block[c->at] : END;
}

/* Doubles an array. Returns it unchanged after a failure.  limit: `most` in words */
static void *grow(csv *c, void *items, size_t size, size_t *capacity, size_t most, const char *limit) {
  const size_t wanted = *capacity ? 2 * *capacity : 64;
  void *const grown = wanted <= most ? realloc(items, wanted * size) : NULL;
  if (wanted > most)
    fail(c, ls_fail(LS_ERR_DATA, "%s, line %llu: the row is too long; must have at most %s", c->in.path,
                    (unsigned long long)c->row_line, limit));
  else if (!grown)
    fail(c, ls_fail_memory("a row of the table", wanted * size));
  if (!grown) return items;
  *capacity = wanted;
  return grown;
}

/* Appends n bytes to the text of the row. */
static void put_bytes(csv *c, const unsigned char *bytes, size_t n) {
  while (c->capacity - c->used < n && c->status == LS_OK)
    c->text = grow(c, c->text, 1, &c->capacity, ROW_MOST, "64 MiB; check for a missing closing quote");
  if (c->status != LS_OK || n == 0) return;
  memcpy(c->text + c->used, bytes, n);
  c->used += n;
}

static void put(csv *c, char byte) {
  put_bytes(c, (const unsigned char *)&byte, 1);
}

static void put_byte(csv *c, int byte) {
  if (byte != '\0')
    put(c, (char)byte);
  else
    fail(c,
         ls_fail(LS_ERR_DATA,
                 "%s, line %llu: a zero byte: not a text file; must be CSV or IDX (save UTF-16 as UTF-8)",
                 c->in.path, (unsigned long long)c->line));
}

static void begin_cell(csv *c) {
  if (c->n_cells == c->cells_capacity)
    c->starts = grow(c, c->starts, sizeof *c->starts, &c->cells_capacity, COLUMN_MOST, "1048576 columns");
  if (c->n_cells < c->cells_capacity) c->starts[c->n_cells++] = c->used;
}

static bool is_newline(int byte) {
  return byte == '\n' || byte == '\r';
}

/* Whether a byte is white space, which is not part of a cell at its start and end. */
static bool is_blank(const csv *c, int byte) {
  return (byte == ' ' || byte == '\t') && byte != c->delimiter;
}

static void skip_blanks(csv *c) {
  while (is_blank(c, peek(c))) c->at++;
}

/* The number of bytes in the block, from the next one, that belong to a cell without quotes. */
static size_t plain_run(const csv *c) {
  const unsigned char *const bytes = c->block;
  const unsigned char delimiter = (unsigned char)c->delimiter; /* CSV_BLANKS is a zero byte */
  const bool at_blanks = c->delimiter == CSV_BLANKS;
  size_t i = c->at;
  for (; i < c->filled; i++) {
    const unsigned char byte = bytes[i];
    if (byte == delimiter || byte == '\n' || byte == '\r' || byte == '\0') break;
    if (at_blanks && (byte == ' ' || byte == '\t')) break;
  }
  return i - c->at;
}

static void read_plain(csv *c) {
  const size_t start = c->used;
  while (peek(c) != END) {
    const size_t n = plain_run(c);
    put_bytes(c, c->block + c->at, n);
    if (c->status != LS_OK) return;
    c->at += n;
    if (c->at < c->filled) break;
  }
  if (peek(c) == '\0') put_byte(c, '\0'); /* fails */
  while (c->used > start && is_blank(c, c->text[c->used - 1])) c->used--;
}

static void read_quoted(csv *c) {
  const uint64_t first_line = c->line;
  c->at++;
  for (int byte = peek(c); byte != END; byte = peek(c)) {
    c->at++;
    if (byte == '"') {
      if (peek(c) != '"') return;
      c->at++;
    }
    put_byte(c, byte);
    if (byte == '\n' || (byte == '\r' && peek(c) != '\n')) c->line++;
  }
  if (c->status == LS_OK)
    fail(c, ls_fail(LS_ERR_DATA, "%s, line %llu: the cell has no closing quote", c->in.path,
                    (unsigned long long)first_line));
}

/* Reads LF, CRLF, or CR alone, if one follows. */
static void read_line_end(csv *c) {
  const int byte = peek(c);
  if (!is_newline(byte)) return;
  c->at++;
  if (byte == '\r' && peek(c) == '\n') c->at++;
  c->line++;
}

/* Reads a cell and its delimiter or line end. Returns whether another cell follows in the row. */
static bool read_cell(csv *c) {
  skip_blanks(c);
  begin_cell(c);
  if (peek(c) == '"')
    read_quoted(c);
  else
    read_plain(c);
  if (c->status == LS_OK) put(c, '\0');
  skip_blanks(c);
  const int byte = peek(c);
  if (byte == END) return false;
  if (is_newline(byte)) {
    read_line_end(c);
    return false;
  }
  if (c->delimiter == CSV_BLANKS) return true;
  if (byte == c->delimiter) {
    c->at++;
    return true;
  }
  fail(c, ls_fail(LS_ERR_DATA,
                  "%s, line %llu, column %zu: text after the closing quote; double a quote inside a quoted "
                  "cell (\"\")",
                  c->in.path, (unsigned long long)c->line, c->n_cells));
  return false;
}

/* Reads the rest of a line that begins with `#` as a single cell, without the signs and blanks before it.
 */
static void read_comment(csv *c) {
  while (peek(c) == '#' || is_blank(c, peek(c))) c->at++;
  for (int byte = peek(c); byte != END && !is_newline(byte); byte = peek(c)) {
    put_byte(c, byte);
    if (c->status == LS_OK) c->at++;
  }
  put(c, '\0');
}

/* The number of cells that a text has, without an empty one at its end. */
static size_t count_cells(const csv *c, const char *text) {
  size_t n = 0;
  bool is_quoted = false;
  bool is_in = false; /* in a cell with content */
  for (const char *p = text; *p; p++) {
    if (*p == '"') is_quoted = !is_quoted;
    const bool ends = !is_quoted && (*p == c->delimiter || (c->delimiter == CSV_BLANKS && is_blank(c, *p)));
    if (ends && (is_in || c->delimiter != CSV_BLANKS)) n++;
    is_in = !ends && (is_in || !is_blank(c, *p));
  }
  return n + is_in;
}

/* A comment between the rows that has the form of a row may be one, such as `#ff0000,1,2`. */
static void check_comment(csv *c) {
  if (c->status != LS_OK || c->n_rows == 0 || c->width == 0 || count_cells(c, c->text) != c->width) return;
  fail(c,
       ls_fail(LS_ERR_DATA,
               "%s, line %llu: #%.*s: begins with # as a comment, but has %zu cells as the rows; put the "
               "first cell in quotes if this is a row; remove the line if it is a comment",
               c->in.path, (unsigned long long)c->line, ls_clip(c->text, 60), c->text, c->width));
}

/* Skips comments. Keeps the last one before the first row, which may have the names of the columns. */
static void skip_comments(csv *c) {
  for (skip_blanks(c); peek(c) == '#' && !c->is_header; skip_blanks(c)) {
    read_comment(c);
    check_comment(c);
    read_line_end(c);
    c->n_comments++;
    if (c->status == LS_OK && c->n_rows == 0) {
      free(c->comment);
      c->comment = ls_strdup(c->text);
      if (!c->comment) fail(c, ls_fail_memory("a comment", c->used));
    }
    c->used = 0;
  }
}

ls_status import_csv_next(csv *c, bool *got) {
  *got = false;
  do {
    c->used = c->n_cells = 0;
    skip_comments(c);
    c->row_line = c->line;
    if (peek(c) == END) return c->status;
    ls_heartbeat();
    while (read_cell(c)) {
    }
    if (c->status != LS_OK) return c->status;
  } while (c->n_cells == 1 && c->text[0] == '\0');
  c->n_rows++;
  *got = true;
  return LS_OK;
}

const char *import_csv_cell(const csv *c, size_t i) {
  LS_ASSERT(i < c->n_cells);
  return c->text + c->starts[i];
}

/* Excel's first line `sep=;`, which may be in quotes, names the delimiter. Returns its number of bytes
 * without the line end, or 0. */
static size_t separator_line(const csv *c, char *delimiter) {
  const char *const text = (const char *)c->block + c->at;
  const size_t n = c->filled - c->at;
  const size_t quote = n > 0 && text[0] == '"';
  const size_t length = 5 + 2 * quote;
  if (n < length + 1 || strncasecmp(text + quote, "sep=", 4) != 0) return 0;
  if ((quote && text[length - 1] != '"') || !is_newline(text[length])) return 0;
  if (isalnum((unsigned char)text[quote + 4]) || strchr("\r\n\"#.+-", text[quote + 4])) return 0;
  *delimiter = text[quote + 4] == ' ' ? CSV_BLANKS : text[quote + 4];
  return length;
}

ls_status import_csv_rewind(csv *c) {
  char delimiter = '\0';
  c->status = import_source_rewind(&c->in);
  c->at = c->filled = 0;
  c->line = 1;
  c->n_rows = c->n_comments = 0;
  (void)peek(c);
  if (c->filled >= 3 && memcmp(c->block, "\xEF\xBB\xBF", 3) == 0) c->at = 3; /* the byte order mark */
  const size_t skipped = separator_line(c, &delimiter);
  if (skipped == 0) return c->status;
  c->at += skipped;
  read_line_end(c);
  c->delimiter = delimiter;
  c->is_named = true;
  return c->status;
}

ls_status import_csv_open(csv *c, const char *path) {
  *c = (csv){.line = 1};
  LS_TRY(import_source_open(&c->in, path));
  c->block = malloc(BLOCK);
  if (!c->block) return ls_fail_memory("reading a table", BLOCK);
  return LS_OK;
}

ls_status import_csv_next_in(csv *c, const char *text, bool *got) {
  c->is_header = true;
  c->block = (unsigned char *)ls_strdup(text);
  if (!c->block) return ls_fail_memory("a row", strlen(text) + 1);
  c->filled = strlen(text);
  return import_csv_next(c, got);
}

void import_csv_close(csv *c) {
  import_source_close(&c->in);
  free(c->block);
  free(c->text);
  free(c->starts);
  free(c->comment);
  *c = (csv){0};
}
