/* What a run is to do, from its config and data. */
#include "lockstep/plan.h"

#include <string.h>

/* The choice of a key of `comm:`, by its place in `names` (n): the one that is used by default where the
 * config does not have it. */
static ls_status choice_of(const ls_job *job, const char *key, const char *const *names, size_t n,
                           size_t fallback, size_t *out) {
  const ls_node *const section = ls_node_find(ls_config_root(job->config), "comm");
  const ls_node *const node = section ? ls_node_find(section, key) : NULL;
  *out = fallback;
  if (!node || ls_node_is_null(node)) return LS_OK;
  for (size_t i = 0; i < n; i++) {
    *out = i;
    if (strcmp(ls_node_text(node), names[i]) == 0) return LS_OK;
  }
  return ls_fail(LS_ERR_CONFIG, "comm.%s: lockstep plan knows no %s", key, ls_node_text(node));
}

static ls_status read_modes(const ls_job *job, ls_plan_work *out) {
  static const char *const modes[] = {"allreduce", "overlap", "sharded", "auto"};
  static const ls_plan_mode meant[] = {LS_PLAN_ALLREDUCE, LS_PLAN_OVERLAP, LS_PLAN_SHARDED, LS_PLAN_AUTO};
  static const char *const types[] = {"float32", "bfloat16"};
  size_t mode = 0;
  size_t type = 0;
  ls_status status = choice_of(job, "mode", modes, 4, 3, &mode);
  if (status == LS_OK) status = choice_of(job, "gradient_type", types, 2, 0, &type);
  out->mode = job->train.reproducible ? LS_PLAN_TREE : meant[mode];
  out->is_half = type == 1 && !job->train.reproducible;
  return status;
}

/* Bytes of the model with room for so many rows. */
static ls_status bytes_with(const ls_setup *setup, size_t rows, double *out) {
  const ls_job *const job = setup->job;
  const ls_model *const built = job->model;
  ls_model *model = NULL;
  ls_status status = ls_model_parse(job->config, built->loss, &model);
  if (status != LS_OK) return status;
  model->l1 = built->l1;
  model->l2 = built->l2;
  model->max_lanes = built->max_lanes;
  status = ls_model_build(model, built->n_in, rows);
  *out = status == LS_OK ? (double)ls_model_bytes(model) : 0.0;
  ls_model_destroy(&model);
  return status;
}

static double data_bytes(const ls_part *part) {
  const ls_dataset *const d = part->dataset;
  return d && !part->is_shared ? (double)(d->x.bytes + d->y.bytes + d->w.bytes) : 0.0;
}

/* A rank's model has room for a pass of evaluation at least: two sizes tell what a row more needs. */
static ls_status measure_model(const ls_setup *setup, ls_plan_work *out) {
  double more = 0.0;
  out->least_rows = LS_EVALUATE_ROWS;
  ls_status status = bytes_with(setup, LS_EVALUATE_ROWS, &out->least_bytes);
  if (status == LS_OK) status = bytes_with(setup, 2 * (size_t)LS_EVALUATE_ROWS, &more);
  out->row_bytes = (more - out->least_bytes) / LS_EVALUATE_ROWS;
  return status;
}

ls_status ls_plan_work_of(const ls_setup *setup, ls_plan_work *out) {
  const ls_job *const job = setup->job;
  const ls_train_config *const train = &job->train;
  const uint64_t steps = train->epochs * setup->steps_per_epoch;
  *out = (ls_plan_work){
      .n_params = job->model->n_params,
      .n_segments = job->model->n_segments,
      .segments = job->model->segments,
      .batch_size = setup->batch_size,
      .accumulate = train->accumulate,
      .steps = train->has_max_steps && train->max_steps < steps ? train->max_steps : steps,
      .lanes = train->reproducible ? train->lanes : 0,
      .slots = job->optim->type->n_slots,
      .data_bytes = data_bytes(&setup->train) + data_bytes(&setup->validation) + data_bytes(&setup->test)};
  const ls_status status = read_modes(job, out);
  return status == LS_OK ? measure_model(setup, out) : status;
}
