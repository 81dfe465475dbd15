/* Errors of a document: collected with their locations and reported together. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define MAX_REPORTED 50
#define TAIL_MAX     40 /* bytes of "\n... and N more" */

static void write_location(FILE *out, const ls_config *config, const config_place *place) {
  fputs(place->origin ? place->origin : config->name, out);
  if (!place->origin && place->line > 0) fprintf(out, ":%zu", place->line);
  fputs(": ", out);
}

static void write_subject(FILE *out, const config_place *place) {
  const ls_node *const node = place->node;
  const bool has_path = node && node->parent;
  if (has_path) config_write_path(out, node);
  if (place->key) fprintf(out, "%s%s", has_path ? "." : "", place->key);
  if (has_path || place->key) fputs(": ", out);
  if (place->with_value && has_path && node->text[0]) fprintf(out, "%s: ", config_excerpt(node->text).text);
}

char *config_message(const ls_config *config, const config_place *place, const char *format,
                     va_list arguments) {
  char *text = NULL;
  size_t length = 0;
  FILE *const out = open_memstream(&text, &length);
  if (!out) return NULL;
  write_location(out, config, place);
  write_subject(out, place);
  vfprintf(out, format, arguments);
  if (fclose(out) == 0) return text;
  free(text);
  return NULL;
}

/* Sets line and origin. A node that the user did not write has those of its nearest written ancestor. */
static void locate(config_place *place) {
  const ls_node *written = place->node;
  while (written && written->line == 0 && !written->origin) written = written->parent;
  place->line = written ? written->line : 0;
  place->origin = written ? written->origin : NULL;
}

char *ls_config_place(const ls_config *config, const ls_node *node) {
  config_place place = {.node = node};
  char *text = NULL;
  size_t length = 0;
  FILE *const out = open_memstream(&text, &length);
  if (!out) return NULL;
  locate(&place);
  write_location(out, config, &place);
  config_write_path(out, node);
  if (fclose(out) == 0) return text;
  free(text);
  return NULL;
}

static void collect(ls_config *config, config_place place, const char *format, va_list arguments) {
  locate(&place);
  char *const text = config_message(config, &place, format, arguments);
  const char *const copy = text ? config_copy_text(config, text, strlen(text)) : NULL;
  free(text);
  const size_t n = config->n_errors;
  config_error *const errors = config_grow(config, config->errors, n, sizeof *errors);
  config->out_of_memory = config->out_of_memory || !copy || !errors;
  if (config->out_of_memory) return;
  errors[n] = (config_error){.line = place.origin ? SIZE_MAX : place.line, .sequence = n, .text = copy};
  config->errors = errors;
  config->n_errors++;
}

void ls_config_error(ls_config *config, const ls_node *node, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  collect(config, (config_place){.node = node, .with_value = true}, format, arguments);
  va_end(arguments);
}

void config_report(ls_config *config, const ls_node *node, const char *key, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  collect(config, (config_place){.node = node, .key = key}, format, arguments);
  va_end(arguments);
}

void config_report_kind(ls_config *config, const ls_node *node, const char *expected) {
  ls_config_error(config, node, "cannot be %s; must be %s", config_kind_name(node), expected);
}

static int by_sequence(const config_error *a, const config_error *b) {
  return (a->sequence > b->sequence) - (a->sequence < b->sequence);
}

static int compare_texts(const void *a, const void *b) {
  const int order = strcmp(((const config_error *)a)->text, ((const config_error *)b)->text);
  return order ? order : by_sequence(a, b);
}

static int compare_lines(const void *a, const void *b) {
  const size_t left = ((const config_error *)a)->line;
  const size_t right = ((const config_error *)b)->line;
  return left == right ? by_sequence(a, b) : left < right ? -1 : 1;
}

/* Keeps the first of equal errors and sorts the errors by line. Returns the number that remains. */
static size_t sort_unique(config_error *errors, size_t n) {
  qsort(errors, n, sizeof *errors, compare_texts);
  size_t kept = 1;
  for (size_t i = 1; i < n; i++)
    if (strcmp(errors[i].text, errors[kept - 1].text) != 0) errors[kept++] = errors[i];
  qsort(errors, kept, sizeof *errors, compare_lines);
  return kept;
}

/* Fails with one error per line, as many as fit a message, and the number of the others. */
static ls_status fail_with(const config_error *errors, size_t n) {
  char text[LS_MESSAGE_MAX];
  size_t used = 0;
  size_t i = 0;
  for (; i < n && i < MAX_REPORTED; i++) {
    if (i > 0 && used + strlen(errors[i].text) + TAIL_MAX > sizeof text) break;
    used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", i ? "\n" : "", errors[i].text);
    used = ls_size_min(used, sizeof text - TAIL_MAX);
  }
  if (i < n) snprintf(text + used, sizeof text - used, "\n... and %zu more", n - i);
  return ls_fail(LS_ERR_CONFIG, "%s", text);
}

ls_status ls_config_status(const ls_config *config) {
  if (config->out_of_memory) return ls_fail(LS_ERR_INTERNAL, "%s: out of memory", config->name);
  if (config->n_errors == 0) return LS_OK;
  const size_t bytes = config->n_errors * sizeof(config_error);
  config_error *const sorted = malloc(bytes);
  if (!sorted) return ls_fail_memory("the errors of a config", bytes);
  memcpy(sorted, config->errors, bytes);
  const ls_status status = fail_with(sorted, sort_unique(sorted, config->n_errors));
  free(sorted);
  return status;
}
