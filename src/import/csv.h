/* csv: a text file as rows of cells (RFC 4180), read as a stream. */
#ifndef LOCKSTEP_IMPORT_CSV_H
#define LOCKSTEP_IMPORT_CSV_H

#include "source.h"

typedef struct csv {
  source in;
  char delimiter; /* ',', ';', '\t', '|', or CSV_BLANKS */
  ls_status status;
  unsigned char *block; /* bytes read ahead */
  size_t filled, at;
  uint64_t line; /* the physical line, from 1, of the next byte */
  char *text;    /* the row's cells, each ended by NUL */
  size_t used, capacity;
  size_t *starts; /* where in `text` the cells begin */
  size_t n_cells, cells_capacity;
  uint64_t row_line; /* the physical line on which the row begins */
} csv;

#define CSV_BLANKS '\0' /* cells are parted by runs of spaces and tabs */

/* Local. Opens a file and finds its delimiter. After a failure too, import_csv_close frees what there is.
 */
ls_status import_csv_open(csv *c, const char *path);

/* Local. Reads the next row that is not blank; *got is false at the end of the file. */
ls_status import_csv_next(csv *c, bool *got);

/* Local. A cell of the row, a < n_cells; borrowed, valid until the next import_csv_next. */
const char *import_csv_cell(const csv *c, size_t i);

/* Local. Back to the first row. */
ls_status import_csv_rewind(csv *c);

void import_csv_close(csv *c);

#endif
