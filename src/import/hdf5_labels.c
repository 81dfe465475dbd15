/* Labels of HDF5 files that are texts: they become classes as words of a table do. */
#include "hdf5_source.h"

#define ROWS ((size_t)4096) /* read at once */

/* The texts of a block of rows. */
typedef struct block {
  label_set *set;         /* to which texts are added; NULL: their classes are read */
  uint64_t row;           /* of the next text, from 0 */
  const label_set *known; /* with the classes */
  int64_t *classes;       /* of the next text */
} block;

static ls_status visit(void *context, const char *text) {
  block *const b = context;
  const label_entry *entry = NULL;
  if (b->set) return import_labels_add(b->set, text, b->row++);
  if (!import_labels_find(b->known, text, &entry))
    return ls_fail(LS_ERR_DATA, "%s: changed during the import; import it again", b->known->path);
  *b->classes++ = (int64_t)entry->class;
  return LS_OK;
}

ls_status import_hdf5_labels_add(const ls_store *store, const char *path, uint64_t n, label_set *set) {
  block b = {.set = set};
  for (uint64_t row = 0; row < n; row += ROWS) {
    import_progress("reading labels", row, n, "rows");
    LS_TRY(ls_store_visit_texts(store, path, row, ls_size_min(ROWS, n - row), visit, &b));
  }
  return LS_OK;
}

ls_status import_hdf5_labels_read(const ls_store *store, const char *path, uint64_t first, size_t n,
                                  const label_set *set, int64_t *classes) {
  block b = {.known = set, .classes = classes};
  for (size_t done = 0; done < n; done += ROWS)
    LS_TRY(ls_store_visit_texts(store, path, first + done, ls_size_min(ROWS, n - done), visit, &b));
  return LS_OK;
}
