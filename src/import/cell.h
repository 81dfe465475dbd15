/* cell: what one cell of a table holds. */
#ifndef LOCKSTEP_IMPORT_CELL_H
#define LOCKSTEP_IMPORT_CELL_H

#include "lockstep/base.h"

typedef enum cell_kind {
  CELL_EMPTY,
  CELL_NUMBER,
  CELL_MISSING, /* NA, nan, ?, inf ...: no number, and hardly meant as a word */
  CELL_TEXT
} cell_kind;

/* Local. The kind of a cell; *value gets the number (infinite where it is beyond double), else 0. */
cell_kind import_cell_read(const char *text, double *value);

/* Local. Whether a number fits float32, the type in which training computes. */
bool import_cell_fits_float(double value);

/* Local. Whether a text is well-formed UTF-8. */
bool import_cell_is_utf8(const char *text);

#endif
