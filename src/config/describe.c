/* Prints a table of keys in aligned columns. */
#include "internal.h"

#include <string.h>

#define COLUMNS   4   /* name, type, default, help */
#define WIDTH     110 /* of a line */
#define TYPE_MAX  34  /* wider cells are wrapped */
#define GAP       2
#define HELP_MIN  24
#define NAME_SIZE 256

typedef struct layout {
  size_t name, type, fallback; /* widths */
} layout;

/* The accepted values, without the article. */
static config_phrase describe_type(const ls_key *key) {
  const config_phrase phrase = config_expected(key);
  config_phrase out = {""};
  const size_t article = strncmp(phrase.text, "a ", 2) == 0    ? 2
                         : strncmp(phrase.text, "an ", 3) == 0 ? 3
                                                               : 0;
  config_phrase_add(&out, "%s", phrase.text + article);
  return out;
}

static const char *describe_fallback(const ls_key *key) {
  if (key->flags & LS_KEY_REQUIRED) return "required";
  return key->fallback ? key->fallback : "-";
}

static void full_name(const char *prefix, const ls_key *key, char out[NAME_SIZE]) {
  snprintf(out, NAME_SIZE, "%s%s%s", prefix, prefix[0] ? "." : "", key->name);
}

static void measure(layout *widths, const char *prefix, const ls_key *keys) {
  for (const ls_key *key = keys; key->name; key++) {
    char name[NAME_SIZE];
    full_name(prefix, key, name);
    if (key->type == LS_KEY_MAP) {
      measure(widths, name, key->keys);
      continue;
    }
    widths->name = ls_size_max(widths->name, strlen(name));
    widths->type = ls_size_max(widths->type, ls_size_min(strlen(describe_type(key).text), TYPE_MAX));
    widths->fallback = ls_size_max(widths->fallback, strlen(describe_fallback(key)));
  }
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
static void print_row(FILE *out, const char *cells[COLUMNS], const size_t widths[COLUMNS]) {
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

static void print_keys(FILE *out, const char *prefix, const ls_key *keys, const layout *widths) {
  const size_t left = widths->name + widths->type + widths->fallback + (COLUMNS - 1) * GAP;
  const size_t help = left + HELP_MIN < WIDTH ? WIDTH - left : HELP_MIN;
  for (const ls_key *key = keys; key->name; key++) {
    char name[NAME_SIZE];
    full_name(prefix, key, name);
    if (key->type == LS_KEY_MAP) {
      print_keys(out, name, key->keys, widths);
      continue;
    }
    const config_phrase type = describe_type(key);
    const char *cells[COLUMNS] = {name, type.text, describe_fallback(key), key->help ? key->help : ""};
    print_row(out, cells, (const size_t[]){widths->name, widths->type, widths->fallback, help});
  }
}

void ls_config_describe(FILE *out, const char *prefix, const ls_key *keys) {
  layout widths = {0};
  measure(&widths, prefix, keys);
  print_keys(out, prefix, keys, &widths);
}
