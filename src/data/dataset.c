/* Opening a data set: rank 0 surveys, it and the ranks on its node read, all share. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* Rank 0's open file and what it found there; of the other ranks those that read have the file and x too.
 */
typedef struct source {
  ls_store *store;
  ls_names names;
  uint64_t unit;        /* rows of x that one rank reads together */
  uint64_t first, rows; /* of x: this rank's part of the reading */
} source;

static void source_close(source *s) {
  ls_store_close(&s->store);
  ls_names_free(&s->names);
}

static ls_status survey_inputs(const source *s, const ls_dataset_request *request, ls_dataset *d) {
  char shape[128];
  ls_status status = ls_store_describe(s->store, s->names.x, &d->x_array);
  if (status != LS_OK) return status;
  ls_array_describe(&d->x_array, shape, sizeof shape);
  const char *const file = ls_store_path(s->store);
  if (d->x_array.n_dims < 1 || d->x_array.dtype == LS_TEXT)
    return ls_fail(LS_ERR_DATA, "%s:%s: x is %s; numbers of shape (N, ...) are needed", file, s->names.x,
                   shape);
  d->n_samples = d->x_array.dims[0];
  if (d->n_samples == 0) return ls_fail(LS_ERR_DATA, "%s:%s: there are no samples", file, s->names.x);
  if (d->n_samples >> 40) return ls_fail(LS_ERR_DATA, "%s:%s: more than 2^40 samples", file, s->names.x);
  if (!ls_array_row_size(&d->x_array, &d->n_features) || d->n_features == 0)
    return ls_fail(LS_ERR_DATA, "%s:%s: x is %s; at least one feature is needed", file, s->names.x, shape);
  if (request->n_features && d->n_features != request->n_features)
    return ls_fail(LS_ERR_DATA, "%s:%s: x is %s, %zu features a sample; the model takes %zu", file,
                   s->names.x, shape, d->n_features, request->n_features);
  return LS_OK;
}

/* The columns of y must be those that the target asks for. */
static ls_status check_columns(const source *s, const ls_array *y, const ls_dataset_request *request,
                               size_t cols) {
  char shape[128];
  ls_array_describe(y, shape, sizeof shape);
  const char *const file = ls_store_path(s->store);
  const size_t n = request->n_outputs;
  if (request->target == LS_TARGET_CLASSES && cols > 1 && cols != n)
    return ls_fail(
        LS_ERR_DATA,
        "%s:%s: y is %s; class numbers (N), or one-hot rows of the model's %zu outputs, are needed", file,
        s->names.y, shape, n);
  if (request->target != LS_TARGET_CLASSES && n && cols != n)
    return ls_fail(LS_ERR_DATA, "%s:%s: y is %s, %zu numbers a sample; the model has %zu outputs", file,
                   s->names.y, shape, cols, n);
  return LS_OK;
}

static ls_status survey_targets(const source *s, const ls_dataset_request *request, ls_dataset *d) {
  ls_array y;
  ls_array w;
  char shape[128];
  const char *const file = ls_store_path(s->store);
  ls_status status = ls_store_describe(s->store, s->names.y, &y);
  if (status != LS_OK) return status;
  ls_array_describe(&y, shape, sizeof shape);
  if (y.dtype == LS_TEXT || y.n_dims < 1 || y.n_dims > 2)
    return ls_fail(LS_ERR_DATA, "%s:%s: y is %s; numbers of shape (N) or (N, K) are needed", file,
                   s->names.y, shape);
  if (y.dims[0] != d->n_samples)
    return ls_fail(LS_ERR_DATA, "%s: %s has %llu samples but %s has %llu", file, s->names.x,
                   (unsigned long long)d->n_samples, s->names.y, (unsigned long long)y.dims[0]);
  const size_t cols = y.n_dims == 2 ? y.dims[1] : 1;
  if (cols == 0)
    return ls_fail(LS_ERR_DATA, "%s:%s: y is %s; at least one number a sample is needed", file, s->names.y,
                   shape);
  status = check_columns(s, &y, request, cols);
  if (status != LS_OK) return status;
  d->n_outputs = request->n_outputs ? request->n_outputs : cols;
  if (!s->names.w) return LS_OK;
  status = ls_store_describe(s->store, s->names.w, &w);
  if (status != LS_OK) return status;
  if (w.n_dims != 1 || w.dtype == LS_TEXT || w.dims[0] != d->n_samples)
    return ls_fail(LS_ERR_DATA, "%s:%s: w is %s; one weight for each of %llu samples is needed", file,
                   s->names.w, ls_array_describe(&w, shape, sizeof shape),
                   (unsigned long long)d->n_samples);
  d->has_weights = true;
  return LS_OK;
}

