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

ls_status job_set_normalizer(ls_comm *comm, ls_setup *setup) {
  const ls_data_config *const data = &setup->job->data;
  if (setup->is_resumed) return ls_checkpoint_restore_normalizer(comm, setup->resumed, setup->normalizer);
  return ls_normalizer_learn(comm, (ls_normalize)data->normalize, data->is_per_channel, &setup->train.view,
                             setup->normalizer);
}
