/* What HDF5 files must agree in: types, shapes and attributes of their arrays. */
#include "hdf5_source.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void import_hdf5_facts_destroy(hdf5_facts *f) {
  free(f->classes);
  free(f->features);
  *f = (hdf5_facts){0};
}

/* ------------------------------------------------------------------------ one split */

static ls_status fail_array(const ls_store *store, const char *path, const ls_array *array,
                            const char *rule) {
  char text[128];
  return ls_fail(LS_ERR_DATA, "%s:%s: %s; %s", ls_store_path(store), path,
                 ls_array_describe(array, text, sizeof text), rule);
}

static bool is_one_per_sample(const ls_array *w, uint64_t rows) {
  size_t n = 0;
  return w->dtype != LS_TEXT && w->n_dims > 0 && w->dims[0] == rows && ls_array_row_size(w, &n) && n == 1;
}

static ls_status describe_array(const ls_store *store, const hdf5_source *s, size_t which, size_t array,
                                hdf5_facts *f) {
  const char *const path = s->paths[which][array];
  ls_array *const a = &f->arrays[array];
  size_t row = 0;
  if (!path) return LS_OK;
  LS_TRY(ls_store_describe(store, path, a));
  const uint64_t rows = f->arrays[ARRAY_X].dims[0];
  if (array == ARRAY_W && !is_one_per_sample(a, rows)) {
    ls_log(LS_LOG_WARNING, "%s:%s: ignored: sample weights are one number per sample", s->file, path);
    return LS_OK;
  }
  f->has[array] = true;
  if (a->dtype == LS_TEXT && array != ARRAY_Y) return fail_array(store, path, a, "must be numbers");
  if (a->n_dims == 0 || a->dims[0] == 0) return fail_array(store, path, a, "must have at least one row");
  if (!ls_array_row_size(a, &row) || row == 0)
    return fail_array(store, path, a, "must have at least one number per row");
  if (a->dtype == LS_TEXT && row > 1) return fail_array(store, path, a, "texts must be one label per row");
  if (a->dims[0] != rows) return fail_array(store, path, a, "must have as many rows as x");
  return LS_OK;
}

/* The class names: the attribute, or the names of an enumeration. */
static ls_status read_classes(const ls_store *store, const char *path, hdf5_facts *f) {
  if (ls_store_has_attribute(store, path, "classes") && ls_store_is_text_list(store, path, "classes"))
    return ls_store_read_texts(store, path, "classes", &f->classes, &f->n_classes);
  return ls_store_read_enum(store, path, &f->classes, &f->n_classes);
}

static ls_status read_attributes(const ls_store *store, const hdf5_source *s, size_t which, hdf5_facts *f) {
  const char *const x = s->paths[which][ARRAY_X];
  if (ls_store_has_attribute(store, x, "features") && ls_store_is_text_list(store, x, "features"))
    LS_TRY(ls_store_read_texts(store, x, "features", &f->features, &f->n_features));
  if (ls_store_has_attribute(store, x, "sample_rate"))
    LS_TRY(ls_store_read_u64(store, x, "sample_rate", &f->rate));
  return f->has[ARRAY_Y] ? read_classes(store, s->paths[which][ARRAY_Y], f) : LS_OK;
}

ls_status import_hdf5_describe(const ls_store *store, const hdf5_source *s, size_t which, hdf5_facts *f) {
  if (!s->paths[which][ARRAY_X]) {
    const char *const y = s->paths[which][ARRAY_Y];
    return ls_fail(LS_ERR_DATA, "%s: %s has no x beside it", s->file, y ? y : s->paths[which][ARRAY_W]);
  }
  for (size_t k = 0; k < N_ARRAYS; k++) LS_TRY(describe_array(store, s, which, k, f));
  return read_attributes(store, s, which, f);
}

/* -------------------------------------------------------------- comparison of files */

static ls_status compare_arrays(const hdf5_facts *first, const char *file, const hdf5_source *s,
                                size_t which, const hdf5_facts *f) {
  char text[2][128];
  for (size_t k = 0; k < N_ARRAYS; k++) {
    const ls_array *const a = &f->arrays[k];
    const ls_array *const b = &first->arrays[k];
    if (f->has[k] != first->has[k])
      return ls_fail(LS_ERR_DATA, "%s has %s %s/%s, but %s has %s; all files must agree", s->file,
                     f->has[k] ? "an array" : "no", import_split_names[which], import_array_names[k], file,
                     f->has[k] ? "none" : "one");
    if (!f->has[k] || (a->dtype == b->dtype && a->n_dims == b->n_dims &&
                       memcmp(a->dims + 1, b->dims + 1, (a->n_dims - 1) * sizeof *a->dims) == 0))
      continue;
    return ls_fail(LS_ERR_DATA,
                   "%s:%s is %s, but that of %s is %s; all files must agree in type and shape of a sample",
                   s->file, s->paths[which][k], ls_array_describe(a, text[0], sizeof text[0]), file,
                   ls_array_describe(b, text[1], sizeof text[1]));
  }
  return LS_OK;
}

static ls_status compare_texts(const char *file, const hdf5_source *s, size_t which, const char *what,
                               char **a, size_t n, char **b, size_t m) {
  size_t i = 0;
  while (i < n && i < m && strcmp(a[i], b[i]) == 0) i++;
  if (i == n && i == m) return LS_OK;
  return ls_fail(
      LS_ERR_DATA, "%s: `%s` of %s differs from that of %s: name %zu is %s, there %s; all files must agree",
      s->file, what, import_split_names[which], file, i, i < n ? a[i] : "absent", i < m ? b[i] : "absent");
}

ls_status import_hdf5_compare(const hdf5_facts *first, const char *file, const hdf5_source *s, size_t which,
                              const hdf5_facts *f) {
  LS_TRY(compare_arrays(first, file, s, which, f));
  LS_TRY(
      compare_texts(file, s, which, "classes", f->classes, f->n_classes, first->classes, first->n_classes));
  LS_TRY(compare_texts(file, s, which, "features", f->features, f->n_features, first->features,
                       first->n_features));
  if (f->rate == first->rate) return LS_OK;
  return ls_fail(LS_ERR_DATA, "%s: sample_rate is %" PRIu64 ", but %" PRIu64 " in %s; all files must agree",
                 s->file, f->rate, first->rate, file);
}
