/* The shapes of a model for its data. */
#include "internal.h"

ls_status job_infer_shapes(ls_job *job, const ls_dataset *dataset) {
  const ls_shape input = ls_dataset_shape(dataset);
  if (job->model->n_out == 0) LS_TRY(ls_model_infer_shapes(job->model, &input));
  job_check_measures(job, job->model->n_out);
  job_check_class_count(job, job->model->n_out);
  return ls_config_status(job->config);
}
