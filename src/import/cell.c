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

bool import_cell_is_utf8(const char *text) {
  static const uint32_t least[] = {0, 0x80, 0x800, 0x10000}; /* smaller code points are overlong forms */
  for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
    const unsigned char lead = *at;
    const unsigned n = lead < 0x80 ? 0 : lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3; /* bytes that follow */
    uint32_t code = n ? lead & (0x3FU >> n) : lead;
    if ((lead >= 0x80 && lead < 0xC2) || lead > 0xF4) return false;
    for (unsigned i = 0; i < n; i++) {
      if ((*++at & 0xC0) != 0x80) return false; /* includes the final NUL */
      code = code << 6 | (*at & 0x3FU);
    }
    const bool is_surrogate = code >= 0xD800 && code <= 0xDFFF;
    if (code < least[n] || code > 0x10FFFF || is_surrogate) return false;
  }
  return true;
}
