/* The check of all samples of a job. */
#include "internal.h"

#include <stdlib.h>

/* Collective. Checks the samples of a split, if it has its own data. */
static ls_status check_split(ls_comm *comm, const ls_setup *setup, ls_split *split, const char *name,
                             ls_data_check *check) {
  ls_dataset *const d = split->dataset;
  ls_status status = LS_OK;
  if (!d) return LS_OK;
  status = ls_dataset_check(comm, d, setup->job->model->n_out, name, &check->errors);
  if (status == LS_ERR_DATA)
    ls_data_errors_add(&check->errors, ls_message());
  else
    LS_TRY(status);
  check->samples += d->n_samples;
  check->bytes += d->n_samples * (uint64_t)ls_dataset_row_bytes(d);
  return LS_OK;
}

ls_status ls_job_check_data(ls_comm *comm, ls_job *job, ls_data_check *check) {
  ls_setup *setup = ls_calloc(1, sizeof *setup);
  LS_TRY(ls_comm_agree(comm, setup ? LS_OK : ls_fail_memory("the setup", sizeof *setup)));
  LS_ASSERT(setup);
  setup->job = job;
  ls_comm_set_timeout(comm, job->sync.timeout);
  ls_status status = job_open_splits(comm, setup);
  if (status == LS_OK) status = check_split(comm, setup, &setup->train, "data.train", check);
  if (status == LS_OK) status = check_split(comm, setup, &setup->validation, "data.validation", check);
  if (status == LS_OK) status = check_split(comm, setup, &setup->test, "data.test", check);
  ls_setup_destroy(comm, &setup);
  return status;
}
