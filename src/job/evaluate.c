/* Evaluation: each rank evaluates its shard, and the sums are added. */
#include "internal.h"

ls_status ls_evaluate_set_scale(const ls_normalizer *normalizer, const ls_dataset *dataset, uint64_t sample,
                                ls_metric *metric) {
  const size_t n = metric->n_outputs;
  const ls_normalizer *const targets = normalizer->targets;
  if (metric->task != LS_TASK_REGRESSION) return LS_OK;
  ls_row row;
  LS_TRY(ls_dataset_fetch(dataset, 1, &sample, &row));
  for (size_t k = 0; k < n; k++) {
    const double y = ls_row_value(dataset, &row, k);
    metric->pivots[k] = (float)(targets ? (y - targets->offset[k]) * targets->factor[k] : y);
    metric->units[k] = targets ? 1.0 / targets->factor[k] : 1.0;
  }
  return LS_OK;
}

/* Adds rows first .. first + rows - 1 of a view. */
static ls_status add_rows(ls_model *model, const ls_normalizer *normalizer, const ls_view *view,
                          ls_batch *batch, uint64_t first, size_t rows, ls_metric *metric) {
  const size_t lanes[] = {0, rows};
  const ls_pass pass = {.n_lanes = 1, .lanes = lanes};
  for (size_t i = 0; i < rows; i++) batch->samples[i] = ls_view_sample(view, first + i);
  LS_TRY(ls_batch_gather(batch, view->dataset, normalizer, rows));
  const ls_targets targets = ls_batch_targets(batch);
  const ls_objective loss = {.targets = &targets, .metric = metric};
  ls_forward_backward(model, &pass, batch->x, &loss);
  return LS_OK;
}

/* Local. This rank's rows of a view will be fetched in order. */
static ls_status expect_rows(const ls_view *view, const ls_partition *partition) {
  const uint64_t rows = partition->lanes[partition->n_lanes];
  const ls_expected expected = {
      .view = view, .first = partition->first, .run = ls_size_max(rows, 1), .n = rows};
  return ls_dataset_expect(view->dataset, &expected);
}

/* The rows of a pass do not depend on the number of ranks: a different shape may give different bits. */
ls_status ls_evaluate(ls_comm *comm, ls_comm_tree *tree, ls_model *model, const ls_normalizer *normalizer,
                      const ls_view *view, ls_batch *batch, ls_metric *metric) {
  ls_status status = LS_OK;
  ls_partition partition;
  ls_partition_rows(comm, tree, view->n, &partition);
  const size_t most = ls_size_min(LS_EVALUATE_ROWS, ls_size_min(batch->max_rows, model->max_rows));
  ls_metric_reset(metric);
  if (view->n > 0)
    status = ls_evaluate_set_scale(normalizer, view->dataset, ls_view_sample(view, 0), metric);
  if (status == LS_OK && view->n > 0) status = expect_rows(view, &partition);
  for (size_t lane = 0; lane < partition.n_lanes; lane++) {
    ls_metric_begin_lane(metric, lane);
    for (size_t done = partition.lanes[lane]; status == LS_OK && done < partition.lanes[lane + 1];
         done += most)
      status = add_rows(model, normalizer, view, batch, partition.first + done,
                        ls_size_min(most, partition.lanes[lane + 1] - done), metric);
    ls_metric_end_lane(metric, lane, partition.n_lanes);
  }
  if (view->n > 0) (void)ls_dataset_expect(view->dataset, &(ls_expected){.run = 1});
  LS_TRY(ls_comm_agree(comm, status)); /* a shard may take longer than the watchdog's timeout */
  ls_comm_tree_sum_f64(comm, tree, metric->sums, metric->n_sums);
  return metric->ranking ? job_measure_auc(comm, metric) : LS_OK;
}
