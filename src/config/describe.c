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

void ls_config_visit(const char *prefix, const ls_key *keys, ls_key_visit *visit, void *context) {
  for (const ls_key *key = keys; key->name; key++) {
    char name[NAME_SIZE];
    snprintf(name, NAME_SIZE, "%s%s%s", prefix, prefix[0] ? "." : "", key->name);
    const config_phrase type = config_expected(key);
    if (key->type == LS_KEY_MAP)
      ls_config_visit(name, key->keys, visit, context);
    else
      visit(context, &(ls_key_texts){.key = key,
                                     .name = name,
                                     .values = without_article(type.text),
                                     .fallback = describe_fallback(key),
                                     .help = key->help ? key->help : ""});
  }
}

typedef struct table {
  FILE *out;              /* NULL: the columns are measured */
  size_t widths[COLUMNS]; /* of the columns */
} table;

/* Prints a key or, without `out`, widens the columns to its cells. */
static void add_key(void *context, const ls_key_texts *texts) {
  static const size_t limits[COLUMNS] = {NAME_SIZE, TYPE_MAX, SIZE_MAX, 0};
  table *const t = context;
  const char *cells[COLUMNS] = {texts->name, texts->values, texts->fallback, texts->help};
  for (size_t i = 0; i < COLUMNS && !t->out; i++)
    t->widths[i] = ls_size_max(t->widths[i], ls_size_min(strlen(cells[i]), limits[i]));
  if (t->out) print_row(t->out, cells, t->widths);
}

void ls_config_describe(FILE *out, const char *prefix, const ls_key *keys) {
  table t = {0};
  ls_config_visit(prefix, keys, add_key, &t);
  const size_t left = t.widths[0] + t.widths[1] + t.widths[2] + (COLUMNS - 1) * GAP;
  t.widths[3] = left + HELP_MIN < WIDTH ? WIDTH - left : HELP_MIN;
  t.out = out;
  ls_config_visit(prefix, keys, add_key, &t);
}
