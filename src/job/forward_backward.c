/* The pass that training, evaluation, plans, gradient checks and attributions share. */
#include "lockstep/job.h"

/* The loss of one lane, and its gradient unless dz is NULL.  z, dz: of all lanes */
static double apply_lane(const ls_model *model, const ls_pass *pass, size_t lane, const ls_objective *o,
                         const float *z, float *dz) {
  const size_t first = pass->lanes[lane];
  const size_t rows = pass->lanes[lane + 1] - first;
  const size_t offset = first * model->n_out;
  const ls_targets targets = ls_targets_from(o->targets, first, model->n_out);
  if (o->metric && pass->n_lanes > 1) ls_metric_begin_lane(o->metric, lane);
  const double loss = ls_loss_apply(model->loss, &model->loss_options, rows, model->n_out, z + offset,
                                    &targets, dz ? dz + offset : NULL);
  if (o->metric) ls_metric_add(o->metric, rows, z + offset, &targets, loss);
  if (o->metric && pass->n_lanes > 1) ls_metric_end_lane(o->metric, lane, pass->n_lanes);
  return loss;
}

double ls_forward_backward(ls_model *model, const ls_pass *pass, const float *x, const ls_objective *o) {
  double loss = 0.0;
  const float *const z = ls_model_forward(model, pass, x);
  float *const dz = o->needs_gradient ? ls_model_output_gradient(model) : NULL;
  if (o->set_gradient)
    o->set_gradient(o->context, ls_pass_rows(pass), z, dz);
  else
    for (size_t lane = 0; lane < pass->n_lanes; lane++) loss += apply_lane(model, pass, lane, o, z, dz);
  if (o->needs_gradient) ls_model_backward(model, pass, o->dx);
  return loss;
}
