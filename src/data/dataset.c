/* Opening a dataset: rank 0 describes x, and then y and w; a reader makes the samples available. */
#include "internal.h"

#include <stdarg.h>
#include <stdlib.h>

static void source_destroy(data_source **source) {
  if (!*source) return;
  ls_store_close(&(*source)->store);
  data_names_free(&(*source)->names);
  data_mapping_free(&(*source)->map);
  free(*source);
  *source = NULL;
}

/* Reports "FILE:PATH: NAME is SHAPE TYPE", followed by the formatted text. */
__attribute__((format(printf, 5, 6))) static ls_status
reject(const data_source *s, const char *path, char name, const ls_array *array, const char *format, ...) {
  char shape[128];
  char rule[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(rule, sizeof rule, format, arguments);
  va_end(arguments);
  return ls_fail(LS_ERR_DATA, "%s:%s: %c is %s%s", ls_store_path(s->store), path, name,
                 ls_array_describe(array, shape, sizeof shape), rule);
}

static ls_status describe_inputs(const data_source *s, const ls_dataset_request *request, ls_dataset *d) {
  const char *const path = s->names.x;
  ls_array *const x = &d->stored;
  LS_TRY(ls_store_describe(s->store, path, x));
  if (x->n_dims < 1 || x->dtype == LS_TEXT)
    return reject(s, path, 'x', x, "; must be numbers of shape (N, ...)");
  d->n_samples = x->dims[0];
  if (d->n_samples == 0 || d->n_samples >> 40)
    return reject(s, path, 'x', x, "%s; must have from 1 to 2^40 - 1 samples",
                  d->n_samples ? "" : ", with no samples");
  if (!ls_array_row_size(x, &d->n_features) || d->n_features == 0)
    return reject(s, path, 'x', x, "; must have at least one feature per sample");
  ls_dataset_request shaped = *request;
  shaped.shape = data_match_flat(request, d);
  return data_layout_apply(&shaped, path, d);
}

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

static ls_status describe_weights(const data_source *s, ls_dataset *d) {
  ls_array w;
  LS_TRY(ls_store_describe(s->store, s->names.w, &w));
  if (columns_of(&w) != 1 || w.dtype == LS_TEXT || w.dims[0] != d->n_samples)
    return reject(s, s->names.w, 'w', &w, "; must be numbers of shape (%llu), one per sample",
                  (unsigned long long)d->n_samples);
  d->has_weights = true;
  return LS_OK;
}

/* Rejects a y whose number of samples is not that of x. MATLAB stores the dims of an array in reverse. */
static ls_status reject_length(const data_source *s, const ls_array *y, const ls_dataset *d) {
  const ls_array *const x = &d->x_array;
  const uint64_t n_last = x->dims[x->n_dims - 1];
  const bool is_turned = x->n_dims > 1 && (n_last == y->dims[0] || n_last == y->dims[y->n_dims - 1]);
  char shape[128];
  if (!is_turned && !ls_store_has_attribute(s->store, s->names.x, "MATLAB_class"))
    return reject(s, s->names.y, 'y', y, ", with %llu samples; must have %llu, as x (%s)",
                  (unsigned long long)y->dims[0], (unsigned long long)d->n_samples, s->names.x);
  return reject(s, s->names.y, 'y', y,
                ", x (%s) is %s: looks transposed, as MATLAB stores arrays with their dims in reverse; the "
                "samples must be the first dim; permute the dims in MATLAB before saving (for a matrix "
                "X = X', y = y'), or write the arrays again in Python with h5py: g['x'] = f['%s'][:].T",
                s->names.x, ls_array_describe(x, shape, sizeof shape), s->names.x);
}

/* Whether float32 holds every number of a type exactly. */
static bool is_exact_in_float(ls_dtype dtype) {
  return dtype == LS_F32 || ls_dtype_size(dtype) <= 2;
}

/* n: the outputs of the model; 0: any number. */
static ls_status describe_targets(const data_source *s, size_t n, ls_dataset *d) {
  const char *const path = s->names.y;
  const bool is_class = d->target == LS_TARGET_CLASSES;
  ls_array y;
  LS_TRY(ls_store_describe(s->store, path, &y));
  if (y.dtype == LS_TEXT || y.n_dims < 1)
    return reject(s, path, 'y', &y, "; must be numbers of shape (N) or (N, K)");
  if (y.dims[0] != d->n_samples) return reject_length(s, &y, d);
  if (y.n_dims == 2 && y.dims[1] == 0)
    return reject(s, path, 'y', &y, "; must have at least one number per sample");
  const size_t cols = columns_of(&y);
  if (cols == 0) return reject(s, path, 'y', &y, "; must be numbers of shape (N) or (N, K)");
  const size_t expected = cols > 1 && s->map.values ? s->map.n_classes : n; /* the columns of the file */
  if (is_class && cols > 1 && cols != expected)
    return reject(
        s, path, 'y', &y,
        "; must be class numbers of shape (N), or one-hot rows of %zu numbers, one for each class",
        expected);
  if (!is_class && n && cols != expected)
    return reject(s, path, 'y', &y,
                  ", with %zu numbers per sample; must have %zu, the outputs of the model", cols, expected);
  if (!is_class && cols > 1 && s->map.values && s->map.n_known < n)
    return reject(s, path, 'y', &y, ", which lacks columns; must have those of the model: %s",
                  s->map.known);
  d->n_outputs = n ? n : cols;
  d->value_type = d->target == LS_TARGET_VALUES && !is_exact_in_float(y.dtype) ? LS_F64 : LS_F32;
  return s->names.w ? describe_weights(s, d) : LS_OK;
}

/* A model without names of classes, or for other data, was not matched: it must have an output for each. */
static ls_status check_classes(const data_source *s, size_t n_outputs, const ls_dataset *d) {
  const size_t expected = d->target == LS_TARGET_LABELS && n_outputs == 1 ? 2 : n_outputs;
  if (!d->classes || d->is_matched || d->target == LS_TARGET_VALUES || expected == 0 ||
      d->n_classes == expected)
    return LS_OK;
  if (d->target == LS_TARGET_CLASSES && d->n_classes < expected) {
    ls_log(LS_LOG_WARNING,
           "%s:%s: the attribute `classes` lists %zu names, but the last layer has %zu units; the last %zu "
           "have no class; set units to %zu",
           ls_store_path(s->store), s->names.y, d->n_classes, expected, expected - d->n_classes,
           d->n_classes);
    return LS_OK;
  }
  return ls_fail(LS_ERR_DATA,
                 "%s:%s: the attribute `classes` lists %zu names; must list %zu, as the last layer of the "
                 "model has this number of classes; set its units to the number of classes",
                 ls_store_path(s->store), s->names.y, d->n_classes, expected);
}

/* Rank 0. Opens the file, finds its arrays and describes x. */
static ls_status open_inputs(data_source *s, const ls_dataset_request *request, ls_dataset *d) {
  char *file = NULL;
  char *group = NULL;
  ls_status status = ls_spec_split(request->spec, &file, &group);
  if (status == LS_OK) status = ls_store_open(file, &s->store);
  if (status == LS_OK) status = data_find_arrays(s->store, request, group, &s->names);
  if (status == LS_OK) status = describe_inputs(s, request, d);
  if (status == LS_OK) status = data_read_names(d);
  if (status == LS_OK && request->model) status = data_match(request->model, d);
  free(file);
  free(group);
  return status;
}

ls_status ls_dataset_open(ls_comm *comm, const ls_dataset_request *request, ls_dataset **out) {
  const bool is_root = ls_comm_rank(comm) == 0;
  *out = NULL;
  ls_dataset *d = ls_calloc(1, sizeof *d);
  if (d) d->source = ls_calloc(1, sizeof *d->source);
  ls_status status = ls_comm_agree(comm, d && d->source ? LS_OK : ls_fail_memory("a dataset", sizeof *d));
  if (status == LS_OK) {
    d->target = request->target;
    status = ls_comm_agree(comm, is_root ? open_inputs(d->source, request, d) : LS_OK);
  }
  if (status != LS_OK) {
    ls_dataset_close(comm, &d);
    return status;
  }
  ls_comm_broadcast(comm, &d->n_samples, sizeof d->n_samples);
  ls_comm_broadcast(comm, &d->n_features, sizeof d->n_features);
  ls_comm_broadcast(comm, &d->stored, sizeof d->stored);
  ls_comm_broadcast(comm, &d->x_array, sizeof d->x_array);
  ls_comm_broadcast(comm, &d->n_channels, sizeof d->n_channels);
  status = data_mapping_share(comm, d);
  if (status == LS_OK)
    *out = d;
  else
    ls_dataset_close(comm, &d);
  return status;
}

/* Rank 0. */
static ls_status describe_rest(const data_source *s, size_t n_outputs, ls_dataset *d) {
  if (d->target != LS_TARGET_NONE) LS_TRY(describe_targets(s, n_outputs, d));
  return check_classes(s, n_outputs, d);
}

ls_status ls_dataset_read(ls_comm *comm, ls_dataset *d, size_t n_outputs) {
  const bool is_root = ls_comm_rank(comm) == 0;
  LS_ASSERT(d->source);
  ls_status status = ls_comm_agree(comm, is_root ? describe_rest(d->source, n_outputs, d) : LS_OK);
  if (status == LS_OK) {
    ls_comm_broadcast(comm, &d->n_outputs, sizeof d->n_outputs);
    ls_comm_broadcast(comm, &d->value_type, sizeof d->value_type);
    ls_comm_broadcast(comm, &d->has_weights, sizeof d->has_weights);
    status = data_resident_create(comm, d);
  }
  source_destroy(&d->source);
  return status;
}

void ls_dataset_close(ls_comm *comm, ls_dataset **dataset) {
  ls_dataset *const d = *dataset;
  if (!d) return;
  if (d->reader) d->reader->destroy(comm, d->reader);
  source_destroy(&d->source);
  free(d->classes);
  free(d->feature_names);
  free(d);
  *dataset = NULL;
}

void ls_dataset_fetch(const ls_dataset *dataset, size_t n, const uint64_t *samples, ls_row *rows) {
  dataset->reader->fetch(dataset->reader, n, samples, rows);
}
