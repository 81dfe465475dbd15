/* The contents of a table cell: a number, a word, or no usable value. */
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

/* The number of bytes that follow a lead byte; -1 if it is not one (RFC 3629). */
static int followers(unsigned char lead) {
  if (lead < 0x80) return 0;
  if (lead >= 0xC2 && lead <= 0xDF) return 1;
  if (lead >= 0xE0 && lead <= 0xEF) return 2;
  if (lead >= 0xF0 && lead <= 0xF4) return 3;
  return -1;
}

/* The narrower range of the second byte excludes overlong forms, surrogates and code points above U+10FFFF.
 */
static bool second_fits(unsigned char lead, unsigned char second) {
  if (lead == 0xE0) return second >= 0xA0;
  if (lead == 0xED) return second <= 0x9F;
  if (lead == 0xF0) return second >= 0x90;
  if (lead == 0xF4) return second <= 0x8F;
  return true;
}

bool import_cell_is_utf8(const char *text) {
  for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
    const unsigned char lead = *at;
    const int n = followers(lead);
    if (n < 0) return false;
    for (int i = 1; i <= n; i++) {
      if ((at[i] & 0xC0) != 0x80) return false; /* also at the final NUL */
    }
    if (n > 0 && !second_fits(lead, at[1])) return false;
    at += n;
  }
  return true;
}
