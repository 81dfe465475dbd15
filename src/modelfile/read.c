/* Reading: from a verified file to memory. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

ls_status ls_modelfile_status(ls_status status) {
  return status == LS_ERR_DATA ? ls_fail(LS_ERR_MODEL, "%s", ls_message()) : status;
}

static ls_status read_shape(const ls_modelfile *file, const char *name, ls_shape *shape) {
  uint64_t dims[LS_SHAPE_MAX] = {0};
  size_t count = 0;
  LS_TRY(ls_store_read_u64s(file->store, "/", name, LS_SHAPE_MAX, dims, &shape->n_dims));
  for (size_t i = 0; i < shape->n_dims; i++) shape->dims[i] = dims[i];
  if (ls_shape_count(shape, &count) && count == file->n_inputs) return LS_OK;
  return ls_fail(LS_ERR_MODEL, "%s: %s does not have %zu elements, as /normalizer/offset has",
                 ls_store_path(file->store), name, file->n_inputs);
}

static ls_status read_inputs(ls_modelfile *file) {
  ls_array array;
  LS_TRY(ls_store_describe(file->store, "/normalizer/offset", &array));
  if (array.n_dims != 1 || array.dims[0] == 0)
    return ls_fail(LS_ERR_MODEL,
                   "%s: /normalizer/offset is not a one-dimensional array; the file is damaged",
                   ls_store_path(file->store));
  file->n_inputs = array.dims[0];
  file->input = ls_shape_of(file->n_inputs);
  if (ls_store_has_attribute(file->store, "/", "stored_shape"))
    LS_TRY(read_shape(file, "stored_shape", &file->stored));
  return file->version == 1 ? LS_OK : read_shape(file, "input_shape", &file->input);
}

static ls_status read_values_of_x(ls_modelfile *file) {
  ls_values *const x = &file->x;
  LS_TRY(ls_store_read_text(file->store, "/", "x_type", &file->x_type));
  LS_TRY(ls_store_read_double(file->store, "/", "x_low", &x->low));
  LS_TRY(ls_store_read_double(file->store, "/", "x_high", &x->high));
  LS_TRY(ls_store_read_double(file->store, "/", "x_magnitude", &x->magnitude));
  x->type = file->x_type;
  return LS_OK;
}

static ls_status read_root(ls_modelfile *file) {
  const ls_store *const store = file->store;
  LS_TRY(ls_store_read_u64(store, "/", "format_version", &file->version));
  if (file->version < 1 || file->version > FORMAT_VERSION)
    return ls_fail(LS_ERR_DATA,
                   "%s: format version %llu is not supported; must be 1 to %d; use a newer Lockstep",
                   ls_store_path(store), (unsigned long long)file->version, FORMAT_VERSION);
  LS_TRY(ls_store_read_text(store, "/", "config", &file->config));
  if (ls_store_has_attribute(store, "/", "platform"))
    LS_TRY(ls_store_read_text(store, "/", "platform", &file->platform));
  if (ls_store_has_attribute(store, "/", "comm_mode"))
    LS_TRY(ls_store_read_text(store, "/", "comm_mode", &file->comm_mode));
  if (file->comm_mode) LS_TRY(ls_store_read_u64(store, "/", "comm_ranks", &file->n_ranks));
  if (ls_store_has_attribute(store, "/", "window"))
    LS_TRY(ls_store_read_u64(store, "/", "window", &file->window));
  if (ls_store_has_attribute(store, "/", "x_type")) LS_TRY(read_values_of_x(file));
  if (ls_store_has_attribute(store, "/", "classes"))
    LS_TRY(ls_store_read_texts(store, "/", "classes", &file->classes, &file->n_classes));
  if (ls_store_has_attribute(store, "/", "features"))
    LS_TRY(ls_store_read_texts(store, "/", "features", &file->features, &file->n_features));
  file->is_checkpoint = ls_store_kind_of(store, "/progress") == LS_STORE_GROUP;
  return LS_OK;
}

/* LS_ERR_MODEL if the file is missing, damaged or not a model; LS_ERR_DATA if it may be intact: reading
 * fails, or its version is newer. */
