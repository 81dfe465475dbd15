/* From a verified file back to memory. */
#include "layout.h"

#include <stdlib.h>
#include <string.h>

/* What HDF5 calls bad data is, in a file of ours, an unusable model. */
static ls_status as_model_error(ls_status status) {
  return status == LS_ERR_DATA ? ls_fail(LS_ERR_MODEL, "%s", ls_message()) : status;
}

static ls_status read_inputs(ls_saved *saved) {
  ls_array array;
  const ls_status status = ls_store_describe(saved->store, "/normalizer/offset", &array);
  if (status != LS_OK) return status;
  if (array.n_dims != 1 || array.dims[0] == 0)
    return ls_fail(LS_ERR_MODEL, "%s: /normalizer/offset is no list of numbers",
                   ls_store_path(saved->store));
  saved->n_inputs = array.dims[0];
  return LS_OK;
}

static ls_status read_root(ls_saved *saved) {
  const ls_store *const store = saved->store;
  uint64_t version = 0;
  ls_status status = ls_store_read_u64(store, "/", "format_version", &version);
  if (status == LS_OK && version != FORMAT_VERSION)
    return ls_fail(LS_ERR_MODEL, "%s: format version %llu; this Lockstep reads version %d",
                   ls_store_path(store), (unsigned long long)version, FORMAT_VERSION);
  if (status == LS_OK) status = ls_store_read_text(store, "/", "config", &saved->config);
  if (status == LS_OK && ls_store_has_attribute(store, "/", "platform"))
    status = ls_store_read_text(store, "/", "platform", &saved->platform);
  if (status == LS_OK && ls_store_has_attribute(store, "/", "comm_mode"))
    status = ls_store_read_text(store, "/", "comm_mode", &saved->comm_mode);
  if (status == LS_OK && saved->comm_mode)
    status = ls_store_read_u64(store, "/", "comm_ranks", &saved->n_ranks);
  if (status == LS_OK && ls_store_has_attribute(store, "/", "classes"))
    status = ls_store_read_texts(store, "/", "classes", &saved->classes, &saved->n_classes);
  if (status == LS_OK && ls_store_has_attribute(store, "/", "features"))
    status = ls_store_read_texts(store, "/", "features", &saved->features, &saved->n_features);
  saved->is_checkpoint = ls_store_kind_of(store, "/progress") == LS_STORE_GROUP;
  return status;
}

/* LS_ERR_MODEL where the file is missing, damaged or not one, LS_ERR_DATA where it can't be read. */
static ls_status open_saved(const char *path, ls_saved **out) {
  *out = NULL;
  ls_saved *saved = ls_calloc(1, sizeof *saved);
  if (!saved) return ls_fail_memory("a model", sizeof *saved);
  ls_status status = ls_store_open_sealed(path, &saved->store);
  if (status == LS_OK) status = read_root(saved);
  if (status == LS_OK) status = read_inputs(saved);
  if (status == LS_OK) {
    *out = saved;
    return LS_OK;
  }
  ls_saved_close(&saved);
  return status;
}

ls_status ls_saved_open(const char *path, ls_saved **out) {
  return as_model_error(open_saved(path, out));
}

ls_status ls_saved_find(const char *path, ls_saved **out) {
  const ls_status status = open_saved(path, out);
  return status == LS_ERR_MODEL ? LS_OK : as_model_error(status);
}

void ls_saved_close(ls_saved **saved) {
  if (!*saved) return;
  ls_store_close(&(*saved)->store);
  free((*saved)->config);
  free((*saved)->platform);
  free((*saved)->comm_mode);
  free((*saved)->classes);
  free((*saved)->features);
  free(*saved);
  *saved = NULL;
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
  const ls_status status = ls_store_describe(store, path, &found);
  if (status != LS_OK) return status;
  if (!is_same_array(&found, expected))
    return ls_fail(LS_ERR_MODEL, "%s:%s is %s; the model needs %s", ls_store_path(store), path,
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
    const ls_status status = read_exactly(store, path, &array, values + segment->offset);
    if (status != LS_OK) return status;
  }
  return LS_OK;
}

