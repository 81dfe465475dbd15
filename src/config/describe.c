/* Prints a table of keys in aligned columns. */
#include "internal.h"

#include <string.h>

#define COLUMNS   4   /* name, type, default, help */
#define WIDTH     110 /* of a line */
#define TYPE_MAX  34  /* wider cells are wrapped */
#define GAP       2
#define HELP_MIN  24
#define NAME_SIZE 256

static const char *without_article(const char *text) {
  if (strncmp(text, "a ", 2) == 0) return text + 2;
  return strncmp(text, "an ", 3) == 0 ? text + 3 : text;
}

static const char *describe_fallback(const ls_key *key) {
  if (key->flags & LS_KEY_REQUIRED) return "required";
  return key->fallback ? key->fallback : "-";
}

/* Splits the next line of at most `width` bytes off *text, at a blank if possible. Returns its length. */
static size_t split_line(const char **text, size_t width, const char **line) {
  *line = *text;
  size_t length = strlen(*text);
  if (length > width) {
    length = width;
    while (length > 0 && (*text)[length] != ' ') length--;
    if (length == 0) length = strcspn(*text, " ");
  }
  *text += length;
  while (**text == ' ') (*text)++;
  return length;
}

/* Prints the cells side by side, wrapped to their widths. */
static void print_row(FILE *out, const char **cells, const size_t *widths) {
  bool more = true;
  while (more) {
    size_t blanks = 0; /* before the next cell; deferred, so that no line ends in blanks */
    more = false;
    for (size_t i = 0; i < COLUMNS; i++) {
      const char *line = NULL;
      const size_t length = split_line(&cells[i], widths[i], &line);
      if (length > 0) fprintf(out, "%*s%.*s", (int)blanks, "", (int)length, line);
      if (length > 0) blanks = 0;
      blanks += GAP + (length < widths[i] ? widths[i] - length : 0);
      more = more || *cells[i] != '\0';
    }
    fputc('\n', out);
  }
}

/* Prints the keys or, if `out` is NULL, widens the columns to their cells. */
static void walk(FILE *out, const char *prefix, const ls_key *keys, size_t *widths) {
  static const size_t limits[COLUMNS] = {NAME_SIZE, TYPE_MAX, SIZE_MAX, 0};
  for (const ls_key *key = keys; key->name; key++) {
    char name[NAME_SIZE];
    snprintf(name, NAME_SIZE, "%s%s%s", prefix, prefix[0] ? "." : "", key->name);
    if (key->type == LS_KEY_MAP) {
      walk(out, name, key->keys, widths);
      continue;
    }
    const config_phrase type = config_expected(key);
    const char *cells[COLUMNS] = {name, without_article(type.text), describe_fallback(key),
                                  key->help ? key->help : ""};
    for (size_t i = 0; i < COLUMNS && !out; i++)
      widths[i] = ls_size_max(widths[i], ls_size_min(strlen(cells[i]), limits[i]));
    if (out) print_row(out, cells, widths);
  }
}

void ls_config_describe(FILE *out, const char *prefix, const ls_key *keys) {
  size_t widths[COLUMNS] = {0};
  walk(NULL, prefix, keys, widths);
  const size_t left = widths[0] + widths[1] + widths[2] + (COLUMNS - 1) * GAP;
  widths[3] = left + HELP_MIN < WIDTH ? WIDTH - left : HELP_MIN;
  walk(out, prefix, keys, widths);
}
