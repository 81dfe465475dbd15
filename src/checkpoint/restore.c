/* Restoring a run from a checkpoint, or a model, on all ranks. */
#include "internal.h"

#include <string.h>

/* Collective. One slot of the optimizer's state. The gradient of the model is the buffer for all
 * parameters. */
static ls_status restore_slot(ls_comm *comm, const ls_modelfile *file, const ls_model *model,
                              ls_optim *optim, size_t k) {
  char group[64];
  ls_status status = LS_OK;
  snprintf(group, sizeof group, "/optimizer/%s", ls_optim_slot_name(optim, k));
  if (file)
    status = ls_modelfile_read_segments(file, group, model->n_segments, model->segments, model->grads);
  LS_TRY(ls_comm_agree(comm, status));
  ls_comm_broadcast(comm, model->grads, model->n_params * sizeof *model->grads);
  ls_optim_set_slot(optim, k, model->grads);
  return LS_OK;
}

/* Collective. The average of the parameters. If the file has none, it starts with the parameters. */
static ls_status restore_average(ls_comm *comm, const ls_modelfile *file, const ls_model *model,
                                 ls_optim *optim) {
  bool has_average = file && ls_store_has_attribute(file->store, "/optimizer", LS_OPTIM_AVERAGE);
  ls_comm_broadcast(comm, &has_average, sizeof has_average);
  if (has_average) return restore_slot(comm, file, model, optim, optim->type->n_slots);
  ls_optim_reset_average(optim, model->params);
  return LS_OK;
}

/* Collective. */
static ls_status restore_optimizer(ls_comm *comm, const ls_modelfile *file, const ls_model *model,
                                   ls_optim *optim) {
  ls_status status = file ? ls_store_read_u64(file->store, "/optimizer", "steps", &optim->steps) : LS_OK;
  LS_TRY(ls_comm_agree(comm, ls_modelfile_status(status)));
  ls_comm_broadcast(comm, &optim->steps, sizeof optim->steps);
  for (size_t k = 0; k < optim->type->n_slots; k++) LS_TRY(restore_slot(comm, file, model, optim, k));
  return optim->average > 0.0 ? restore_average(comm, file, model, optim) : LS_OK;
}

static bool has_counter(const ls_store *store, const counter *c) {
  return !c->is_later || ls_store_has_attribute(store, "/progress", c->name);
}

ls_status ls_checkpoint_read_progress(const ls_modelfile *file, ls_progress *progress) {
  const ls_store *const store = file->store;
  ls_status status = LS_OK;
  for (const counter *c = checkpoint_counters; status == LS_OK && c->name; c++)
    if (has_counter(store, c))
      status = ls_store_read_u64(store, "/progress", c->name, checkpoint_counter(progress, c));
  for (const counter *c = checkpoint_reals; status == LS_OK && c->name; c++)
    if (has_counter(store, c))
      status = ls_store_read_double(store, "/progress", c->name, checkpoint_real(progress, c));
  if (status == LS_OK && progress->sums)
    status = ls_modelfile_read_vector(file, "/progress/sums", progress->n_sums, progress->sums);
  return ls_modelfile_status(status);
}

/* Rank 0's part of a restore. */
static ls_status read_all(const ls_modelfile *file, ls_model *model, ls_progress *progress) {
  LS_TRY(ls_modelfile_read_model(file, model, model->params, model->state));
  return progress ? ls_checkpoint_read_progress(file, progress) : LS_OK;
}

/* Collective. */
static void broadcast_normalizer(ls_comm *comm, ls_normalizer *normalizer) {
  ls_comm_broadcast(comm, normalizer->offset, normalizer->n_features * sizeof *normalizer->offset);
  ls_comm_broadcast(comm, normalizer->factor, normalizer->n_features * sizeof *normalizer->factor);
  ls_normalizer_set(normalizer, normalizer->offset, normalizer->factor);
  if (normalizer->targets) broadcast_normalizer(comm, normalizer->targets);
}

ls_status ls_checkpoint_restore_normalizer(ls_comm *comm, const ls_modelfile *file,
                                           ls_normalizer *normalizer) {
  LS_TRY(ls_comm_agree(comm, file ? ls_modelfile_read_normalizer(file, normalizer) : LS_OK));
  broadcast_normalizer(comm, normalizer);
  return LS_OK;
}

ls_status ls_checkpoint_restore(ls_comm *comm, const ls_modelfile *file, ls_model *model,
                                ls_normalizer *normalizer, ls_optim *optim, ls_progress *progress) {
  const bool is_root = ls_comm_rank(comm) == 0;
  LS_TRY(ls_comm_agree(comm, is_root ? read_all(file, model, progress) : LS_OK));
  LS_TRY(ls_checkpoint_restore_normalizer(comm, file, normalizer));
  ls_comm_broadcast(comm, model->params, model->n_params * sizeof *model->params);
  ls_comm_broadcast(comm, model->state, model->n_state * sizeof *model->state);
  if (optim) LS_TRY(restore_optimizer(comm, file, model, optim));
  if (progress) {
    double *const sums = progress->sums;
    ls_comm_broadcast(comm, progress, sizeof *progress);
    progress->sums = sums;
    ls_comm_broadcast(comm, sums, progress->n_sums * sizeof *sums);
  }
  return LS_OK;
}