/* Parameters and state. */
static ls_status read_model(const ls_store *store, const ls_model *model, float *params, float *state) {
  const ls_status status = read_segments(store, "/model", model->n_segments, model->segments, params);
  if (status != LS_OK) return status;
  return read_segments(store, "/model", model->n_state_segments, model->state_segments, state);
}

ls_status ls_saved_publish_model(const ls_saved *from, const ls_model *model,
                                 const ls_normalizer *normalizer, const char *path) {
  ls_model copy = *model;
  const size_t n = model->n_params + model->n_state;
  float *const values = ls_calloc(n, sizeof *values);
  if (!values) return ls_fail_memory("a model", n * sizeof *values);
  copy.params = values;
  copy.state = values + model->n_params;
  ls_status status = as_model_error(read_model(from->store, model, copy.params, copy.state));
  const ls_snapshot snapshot = {.config = from->config,
                                .platform = from->platform,
                                .classes = (const char *const *)from->classes,
                                .n_classes = from->n_classes,
                                .features = (const char *const *)from->features,
                                .n_features = from->n_features,
                                .model = &copy,
                                .normalizer = normalizer};
  if (status == LS_OK) status = ls_checkpoint_write(path, &snapshot);
  free(values);
  return status;
}

ls_status ls_saved_same_model(const ls_saved *a, const ls_saved *b, const ls_model *model, bool *same) {
  const size_t n = model->n_params + model->n_state;
  float *const values = ls_calloc(2 * n, sizeof *values);
  *same = false;
  if (!values) return ls_fail_memory("two models", 2 * n * sizeof *values);
  float *const others = values + n;
  ls_status status = read_model(a->store, model, values, values + model->n_params);
  if (status == LS_OK) status = read_model(b->store, model, others, others + model->n_params);
  if (status == LS_OK)
    *same =
        ls_digest_equal(ls_digest_of(values, n * sizeof *values), ls_digest_of(others, n * sizeof *others));
  free(values);
  return status;
}

/* `prefix`: "" for the inputs, "y_" for the targets. */
static ls_status read_normalizer(const ls_store *store, const char *prefix, ls_normalizer *normalizer) {
  const ls_array array = {.dtype = LS_F64, .n_dims = 1, .dims = {normalizer->n_features}};
  double *const values = ls_calloc(2 * normalizer->n_features, sizeof *values);
  if (!values) return ls_fail_memory("the normaliser", 2 * normalizer->n_features * sizeof *values);
  double *const factor = values + normalizer->n_features;
  char path[2][64];
  snprintf(path[0], sizeof path[0], "/normalizer/%soffset", prefix);
  snprintf(path[1], sizeof path[1], "/normalizer/%sfactor", prefix);
  ls_status status = read_exactly(store, path[0], &array, values);
  if (status == LS_OK) status = read_exactly(store, path[1], &array, factor);
  if (status == LS_OK) ls_normalizer_set(normalizer, values, factor);
  free(values);
  if (status != LS_OK || !normalizer->targets) return status;
  return read_normalizer(store, "y_", normalizer->targets);
}

ls_status ls_saved_read_normalizer(const ls_saved *saved, ls_normalizer *normalizer) {
  return as_model_error(read_normalizer(saved->store, "", normalizer));
}

ls_status ls_saved_read_block(const ls_saved *saved, const ls_segment *segment, float *values, char *why,
                              size_t size) {
  const ls_array wanted = segment_array(segment);
  const char *const name = strrchr(segment->path, '/') + 1;
  ls_array found;
  char path[200];
  char text[2][128];
  why[0] = '\0';
  snprintf(path, sizeof path, "/model/%s", segment->path);
  if (ls_store_kind_of(saved->store, path) == LS_STORE_NONE) {
    ls_append(why, size, "absent there");
    return LS_OK;
  }
  ls_status status = ls_store_describe(saved->store, path, &found);
  if (status == LS_OK && is_same_array(&found, &wanted))
    status = ls_store_read_rows(saved->store, path, 0, wanted.dims[0], values);
  else if (status == LS_OK)
    ls_append(why, size, "%s is %s there, %s here", name,
              ls_array_describe(&found, text[0], sizeof text[0]),
              ls_array_describe(&wanted, text[1], sizeof text[1]));
  return as_model_error(status);
}

