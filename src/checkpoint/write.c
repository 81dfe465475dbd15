/* From memory to a file: the layout of models and checkpoints.
 *
 *   /                    format_version, lockstep_version, config, platform, classes, features;
 *                        comm_mode, comm_ranks where bits depend on them
 *   /model/<path>        the parameters: W (n_out, n_in), b (n_out); the state: running_mean (n), ...
 *   /normalizer          offset, factor (n_in); y_offset, y_factor (n_out) where targets are standardised
 *   /optimizer           steps; /optimizer/<slot>/<path>
 *   /progress            counters as attributes; sums */
#include "lockstep/checkpoint.h"

#include "layout.h"

static ls_status write_segments(ls_store_writer *writer, const char *group, size_t n,
                                const ls_segment *segments, const float *values) {
  for (size_t i = 0; i < n; i++) {
    const ls_segment *const segment = &segments[i];
    const ls_array array = segment_array(segment);
    char path[200];
    snprintf(path, sizeof path, "%s/%s", group, segment->path);
    const ls_status status = ls_store_write_array(writer, path, &array, values + segment->offset);
    if (status != LS_OK) return status;
  }
  return LS_OK;
}

static ls_status write_model(ls_store_writer *writer, const ls_model *model) {
  const ls_status status =
      write_segments(writer, "/model", model->n_segments, model->segments, model->params);
  if (status != LS_OK) return status;
  return write_segments(writer, "/model", model->n_state_segments, model->state_segments, model->state);
}

static ls_status write_root(ls_store_writer *writer, const ls_snapshot *s) {
  ls_status status = ls_store_write_u64(writer, "/", "format_version", FORMAT_VERSION);
  if (status == LS_OK) status = ls_store_write_text(writer, "/", "lockstep_version", LS_VERSION);
  if (status == LS_OK) status = ls_store_write_text(writer, "/", "config", s->config);
  if (status == LS_OK && s->platform) status = ls_store_write_text(writer, "/", "platform", s->platform);
  if (status == LS_OK && s->comm_mode) status = ls_store_write_text(writer, "/", "comm_mode", s->comm_mode);
  if (status == LS_OK && s->comm_mode) status = ls_store_write_u64(writer, "/", "comm_ranks", s->n_ranks);
  if (status == LS_OK && s->classes)
    status = ls_store_write_texts(writer, "/", "classes", s->classes, s->n_classes);
  if (status == LS_OK && s->features)
    status = ls_store_write_texts(writer, "/", "features", s->features, s->n_features);
  return status;
}

/* `prefix`: "" for the inputs, "y_" for the targets. */
static ls_status write_normalizer(ls_store_writer *writer, const ls_normalizer *normalizer,
                                  const char *prefix) {
  const ls_array array = {.dtype = LS_F64, .n_dims = 1, .dims = {normalizer->n_features}};
  char offset[64];
  char factor[64];
  snprintf(offset, sizeof offset, "/normalizer/%soffset", prefix);
  snprintf(factor, sizeof factor, "/normalizer/%sfactor", prefix);
  ls_status status = ls_store_write_array(writer, offset, &array, normalizer->offset);
  if (status == LS_OK) status = ls_store_write_array(writer, factor, &array, normalizer->factor);
  if (status != LS_OK || !normalizer->targets) return status;
  return write_normalizer(writer, normalizer->targets, "y_");
}

static ls_status write_optimizer(ls_store_writer *writer, const ls_snapshot *s) {
  const ls_model *const model = s->model;
  const ls_optim *const optim = s->optim;
  const float *const slots = s->slots ? s->slots : optim->block;
  LS_ASSERT(s->slots || optim->n == model->n_params || optim->type->n_slots == 0);
  ls_status status = ls_store_write_group(writer, "/optimizer");
  if (status == LS_OK) status = ls_store_write_text(writer, "/optimizer", "type", optim->type->name);
  if (status == LS_OK) status = ls_store_write_u64(writer, "/optimizer", "steps", optim->steps);
  for (size_t k = 0; status == LS_OK && k < optim->type->n_slots; k++) {
    char group[64];
    snprintf(group, sizeof group, "/optimizer/%s", optim->type->slot_names[k]);
    status = write_segments(writer, group, model->n_segments, model->segments, slots + k * model->n_params);
  }
  return status;
}

static ls_status write_progress(ls_store_writer *writer, const ls_progress *progress) {
  const ls_array array = {.dtype = LS_F64, .n_dims = 1, .dims = {progress->n_sums}};
  ls_status status = ls_store_write_group(writer, "/progress");
  for (const counter *c = checkpoint_counters; status == LS_OK && c->name; c++)
    status =
        ls_store_write_u64(writer, "/progress", c->name, *checkpoint_counter((ls_progress *)progress, c));
  for (const counter *c = checkpoint_reals; status == LS_OK && c->name; c++)
    status =
        ls_store_write_double(writer, "/progress", c->name, *checkpoint_real((ls_progress *)progress, c));
  if (status == LS_OK) status = ls_store_write_array(writer, "/progress/sums", &array, progress->sums);
  return status;
}

ls_status ls_checkpoint_write(const char *path, const ls_snapshot *s) {
  ls_store_writer *writer = NULL;
  ls_status status = ls_store_create(path, true, &writer);
  if (status == LS_OK) status = write_root(writer, s);
  if (status == LS_OK) status = write_model(writer, s->model);
  if (status == LS_OK) status = write_normalizer(writer, s->normalizer, "");
  if (status == LS_OK && s->optim) status = write_optimizer(writer, s);
  if (status == LS_OK && s->progress) status = write_progress(writer, s->progress);
  if (status == LS_OK) return ls_store_publish(&writer);
  ls_store_discard(&writer);
  return status;
}
