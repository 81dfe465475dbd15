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
  return strcasecmp(text, "nan") == 0;
}

static bool is_infinite(const char *text) {
  if (text[0] == '+' || text[0] == '-') text++;
  return strcasecmp(text, "inf") == 0 || strcasecmp(text, "infinity") == 0;
}

/* Adds the digits at *text to the mantissa and moves *text past them. Returns their number. */
static int read_digits(const char **text, uint64_t *mantissa) {
  const char *const start = *text;
  for (; **text >= '0' && **text <= '9'; (*text)++) *mantissa = *mantissa * 10 + (uint64_t)(**text - '0');
  return (int)(*text - start);
}

/* Reads short decimal numbers, several times as fast as strtod and with the same result: the mantissa and
 * the power of ten are exact, so the only rounding is that of their product or quotient (Clinger 1990).
 * False if the text is anything else. */
static bool read_short(const char *text, double *value) {
  static const double powers[] = {1,    1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                  1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
  uint64_t mantissa = 0;
  uint64_t written = 0; /* the exponent */
  int decimals = 0;
  const bool is_negative = *text == '-';
  text += *text == '-' || *text == '+';
  int digits = read_digits(&text, &mantissa);
  if (*text == '.') {
    text++;
    decimals = read_digits(&text, &mantissa);
    digits += decimals;
  }
  if (digits == 0 || digits > 18 || mantissa > (uint64_t)1 << 53) return false;
  if (*text == 'e' || *text == 'E') {
    text++;
    const bool is_small = *text == '-';
    text += *text == '-' || *text == '+';
    const int n = read_digits(&text, &written);
    if (n == 0 || n > 4) return false;
    decimals += is_small ? (int)written : -(int)written;
  }
  if (*text != '\0' || decimals > 22 || decimals < -22) return false;
  const double number =
      decimals > 0 ? (double)mantissa / powers[decimals] : (double)mantissa * powers[-decimals];
  *value = is_negative ? -number : number;
  return true;
}

cell_kind import_cell_read(const char *text, double *value) {
  *value = 0;
  if (text[0] == '\0') return CELL_EMPTY;
  if (read_short(text, value)) return CELL_NUMBER;
  *value = 0;
  /* Decimal numbers only, whereas strtod also accepts hexadecimal ones, "inf" and "nan". */
  if (text[strspn(text, "0123456789+-.eE")] == '\0') {
    char *end = NULL;
    const double number = strtod(text, &end);
    if (end != text && *end == '\0') {
      *value = number;
      return CELL_NUMBER;
    }
  }
  return is_missing(text) ? CELL_MISSING : is_infinite(text) ? CELL_INFINITE : CELL_TEXT;
}

bool import_cell_fits_float(double value) {
  return fabs(value) <= (double)FLT_MAX;
}
