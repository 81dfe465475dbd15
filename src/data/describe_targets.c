/* Describes y and w in the files of a dataset on rank 0, file by file. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

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
    return data_reject_array(s->store, s->names.w, 'w', &w,
                             "; must be numbers of shape (%llu), one per sample",
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
    return data_reject_array(store, s->names.y, 'y', y, ", with %llu samples; must have %llu, as x (%s)",
                             (unsigned long long)y->dims[0], (unsigned long long)part->rows, s->names.x);
  return data_reject_array(
      store, s->names.y, 'y', y,
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
    return data_reject_array(
        store, path, 'y', y,
        "; must be class numbers of shape (N), or one-hot rows of %zu numbers, one for each class",
        expected);
  if (!is_class && n && cols != expected)
    return data_reject_array(store, path, 'y', y,
                             ", with %zu numbers per sample; must have %zu, the outputs of the model", cols,
                             expected);
  if (!is_class && cols > 1 && s->map.values && s->map.n_known < n)
    return data_reject_array(store, path, 'y', y, ", which lacks columns; must have those of the model: %s",
                             s->map.known);
  return LS_OK;
}

/* n: the outputs of the model; 0: any number. */
static ls_status check_targets(const data_source *s, const ls_store *store, const ls_array *y, size_t n,
                               ls_dataset *d) {
  const char *const path = s->names.y;
  if (y->dtype == LS_TEXT)
    return data_reject_array(store, path, 'y', y,
                             "; must be numbers; make them class numbers: lockstep import %s -o OUT.h5",
                             ls_store_path(store));
  if (y->n_dims < 1)
    return data_reject_array(store, path, 'y', y, "; must be numbers of shape (N) or (N, K)");
  if (y->dims[0] != s->files.parts[s->open].rows) return reject_length(s, store, y, d);
  if (y->n_dims == 2 && y->dims[1] == 0)
    return data_reject_array(store, path, 'y', y, "; must have at least one number per sample");
  if (columns_of(y) == 0)
    return data_reject_array(store, path, 'y', y, "; must be numbers of shape (N) or (N, K)");
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
  if (!data_same_rows(&y, first))
    return data_reject_part(store, s->names.y, 'y', &y, &s->files.parts[0], s->files.parts[0].names.y,
                            first);
  return describe_weights(s, d);
}

ls_status data_describe_targets(data_source *s, size_t n_outputs, ls_dataset *d) {
  ls_array first = {0};
  if (d->target == LS_TARGET_NONE) return LS_OK;
  for (size_t i = 0; i < s->files.n;)
    LS_TRY(data_next_part(s, describe_part_targets(s, i, n_outputs, &first, d), &i));
  LS_TRY(data_source_open(s, 0, &d->stored));
  return check_classes(s, n_outputs, d);
}
