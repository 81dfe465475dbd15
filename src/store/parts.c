/* Parts of a dataset that was written to several files: their attribute, and gaps in a set of them. */
#include "internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define ATTRIBUTE "lockstep_part" /* number, first row, rows of all parts, key of the set */

ls_status ls_store_write_part(ls_store_writer *writer, const char *path, const ls_part *part) {
  const uint64_t values[] = {part->number, part->first, part->total, part->set};
  return ls_store_write_u64s(writer, path, ATTRIBUTE, values, 4);
}

ls_status ls_store_read_part(const ls_store *store, const char *path, ls_part *out) {
  uint64_t values[4] = {0};
  size_t count = 0;
  ls_array array;
  *out = (ls_part){0};
  if (!ls_store_has_attribute(store, path, ATTRIBUTE)) return LS_OK;
  LS_TRY(ls_store_read_u64s(store, path, ATTRIBUTE, 4, values, &count));
  LS_TRY(ls_store_describe(store, path, &array));
  const uint64_t rows = array.n_dims > 0 ? array.dims[0] : 0;
  if (count != 4 || values[0] == 0 || values[1] > values[2] || rows > values[2] - values[1])
    return store_attribute_fail(store, path, ATTRIBUTE, "does not describe a part of a dataset");
  *out = (ls_part){
      .number = values[0], .first = values[1], .rows = rows, .total = values[2], .set = values[3]};
  return LS_OK;
}

/* ------------------------------------------------------------------------ a missing part */

static int compare_parts(const void *a, const void *b) {
  const ls_part *const p = a;
  const ls_part *const q = b;
  if (p->set != q->set) return p->set < q->set ? -1 : 1;
  if (p->total != q->total) return p->total < q->total ? -1 : 1;
  return (p->first > q->first) - (p->first < q->first);
}

/* The name of part `number` of the set, in which only the number differs: OUT-00003.h5; if the file was
 * renamed, "part 3". Owned by the caller, NULL if memory is short. */
static char *name_of(const ls_part *other, uint64_t number) {
  char text[32];
  snprintf(text, sizeof text, "-%05" PRIu64, other->number);
  const char *at = NULL;
  for (const char *next = strstr(other->file, text); next; next = strstr(next + 1, text)) at = next;
  if (!at) return ls_format("part %" PRIu64, number);
  return ls_format("%.*s-%05" PRIu64 "%s", (int)(at - other->file), other->file, number, at + strlen(text));
}

/* The rows of the set from `at` on are in no file until those of part `next` (NULL: to the end). before:
 * the part before them, or NULL. */
static ls_status fail_gap(const ls_part *before, const ls_part *next, uint64_t at) {
  const ls_part *const other = next ? next : before;
  const uint64_t number = before ? before->number + 1 : 1;
  char *const name = name_of(other, number);
  if (!name) return ls_fail_memory("a name", strlen(other->file));
  const ls_status status =
      ls_fail(LS_ERR_DATA,
              "%s: is missing%s: rows %" PRIu64 " to %" PRIu64 " of the %" PRIu64
              " rows of the dataset of which %s is a part",
              name, !next || next->number > number + 1 ? ", as are parts after it" : "", at,
              (next ? next->first : other->total) - 1, other->total, other->file);
  free(name);
  return status;
}

/* The first gap in the parts of one set. */
static ls_status check_set(const ls_part *parts, size_t n) {
  uint64_t at = 0;
  for (size_t i = 0; i < n; i++) {
    if (parts[i].first > at) return fail_gap(i > 0 ? &parts[i - 1] : NULL, &parts[i], at);
    if (parts[i].first + parts[i].rows > at) at = parts[i].first + parts[i].rows;
  }
  return at < parts[0].total ? fail_gap(&parts[n - 1], NULL, at) : LS_OK;
}

ls_status ls_parts_check(ls_part *parts, size_t n) {
  size_t end = 0;
  if (n > 1) qsort(parts, n, sizeof *parts, compare_parts);
  for (size_t begin = 0; begin < n; begin = end) {
    bool is_match = false;
    for (end = begin;
         end < n && parts[end].set == parts[begin].set && parts[end].total == parts[begin].total; end++)
      is_match = is_match || parts[end].is_match;
    const ls_status status = check_set(parts + begin, end - begin);
    if (status == LS_ERR_DATA && is_match)
      return ls_fail(status, "%s; add it, or list the files of a selection instead of a pattern",
                     ls_message());
    if (status == LS_ERR_DATA)
      ls_log(LS_LOG_WARNING, "%s; only the files that are named are used", ls_message());
    else
      LS_TRY(status);
  }
  return LS_OK;
}