/* Collective. One slot of the optimizer's state: all of it passes through the model's gradient. */
static ls_status restore_slot(ls_comm *comm, const ls_saved *saved, const ls_model *model, ls_optim *optim,
                              size_t k) {
  char group[64];
  ls_status status = LS_OK;
  snprintf(group, sizeof group, "/optimizer/%s", optim->type->slot_names[k]);
  if (saved) status = read_segments(saved->store, group, model->n_segments, model->segments, model->grads);
  status = ls_comm_agree(comm, as_model_error(status));
  if (status != LS_OK) return status;
  ls_comm_broadcast(comm, model->grads, model->n_params * sizeof *model->grads);
  memcpy(optim->slots[k], model->grads + optim->first, optim->n * sizeof *model->grads);
  return LS_OK;
}

/* Collective. */
static ls_status restore_optimizer(ls_comm *comm, const ls_saved *saved, const ls_model *model,
                                   ls_optim *optim) {
  ls_status status = saved ? ls_store_read_u64(saved->store, "/optimizer", "steps", &optim->steps) : LS_OK;
  status = ls_comm_agree(comm, as_model_error(status));
  ls_comm_broadcast(comm, &optim->steps, sizeof optim->steps);
  for (size_t k = 0; status == LS_OK && k < optim->type->n_slots; k++)
    status = restore_slot(comm, saved, model, optim, k);
  return status;
}

static bool has_counter(const ls_store *store, const counter *c) {
  return !c->is_later || ls_store_has_attribute(store, "/progress", c->name);
}

ls_status ls_saved_read_progress(const ls_saved *saved, ls_progress *progress) {
  const ls_store *const store = saved->store;
  ls_status status = LS_OK;
  for (const counter *c = checkpoint_counters; status == LS_OK && c->name; c++)
    if (has_counter(store, c))
      status = ls_store_read_u64(store, "/progress", c->name, checkpoint_counter(progress, c));
  for (const counter *c = checkpoint_reals; status == LS_OK && c->name; c++)
    if (has_counter(store, c))
      status = ls_store_read_double(store, "/progress", c->name, checkpoint_real(progress, c));
  if (status == LS_OK && progress->sums) {
    const ls_array array = {.dtype = LS_F64, .n_dims = 1, .dims = {progress->n_sums}};
    status = read_exactly(store, "/progress/sums", &array, progress->sums);
  }
  return as_model_error(status);
}

/* Rank 0's part of a restore. */
static ls_status read_all(const ls_saved *saved, ls_model *model, ls_normalizer *normalizer,
                          ls_progress *progress) {
  ls_status status = read_model(saved->store, model, model->params, model->state);
  if (status == LS_OK) status = read_normalizer(saved->store, "", normalizer);
  if (status == LS_OK && progress) status = ls_saved_read_progress(saved, progress);
  return as_model_error(status);
}

/* Collective. */
static void share_normalizer(ls_comm *comm, ls_normalizer *normalizer) {
  ls_comm_broadcast(comm, normalizer->offset, normalizer->n_features * sizeof *normalizer->offset);
  ls_comm_broadcast(comm, normalizer->factor, normalizer->n_features * sizeof *normalizer->factor);
  ls_normalizer_set(normalizer, normalizer->offset, normalizer->factor);
  if (normalizer->targets) share_normalizer(comm, normalizer->targets);
}

ls_status ls_saved_restore(ls_comm *comm, const ls_saved *saved, ls_model *model, ls_normalizer *normalizer,
                           ls_optim *optim, ls_progress *progress) {
  const bool is_root = ls_comm_rank(comm) == 0;
  ls_status status = ls_comm_agree(comm, is_root ? read_all(saved, model, normalizer, progress) : LS_OK);
  if (status == LS_OK && optim) status = restore_optimizer(comm, saved, model, optim);
  if (status != LS_OK) return status;
  ls_comm_broadcast(comm, model->params, model->n_params * sizeof *model->params);
  ls_comm_broadcast(comm, model->state, model->n_state * sizeof *model->state);
  share_normalizer(comm, normalizer);
  if (progress) {
    double *const sums = progress->sums;
    ls_comm_broadcast(comm, progress, sizeof *progress);
    progress->sums = sums;
    ls_comm_broadcast(comm, sums, progress->n_sums * sizeof *sums);
  }
  return LS_OK;
}