/* The lists of names, where the file has them. */
static ls_status survey_names(const source *s, const ls_dataset_request *request, ls_dataset *d) {
  ls_status status = LS_OK;
  if (s->names.y && ls_store_has_attribute(s->store, s->names.y, "classes"))
    status = ls_store_read_texts(s->store, s->names.y, "classes", &d->classes, &d->n_classes);
  if (status == LS_OK && ls_store_has_attribute(s->store, s->names.x, "features"))
    status = ls_store_read_texts(s->store, s->names.x, "features", &d->feature_names, &d->n_feature_names);
  if (status != LS_OK) return status;
  const size_t expected =
      request->target == LS_TARGET_LABELS && request->n_outputs == 1 ? 2 : request->n_outputs;
  if (d->classes && request->target != LS_TARGET_VALUES && expected && d->n_classes != expected)
    return ls_fail(LS_ERR_DATA,
                   "%s:%s: the attribute `classes` lists %zu classes; the model's last layer is for %zu",
                   ls_store_path(s->store), s->names.y, d->n_classes, expected);
  return LS_OK;
}

/* Rank 0: everything but the numbers themselves. */
static ls_status survey(source *s, const ls_dataset_request *request, ls_dataset *d) {
  char *file = NULL;
  char *group = NULL;
  ls_status status = ls_spec_split(request->spec, &file, &group);
  if (status == LS_OK) status = ls_store_open(file, &s->store);
  if (status == LS_OK) status = ls_find_arrays(s->store, request, group, &s->names);
  if (status == LS_OK) status = survey_inputs(s, request, d);
  if (status == LS_OK && request->target != LS_TARGET_NONE) status = survey_targets(s, request, d);
  if (status == LS_OK) status = survey_names(s, request, d);
  free(file);
  free(group);
  return status;
}

/* Collective. Memory for x, y and w, from the sizes that all know by now. */
static ls_status allocate(ls_comm *comm, ls_dataset *d) {
  size_t n = d->n_samples;
  size_t x_bytes = 0;
  size_t y_count = 0;
  ls_status status = LS_OK;
  const size_t y_cols = d->target == LS_TARGET_CLASSES ? 1 : d->n_outputs;
  if (!ls_size_mul(n, d->n_features, &x_bytes) ||
      !ls_size_mul(x_bytes, ls_dtype_size(d->x_array.dtype), &x_bytes) ||
      !ls_size_mul(n, y_cols, &y_count) || !ls_size_mul(y_count, sizeof(float), &y_count))
    return ls_fail(LS_ERR_DATA, "the data set is larger than this machine can address");
  status = ls_comm_shared_create(comm, x_bytes, &d->x);
  if (status == LS_OK && d->target != LS_TARGET_NONE) status = ls_comm_shared_create(comm, y_count, &d->y);
  if (status == LS_OK && d->has_weights) status = ls_comm_shared_create(comm, n * sizeof(float), &d->w);
  return status;
}

/* Whole chunks, of a MiB at least: less is not worth another rank's opening the file. */
#define UNIT_BYTES ((size_t)1 << 20)

static uint64_t unit_of(const source *s, const ls_dataset *d) {
  const size_t chunk = ls_store_chunk_rows(s->store, s->names.x);
  const size_t least = UNIT_BYTES / (d->n_features * ls_dtype_size(d->x_array.dtype)) + 1;
  return (least + chunk - 1) / chunk * chunk;
}

/* Local. Another rank's view of what rank 0 has surveyed. */
static ls_status reopen(const char *path, source *s, const ls_dataset *d) {
  ls_array array;
  ls_status status = ls_store_open(path, &s->store);
  if (status == LS_OK) status = ls_store_describe(s->store, s->names.x, &array);
  if (status == LS_OK && (array.dtype != d->x_array.dtype || array.n_dims != d->x_array.n_dims ||
                          memcmp(array.dims, d->x_array.dims, array.n_dims * sizeof *array.dims) != 0))
    status = ls_fail(LS_ERR_DATA, "%s:%s: is not what rank 0 has found there; was it replaced just now?",
                     path, s->names.x);
  return status;
}

