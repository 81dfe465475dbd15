/* Helpers that subcommands share. */
#include "internal.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------------- options */

const char *app_option(const arguments *a, const char *name) {
  for (size_t i = 0; a->command->options[i].name; i++)
    if (strcmp(a->command->options[i].name, name) == 0) return a->values[i];
  ls_bug(__FILE__, __LINE__, name); /* not an option of the command */
}

ls_status app_read_number(const arguments *a, const char *name, double low, double high, double *value) {
  const char *const text = app_option(a, name);
  if (!text) return LS_OK;
  if (ls_config_parse_real(text, value) && *value >= low && *value <= high) return LS_OK;
  return ls_fail(LS_ERR_CONFIG, "--%s %s: must be a number from %g to %g", name, text, low, high);
}

ls_status app_read_count(const arguments *a, const char *name, uint64_t low, uint64_t high,
                         uint64_t *value) {
  const char *const text = app_option(a, name);
  double number = 0.0;
  if (!text) return LS_OK;
  if (!ls_config_parse_real(text, &number) || number < (double)low || number > (double)high ||
      number != floor(number))
    return ls_fail(LS_ERR_CONFIG, "--%s %s: must be a whole number from %llu to %llu", name, text,
                   (unsigned long long)low, (unsigned long long)high);
  *value = (uint64_t)number;
  return LS_OK;
}

ls_status app_read_quantity(const arguments *a, const char *name, const app_unit *units,
                            const char *example, double *out) {
  const char *const text = app_option(a, name);
  char known[128] = "";
  char *end = NULL;
  *out = 0.0;
  if (!text) return LS_OK;
  const double value = strtod(text, &end);
  while (isspace((unsigned char)*end)) end++;
  for (const app_unit *u = units; u->name; u++) {
    if (end != text && strcmp(end, u->name) == 0) *out = value * u->factor;
    ls_append(known, sizeof known, "%s%s", u == units ? "" : ", ", u->name);
  }
  if (*out > 0.0 && *out < 1e15) return LS_OK;
  return ls_fail(LS_ERR_CONFIG, "--%s %s: must be a number above 0 with its unit, such as %s (units: %s)",
                 name, text, example, known);
}

/* Reads an index at *text and moves *text past it. */
static bool read_index(const char **text, uint64_t *out) {
  if (!isdigit((unsigned char)**text)) return false;
  char *end = NULL;
  *out = strtoull(*text, &end, 10);
  *text = end;
  return true;
}

/* Reads an index or a range at *text and moves *text to the comma after it or to the end. */
static bool read_range(const char **text, uint64_t *first, uint64_t *last) {
  if (!read_index(text, first)) return false;
  *last = *first;
  const bool is_range = **text == '-';
  *text += is_range;
  if (is_range && !read_index(text, last)) return false;
  return (**text == ',' || **text == '\0') && *last >= *first;
}

ls_status app_read_list(const arguments *a, const char *name, const char *item, uint64_t n,
                        void (*visit)(void *context, uint64_t index), void *context) {
  const char *const list = app_option(a, name);
  const char *text = list;
  do {
    uint64_t first = 0;
    uint64_t last = 0;
    if (!read_range(&text, &first, &last))
      return ls_fail(LS_ERR_CONFIG, "--%s %s: must be a list of numbers and ranges, such as 0,5,10-19",
                     name, list);
    if (last >= n)
      return ls_fail(LS_ERR_CONFIG, "--%s %s: %s %llu does not exist; must be from 0 to %llu", name, list,
                     item, (unsigned long long)last, (unsigned long long)n - 1);
    for (uint64_t i = first; i <= last; i++) visit(context, i);
  } while (*text++ == ',');
  return LS_OK;
}

bool app_ends_with(const char *text, const char *const *endings) {
  const size_t n = strlen(text);
  for (; *endings; endings++) {
    const size_t m = strlen(*endings);
    if (n >= m && strcmp(text + n - m, *endings) == 0) return true;
  }
  return false;
}

ls_status app_read_output(const arguments *a, const char *const *endings, const char **output) {
  char allowed[64] = "";
  *output = app_option(a, "output");
  if (!*output)
    return ls_fail(LS_ERR_CONFIG, "-o FILE is missing; see lockstep %s --help", a->command->name);
  if (!endings || app_ends_with(*output, endings)) return LS_OK;
  for (size_t i = 0; endings[i]; i++)
    ls_append(allowed, sizeof allowed, "%s%s", i ? " or " : "", endings[i]);
  return ls_fail(LS_ERR_CONFIG, "-o %s: unknown file type; the name must end with %s", *output, allowed);
}

ls_status app_read_choice(const arguments *a, const char *name, const char *const *choices, int *value) {
  char allowed[128] = "";
  const char *const text = app_option(a, name);
  for (int i = 0; text && choices[i]; i++) {
    if (strcmp(text, choices[i]) == 0) {
      *value = i;
      return LS_OK;
    }
    ls_append(allowed, sizeof allowed, "%s%s", i ? ", " : "", choices[i]);
  }
  return text ? ls_fail(LS_ERR_CONFIG, "--%s %s: must be one of: %s", name, text, allowed) : LS_OK;
}

/* -------------------------------------------------------------- configs and models */

ls_job_source app_job_source(const arguments *a) {
  return (ls_job_source){.path = a->positional[0], .overrides = a->sets, .n_overrides = a->n_sets};
}

const char *app_option_if_any(const arguments *a, const char *name) {
  for (size_t i = 0; a->command->options[i].name; i++)
    if (strcmp(a->command->options[i].name, name) == 0) return a->values[i];
  return NULL;
}

ls_status app_check_output(const arguments *a, const char *output) {
  const char *const y = app_option_if_any(a, "y"); /* perhaps in another file */
  bool is_data = false;
  bool is_y = false;
  LS_TRY(ls_spec_has_file(a->positional[1], output, &is_data));
  if (y && strstr(y, ":/")) LS_TRY(ls_spec_has_file(y, output, &is_y));
  if (is_data || is_y || ls_same_file(output, a->positional[0]))
    return ls_fail(LS_ERR_CONFIG, "-o %s: is the model or the data; choose another name", output);
  return LS_OK;
}

const char *const app_memory_names[] = {"auto", "resident", "stream", NULL}; /* ls_data_memory */

const char *app_class_name(const ls_predictor *predictor, size_t index, char *text, size_t size) {
  if (index < predictor->saved->n_classes) return predictor->saved->classes[index];
  snprintf(text, size, "%zu", index);
  return text;
}

const char *app_cell(const char *name, int width, char text[APP_CELL_SIZE]) {
  const int most = abs(width);
  int characters = 0;
  size_t bytes = 0;
  while (name[bytes] && characters < most && bytes < 96) {
    bytes++;
    while (((unsigned char)name[bytes] & 0xC0) == 0x80) bytes++; /* the rest of a character */
    characters++;
  }
  const int padding = most - characters;
  snprintf(text, APP_CELL_SIZE, "%*s%.*s%*s", width < 0 ? padding : 0, "", ls_clip(name, bytes), name,
           width < 0 ? 0 : padding, "");
  return text;
}
