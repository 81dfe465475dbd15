/* Describes x in the files of a dataset on rank 0, file by file, and compares the files. */
#include "internal.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

ls_status data_reject_array(const ls_store *store, const char *path, char name, const ls_array *array,
                            const char *format, ...) {
  char shape[128];
  char rule[640];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(rule, sizeof rule, format, arguments);
  va_end(arguments);
  return ls_fail(LS_ERR_DATA, "%s:%s: %c is %s%s", ls_store_path(store), path, name,
                 ls_array_describe(array, shape, sizeof shape), rule);
}

/* ------------------------------------------------------------ comparison of files */

ls_status data_reject_part(const ls_store *store, const char *path, char name, const ls_array *array,
                           const data_part *first, const char *first_path, const ls_array *other) {
  char shape[128];
  const bool same_type = array->dtype == other->dtype;
  return data_reject_array(store, path, name, array,
                           ", but %s in %s (%s); all files of a dataset must agree in the %s",
                           ls_array_describe(other, shape, sizeof shape), first->file, first_path,
                           same_type ? "shape of a sample" : "type");
}

bool data_same_rows(const ls_array *a, const ls_array *b) {
  return a->dtype == b->dtype && a->n_dims == b->n_dims &&
         memcmp(a->dims + 1, b->dims + 1, (a->n_dims - 1) * sizeof *a->dims) == 0;
}

/* Compares the names in a file with those of the first file; either may be absent. */
static ls_status compare_names(const ls_store *store, const char *path, const char *attribute, char **names,
                               size_t n, const data_part *first, char **others, size_t n_others) {
  const size_t both = names && others ? ls_size_min(n, n_others) : 0;
  size_t i = 0;
  while (i < both && strcmp(names[i], others[i]) == 0) i++;
  if (i == n && n == n_others) return LS_OK;
  return ls_fail(
      LS_ERR_DATA,
      "%s:%s: `%s` differs from that of %s: name %zu is %s, there %s; all files of a dataset must "
      "agree in it",
      ls_store_path(store), path, attribute, first->file, i, names && i < n ? names[i] : "absent",
      others && i < n_others ? others[i] : "absent");
}

/* ------------------------------------------------------------------------------ x */

static ls_status check_inputs(const data_source *s, const ls_array *x) {
  const char *const path = s->names.x;
  size_t n_features = 0;
  if (x->n_dims < 1 || x->dtype == LS_TEXT)
    return data_reject_array(s->store, path, 'x', x, "; must be numbers of shape (N, ...)");
  if (x->dims[0] == 0 || x->dims[0] >> 40)
    return data_reject_array(s->store, path, 'x', x, "%s; must have from 1 to 2^40 - 1 samples",
                             x->dims[0] ? "" : ", with no samples");
  if (!ls_array_row_size(x, &n_features) || n_features == 0)
    return data_reject_array(s->store, path, 'x', x, "; must have at least one feature per sample");
  return LS_OK;
}

/* An enumeration whose values are not 0, 1, ... gives no class names: an error if the model has them. */
static ls_status ignore_enum(const data_source *s, const ls_store *store, const char *path) {
  if (s->has_classes)
    return ls_fail(LS_ERR_DATA,
                   "%s:%s: the values of the enumeration are not 0, 1, ..., so its names cannot be matched "
                   "with the classes of the model; number the names from 0 without gaps, or store y as "
                   "integers that are the class numbers of the model",
                   ls_store_path(store), path);
  if (s->is_training && s->open == 0)
    ls_log(LS_LOG_WARNING, "%s:%s: the names of the enumeration are ignored: its values are not 0, 1, ...",
           ls_store_path(store), path);
  return LS_OK;
}

/* Reads a list of names of the open file; compares it with that of the first file. */
static ls_status describe_names(const data_source *s, const ls_store *store, const char *path,
                                const char *attribute, char ***first, size_t *n_first) {
  char **names = NULL;
  size_t n = 0;
  LS_TRY(data_read_list(store, path, attribute, &names, &n));
  if (!names && s->names.y == path) LS_TRY(ls_store_read_enum(store, path, &names, &n));
  if (!names && n > 0) LS_TRY(ignore_enum(s, store, path));
  if (!names) n = 0;
  if (s->open == 0) {
    free(*first); /* of a file that was left out */
    *first = names;
    *n_first = n;
    return LS_OK;
  }
  const ls_status status =
      compare_names(store, path, attribute, names, n, &s->files.parts[0], *first, *n_first);
  free(names);
  return status;
}

