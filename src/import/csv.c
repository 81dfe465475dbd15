/* A text file as rows of cells: quotes as in RFC 4180, all kinds of line ends, delimiter found by trial. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define END         (-1)
#define BLOCK       ((size_t)256 << 10)
#define ROW_MOST    ((size_t)64 << 20) /* 64 MiB: an open quote would include the rest of the file */
#define COLUMN_MOST ((size_t)1 << 20)
#define TRIAL_ROWS  16

/* Keeps the first failure, which reads as the end of the file, so that every loop below ends. */
static void fail(csv *c, ls_status status) {
  if (c->status == LS_OK) c->status = status;
  c->at = c->filled = 0;
}

static void fill(csv *c) {
  if (c->status != LS_OK) return;
  c->at = 0;
  const ls_status status = import_source_read(&c->in, c->block, BLOCK, &c->filled);
  if (status != LS_OK) fail(c, status);
}

/* The next byte, or END. */
static int peek(csv *c) {
  if (c->at == c->filled) fill(c);
  return c->at < c->filled ? c->block[c->at] : END;
}

/* Doubles an array; returns it unchanged after a failure.  limit: the text for `most` */
static void *grow(csv *c, void *items, size_t size, size_t *capacity, size_t most, const char *limit) {
  const size_t wanted = *capacity ? 2 * *capacity : 64;
  void *const grown = wanted <= most ? realloc(items, wanted * size) : NULL;
  if (wanted > most)
    fail(c, ls_fail(LS_ERR_DATA, "%s, line %llu: the row has more than %s", c->in.path,
                    (unsigned long long)c->row_line, limit));
  else if (!grown)
    fail(c, ls_fail_memory("a row of the table", wanted * size));
  if (!grown) return items;
  *capacity = wanted;
  return grown;
}

static void put(csv *c, char byte) {
  if (c->used == c->capacity)
    c->text = grow(c, c->text, 1, &c->capacity, ROW_MOST, "64 MiB; a closing quote may be missing");
  if (c->used < c->capacity) c->text[c->used++] = byte;
}

static void put_byte(csv *c, int byte) {
  if (byte != '\0') {
    put(c, (char)byte);
    return;
  }
  fail(c,
       ls_fail(LS_ERR_DATA,
               "%s, line %llu: a zero byte, so this is not a text file; must be CSV or IDX (save UTF-16 as "
               "UTF-8)",
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

/* Whitespace around a cell is not part of it. */
static bool is_blank(const csv *c, int byte) {
  return (byte == ' ' || byte == '\t') && byte != c->delimiter;
}

static bool ends_plain_cell(const csv *c, int byte) {
  if (byte == END || is_newline(byte)) return true;
  return c->delimiter == CSV_BLANKS ? is_blank(c, byte) : byte == c->delimiter;
}

static void skip_blanks(csv *c) {
  while (is_blank(c, peek(c))) c->at++;
}

/* LF, CRLF, or CR alone. */
static void skip_newline(csv *c) {
  const int byte = peek(c);
  if (!is_newline(byte)) return;
  c->at++;
  if (byte == '\r' && peek(c) == '\n') c->at++;
  c->line++;
}

static void read_plain(csv *c) {
  const size_t start = c->used;
  for (int byte = peek(c); !ends_plain_cell(c, byte); byte = peek(c)) {
    put_byte(c, byte);
    if (c->status != LS_OK) return;
    c->at++;
  }
  while (c->used > start && is_blank(c, c->text[c->used - 1])) c->used--;
}

static void read_quoted(csv *c) {
  const uint64_t first_line = c->line;
  c->at++;
  for (;;) {
    const int byte = peek(c);
    if (byte == END) break;
    c->at++;
    if (byte == '"') {
      if (peek(c) != '"') return;
      c->at++;
    }
    put_byte(c, byte);
    if (byte == '\n') c->line++;
  }
  if (c->status != LS_OK) return;
  fail(c, ls_fail(LS_ERR_DATA, "%s, line %llu: the quote has no closing quote", c->in.path,
                  (unsigned long long)first_line));
}

/* Reads a cell and its end. Returns whether another cell follows in the row. */
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
    skip_newline(c);
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

static bool row_is_blank(const csv *c) {
  return c->n_cells == 1 && c->text[0] == '\0';
}

ls_status import_csv_next(csv *c, bool *got) {
  *got = false;
  do {
    c->used = c->n_cells = 0;
    c->row_line = c->line;
    if (peek(c) == END) return c->status;
    ls_heartbeat();
    while (read_cell(c)) {
    }
    if (c->status != LS_OK) return c->status;
  } while (row_is_blank(c));
  *got = true;
  return LS_OK;
}

const char *import_csv_cell(const csv *c, size_t i) {
  LS_ASSERT(i < c->n_cells);
  return c->text + c->starts[i];
}

/* Skips the byte order mark. */
static void skip_mark(csv *c) {
  (void)peek(c);
  if (c->filled >= 3 && memcmp(c->block, "\xEF\xBB\xBF", 3) == 0) c->at = 3;
}

ls_status import_csv_rewind(csv *c) {
  c->status = import_source_rewind(&c->in);
  c->at = c->filled = 0;
  c->line = 1;
  if (c->status == LS_OK) skip_mark(c);
  return c->status;
}

/* The columns of the first rows with the current delimiter: *first, of the first row; *common, the same if
 * all rows agree, else 0. Only a shortage of memory is an error. */
static ls_status try_delimiter(csv *c, size_t *first, size_t *common) {
  *first = *common = 0;
  ls_status status = import_csv_rewind(c);
  bool got = false;
  for (size_t row = 0; status == LS_OK && row < TRIAL_ROWS; row++) {
    status = import_csv_next(c, &got);
    if (status != LS_OK || !got) break;
    if (row == 0) *first = *common = c->n_cells;
    if (c->n_cells != *first) *common = 0;
  }
  if (status == LS_OK) return LS_OK;
  *common = 0;
  return status == LS_ERR_INTERNAL ? status : LS_OK;
}

/* Chooses the delimiter that gives the same number of columns in all of the first rows. If several do, the
 * one with the most columns; blanks only if no other does. If none does, the one with the most columns in
 * the first row, so that the error about uneven rows is specific. */
static ls_status find_delimiter(csv *c) {
  static const char candidates[] = {',', ';', '\t', '|', CSV_BLANKS};
  size_t best_first = 1;
  size_t best_common = 1;
  char chosen = CSV_BLANKS;
  for (size_t i = 0; i < sizeof candidates; i++) {
    size_t first = 0;
    size_t common = 0;
    c->delimiter = candidates[i];
    if (c->delimiter == CSV_BLANKS && best_common > 1) break;
    const ls_status status = try_delimiter(c, &first, &common);
    if (status != LS_OK) return status;
    const bool widest_first = best_common == 1 && first > best_first && c->delimiter != CSV_BLANKS;
    if (common <= best_common && !widest_first) continue;
    chosen = candidates[i];
    best_first = first;
    best_common = ls_size_max(common, 1);
  }
  c->delimiter = chosen;
  return import_csv_rewind(c);
}

ls_status import_csv_open(csv *c, const char *path) {
  *c = (csv){.line = 1};
  LS_TRY(import_source_open(&c->in, path));
  c->block = malloc(BLOCK);
  if (!c->block) return ls_fail_memory("reading a table", BLOCK);
  return find_delimiter(c);
}

void import_csv_close(csv *c) {
  import_source_close(&c->in);
  free(c->block);
  free(c->text);
  free(c->starts);
  *c = (csv){0};
}
