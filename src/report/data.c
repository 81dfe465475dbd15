/* The data on which the model of a run is evaluated. */
#include "internal.h"

#include <stdlib.h>

/* The data of a run. All pointers are borrowed. */
typedef struct own_data {
  const char *spec;
  const ls_data_split *split;
  const char *role, *name;
  bool is_part; /* a fraction of the training data */
} own_data;

/* Local. The test data of a job, else its validation data; spec is NULL if there are none. */
static own_data choose_data(const ls_data_config *data) {
  if (data->test) return (own_data){data->test, &data->test_split, "test", "test data", false};
  if (data->validation)
    return (own_data){data->validation, &data->validation_split, "validation", "validation data", false};
  if (data->validation_fraction > 0.0)
    return (own_data){data->train, &data->train_split, "train", "validation data, a part of", true};
  return (own_data){0};
}

/* Collective. Selects the validation data that training has split off. */
static ls_status select_part(ls_comm *comm, const ls_predictor *predictor, const ls_dataset *dataset,
                             ls_view *train, ls_view *view) {
  const ls_job *const job = predictor->job;
  const double fraction = job->data.validation_fraction;
  uint64_t window = predictor->saved ? predictor->saved->window : 0;
  ls_comm_broadcast(comm, &window, sizeof window);
  ls_status status = LS_OK;
  if (window > 0)
    status = ls_view_split_blocks(dataset, fraction, job->train.seed, train, view);
  else
    ls_view_split(dataset, fraction, job->train.seed, train, view);
  status = ls_comm_agree(comm, status);
  if (status == LS_OK && view->n == 0)
    status = ls_fail(LS_ERR_DATA, "%s: too small: it has no validation samples any more", job->data.train);
  return status;
}

/* Collective. Opens the data and evaluates the model. */
static ls_status evaluate_on(ls_comm *comm, const ls_report_options *options, const ls_predictor *predictor,
                             const own_data *own, report_run *run) {
  const ls_predictor_data data = {.spec = options->data ? options->data : own->spec,
                                  .list = options->data ? NULL : own->split->list,
                                  .role = options->data ? "test" : own->role,
                                  .x = options->data ? options->x : own->split->x,
                                  .y = options->data ? options->y : own->split->y,
                                  .memory = options->memory,
                                  .with_targets = true};
  ls_dataset *dataset = NULL;
  ls_view train = {0};
  ls_view view = {0};
  char *name = NULL;
  ls_status status = ls_predictor_open_data(comm, predictor, &data, &dataset);
  if (status == LS_OK && !options->data && own->is_part)
    status = select_part(comm, predictor, dataset, &train, &view);
  else if (status == LS_OK)
    view = ls_view_all(dataset);
  if (status == LS_OK) {
    name = options->data ? ls_strdup(options->data)
                         : ls_format("%s %s%s", own->name, own->spec, own->split->list ? " and more" : "");
    status = ls_comm_agree(comm, name ? LS_OK : ls_fail_memory("a name", 0));
  }
  if (status == LS_OK) status = report_evaluate(comm, predictor, &view, name, &run->evaluation);
  free(name);
  ls_view_release(&view);
  ls_view_release(&train);
  ls_dataset_close(comm, &dataset);
  return status;
}

/* Collective. */
static ls_status evaluate(ls_comm *comm, const ls_report_options *options, report_run *run) {
  ls_predictor *predictor = NULL;
  ls_status status = ls_predictor_create(comm, run->model, &predictor);
  if (status == LS_OK) {
    const own_data own = choose_data(&predictor->job->data);
    if (predictor->saved && predictor->saved->platform)
      run->platform = ls_strdup(predictor->saved->platform);
    if (options->data || own.spec)
      status = evaluate_on(comm, options, predictor, &own, run);
    else
      run->not_evaluated =
          ls_strdup("The run has neither test nor validation data; name data with --data.");
  }
  ls_predictor_destroy(&predictor);
  return status;
}

ls_status report_run_evaluate(ls_comm *comm, const ls_report_options *options, report_run *run) {
  LS_TRY(ls_comm_broadcast_text(comm, &run->model));
  if (!run->model) {
    run->not_evaluated = ls_strdup("The run has no model yet: model.h5 is missing.");
    return LS_OK;
  }
  const ls_status status = evaluate(comm, options, run);
  const bool is_own =
      !options->data && (status == LS_ERR_DATA || status == LS_ERR_MODEL || status == LS_ERR_CONFIG);
  if (!is_own) return status;
  ls_log(LS_LOG_WARNING, "%s: not evaluated: %s", run->path, ls_message());
  run->not_evaluated = ls_format("Not evaluated: %s", ls_message());
  return LS_OK;
}