static ls_status describe_classes(data_source *s, ls_dataset *d) {
  const ls_store *store = NULL;
  if (!s->names.y) return LS_OK;
  LS_TRY(data_source_y(s, &store));
  if (ls_store_kind_of(store, s->names.y) != LS_STORE_ARRAY)
    return LS_OK; /* reading it reports the error */
  return describe_names(s, store, s->names.y, "classes", &d->classes, &d->n_classes);
}

/* Rejects files of different splits, which the name without a group does not tell apart: /train/x in one,
 * /test/x in the other. */
static ls_status check_split(const data_source *s, size_t i) {
  const data_part *const part = &s->files.parts[i];
  const data_part *const first = &s->files.parts[0];
  if (part->group || first->group || data_same_group(part->names.x, first->names.x)) return LS_OK;
  if (!data_is_split(part->names.x) || !data_is_split(first->names.x)) return LS_OK;
  return ls_fail(
      LS_ERR_DATA,
      "%s has %s, but %s has %s: files of different splits; append the group to the name, or name the "
      "files of one split",
      part->file, part->names.x, first->file, first->names.x);
}

/* The x of a part; sets the samples of the part. */
static ls_status describe_part(data_source *s, const ls_dataset_request *request, size_t i, ls_dataset *d) {
  data_part *const part = &s->files.parts[i];
  ls_array x;
  LS_TRY(data_source_find(s, request, i));
  LS_TRY(ls_store_describe(s->store, s->names.x, &x));
  LS_TRY(check_inputs(s, &x));
  LS_TRY(check_split(s, i));
  if (i == 0) d->stored = x;
  if (!data_same_rows(&x, &d->stored))
    return data_reject_part(s->store, s->names.x, 'x', &x, &s->files.parts[0], s->files.parts[0].names.x,
                            &d->stored);
  part->rows = x.dims[0];
  part->chunk_rows = ls_store_chunk_rows(s->store, s->names.x);
  LS_TRY(ls_store_read_part(s->store, s->names.x, &part->part));
  LS_TRY(describe_names(s, s->store, s->names.x, "features", &d->feature_names, &d->n_feature_names));
  return describe_classes(s, d);
}

ls_status data_next_part(data_source *s, ls_status status, size_t *i) {
  if (status != LS_ERR_DATA || !s->errors || s->files.n == 1) {
    (*i)++;
    return status;
  }
  ls_data_errors_add(s->errors, ls_message());
  data_source_close(s);
  data_files_remove(&s->files, *i);
  return LS_OK;
}

/* In a check of all data, a missing part is one of the errors. */
static ls_status add_gap(const data_source *s, ls_status status) {
  if (status != LS_ERR_DATA || !s->errors) return status;
  ls_data_errors_add(s->errors, ls_message());
  return LS_OK;
}

ls_status data_describe_inputs(data_source *s, const ls_dataset_request *request, ls_dataset *d) {
  s->is_training = request->role && strcmp(request->role, "train") == 0;
  s->has_classes = request->model && request->model->classes.n > 0;
  s->errors = request->errors;
  LS_TRY(data_files_list(request, &s->files));
  const size_t n_listed = s->files.n;
  for (size_t i = 0; i < s->files.n;) LS_TRY(data_next_part(s, describe_part(s, request, i, d), &i));
  d->n_samples = data_files_count(&s->files);
  LS_TRY(data_files_check_unique(&s->files));
  if (s->files.n == n_listed) LS_TRY(add_gap(s, data_files_check_parts(&s->files)));
  const ls_array first = d->stored;
  d->stored.dims[0] = d->n_samples;
  if (d->n_samples >> 40)
    return ls_fail(LS_ERR_DATA, "%s: the dataset has more than 2^40 - 1 samples", s->files.parts[0].file);
  LS_ASSERT(ls_array_row_size(&d->stored, &d->n_features)); /* check_inputs has verified it */
  LS_TRY(data_source_open(s, 0, &first));
  ls_dataset_request shaped = *request;
  shaped.shape = data_match_flat(request, d);
  LS_TRY(data_layout_apply(&shaped, s->names.x, d));
  LS_TRY(data_check_names(d));
  return request->model ? data_match(request->model, d) : LS_OK;
}
