/* Data for a saved model. */
#include "internal.h"

/* Local, on rank 0. Warns if the data are unlike the training data of the model. */
static ls_status compare(const ls_facts *model, const ls_predictor *predictor, const ls_dataset *dataset,
                         const char *spec) {
  const ls_view view = ls_view_all(dataset);
  return ls_facts_compare(model, (ls_normalize)predictor->job->data.normalize, predictor->normalizer, &view,
                          spec);
}

ls_status ls_predictor_open_data(ls_comm *comm, const ls_predictor *predictor,
                                 const ls_predictor_data *data, ls_dataset **out) {
  const ls_job *const job = predictor->job;
  const ls_data_split *const train = &job->data.train_split;
  const ls_data_split *const test = &job->data.test_split;
  const ls_facts model = predictor->saved ? ls_facts_of_model(predictor->saved) : (ls_facts){0};
  const ls_dataset_request request = {.spec = data->spec,
                                      .list = data->list,
                                      .role = data->role,
                                      .x = data->x,
                                      .y = data->y,
                                      .training_x = test->x ? test->x : train->x,
                                      .training_y = test->y ? test->y : train->y,
                                      .target = data->with_targets ? ls_target_of(job->train.loss)
                                                                   : LS_TARGET_NONE,
                                      .model = &model,
                                      .layout = (ls_layout)job->data.layout,
                                      .shape = job->data.shape,
                                      .n_spatial = ls_model_spatial_dims(job->model)};
  ls_status status = ls_dataset_open(comm, &request, out);
  if (status == LS_OK) {
    ls_datasets_place(comm, data->memory, job->model->n_out, out, 1);
    status = ls_dataset_read(comm, *out, job->model->n_out);
  }
  if (status == LS_OK)
    status = ls_comm_agree(comm, ls_comm_rank(comm) == 0 ? compare(&model, predictor, *out,
                                                                   data->name ? data->name : data->spec)
                                                         : LS_OK);
  if (status != LS_OK) ls_dataset_close(comm, out);
  return status;
}
