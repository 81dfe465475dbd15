/* Writing a checkpoint: a model file (see src/modelfile/write.c) with additions.
 *
 *   /                    comm_mode, comm_ranks if the bits of a resumed run depend on them
 *   /optimizer           steps; /optimizer/<slot>/<path>: state, in the shape of the parameter; the
 *                        attribute ema (the decay) and a slot of this name with train.ema
 *   /progress            counters as attributes; sums
 *   /class_weights       (classes) of class_weight: balanced */
#include "internal.h"

static ls_status write_optimizer(ls_store_writer *writer, const ls_snapshot *s) {
  const ls_model *const model = s->content.model;
  const ls_optim *const optim = s->optim;
  LS_ASSERT(s->slots || optim->n == model->n_params || optim->n_slots == 0);
  LS_TRY(ls_store_write_group(writer, "/optimizer"));
  LS_TRY(ls_store_write_text(writer, "/optimizer", "type", optim->type->name));
  LS_TRY(ls_store_write_u64(writer, "/optimizer", "steps", optim->steps));
  if (optim->average > 0.0)
    LS_TRY(ls_store_write_double(writer, "/optimizer", LS_OPTIM_AVERAGE, optim->average));
  for (size_t k = 0; k < optim->n_slots; k++) {
    char group[64];
    snprintf(group, sizeof group, "/optimizer/%s", ls_optim_slot_name(optim, k));
    LS_TRY(ls_modelfile_put_segments(writer, group, model->n_segments, model->segments,
                                     s->slots ? s->slots + k * model->n_params : optim->slots[k]));
  }
  return LS_OK;
}

static ls_status write_progress(ls_store_writer *writer, const ls_progress *progress) {
  const ls_array array = {.dtype = LS_F64, .n_dims = 1, .dims = {progress->n_sums}};
  ls_progress *const from = (ls_progress *)progress;
  LS_TRY(ls_store_write_group(writer, "/progress"));
  for (const counter *c = checkpoint_counters; c->name; c++)
    LS_TRY(ls_store_write_u64(writer, "/progress", c->name, *checkpoint_counter(from, c)));
  for (const counter *c = checkpoint_reals; c->name; c++)
    LS_TRY(ls_store_write_double(writer, "/progress", c->name, *checkpoint_real(from, c)));
  return ls_store_write_array(writer, "/progress/sums", &array, progress->sums);
}

static ls_status write_class_weights(ls_store_writer *writer, const ls_snapshot *s) {
  const ls_array array = {.dtype = LS_F64, .n_dims = 1, .dims = {s->n_classes}};
  if (!s->class_weights) return LS_OK;
  return ls_store_write_array(writer, LS_CHECKPOINT_CLASS_WEIGHTS, &array, s->class_weights);
}

static ls_status put(ls_store_writer *writer, const ls_snapshot *s) {
  LS_TRY(ls_modelfile_put(writer, &s->content));
  if (s->comm_mode) LS_TRY(ls_store_write_text(writer, "/", "comm_mode", s->comm_mode));
  if (s->comm_mode) LS_TRY(ls_store_write_u64(writer, "/", "comm_ranks", s->n_ranks));
  LS_TRY(write_optimizer(writer, s));
  LS_TRY(write_class_weights(writer, s));
  return write_progress(writer, s->progress);
}

ls_status ls_checkpoint_write(const char *path, const ls_snapshot *s) {
  ls_store_writer *writer = NULL;
  ls_status status = ls_store_create(path, true, &writer);
  if (status == LS_OK) status = put(writer, s);
  return ls_store_end(&writer, status);
}