/* Collective. Shares out the reading of x: unpacking it is most of the work. */
static ls_status share_reading(ls_comm *comm, source *s, const ls_dataset *d) {
  const bool is_root = ls_comm_rank(comm) == 0;
  size_t first = 0;
  size_t count = 0;
  char *path = is_root ? ls_strdup(ls_store_path(s->store)) : NULL;
  ls_status status = ls_comm_agree(comm, is_root && !path ? ls_fail_memory("a path", 0) : LS_OK);
  if (status == LS_OK) status = ls_comm_broadcast_text(comm, &path);
  if (status == LS_OK) status = ls_comm_broadcast_text(comm, &s->names.x);
  if (status != LS_OK) goto out;
  s->unit = is_root ? unit_of(s, d) : 0;
  ls_comm_broadcast(comm, &s->unit, sizeof s->unit);
  ls_comm_shared_part(comm, &d->x, (d->n_samples + s->unit - 1) / s->unit, &first, &count);
  s->first = ls_size_min(first * s->unit, d->n_samples);
  s->rows = ls_size_min(count * s->unit, d->n_samples - s->first);
  status = ls_comm_agree(comm, !is_root && s->rows > 0 ? reopen(path, s, d) : LS_OK);
out:
  free(path);
  return status;
}

/* Local. This rank's part of the numbers. */
static ls_status load(const source *s, ls_dataset *d, bool is_root) {
  ls_status status = LS_OK;
  if (s->rows > 0) status = ls_read_inputs(s->store, s->names.x, d, s->first, s->rows);
  if (status == LS_OK && is_root && d->target != LS_TARGET_NONE)
    status = ls_read_targets(s->store, &s->names, d);
  return status;
}

/* Local. */
static ls_digest fingerprint_of(const ls_dataset *d) {
  const ls_digest parts[] = {ls_digest_of(d->x.data, d->x.bytes),
                             ls_digest_of(d->y.data, d->y.bytes),
                             ls_digest_of(d->w.data, d->w.bytes),
                             {d->n_samples, ((uint64_t)d->x_array.dtype << 56) ^ d->n_features}};
  return ls_digest_of(parts, sizeof parts);
}

/* The plain fields of rank 0's survey go to all; pointers are each rank's own. */
static void share_survey(ls_comm *comm, ls_dataset *d) {
  ls_dataset plain = *d;
  ls_comm_broadcast(comm, &plain, sizeof plain);
  d->n_samples = plain.n_samples;
  d->n_features = plain.n_features;
  d->n_outputs = plain.n_outputs;
  d->x_array = plain.x_array;
  d->has_weights = plain.has_weights;
}

ls_status ls_dataset_open(ls_comm *comm, const ls_dataset_request *request, ls_dataset **out) {
  const bool is_root = ls_comm_rank(comm) == 0;
  source s = {0};
  ls_dataset *d = ls_calloc(1, sizeof *d);
  *out = NULL;
  ls_status status = ls_comm_agree(comm, d ? LS_OK : ls_fail_memory("a data set", sizeof *d));
  if (status != LS_OK) goto out;
  d->target = request->target;
  status = ls_comm_agree(comm, is_root ? survey(&s, request, d) : LS_OK);
  if (status != LS_OK) goto out;
  share_survey(comm, d);
  status = allocate(comm, d);
  if (status != LS_OK) goto out;
  status = share_reading(comm, &s, d);
  if (status != LS_OK) goto out;
  status = ls_comm_agree(comm, load(&s, d, is_root));
  if (status != LS_OK) goto out;
  ls_comm_shared_spread(comm, &d->x);
  ls_comm_shared_spread(comm, &d->y);
  ls_comm_shared_spread(comm, &d->w);
  if (is_root) d->fingerprint = fingerprint_of(d);
  ls_comm_barrier(comm); /* it may take long */
  ls_comm_broadcast(comm, &d->fingerprint, sizeof d->fingerprint);
  *out = d;
  d = NULL;
out:
  source_close(&s);
  ls_dataset_close(comm, &d);
  return status;
}

void ls_dataset_close(ls_comm *comm, ls_dataset **dataset) {
  if (!*dataset) return;
  ls_comm_shared_destroy(comm, &(*dataset)->x);
  ls_comm_shared_destroy(comm, &(*dataset)->y);
  ls_comm_shared_destroy(comm, &(*dataset)->w);
  free((*dataset)->classes);
  free((*dataset)->feature_names);
  free(*dataset);
  *dataset = NULL;
}
