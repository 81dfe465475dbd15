/* columns: which columns a table has, what they are called, and which one is the label. */
#ifndef LOCKSTEP_IMPORT_COLUMNS_H
#define LOCKSTEP_IMPORT_COLUMNS_H

#include "csv.h"
#include "lockstep/import.h"

typedef struct columns {
  size_t n;
  size_t label; /* n: there is none */
  bool header;  /* the first row names the columns */
  char **names; /* n of them, the cells of the first row */
  size_t n_features;
  size_t
      *features; /* (n_features): the columns that are features, in the order in which they are written */
} columns;

#define COLUMN_NAME_MAX 96

/* Local. Looks at the first two rows, `c` standing before the first, and leaves it anywhere.
 * import_columns_destroy is needed after a failure too. */
ls_status import_columns_find(columns *cols, csv *c, const ls_import_options *options);

/* Local. "column 3 (petal_length)", for messages, into `text`; returns it. */
const char *import_columns_describe(const columns *cols, size_t i, char text[COLUMN_NAME_MAX]);

void import_columns_destroy(columns *cols);

#endif
