/* The check of all samples of a job. */
#include "internal.h"

#include <stdlib.h>

/* Opens a split of the setup, if it has its own data. */
typedef ls_status open_split(ls_comm *comm, ls_setup *setup);

/* Collective. Opens a split and checks its samples. If it cannot be opened, its dataset is NULL. */
static ls_status check_split(ls_comm *comm, ls_setup *setup, open_split *open_data, ls_split *split,
                             const char *name, ls_data_check *check) {
  ls_status status = open_data(comm, setup);
  ls_dataset *const d = split->dataset;
  if (status == LS_OK && d)
    status = ls_dataset_check(comm, d, setup->job->model->n_out, name, &check->errors);
  if (d) {
    check->samples += d->n_samples;
    check->bytes += d->n_samples * (uint64_t)ls_dataset_row_bytes(d);
  }
  if (status != LS_ERR_DATA) return status;
  ls_data_errors_add(&check->errors, ls_message());
  return LS_OK;
}

ls_status ls_job_check_data(ls_comm *comm, ls_job *job, ls_data_check *check) {
  ls_setup *setup = ls_calloc(1, sizeof *setup);
  LS_TRY(ls_comm_agree(comm, setup ? LS_OK : ls_fail_memory("the setup", sizeof *setup)));
  LS_ASSERT(setup);
  ls_split *const train = &setup->train;
  setup->job = job;
  setup->errors = &check->errors;
  ls_comm_set_timeout(comm, job->sync.timeout);
  ls_status status = check_split(comm, setup, job_open_training, train, "data.train", check);
  if (train->dataset) { /* with which the others are compared */
    if (status == LS_OK)
      status = check_split(comm, setup, job_open_validation, &setup->validation, "data.validation", check);
    if (status == LS_OK) status = check_split(comm, setup, job_open_test, &setup->test, "data.test", check);
  }
  ls_comm_broadcast(comm, &check->errors, sizeof check->errors);
  ls_setup_destroy(comm, &setup);
  return status;
}
