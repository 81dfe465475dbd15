/* Labels that are stored as numbers, not as text: they become classes as those of a table do. */
#include "internal.h"

#include <inttypes.h>
#include <math.h>

#define TEXT_SIZE  32                 /* bytes of a label as text */
#define WHOLE_MOST 9007199254740992.0 /* 2^53 */

static bool is_real(ls_dtype dtype) {
  return dtype == LS_F32 || dtype == LS_F64;
}

static bool are_whole(const void *labels, size_t n, ls_dtype dtype) {
  for (size_t i = 0; i < n && is_real(dtype); i++) {
    const double value = import_idx_element(labels, i, dtype);
    if (floor(value) != value || fabs(value) >= WHOLE_MOST) return false;
  }
  return true;
}

static const char *text_of(const void *labels, size_t i, ls_dtype dtype, char text[TEXT_SIZE]) {
  if (dtype == LS_I64)
    snprintf(text, TEXT_SIZE, "%" PRId64, ((const int64_t *)labels)[i]);
  else if (dtype == LS_U64)
    snprintf(text, TEXT_SIZE, "%" PRIu64, ((const uint64_t *)labels)[i]);
  else
    snprintf(text, TEXT_SIZE, "%.0f", import_idx_element(labels, i, dtype));
  return text;
}

#define ROWS ((size_t)4096) /* read at once into as many doubles, which hold every type */

ls_status import_labels_add_all(label_set *set, const label_source *labels, uint64_t n, bool *is_whole) {
  double block[ROWS];
  char text[TEXT_SIZE];
  size_t rows = 0;
  for (uint64_t row = 0; row < n && *is_whole; row += rows) {
    import_progress("reading labels", row, n, "rows");
    rows = ls_size_min(ROWS, n - row);
    LS_TRY(labels->read(labels->file, row, rows, block));
    *is_whole = are_whole(block, rows, labels->dtype);
    for (size_t i = 0; *is_whole && i < rows; i++)
      LS_TRY(import_labels_add(set, text_of(block, i, labels->dtype, text), row + i));
  }
  return LS_OK;
}

bool import_labels_differ(const label_set *set, ls_dtype dtype) {
  bool differ = is_real(dtype);
  for (size_t i = 0; i < set->count && !differ; i++)
    differ = set->entries[i].value != (double)set->entries[i].class;
  return set->kind == LABEL_CLASS && differ;
}

static ls_status map_values(const label_set *set, const void *labels, size_t n, ls_dtype dtype,
                            int64_t *classes) {
  const label_entry *entry = NULL;
  char text[TEXT_SIZE];
  for (size_t i = 0; i < n; i++) {
    if (!import_labels_find(set, text_of(labels, i, dtype, text), &entry))
      return ls_fail(LS_ERR_DATA, "%s: changed during the import; import it again", set->path);
    classes[i] = (int64_t)entry->class;
  }
  return LS_OK;
}

ls_status import_labels_map_all(const label_set *set, const label_source *labels, uint64_t first, size_t n,
                                int64_t *classes) {
  double block[ROWS];
  for (size_t done = 0; done < n; done += ROWS) {
    const size_t rows = ls_size_min(ROWS, n - done);
    LS_TRY(labels->read(labels->file, first + done, rows, block));
    LS_TRY(map_values(set, block, rows, labels->dtype, classes + done));
  }
  return LS_OK;
}
