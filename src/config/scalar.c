/* Values of plain scalars: null, booleans, integers and numbers by the core schema of YAML 1.2, but decimal
 * and finite only; and times. */
#include "internal.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS "0123456789"

static bool is_one_of(const char *text, const char *const *words) {
  while (*words && strcmp(text, *words) != 0) words++;
  return *words != NULL;
}

bool config_is_null_text(const char *text) {
  return is_one_of(text, (const char *const[]){"", "~", "null", "Null", "NULL", NULL});
}

bool config_parse_bool(const char *text, bool *out) {
  *out = is_one_of(text, (const char *const[]){"true", "True", "TRUE", NULL});
  return *out || is_one_of(text, (const char *const[]){"false", "False", "FALSE", NULL});
}

config_outcome config_parse_count(const char *text, uint64_t *out) {
  const bool negative = text[0] == '-';
  const size_t digits = strspn(text + negative, DIGITS);
  if (digits == 0 || text[negative + digits] != '\0') return CONFIG_NO_NUMBER;
  if (negative) return CONFIG_OVERFLOW;
  errno = 0;
  const unsigned long long value = strtoull(text, NULL, 10);
  if (errno == ERANGE) return CONFIG_OVERFLOW;
  *out = value;
  return CONFIG_FITS;
}

/* Whether a number is below the normal range of float32, in which most numbers are used, but not 0. */
static bool underflows(const char *text, double value) {
  const size_t mantissa = strcspn(text, "eE");
  return fabs(value) < (double)FLT_MIN && strcspn(text, "123456789") < mantissa;
}

/* strtod also accepts blanks, hexadecimal numbers, inf and nan, which the first check rejects. */
config_outcome config_parse_real(const char *text, double *out) {
  char *end = NULL;
  if (text[0] == '\0' || text[strspn(text, DIGITS "+-.eE")] != '\0') return CONFIG_NO_NUMBER;
  const double value = strtod(text, &end);
  if (*end != '\0') return CONFIG_NO_NUMBER;
  if (!isfinite(value)) return CONFIG_OVERFLOW;
  if (underflows(text, value)) return CONFIG_UNDERFLOW;
  *out = value;
  return CONFIG_FITS;
}

bool ls_config_parse_real(const char *text, double *out) {
  const config_outcome outcome = config_parse_real(text, out);
  if (outcome == CONFIG_OVERFLOW || outcome == CONFIG_UNDERFLOW) *out = NAN;
  return outcome != CONFIG_NO_NUMBER;
}

bool ls_config_parse_count(const char *text, uint64_t *out) {
  return config_parse_count(text, out) == CONFIG_FITS;
}

/* The number of bytes of a unit; 0: not a unit. */
static double unit_bytes(const char *name) {
  static const struct {
    const char *name;
    double bytes;
  } units[] = {{"B", 1.0},   {"kB", 1e3},     {"KB", 1e3},     {"MB", 1e6},     {"GB", 1e9},
               {"TB", 1e12}, {"KiB", 0x1p10}, {"MiB", 0x1p20}, {"GiB", 0x1p30}, {"TiB", 0x1p40}};
  for (size_t i = 0; i < sizeof units / sizeof *units; i++)
    if (strcmp(name, units[i].name) == 0) return units[i].bytes;
  return 0.0;
}

bool ls_config_parse_size(const char *text, uint64_t *bytes) {
  char number[32];
  double value = 0.0;
  const size_t length = strspn(text, DIGITS ".");
  if (length == 0 || length >= sizeof number) return false;
  memcpy(number, text, length);
  number[length] = '\0';
  if (config_parse_real(number, &value) != CONFIG_FITS) return false;
  value *= unit_bytes(text + length + strspn(text + length, " "));
  if (!(value >= 1.0 && value <= 0x1p62)) return false;
  *bytes = (uint64_t)value;
  return true;
}

#define TIME_MAX 3e10 /* seconds */

/* Parses an integer and its unit, which must be units[*unit] or a later one. Advances *text and *unit. */
static bool parse_part(const char **text, size_t *unit, double *seconds) {
  static const struct {
    char name;
    double seconds;
  } units[] = {{'d', 86400.0}, {'h', 3600.0}, {'m', 60.0}, {'s', 1.0}};
  const size_t n_units = sizeof units / sizeof *units;
  const size_t digits = strspn(*text, DIGITS);
  if (digits == 0) return false;
  while (*unit < n_units && units[*unit].name != (*text)[digits]) ++*unit;
  if (*unit == n_units) return false;
  *seconds += strtod(*text, NULL) * units[*unit].seconds;
  *text += digits + 1;
  ++*unit;
  return true;
}

bool config_parse_time(const char *text, double *seconds) {
  double sum = 0.0;
  size_t unit = 0;
  if (config_parse_real(text, &sum) != CONFIG_FITS) {
    while (*text && parse_part(&text, &unit, &sum)) {
    }
    if (*text) return false;
  }
  if (!(sum > 0.0) || sum > TIME_MAX) return false;
  *seconds = sum;
  return true;
}
