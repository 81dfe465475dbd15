/* Mistakes: collected with their places, then told all at once. */
#include "document.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TOLD 50
#define TAIL_MAX 40 /* bytes of "\n... and N more" */

void config_write_path(FILE *out, const ls_node *node) {
  if (!node->parent) return;
  config_write_path(out, node->parent);
  if (node->parent->parent) fputc('.', out);
  if (node->key)
    fputs(config_excerpt(node->key).text, out);
  else
    fprintf(out, "%zu", node->index);
}

/* Writes "file:line: " or "--set KEY=VALUE: " and returns the line to sort by. A node that no one wrote
 * has the place of the map it was added to. */
static size_t write_place(FILE *out, const ls_config *config, const ls_node *node) {
  while (node && node->line == 0 && !node->origin) node = node->parent;
  if (node && node->origin) {
    fprintf(out, "%s: ", node->origin);
    return SIZE_MAX;
  }
  if (!node) {
    fprintf(out, "%s: ", config->name);
    return 0;
  }
  fprintf(out, "%s:%zu: ", config->name, node->line);
  return node->line;
}

static void record(ls_config *config, size_t line, const char *text, size_t length) {
  if (config->n_mistakes == config->mistakes_capacity) {
    const size_t capacity = config->mistakes_capacity ? 2 * config->mistakes_capacity : 16;
    config_mistake *const mistakes = config_take(config, capacity * sizeof *mistakes);
    if (!mistakes) return;
    if (config->n_mistakes) memcpy(mistakes, config->mistakes, config->n_mistakes * sizeof *mistakes);
    config->mistakes = mistakes;
    config->mistakes_capacity = capacity;
  }
  const char *const copy = config_copy_text(config, text, length);
  if (!copy) return;
  config->mistakes[config->n_mistakes] =
      (config_mistake){.line = line, .sequence = config->n_mistakes, .text = copy};
  config->n_mistakes++;
}

/* Collects "place: path.key: message". `key` (may be NULL) is of an entry that is absent from `node`. */
static void collect(ls_config *config, const ls_node *node, const char *key, const char *format,
                    va_list arguments) {
  char *text = NULL;
  size_t length = 0;
  FILE *const out = open_memstream(&text, &length);
  if (!out) {
    config->out_of_memory = true;
    return;
  }
  const size_t line = write_place(out, config, node);
  if (node) config_write_path(out, node);
  if (node && node->parent && key) fputc('.', out);
  if (key) fputs(key, out);
  if (key || (node && node->parent)) fputs(": ", out);
  vfprintf(out, format, arguments);
  if (fclose(out) == 0)
    record(config, line, text, length);
  else
    config->out_of_memory = true;
  free(text);
}

void ls_config_error(ls_config *config, const ls_node *node, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  collect(config, node, NULL, format, arguments);
  va_end(arguments);
}

static void collect_at_key(ls_config *config, const ls_node *map, const char *key, const char *format,
                           ...) {
  va_list arguments;
  va_start(arguments, format);
  collect(config, map, key, format, arguments);
  va_end(arguments);
}

void config_error_absent(ls_config *config, const ls_node *map, const char *key) {
  collect_at_key(config, map, key, "required, but absent");
}

static int by_sequence(const config_mistake *a, const config_mistake *b) {
  return (a->sequence > b->sequence) - (a->sequence < b->sequence);
}

static int by_line(const config_mistake *a, const config_mistake *b) {
  return (a->line > b->line) - (a->line < b->line);
}

static int compare_texts(const void *a, const void *b) {
  const int order = strcmp(((const config_mistake *)a)->text, ((const config_mistake *)b)->text);
  return order ? order : by_sequence(a, b);
}

static int compare_lines(const void *a, const void *b) {
  const int order = by_line(a, b);
  return order ? order : by_sequence(a, b);
}

/* Keeps the first of equal ones and brings them in the order of their lines. Returns how many stay. */
static size_t sort_unique(config_mistake *mistakes, size_t n) {
  qsort(mistakes, n, sizeof *mistakes, compare_texts);
  size_t kept = 1;
  for (size_t i = 1; i < n; i++) {
    if (strcmp(mistakes[i].text, mistakes[kept - 1].text) != 0) mistakes[kept++] = mistakes[i];
  }
  qsort(mistakes, kept, sizeof *mistakes, compare_lines);
  return kept;
}

/* One a line, as many as fit a message, then how many more there are. */
static ls_status tell(const config_mistake *mistakes, size_t n) {
  char text[LS_MESSAGE_MAX];
  size_t used = 0;
  size_t told = 0;
  for (; told < n && told < MAX_TOLD; told++) {
    const size_t length = strlen(mistakes[told].text);
    if (told > 0 && used + length + TAIL_MAX > sizeof text) break;
    used +=
        (size_t)snprintf(text + used, sizeof text - used, "%s%s", told ? "\n" : "", mistakes[told].text);
    used = ls_size_min(used, sizeof text - TAIL_MAX);
  }
  if (told < n) snprintf(text + used, sizeof text - used, "\n... and %zu more", n - told);
  return ls_fail(LS_ERR_CONFIG, "%s", text);
}

ls_status ls_config_status(const ls_config *config) {
  if (config->out_of_memory) return ls_fail(LS_ERR_INTERNAL, "out of memory: reading %s", config->name);
  if (config->n_mistakes == 0) return LS_OK;
  const size_t bytes = config->n_mistakes * sizeof(config_mistake);
  config_mistake *const sorted = malloc(bytes);
  if (!sorted) return ls_fail_memory("the mistakes of a config", bytes);
  memcpy(sorted, config->mistakes, bytes);
  const ls_status status = tell(sorted, sort_unique(sorted, config->n_mistakes));
  free(sorted);
  return status;
}