static ls_status open_file(const char *path, ls_modelfile **out) {
  ls_modelfile *file = *out = ls_calloc(1, sizeof *file);
  if (!file) return ls_fail_memory("a model file", sizeof *file);
  ls_status status = ls_store_open_sealed(path, &file->store);
  if (status == LS_OK) status = read_root(file);
  if (status == LS_OK) status = read_inputs(file);
  if (status != LS_OK) ls_modelfile_close(out);
  return status;
}

ls_status ls_modelfile_open(const char *path, ls_modelfile **out) {
  return ls_modelfile_status(open_file(path, out));
}

ls_status ls_modelfile_try_open(const char *path, ls_modelfile **out) {
  const ls_status status = open_file(path, out);
  return status == LS_ERR_MODEL ? LS_OK : ls_modelfile_status(status);
}

ls_modelfile *ls_modelfile_take(ls_modelfile **known, const char *path) {
  ls_modelfile *const file = *known;
  if (!file || strcmp(ls_store_path(file->store), path) != 0) return NULL;
  if (!ls_store_has_state(path, ls_store_state(file->store))) return NULL;
  *known = NULL;
  return file;
}

void ls_modelfile_close(ls_modelfile **file) {
  if (!*file) return;
  ls_store_close(&(*file)->store);
  free((*file)->config);
  free((*file)->platform);
  free((*file)->comm_mode);
  free((*file)->classes);
  free((*file)->features);
  free((*file)->x_type);
  free(*file);
  *file = NULL;
}

static bool is_same_array(const ls_array *a, const ls_array *b) {
  bool same = a->dtype == b->dtype && a->n_dims == b->n_dims;
  for (unsigned i = 0; same && i < a->n_dims; i++) same = a->dims[i] == b->dims[i];
  return same;
}

/* Reads a float32 or float64 array of exactly the given shape. */
static ls_status read_exactly(const ls_store *store, const char *path, const ls_array *expected,
                              void *out) {
  ls_array found;
  char text[2][128];
  LS_TRY(ls_store_describe(store, path, &found));
  if (!is_same_array(&found, expected))
    return ls_fail(LS_ERR_MODEL, "%s:%s: is %s; must be %s to fit the model", ls_store_path(store), path,
                   ls_array_describe(&found, text[0], sizeof text[0]),
                   ls_array_describe(expected, text[1], sizeof text[1]));
  return ls_store_read_rows(store, path, 0, expected->dims[0], out);
}

static ls_status read_segments(const ls_store *store, const char *group, size_t n,
                               const ls_segment *segments, float *values) {
  for (size_t i = 0; i < n; i++) {
    const ls_segment *const segment = &segments[i];
    const ls_array array = segment_array(segment);
    char path[200];
    snprintf(path, sizeof path, "%s/%s", group, segment->path);
    LS_TRY(read_exactly(store, path, &array, values + segment->offset));
  }
  return LS_OK;
}

ls_status ls_modelfile_read_segments(const ls_modelfile *file, const char *group, size_t n_segments,
                                     const ls_segment *segments, float *values) {
  return ls_modelfile_status(read_segments(file->store, group, n_segments, segments, values));
}

ls_status ls_modelfile_read_vector(const ls_modelfile *file, const char *path, size_t n, double *values) {
  const ls_array array = {.dtype = LS_F64, .n_dims = 1, .dims = {n}};
  return ls_modelfile_status(read_exactly(file->store, path, &array, values));
}

ls_status ls_modelfile_read_model(const ls_modelfile *file, const ls_model *model, float *params,
                                  float *state) {
  LS_TRY(ls_modelfile_read_segments(file, "/model", model->n_segments, model->segments, params));
  return ls_modelfile_read_segments(file, "/model", model->n_state_segments, model->state_segments, state);
}

