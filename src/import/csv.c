/* A text file as rows of cells: quotes as in RFC 4180, all types of line ends, delimiter found by trial. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define END         (-1)
#define BLOCK       ((size_t)256 << 10)
#define ROW_MOST    ((size_t)64 << 20) /* bytes; without a limit, an open quote would read the whole file */
#define COLUMN_MOST ((size_t)1 << 20)
#define TRIAL_ROWS  16

/* Stores the first failure and simulates the end of the file, so that all loops below end. */
static void fail(csv *c, ls_status status) {
  if (c->status == LS_OK) c->status = status;
  c->at = c->filled = 0;
}

/* The next byte, or END. */
static int peek(csv *c) {
  if (c->at == c->filled && c->status == LS_OK) {
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

static void put(csv *c, char byte) {
  if (c->used == c->capacity)
    c->text = grow(c, c->text, 1, &c->capacity, ROW_MOST, "64 MiB; check for a missing closing quote");
  if (c->used < c->capacity) c->text[c->used++] = byte;
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

static bool ends_plain_cell(const csv *c, int byte) {
  if (byte == END || is_newline(byte)) return true;
  return c->delimiter == CSV_BLANKS ? is_blank(c, byte) : byte == c->delimiter;
}

static void skip_blanks(csv *c) {
  while (is_blank(c, peek(c))) c->at++;
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
  if (is_newline(byte)) { /* LF, CRLF, or CR alone */
    c->at++;
    if (byte == '\r' && peek(c) == '\n') c->at++;
    c->line++;
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
  } while (c->n_cells == 1 && c->text[0] == '\0');
  *got = true;
  return LS_OK;
}

const char *import_csv_cell(const csv *c, size_t i) {
  LS_ASSERT(i < c->n_cells);
  return c->text + c->starts[i];
}

ls_status import_csv_rewind(csv *c) {
  c->status = import_source_rewind(&c->in);
  c->at = c->filled = 0;
  c->line = 1;
  (void)peek(c);
  if (c->filled >= 3 && memcmp(c->block, "\xEF\xBB\xBF", 3) == 0) c->at = 3; /* the byte order mark */
  return c->status;
}

/* Counts columns with the current delimiter: *first, those of the first row; *common, the same number if
 * all of the first rows have it, else 0. Only a shortage of memory is an error. */
static ls_status try_delimiter(csv *c, size_t *first, size_t *common) {
  *first = *common = 0;
  ls_status status = import_csv_rewind(c);
  bool got = true;
  for (size_t row = 0; got && status == LS_OK && row < TRIAL_ROWS; row++) {
    status = import_csv_next(c, &got);
    if (!got) break;
    if (row == 0) *first = *common = c->n_cells;
    if (c->n_cells != *first) *common = 0;
  }
  if (status != LS_OK) *common = 0;
  return status == LS_ERR_INTERNAL ? status : LS_OK;
}

/* Chooses a delimiter that gives all of the first rows the same number of columns: the one with the most
 * columns; blanks only if no other delimiter does. Without such a delimiter, chooses the one with the most
 * columns in the first row, so that the error about uneven rows is specific. */
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
    LS_TRY(try_delimiter(c, &first, &common));
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
