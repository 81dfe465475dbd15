/* Comparison of lists of names. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b) {
  return strcmp(**(const char *const *const *)a, **(const char *const *const *)b);
}

bool ls_names_equal(const ls_names *a, const ls_names *b) {
  if (a->n != b->n) return false;
  for (size_t i = 0; i < a->n; i++)
    if (strcmp(a->list[i], b->list[i]) != 0) return false;
  return true;
}

/* Sorts pointers to the names into `sorted`, (n). LS_ERR_DATA if a name occurs twice. */
static ls_status sort(const ls_names *names, const char *const **sorted) {
  for (size_t i = 0; i < names->n; i++) sorted[i] = &names->list[i];
  qsort(sorted, names->n, sizeof *sorted, compare);
  for (size_t i = 1; i < names->n; i++)
    if (compare(&sorted[i - 1], &sorted[i]) == 0)
      return ls_fail(LS_ERR_DATA, "the name %s occurs more than once", *sorted[i]);
  return LS_OK;
}

ls_status ls_names_find(const ls_names *wanted, const ls_names *known, size_t *index) {
  const size_t n = ls_size_max(wanted->n, known->n);
  const char *const **const sorted = ls_calloc(n, sizeof *sorted);
  if (!sorted) return ls_fail_memory("a list of names", n * sizeof *sorted);
  ls_status status = sort(wanted, sorted); /* finds duplicates */
  if (status == LS_OK) status = sort(known, sorted);
  for (size_t i = 0; status == LS_OK && i < wanted->n; i++) {
    const char *const *const key = &wanted->list[i];
    const char *const *const *const found = bsearch(&key, sorted, known->n, sizeof *sorted, compare);
    index[i] = found ? (size_t)(*found - known->list) : LS_NAME_ABSENT;
  }
  free(sorted);
  return status;
}

#define LISTED ((size_t)8)

const char *ls_names_describe(const ls_names *names, const size_t *index, char *text, size_t size) {
  size_t count = 0;
  text[0] = '\0';
  for (size_t i = 0; i < names->n; i++)
    if ((!index || index[i] == LS_NAME_ABSENT) && count++ < LISTED)
      ls_append(text, size, "%s%s", count > 1 ? ", " : "", names->list[i]);
  if (count > LISTED) ls_append(text, size, " and %zu more", count - LISTED);
  return text;
}
