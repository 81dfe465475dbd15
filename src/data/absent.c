/* Messages about inputs that are not found, or that are not a dense array. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* `group`/`name`, owned by the caller; NULL if memory is short. */
static char *join(const char *group, const char *name) {
  return ls_format("%s/%s", strcmp(group, "/") == 0 ? "" : group, name);
}

/* Lists the names in a group, with a slash after those of groups, and why an object is neither of them nor
 * an array. */
static void list_names(const ls_store *store, const char *group, char *text, size_t size) {
  char **names = NULL;
  size_t count = 0;
  text[0] = '\0';
  if (ls_store_list(store, group, &names, &count) != LS_OK) return;
  for (size_t i = 0; i < count; i++) {
    char *const path = join(group, names[i]);
    char why[256];
    const bool is_group = path && ls_store_kind_of(store, path) == LS_STORE_GROUP;
    ls_append(text, size, "%s%s%s", i ? ", " : "", names[i], is_group ? "/" : "");
    if (path && ls_store_kind_of(store, path) == LS_STORE_OTHER)
      ls_append(text, size, " (%s)", ls_store_explain(store, path, why, sizeof why));
    free(path);
  }
  free(names);
}

ls_status data_fail_absent(const ls_store *store, const char *group, const char *what,
                           const char *const *names) {
  char text[1024];
  char known[256] = "";
  LS_ASSERT(names[0]);
  list_names(store, group, text, sizeof text);
  for (size_t i = 0; names[i]; i++) ls_append(known, sizeof known, "%s%s", i ? ", " : "", names[i]);
  return ls_fail(LS_ERR_DATA,
                 "%s:%s: no array of %s; must be called %s, or named by data.%s (in commands, by the "
                 "option --%s)%s; found: %s%s",
                 ls_store_path(store), group, what, known, names[0], names[0],
                 strcmp(names[0], "y") == 0 ? "; targets in another file are named as FILE:/PATH" : "",
                 text[0] ? text : "nothing",
                 strchr(text, '/') ? "; data in a group are named as FILE:/GROUP" : "");
}

/* The arrays of SciPy's sparse matrices (CSR and CSC), as AnnData and 10x store them. */
ls_status data_check_dense(const ls_store *store, const char *group) {
  static const char *const names[] = {"data", "indices", "indptr"};
  size_t n = 0;
  for (size_t i = 0; i < 3; i++) {
    char *const path = join(group, names[i]);
    n += path && ls_store_kind_of(store, path) == LS_STORE_ARRAY;
    free(path);
  }
  if (n < 3) return LS_OK;
  return ls_fail(
      LS_ERR_DATA,
      "%s:%s: is a sparse matrix (data, indices, indptr); must be a dense array; write it as one, "
      "for example in Python: g['x'] = matrix.toarray(), with a matrix of scipy.sparse or the X "
      "of anndata.read_h5ad",
      ls_store_path(store), group);
}
