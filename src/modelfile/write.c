/* Writing: the layout of the model format, which checkpoints extend.
 *
 *   /                    format_version, lockstep_version, config, platform, classes, features;
 *                        input_shape (dims of a sample), stored_shape (the same in the training data);
 *                        x_type, x_low, x_high, x_magnitude of the inputs;
 *                        window if the order of training had windows
 *   /model/<path>        parameters: W (n_out, n_in), b (n_out), ...; state: running_mean (n), ...
 *   /normalizer          offset, factor (n_in); y_offset, y_factor (n_out) for standardised targets */
#include "internal.h"

ls_status ls_modelfile_put_segments(ls_store_writer *writer, const char *group, size_t n_segments,
                                    const ls_segment *segments, const float *values) {
  for (size_t i = 0; i < n_segments; i++) {
    const ls_segment *const segment = &segments[i];
    const ls_array array = segment_array(segment);
    char path[200];
    snprintf(path, sizeof path, "%s/%s", group, segment->path);
    LS_TRY(ls_store_write_array(writer, path, &array, values + segment->offset));
  }
  return LS_OK;
}

static ls_status write_shape(ls_store_writer *writer, const char *name, const ls_shape *shape) {
  uint64_t dims[LS_SHAPE_MAX];
  for (size_t i = 0; i < shape->n_dims; i++) dims[i] = shape->dims[i];
  return ls_store_write_u64s(writer, "/", name, dims, shape->n_dims);
}

static ls_status write_values_of_x(ls_store_writer *writer, const ls_values *x) {
  LS_TRY(ls_store_write_text(writer, "/", "x_type", x->type));
  LS_TRY(ls_store_write_double(writer, "/", "x_low", x->low));
  LS_TRY(ls_store_write_double(writer, "/", "x_high", x->high));
  return ls_store_write_double(writer, "/", "x_magnitude", x->magnitude);
}

static ls_status write_root(ls_store_writer *writer, const ls_modelfile_content *c) {
  LS_TRY(ls_store_write_u64(writer, "/", "format_version", FORMAT_VERSION));
  LS_TRY(ls_store_write_text(writer, "/", "lockstep_version", LS_VERSION));
  LS_TRY(ls_store_write_text(writer, "/", "config", c->config));
  LS_TRY(write_shape(writer, "input_shape", &c->model->in));
  if (c->stored.n_dims > 0) LS_TRY(write_shape(writer, "stored_shape", &c->stored));
  if (c->x.type) LS_TRY(write_values_of_x(writer, &c->x));
  if (c->window > 0) LS_TRY(ls_store_write_u64(writer, "/", "window", c->window));
  if (c->platform) LS_TRY(ls_store_write_text(writer, "/", "platform", c->platform));
  if (c->classes) LS_TRY(ls_store_write_texts(writer, "/", "classes", c->classes, c->n_classes));
  return c->features ? ls_store_write_texts(writer, "/", "features", c->features, c->n_features) : LS_OK;
}

/* `prefix`: "" for the inputs, "y_" for the targets. */
static ls_status write_normalizer(ls_store_writer *writer, const ls_normalizer *normalizer,
                                  const char *prefix) {
  const ls_array array = {.dtype = LS_F64, .n_dims = 1, .dims = {normalizer->n_features}};
  char offset[64];
  char factor[64];
  snprintf(offset, sizeof offset, "/normalizer/%soffset", prefix);
  snprintf(factor, sizeof factor, "/normalizer/%sfactor", prefix);
  LS_TRY(ls_store_write_array(writer, offset, &array, normalizer->offset));
  LS_TRY(ls_store_write_array(writer, factor, &array, normalizer->factor));
  return normalizer->targets ? write_normalizer(writer, normalizer->targets, "y_") : LS_OK;
}

ls_status ls_modelfile_put(ls_store_writer *writer, const ls_modelfile_content *content) {
  const ls_model *const model = content->model;
  LS_TRY(write_root(writer, content));
  LS_TRY(ls_modelfile_put_segments(writer, "/model", model->n_segments, model->segments, model->params));
  LS_TRY(ls_modelfile_put_segments(writer, "/model", model->n_state_segments, model->state_segments,
                                   model->state));
  return write_normalizer(writer, content->normalizer, "");
}

ls_status ls_modelfile_write(const char *path, const ls_modelfile_content *content) {
  ls_store_writer *writer = NULL;
  ls_status status = ls_store_create(path, true, &writer);
  if (status == LS_OK) status = ls_modelfile_put(writer, content);
  return ls_store_end(&writer, status);
}