ls_status ls_modelfile_copy_model(const ls_modelfile *from, const ls_model *model, const char *group,
                                  const ls_normalizer *normalizer, const char *path) {
  ls_model copy = *model;
  const size_t n = model->n_params + model->n_state;
  float *const values = ls_calloc(n, sizeof *values);
  if (!values) return ls_fail_memory("a model file", n * sizeof *values);
  copy.params = values;
  copy.state = values + model->n_params;
  ls_status status = ls_modelfile_read_model(from, model, copy.params, copy.state);
  if (status == LS_OK)
    status = ls_modelfile_read_segments(from, group, model->n_segments, model->segments, copy.params);
  const ls_modelfile_content content = {.config = from->config,
                                        .platform = from->platform,
                                        .classes = (const char *const *)from->classes,
                                        .n_classes = from->n_classes,
                                        .features = (const char *const *)from->features,
                                        .n_features = from->n_features,
                                        .x = from->x,
                                        .stored = from->stored,
                                        .window = from->window,
                                        .model = &copy,
                                        .normalizer = normalizer};
  if (status == LS_OK) status = ls_modelfile_write(path, &content);
  free(values);
  return status;
}

ls_status ls_modelfile_same_model(const ls_modelfile *a, const ls_modelfile *b, const ls_model *model,
                                  bool *same) {
  const size_t n = model->n_params + model->n_state;
  float *const values = ls_calloc(2 * n, sizeof *values);
  *same = false;
  if (!values) return ls_fail_memory("two models", 2 * n * sizeof *values);
  float *const others = values + n;
  ls_status status = ls_modelfile_read_model(a, model, values, values + model->n_params);
  if (status == LS_OK) status = ls_modelfile_read_model(b, model, others, others + model->n_params);
  if (status == LS_OK)
    *same =
        ls_digest_equal(ls_digest_of(values, n * sizeof *values), ls_digest_of(others, n * sizeof *others));
  free(values);
  return status;
}

/* `prefix`: "" for the inputs, "y_" for the targets. */
static ls_status read_normalizer(const ls_modelfile *file, const char *prefix, ls_normalizer *normalizer) {
  const size_t n = normalizer->n_features;
  double *const values = ls_calloc(2 * n, sizeof *values);
  if (!values) return ls_fail_memory("the normaliser", 2 * n * sizeof *values);
  char path[2][64];
  snprintf(path[0], sizeof path[0], "/normalizer/%soffset", prefix);
  snprintf(path[1], sizeof path[1], "/normalizer/%sfactor", prefix);
  ls_status status = ls_modelfile_read_vector(file, path[0], n, values);
  if (status == LS_OK) status = ls_modelfile_read_vector(file, path[1], n, values + n);
  if (status == LS_OK) ls_normalizer_set(normalizer, values, values + n);
  free(values);
  if (status != LS_OK || !normalizer->targets) return status;
  return read_normalizer(file, "y_", normalizer->targets);
}

ls_status ls_modelfile_read_normalizer(const ls_modelfile *file, ls_normalizer *normalizer) {
  return read_normalizer(file, "", normalizer);
}

ls_status ls_modelfile_read_block(const ls_modelfile *file, const ls_segment *segment, float *values,
                                  char *why, size_t size) {
  const ls_array wanted = segment_array(segment);
  const char *const name = strrchr(segment->path, '/') + 1;
  ls_array found;
  char path[200];
  char text[2][128];
  why[0] = '\0';
  snprintf(path, sizeof path, "/model/%s", segment->path);
  if (ls_store_kind_of(file->store, path) == LS_STORE_NONE) {
    ls_append(why, size, "absent there");
    return LS_OK;
  }
  ls_status status = ls_store_describe(file->store, path, &found);
  if (status == LS_OK && is_same_array(&found, &wanted))
    status = ls_store_read_rows(file->store, path, 0, wanted.dims[0], values);
  else if (status == LS_OK)
    ls_append(why, size, "%s is %s there, %s here", name,
              ls_array_describe(&found, text[0], sizeof text[0]),
              ls_array_describe(&wanted, text[1], sizeof text[1]));
  return ls_modelfile_status(status);
}
