/* Evaluation: each rank its shard, the sums added. */
#include "internal.h"

void train_set_scale(const ls_normalizer *normalizer, const ls_dataset *dataset, uint64_t sample,
                     ls_metric *metric) {
  const size_t n = metric->n_outputs;
  const ls_normalizer *const targets = normalizer->targets;
  if (metric->task != LS_TASK_REGRESSION) return;
  for (size_t k = 0; k < n; k++) {
    const double y = (double)((const float *)dataset->y.data)[sample * n + k];
    metric->pivots[k] = (float)(targets ? (y - targets->offset[k]) * targets->factor[k] : y);
    metric->units[k] = targets ? 1.0 / targets->factor[k] : 1.0;
  }
}

void ls_evaluate(ls_comm *comm, ls_model *model, const ls_normalizer *normalizer, const ls_view *view,
                 ls_batch *batch, ls_metric *metric) {
  const ls_shard shard = ls_shard_of(view->n, ls_comm_rank(comm), ls_comm_size(comm));
  const size_t most = ls_size_min(batch->max_rows, model->max_rows);
  ls_metric_reset(metric);
  if (view->n > 0) train_set_scale(normalizer, view->dataset, ls_view_sample(view, 0), metric);
  for (size_t done = 0; done < shard.rows; done += most) {
    const size_t rows = ls_size_min(most, shard.rows - done);
    const size_t lanes[] = {0, rows};
    const ls_pass pass = {.n_lanes = 1, .lanes = lanes};
    for (size_t i = 0; i < rows; i++) batch->samples[i] = ls_view_sample(view, shard.first + done + i);
    ls_batch_gather(batch, view->dataset, normalizer, rows, ls_model_input(model));
    const float *const z = ls_model_forward(model, &pass);
    const ls_targets targets = ls_batch_targets(batch);
    const double loss = ls_loss_apply(model->loss, rows, model->n_out, z, &targets, NULL);
    ls_metric_add(metric, rows, z, &targets, loss);
  }
  ls_comm_sum_f64(comm, metric->sums, metric->n_sums);
}
