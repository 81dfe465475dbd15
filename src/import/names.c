/* The names of a table's columns: search by name, and lists in options and messages. */
#include "table.h"

#include <stdlib.h>
#include <string.h>

#define LISTED    20 /* names in a message */
#define NAME_MOST 60 /* bytes of a name in a message */

char *import_list_next(const char **list) {
  if (!**list) return NULL;
  const char *const start = *list + strspn(*list, " ");
  size_t n = strcspn(start, ",");
  *list = start + n + (start[n] == ',');
  while (n > 0 && start[n - 1] == ' ') n--;
  return ls_format("%.*s", (int)n, start);
}

typedef struct named {
  const char *name;
  size_t index;
} named;

static int compare_named(const void *a, const void *b) {
  return strcmp(((const named *)a)->name, ((const named *)b)->name);
}

ls_status import_names_keep(columns *cols, const csv *row) {
  for (size_t i = 0; i < cols->n; i++) {
    free(cols->names[i]);
    cols->names[i] = ls_strdup(import_csv_cell(row, i));
    if (!cols->names[i]) return ls_fail_memory("a column name", strlen(import_csv_cell(row, i)) + 1);
  }
  return LS_OK;
}

ls_status import_names_sort(columns *cols) {
  named *const items = ls_calloc(cols->n, sizeof *items);
  if (!items) return ls_fail_memory("column names", cols->n * sizeof *items);
  for (size_t i = 0; i < cols->n; i++) items[i] = (named){cols->names[i], i};
  qsort(items, cols->n, sizeof *items, compare_named);
  for (size_t i = 0; i < cols->n; i++) cols->by_name[i] = items[i].index;
  free(items);
  return LS_OK;
}

/* Compares a name with the first `bytes` bytes of a text. */
static int compare_start(const char *name, const char *text, size_t bytes) {
  const int order = strncmp(name, text, bytes);
  return order != 0 ? order : name[bytes] != '\0';
}

/* The number of columns whose name has `bytes` bytes, and the index of one of them. */
static size_t find(const columns *cols, const char *name, size_t bytes, size_t *index) {
  size_t low = 0;
  size_t high = cols->n;
  while (low < high) { /* the first name that is not before `name` */
    const size_t middle = low + (high - low) / 2;
    if (compare_start(cols->names[cols->by_name[middle]], name, bytes) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  size_t count = 0;
  while (low + count < cols->n && compare_start(cols->names[cols->by_name[low + count]], name, bytes) == 0)
    count++;
  if (count > 0) *index = cols->by_name[low];
  return count;
}

size_t import_names_find(const columns *cols, const char *name, size_t *index) {
  return find(cols, name, strlen(name), index);
}

size_t import_names_find_feature(const columns *cols, const char *feature, size_t *index,
                                 const char **word) {
  *word = NULL;
  size_t found = import_names_find(cols, feature, index);
  if (found > 0) return found;
  for (const char *at = strchr(feature, '='); at; at = strchr(at + 1, '=')) {
    const size_t n = find(cols, feature, (size_t)(at - feature), index);
    if (n > 0) *word = at + 1;
    found += n;
  }
  return found;
}

/* Appends a column's name or, without a header, its number. */
static void append_name(const columns *cols, size_t i, char *text, size_t size) {
  if (cols->has_header)
    ls_append(text, size, "%.*s", ls_clip(cols->names[i], NAME_MOST), cols->names[i]);
  else
    ls_append(text, size, "column %zu", i + 1);
}

const char *import_names_list(const columns *cols, const size_t *list, size_t n, char *text, size_t size) {
  text[0] = '\0';
  for (size_t i = 0; i < n && i < LISTED; i++) {
    ls_append(text, size, "%s", i ? ", " : "");
    append_name(cols, list ? list[i] : i, text, size);
  }
  if (n > LISTED) ls_append(text, size, " and %zu more", n - LISTED);
  return text;
}

/* "header in line 1; 2 features: a, b; label: c" */
const char *import_names_describe(const columns *cols, const csv *c, char *text, size_t size) {
  char list[IMPORT_LIST_SIZE];
  static const char *const sources[] = {"no header", "header in line", "header in a comment before line"};
  text[0] = '\0';
  ls_append(text, size, "%s", sources[cols->is_comment ? 2 : cols->has_header]);
  if (cols->has_header) ls_append(text, size, " %llu", (unsigned long long)cols->first_line);
  ls_append(text, size, "; %zu features: %s", cols->n_features,
            import_names_list(cols, cols->features, cols->n_features, list, sizeof list));
  if (cols->n_labels > 0)
    ls_append(text, size, "; %s: %s", cols->n_labels > 1 ? "targets" : "label",
              import_names_list(cols, cols->labels, cols->n_labels, list, sizeof list));
  if (cols->weight < cols->n)
    ls_append(text, size, "; weights: %s", import_names_list(cols, &cols->weight, 1, list, sizeof list));
  const size_t ignored = cols->n - cols->n_features - cols->n_labels - (cols->weight < cols->n);
  if (ignored > 0) ls_append(text, size, "; columns ignored: %zu", ignored);
  if (c->n_comments > 0) ls_append(text, size, "; comment lines (#): %zu", c->n_comments);
  return text;
}
