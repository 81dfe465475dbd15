/* The datasets of a job: training, validation, test. */
#include "internal.h"

/* Opens the dataset of a split. model: on rank 0 the facts that it must have; NULL: any */
static ls_status open_split(ls_comm *comm, const ls_setup *setup, const char *spec,
                            const ls_data_split *data, const char *role, const ls_facts *model,
                            ls_split *split) {
  const ls_job *const job = setup->job;
  const ls_dataset_request request = {.spec = spec,
                                      .list = data->list,
                                      .role = role,
                                      .x = data->x,
                                      .y = data->y,
                                      .target = ls_target_of(job->train.loss),
                                      .model = model,
                                      .layout = (ls_layout)job->data.layout,
                                      .shape = job->data.shape,
                                      .cache = setup->cache,
                                      .errors = setup->errors,
                                      .n_spatial = ls_model_spatial_dims(job->model)};
  return ls_dataset_open(comm, &request, &split->dataset);
}

static ls_status read_split(ls_comm *comm, const ls_job *job, ls_split *split) {
  LS_TRY(ls_dataset_read(comm, split->dataset, job->model->n_out));
  split->view = ls_view_all(split->dataset);
  return LS_OK;
}

/* Results on the training samples say nothing about new ones. */
static void warn_if_same(const ls_setup *setup, const ls_split *split, const char *key) {
  const ls_dataset *const train = setup->train.dataset;
  if (split->dataset && !split->is_shared && ls_dataset_same(split->dataset, train))
    ls_log(LS_LOG_WARNING,
           "data.%s has the same samples as data.train; its results do not show how the model "
           "performs on new data",
           key);
}

/* Local. The split of the config selects no samples, or all of them. */
static ls_status fail_split(const ls_setup *setup) {
  const ls_data_config *const data = &setup->job->data;
  const ls_dataset *const dataset = setup->train.dataset;
  if (setup->window > 0 && dataset->blocks->n == 1)
    return ls_fail(
        LS_ERR_DATA,
        "data.validation: %g: selects none of the %llu samples of %s: with data.window it selects whole "
        "blocks, and there is only one; remove data.window, or name a file of validation data",
        data->validation_fraction, (unsigned long long)dataset->n_samples, data->train);
  return ls_fail(
      LS_ERR_DATA,
      "data.validation: %g: selects none or all of the %llu samples of %s; both training and validation "
      "need at least one",
      data->validation_fraction, (unsigned long long)dataset->n_samples, data->train);
}

/* Local. Splits the validation data off the training data: with a window, by blocks. */
static ls_status split_validation(ls_setup *setup) {
  const ls_job *const job = setup->job;
  const ls_data_config *const data = &job->data;
  ls_split *const train = &setup->train;
  ls_split *const validation = &setup->validation;
  if (data->validation_fraction <= 0.0) return LS_OK;
  validation->dataset = train->dataset;
  validation->is_shared = true;
  if (setup->window > 0)
    LS_TRY(ls_view_split_blocks(train->dataset, data->validation_fraction, job->train.seed, &train->view,
                                &validation->view));
  else
    ls_view_split(train->dataset, data->validation_fraction, job->train.seed, &train->view,
                  &validation->view);
  return train->view.n > 0 && validation->view.n > 0 ? LS_OK : fail_split(setup);
}

ls_status job_open_training(ls_comm *comm, ls_setup *setup) {
  ls_job *const job = setup->job;
  ls_split *const train = &setup->train;
  LS_TRY(open_split(comm, setup, job->data.train, &job->data.train_split, "train", NULL, train));
  LS_TRY(ls_comm_agree(comm, job_infer_shapes(job, train->dataset)));
  if (ls_comm_rank(comm) == 0) setup->facts = ls_facts_of(train->dataset, "data.train");
  return LS_OK;
}

ls_status job_open_validation(ls_comm *comm, ls_setup *setup) {
  const ls_data_config *const data = &setup->job->data;
  if (!data->validation) return LS_OK;
  return open_split(comm, setup, data->validation, &data->validation_split, "validation", &setup->facts,
                    &setup->validation);
}

ls_status job_open_test(ls_comm *comm, ls_setup *setup) {
  const ls_data_config *const data = &setup->job->data;
  if (!data->test) return LS_OK;
  return open_split(comm, setup, data->test, &data->test_split, "test", &setup->facts, &setup->test);
}

#define WINDOW_BYTES 1000000000 /* of streamed data, by default */

/* Collective. Chooses where the samples are kept, and the window. A run that began with a full shuffle,
 * which needs all samples in memory, keeps it. */
static ls_status place_splits(ls_comm *comm, ls_setup *setup) {
  const ls_data_config *const data = &setup->job->data;
  const bool is_full = data->window.is_given && data->window.samples == 0 && data->window.bytes == 0;
  ls_dataset *const all[] = {setup->train.dataset, setup->validation.dataset, setup->test.dataset};
  ls_dataset *datasets[3] = {NULL};
  ls_data_memory memory = (ls_data_memory)data->memory;
  size_t n = 0;
  for (size_t i = 0; i < 3; i++)
    if (all[i]) datasets[n++] = all[i];
  if (is_full && memory == LS_MEMORY_STREAM)
    return ls_fail(
        LS_ERR_CONFIG,
        "data.memory: stream: the run that is resumed began without windows, and needs all samples "
        "in memory; must be auto or resident");
  if (is_full) memory = LS_MEMORY_RESIDENT;
  ls_datasets_place(comm, memory, setup->job->model->n_out, datasets, n);
  ls_window_size window = data->window;
  LS_ASSERT(setup->train.dataset);
  if (setup->train.dataset->is_streamed && !window.is_given) window.bytes = WINDOW_BYTES;
  setup->window = ls_dataset_window(setup->train.dataset, &window);
  return LS_OK;
}

/* Local, on rank 0. The values of the training data: those of the checkpoint, or measured. */
static ls_status measure_facts(ls_setup *setup) {
  const ls_modelfile *const resumed = setup->resumed;
  if (!resumed || !resumed->x.type) return ls_facts_measure(&setup->train.view, &setup->facts);
  setup->facts.x = resumed->x;
  setup->facts.x.type = ls_dtype_name(setup->train.dataset->x_array.dtype);
  return LS_OK;
}

/* Collective. Opens the datasets, and reads that of training. */
static ls_status open_own(ls_comm *comm, ls_setup *setup) {
  LS_TRY(job_open_training(comm, setup));
  LS_TRY(job_open_validation(comm, setup));
  LS_TRY(job_open_test(comm, setup));
  LS_TRY(place_splits(comm, setup));
  LS_TRY(job_check_data_memory(comm, setup));
  return read_split(comm, setup->job, &setup->train);
}

ls_status job_open_data(ls_comm *comm, ls_setup *setup) {
  ls_job *const job = setup->job;
  bool is_lent = false;
  LS_TRY(ls_comm_agree(comm, job_borrow_data(setup, &is_lent)));
  if (!is_lent) LS_TRY(open_own(comm, setup));
  LS_TRY(ls_comm_agree(comm, split_validation(setup)));
  job_check_resumed(comm, setup);
  LS_TRY(ls_comm_agree(comm, ls_comm_rank(comm) == 0 ? measure_facts(setup) : LS_OK));
  if (is_lent) return LS_OK;
  if (job->data.validation) LS_TRY(read_split(comm, job, &setup->validation));
  if (job->data.test) LS_TRY(read_split(comm, job, &setup->test));
  warn_if_same(setup, &setup->validation, "validation");
  warn_if_same(setup, &setup->test, "test");
  return LS_OK;
}
