/* What a run that is resumed knows from its checkpoint, instead of a pass over the data. */
#include "internal.h"

/* Whether the checkpoint learned the same, from data of the same shape.  then: its job */
static bool fits(const ls_setup *setup, ls_job *then) {
  const ls_job *const now = setup->job;
  const ls_modelfile *const file = setup->resumed;
  return file->is_checkpoint && ls_model_infer_shapes(then->model, &file->input) == LS_OK &&
         then->model->n_in == now->model->n_in && then->model->n_out == now->model->n_out &&
         then->train.loss == now->train.loss && then->data.normalize == now->data.normalize &&
         then->data.is_per_channel == now->data.is_per_channel &&
         then->data.standardize_targets == now->data.standardize_targets;
}

void job_check_resumed(ls_comm *comm, ls_setup *setup) {
  const ls_modelfile *const file = setup->resumed;
  ls_job *then = NULL;
  if (file &&
      (ls_job_create_saved(file->config, ls_store_path(file->store), &then) != LS_OK || !fits(setup, then)))
    setup->resumed = NULL;
  ls_job_destroy(&then);
  setup->is_resumed = setup->resumed != NULL;
  ls_comm_broadcast(comm, &setup->is_resumed, sizeof setup->is_resumed);
}

/* Collective. */
static ls_status learn_normalizer(ls_comm *comm, ls_setup *setup, const ls_view *view) {
  const ls_data_config *const data = &setup->job->data;
  return ls_normalizer_learn(comm, (ls_normalize)data->normalize, data->is_per_channel, view,
                             setup->normalizer);
}

#define ESTIMATE_BLOCKS 16

/* Collective. Learns from a few blocks: enough to measure the speed of a run. */
static ls_status estimate_normalizer(ls_comm *comm, ls_setup *setup) {
  const ls_dataset *const d = setup->train.dataset;
  const double fraction = ESTIMATE_BLOCKS / (double)d->blocks->n;
  ls_view rest = {0};
  ls_view few = {0};
  ls_status status = ls_view_split_blocks(d, fraction, setup->job->train.seed, &rest, &few);
  status = ls_comm_agree(comm, status);
  if (status == LS_OK) status = learn_normalizer(comm, setup, &few);
  ls_view_release(&rest);
  ls_view_release(&few);
  return status;
}

ls_status job_set_normalizer(ls_comm *comm, ls_setup *setup) {
  const ls_dataset *const d = setup->train.dataset;
  if (setup->is_resumed) return ls_checkpoint_restore_normalizer(comm, setup->resumed, setup->normalizer);
  if (setup->job->is_estimate && d->is_streamed && d->blocks->n > ESTIMATE_BLOCKS)
    return estimate_normalizer(comm, setup);
  return learn_normalizer(comm, setup, &setup->train.view);
}
