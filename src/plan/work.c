/* The work of a run, from its config and data. */
#include "lockstep/plan.h"

static ls_plan_mode mode_of(const ls_job *job) {
  static const ls_plan_mode modes[] = {[LS_SYNC_AUTO] = LS_PLAN_AUTO,
                                       [LS_SYNC_ALLREDUCE] = LS_PLAN_ALLREDUCE,
                                       [LS_SYNC_OVERLAP] = LS_PLAN_OVERLAP,
                                       [LS_SYNC_SHARDED] = LS_PLAN_SHARDED};
  return job->train.reproducible ? LS_PLAN_TREE : modes[job->sync.mode];
}

/* Bytes of a model for passes of at most `rows` rows, and of their inputs; nothing is allocated for them.
 */
static ls_status bytes_with(const ls_setup *setup, size_t rows, double *out) {
  const ls_job *const job = setup->job;
  const ls_model *const built = job->model;
  ls_model *model = NULL;
  LS_TRY(ls_model_parse(job->config, built->loss, &model));
  model->loss_options = built->loss_options;
  model->l1 = built->l1;
  model->l2 = built->l2;
  model->max_lanes = built->max_lanes;
  ls_status status = ls_model_infer_shapes(model, &built->in);
  if (status == LS_OK) status = ls_model_measure(model, rows);
  *out = status == LS_OK ? (double)(model->arena.used + rows * built->n_in * sizeof(float)) : 0.0;
  ls_model_destroy(&model);
  return status;
}

/* A rank's model holds at least a pass of evaluation. Two sizes give the bytes per row. */
static ls_status measure_model(const ls_setup *setup, ls_plan_work *out) {
  double less = 0.0;
  const size_t fewer = LS_EVALUATE_ROWS / 2;
  out->least_rows = LS_EVALUATE_ROWS;
  LS_TRY(bytes_with(setup, LS_EVALUATE_ROWS, &out->least_bytes));
  LS_TRY(bytes_with(setup, fewer, &less));
  out->row_bytes = (out->least_bytes - less) / (double)(LS_EVALUATE_ROWS - fewer);
  return LS_OK;
}

/* The memory of the samples. The windows of this run are divided among its nodes or, without enough shared
 * memory, its ranks. */
static void set_data(const ls_comm *comm, const ls_setup *setup, ls_plan_work *out) {
  const ls_dataset *const d = setup->train.dataset;
  bool is_private = false;
  const double windows = (double)ls_feed_bytes(setup->feed, &is_private);
  const int parts = ls_comm_size(comm) / (is_private ? 1 : ls_comm_node_size(comm));
  out->data_bytes = (double)ls_setup_data_bytes(setup, false);
  if (!d->is_streamed) return;
  out->reader_bytes = (double)ls_setup_data_bytes(setup, true) - (is_private ? windows : 0.0);
  const bool is_mixed = setup->job->data.augment.mixup > 0.0;
  out->window_bytes = windows * parts / (is_mixed && parts > 1 ? 2 : 1); /* without copies of partners */
  out->partner_bytes = is_mixed ? out->window_bytes : 0.0;
  out->data_bytes = 0.0;
  out->sample_bytes = (double)ls_dataset_row_bytes(d);
}

ls_status ls_plan_work_of(const ls_comm *comm, const ls_setup *setup, ls_plan_work *out) {
  const ls_job *const job = setup->job;
  const ls_train_config *const train = &job->train;
  const uint64_t steps = train->epochs * setup->steps_per_epoch;
  *out =
      (ls_plan_work){.n_params = job->model->n_params,
                     .n_segments = job->model->n_segments,
                     .mode = mode_of(job),
                     .is_half = job->sync.gradient_type == LS_GRADIENT_BF16,
                     .segments = job->model->segments,
                     .batch_size = setup->batch_size,
                     .accumulate = train->accumulate,
                     .steps = train->has_max_steps && train->max_steps < steps ? train->max_steps : steps,
                     .lanes = train->reproducible ? train->lanes : 0,
                     .slots = ls_optim_n_slots(job->optim)};
  set_data(comm, setup, out);
  return measure_model(setup, out);
}
