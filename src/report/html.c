/* Escaped texts, numbers and tables. */
#include "page.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

void report_put(const char *html, FILE *out) {
  fputs(html, out);
}

void report_print(FILE *out, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vfprintf(out, format, arguments);
  va_end(arguments);
}

/* Bytes of the UTF-8 character at `text`; 0 if it is not one. */
static size_t character_bytes(const char *text) {
  const unsigned char first = (unsigned char)*text;
  const size_t n = first < 0x80 ? 1 : first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  return strnlen(text, n) == n && ls_is_utf8(text, n) ? n : 0;
}

static const char *entity_of(char c) {
  switch (c) {
  case '&': return "&amp;";
  case '<': return "&lt;";
  case '>': return "&gt;";
  case '"': return "&quot;";
  case '\'': return "&#39;";
  default: return NULL;
  }
}

void report_text(FILE *out, const char *text) {
  while (*text) {
    const size_t n = character_bytes(text);
    const char *const entity = entity_of(*text);
    const bool is_control = ((unsigned char)*text < 0x20 && !strchr("\t\n", *text)) || *text == 0x7F;
    if (n == 0 || is_control)
      report_put("\xEF\xBF\xBD", out);
    else if (entity)
      report_put(entity, out);
    else
      fwrite(text, 1, n, out);
    text += n > 0 ? n : 1;
  }
}

/* ------------------------------------------------------------------------- numbers */

/* Inserts commas between groups of three digits. */
static void group(const char *digits, char text[REPORT_NUMBER]) {
  const size_t n = strlen(digits);
  size_t length = 0;
  for (size_t i = 0; i < n; i++) {
    const bool starts_group = i > 0 && (n - i) % 3 == 0 && digits[i - 1] != '-';
    if (starts_group) text[length++] = ',';
    text[length++] = digits[i];
  }
  text[length] = '\0';
}

const char *report_count(uint64_t value, char text[REPORT_NUMBER]) {
  char digits[24];
  snprintf(digits, sizeof digits, "%llu", (unsigned long long)value);
  group(digits, text);
  return text;
}

const char *report_number(double value, char text[REPORT_NUMBER]) {
  char digits[24];
  const double size = fabs(value);
  if (isnan(value))
    snprintf(text, REPORT_NUMBER, "\xE2\x80\x93");
  else if (isinf(value))
    snprintf(text, REPORT_NUMBER, "%s\xE2\x88\x9E", value < 0.0 ? "-" : "");
  else if (size >= 1e15 || (size > 0.0 && size < 1e-4))
    snprintf(text, REPORT_NUMBER, "%.4g", value);
  else if (size < 99999.5)
    snprintf(text, REPORT_NUMBER, "%.5g", value);
  else {
    snprintf(digits, sizeof digits, "%.0f", value);
    group(digits, text);
  }
  return text;
}

const char *report_seconds(double seconds, char text[REPORT_NUMBER]) {
  const unsigned long long minutes = seconds < 6e15 ? (unsigned long long)(seconds / 60.0) : 0;
  if (!(seconds >= 0.0 && seconds < 6e15))
    snprintf(text, REPORT_NUMBER, "\xE2\x80\x93");
  else if (seconds < 60.0)
    snprintf(text, REPORT_NUMBER, "%.3g s", seconds);
  else if (minutes < 60)
    snprintf(text, REPORT_NUMBER, "%llu min %02.0f s", minutes, floor(seconds - 60.0 * (double)minutes));
  else
    snprintf(text, REPORT_NUMBER, "%llu h %02llu min", minutes / 60, minutes % 60);
  return text;
}

/* -------------------------------------------------------------------------- elements */

void report_note(FILE *out, const char *format, ...) {
  char text[LS_MESSAGE_MAX];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  report_put("<p class=\"note\">", out);
  report_text(out, text);
  report_put("</p>\n", out);
}

void report_table_begin(FILE *out, const char *caption) {
  report_put("<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"", out);
  report_text(out, caption);
  report_put("\"><table><caption>", out);
  report_text(out, caption);
  report_put("</caption>\n", out);
}

void report_table_end(FILE *out) {
  report_put("</tbody></table></div>\n", out);
}

void report_table_head(FILE *out, size_t n, const char *const *names) {
  report_put("<thead><tr>", out);
  for (size_t i = 0; i < n; i++) {
    report_put("<th scope=\"col\">", out);
    report_text(out, names[i]);
    report_put("</th>", out);
  }
  report_put("</tr></thead><tbody>\n", out);
}

void report_row_head(FILE *out, const char *text) {
  report_put("<th scope=\"row\">", out);
  report_text(out, text);
  report_put("</th>", out);
}

void report_cell(FILE *out, const char *text) {
  report_put("<td class=\"text\">", out);
  report_text(out, text);
  report_put("</td>", out);
}

void report_cell_number(FILE *out, double value) {
  char text[REPORT_NUMBER];
  report_print(out, "<td>%s</td>", report_number(value, text));
}
