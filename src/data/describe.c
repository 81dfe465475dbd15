/* Describes the arrays of a dataset on rank 0, file by file, and compares the files. */
#include "internal.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* Reports "FILE:PATH: NAME is SHAPE TYPE", followed by the formatted text. */
__attribute__((format(printf, 5, 6))) static ls_status
reject(const ls_store *store, const char *path, char name, const ls_array *array, const char *format, ...) {
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

/* Rejects an array of a file that differs from that of the first file. */
static ls_status reject_part(const ls_store *store, const char *path, char name, const ls_array *array,
                             const data_part *first, const char *first_path, const ls_array *other) {
  char shape[128];
  const bool same_type = array->dtype == other->dtype;
  return reject(store, path, name, array,
                ", but %s in %s (%s); all files of a dataset must agree in the %s",
                ls_array_describe(other, shape, sizeof shape), first->file, first_path,
                same_type ? "shape of a sample" : "type");
}

/* Whether the rows of two arrays have the same type and shape. */
static bool same_rows(const ls_array *a, const ls_array *b) {
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
    return reject(s->store, path, 'x', x, "; must be numbers of shape (N, ...)");
  if (x->dims[0] == 0 || x->dims[0] >> 40)
    return reject(s->store, path, 'x', x, "%s; must have from 1 to 2^40 - 1 samples",
                  x->dims[0] ? "" : ", with no samples");
  if (!ls_array_row_size(x, &n_features) || n_features == 0)
    return reject(s->store, path, 'x', x, "; must have at least one feature per sample");
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
  if (!same_rows(&x, &d->stored))
    return reject_part(s->store, s->names.x, 'x', &x, &s->files.parts[0], s->files.parts[0].names.x,
                       &d->stored);
  part->rows = x.dims[0];
  part->chunk_rows = ls_store_chunk_rows(s->store, s->names.x);
  LS_TRY(ls_store_read_part(s->store, s->names.x, &part->part));
  LS_TRY(describe_names(s, s->store, s->names.x, "features", &d->feature_names, &d->n_feature_names));
  return describe_classes(s, d);
}

/* Continues with the next file after the result of file *i. In a check of all data, a file with an error is
 * removed from the list unless it is the last one, and the others must agree with the first that remains.
 */
static ls_status next_part(data_source *s, ls_status status, size_t *i) {
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
  for (size_t i = 0; i < s->files.n;) LS_TRY(next_part(s, describe_part(s, request, i, d), &i));
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

/* ------------------------------------------------------------------------- y and w */

/* Numbers per sample of an array of shape (N), (N, K), or either with more dims of 1, as in (N, 1, 1, 1);
 * 0 if it has another shape. */
static size_t columns_of(const ls_array *array) {
  size_t cols = array->n_dims > 0;
  size_t wide = 0;
  for (unsigned i = 1; i < array->n_dims; i++) {
    wide += array->dims[i] != 1;
    cols = array->dims[i] != 1 ? array->dims[i] : cols;
  }
  return wide <= 1 ? cols : 0;
}

/* Whether an array has one number per sample of the open file. */
static bool fits_weights(const data_source *s, const ls_array *w) {
  return columns_of(w) == 1 && w->dtype != LS_TEXT && w->dims[0] == s->files.parts[s->open].rows;
}

/* Uses an array with a name such as `weights` only if it has one number per sample; a line reports it. */
static ls_status choose_weights(data_source *s) {
  const char *const path = s->names.w;
  ls_array w;
  char shape[128];
  if (!path || !strstr(strrchr(path, '/'), "weight")) return LS_OK;
  LS_TRY(ls_store_describe(s->store, path, &w));
  const bool fits = fits_weights(s, &w);
  if (s->is_training && s->open == 0)
    ls_log(fits ? LS_LOG_INFO : LS_LOG_WARNING, "%s:%s: %s %s", ls_store_path(s->store), path,
           ls_array_describe(&w, shape, sizeof shape),
           fits ? "is used as sample weights" : "is not used: sample weights are one number per sample");
  if (fits) return LS_OK;
  free(s->names.w);
  s->names.w = s->files.parts[s->open].names.w = NULL;
  return LS_OK;
}

static ls_status describe_weights(data_source *s, ls_dataset *d) {
  const data_part *const part = &s->files.parts[s->open];
  const data_part *const first = &s->files.parts[0];
  ls_array w;
  LS_TRY(choose_weights(s));
  if (!s->names.w != !first->names.w)
    return ls_fail(
        LS_ERR_DATA, "%s: has %s weights, but %s has %s; all files of a dataset must have weights, or none",
        part->file, s->names.w ? "sample" : "no sample", first->file, first->names.w ? "some" : "none");
  if (!s->names.w) return LS_OK;
  LS_TRY(ls_store_describe(s->store, s->names.w, &w));
  if (!fits_weights(s, &w))
    return reject(s->store, s->names.w, 'w', &w, "; must be numbers of shape (%llu), one per sample",
                  (unsigned long long)part->rows);
  d->has_weights = true;
  return LS_OK;
}

/* Rejects a y whose number of samples is not that of x. MATLAB stores the dims of an array in reverse. */
static ls_status reject_length(const data_source *s, const ls_store *store, const ls_array *y,
                               const ls_dataset *d) {
  const data_part *const part = &s->files.parts[s->open];
  ls_array x = d->stored;
  x.dims[0] = part->rows;
  const uint64_t n_last = x.dims[x.n_dims - 1];
  const bool is_turned = x.n_dims > 1 && (n_last == y->dims[0] || n_last == y->dims[y->n_dims - 1]);
  char shape[128];
  if (!is_turned && !ls_store_has_attribute(s->store, s->names.x, "MATLAB_class"))
    return reject(store, s->names.y, 'y', y, ", with %llu samples; must have %llu, as x (%s)",
                  (unsigned long long)y->dims[0], (unsigned long long)part->rows, s->names.x);
  return reject(store, s->names.y, 'y', y,
                ", x (%s) is %s: looks transposed, as MATLAB stores arrays with their dims in reverse; the "
                "samples must be the first dim; permute the dims in MATLAB before saving (for a matrix "
                "X = X', y = y'), or write the arrays again in Python with h5py: g['x'] = f['%s'][:].T",
                s->names.x, ls_array_describe(&x, shape, sizeof shape), s->names.x);
}

/* Whether float32 holds every number of a type exactly. */
static bool is_exact_in_float(ls_dtype dtype) {
  return dtype == LS_F32 || ls_dtype_size(dtype) <= 2;
}

/* The number of columns of y. n: the outputs of the model; 0: any number. */
static ls_status check_columns(const data_source *s, const ls_store *store, const ls_array *y, size_t n,
                               const ls_dataset *d) {
  const char *const path = s->names.y;
  const bool is_class = d->target == LS_TARGET_CLASSES;
  const size_t cols = columns_of(y);
  const size_t expected = cols > 1 && s->map.values ? s->map.n_classes : n; /* the columns of the file */
  if (is_class && cols > 1 && cols != expected)
    return reject(
        store, path, 'y', y,
        "; must be class numbers of shape (N), or one-hot rows of %zu numbers, one for each class",
        expected);
  if (!is_class && n && cols != expected)
    return reject(store, path, 'y', y,
                  ", with %zu numbers per sample; must have %zu, the outputs of the model", cols, expected);
  if (!is_class && cols > 1 && s->map.values && s->map.n_known < n)
    return reject(store, path, 'y', y, ", which lacks columns; must have those of the model: %s",
                  s->map.known);
  return LS_OK;
}

/* n: the outputs of the model; 0: any number. */
static ls_status check_targets(const data_source *s, const ls_store *store, const ls_array *y, size_t n,
                               ls_dataset *d) {
  const char *const path = s->names.y;
  if (y->dtype == LS_TEXT || y->n_dims < 1)
    return reject(store, path, 'y', y, "; must be numbers of shape (N) or (N, K)");
  if (y->dims[0] != s->files.parts[s->open].rows) return reject_length(s, store, y, d);
  if (y->n_dims == 2 && y->dims[1] == 0)
    return reject(store, path, 'y', y, "; must have at least one number per sample");
  if (columns_of(y) == 0) return reject(store, path, 'y', y, "; must be numbers of shape (N) or (N, K)");
  LS_TRY(check_columns(s, store, y, n, d));
  d->n_outputs = n ? n : columns_of(y);
  d->value_type = d->target == LS_TARGET_VALUES && !is_exact_in_float(y->dtype) ? LS_F64 : LS_F32;
  return LS_OK;
}

/* Class names that are the class numbers of a model without names must be below its number of classes. */
static ls_status check_numbers(const data_source *s, size_t n_classes, const ls_dataset *d) {
  const data_mapping *const map = &s->map;
  for (size_t k = 0; map->values && !map->known && d->classes && k < map->n_classes; k++)
    if (n_classes > 0 && map->values[k] >= (double)n_classes)
      return ls_fail(
          LS_ERR_DATA,
          "%s:%s: class %s: the model has no class names, but %zu classes, from 0 to %zu; rename the "
          "classes, or remove the attribute `classes` if the numbers in y are those of the model",
          data_source_y_file(s), s->names.y, d->classes[k], n_classes, n_classes - 1);
  return LS_OK;
}

/* A model without names of classes, or for other data, was not matched: it must have an output for each. */
static ls_status check_classes(const data_source *s, size_t n_outputs, const ls_dataset *d) {
  const size_t expected = d->target == LS_TARGET_LABELS && n_outputs == 1 ? 2 : n_outputs;
  if (d->is_matched) return check_numbers(s, expected, d);
  if (!d->classes || d->target == LS_TARGET_VALUES || expected == 0 || d->n_classes == expected)
    return LS_OK;
  if (d->target == LS_TARGET_CLASSES && d->n_classes < expected) {
    ls_log(LS_LOG_WARNING,
           "%s:%s: the attribute `classes` lists %zu names, but the last layer has %zu units; the last %zu "
           "have no class; set units to %zu",
           data_source_y_file(s), s->names.y, d->n_classes, expected, expected - d->n_classes,
           d->n_classes);
    return LS_OK;
  }
  return ls_fail(LS_ERR_DATA,
                 "%s:%s: the attribute `classes` lists %zu names; must list %zu, as the last layer of the "
                 "model has this number of classes; set its units to the number of classes",
                 data_source_y_file(s), s->names.y, d->n_classes, expected);
}

/* The y and w of a file. first: y of the first file */
static ls_status describe_part_targets(data_source *s, size_t i, size_t n_outputs, ls_array *first,
                                       ls_dataset *d) {
  const ls_store *store = NULL;
  ls_array y;
  LS_TRY(data_source_open(s, i, &d->stored));
  LS_TRY(data_source_y(s, &store));
  LS_TRY(ls_store_describe(store, s->names.y, &y));
  LS_TRY(check_targets(s, store, &y, n_outputs, d));
  if (i == 0) *first = y;
  if (!same_rows(&y, first))
    return reject_part(store, s->names.y, 'y', &y, &s->files.parts[0], s->files.parts[0].names.y, first);
  return describe_weights(s, d);
}

ls_status data_describe_targets(data_source *s, size_t n_outputs, ls_dataset *d) {
  ls_array first = {0};
  if (d->target == LS_TARGET_NONE) return LS_OK;
  for (size_t i = 0; i < s->files.n;)
    LS_TRY(next_part(s, describe_part_targets(s, i, n_outputs, &first, d), &i));
  LS_TRY(data_source_open(s, 0, &d->stored));
  return check_classes(s, n_outputs, d);
}
