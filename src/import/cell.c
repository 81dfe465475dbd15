/* The value of a table cell: a number, a word, missing or empty. */
#include "internal.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool is_missing(const char *text) {
  static const char *const exact[] = {"NA", "N/A", "NULL", "null", "?"};
  for (size_t i = 0; i < sizeof exact / sizeof *exact; i++) {
    if (strcmp(text, exact[i]) == 0) return true;
  }
  if (text[0] == '+' || text[0] == '-') text++;
  return strcasecmp(text, "nan") == 0 || strcasecmp(text, "inf") == 0 || strcasecmp(text, "infinity") == 0;
}

cell_kind import_cell_read(const char *text, double *value) {
  *value = 0;
  if (text[0] == '\0') return CELL_EMPTY;
  /* Decimal numbers only, whereas strtod also accepts hexadecimal ones, "inf" and "nan". */
  if (text[strspn(text, "0123456789+-.eE")] == '\0') {
    char *end = NULL;
    const double number = strtod(text, &end);
    if (end != text && *end == '\0') {
      *value = number;
      return CELL_NUMBER;
    }
  }
  return is_missing(text) ? CELL_MISSING : CELL_TEXT;
}

bool import_cell_fits_float(double value) {
  return fabs(value) <= (double)FLT_MAX;
}
