/* Evaluation: each rank evaluates its shard, and the sums are added. Rank 0 ranks the scores for ROC AUC.
 */
#include "internal.h"

void ls_evaluate_set_scale(const ls_normalizer *normalizer, const ls_dataset *dataset, uint64_t sample,
                           ls_metric *metric) {
  const size_t n = metric->n_outputs;
  const ls_normalizer *const targets = normalizer->targets;
  if (metric->task != LS_TASK_REGRESSION) return;
  ls_row row;
  ls_dataset_fetch(dataset, 1, &sample, &row);
  for (size_t k = 0; k < n; k++) {
    const double y = ls_row_value(dataset, &row, k);
    metric->pivots[k] = (float)(targets ? (y - targets->offset[k]) * targets->factor[k] : y);
    metric->units[k] = targets ? 1.0 / targets->factor[k] : 1.0;
  }
}

/* The weight of a sample for ROC AUC: negative if the sample does not belong to class or label k. */
static float signed_weight(const ls_dataset *data, uint64_t sample, size_t k) {
  ls_row row;
  ls_dataset_fetch(data, 1, &sample, &row);
  const bool is_in = row.class_number ? (size_t)*row.class_number == k : ls_row_value(data, &row, k) > 0.5;
  return is_in ? row.weight : -row.weight;
}

/* Rank 0: the AUC of output k from its gathered scores, which are in the view's order. */
static double rank_scores(const ls_view *view, const ls_ranking *r, size_t k) {
  for (size_t i = 0; i < view->n; i++) {
    r->samples[i] =
        (ls_scored){.score = r->gathered[i], .weight = signed_weight(view->dataset, r->order[i], k)};
    ls_heartbeat_every(i);
  }
  return ls_auc_compute(view->n, r->samples, r->samples + view->n);
}

/* Collective. Computes the AUC of one output after the other, as the scores of all may exceed the memory of
 * a rank. Shards are contiguous and in rank order, so the result does not depend on their number. */
static void measure_auc(ls_comm *comm, const ls_view *view, ls_metric *metric) {
  ls_ranking *const r = metric->ranking;
  const bool is_root = ls_comm_rank(comm) == 0;
  LS_ASSERT(!is_root || view->n <= r->all_rows);
  for (size_t i = 0; is_root && i < view->n; i++) {
    r->order[i] = ls_view_sample(view, i);
    ls_heartbeat_every(i);
  }
  for (size_t k = 0; k < metric->n_outputs; k++) {
    ls_comm_gather_f32(comm, r->scores + k * r->max_rows, r->rows, r->gathered);
    if (is_root) r->auc[k] = rank_scores(view, r, k);
  }
  ls_comm_broadcast(comm, r->auc, metric->n_outputs * sizeof *r->auc);
}

ls_status ls_evaluate_keep_scores(const ls_comm *comm, const ls_comm_tree *tree, uint64_t samples,
                                  ls_metric *metric) {
  const size_t shard = tree ? tree->count * ls_shard_most(samples, (int)tree->n_lanes)
                            : ls_shard_most(samples, ls_comm_size(comm));
  return ls_metric_keep_scores(metric, shard, ls_comm_rank(comm) == 0 ? samples : 0);
}

/* Adds rows first .. first + rows - 1 of a view. */
static void add_rows(ls_model *model, const ls_normalizer *normalizer, const ls_view *view, ls_batch *batch,
                     uint64_t first, size_t rows, ls_metric *metric) {
  const size_t lanes[] = {0, rows};
  const ls_pass pass = {.n_lanes = 1, .lanes = lanes};
  for (size_t i = 0; i < rows; i++) batch->samples[i] = ls_view_sample(view, first + i);
  ls_batch_gather(batch, view->dataset, normalizer, rows);
  const ls_targets targets = ls_batch_targets(batch);
  const ls_objective loss = {.targets = &targets, .metric = metric};
  ls_forward_backward(model, &pass, batch->x, &loss);
}

/* The rows of a pass do not depend on the number of ranks: a different shape may give different bits. */
void ls_evaluate(ls_comm *comm, ls_comm_tree *tree, ls_model *model, const ls_normalizer *normalizer,
                 const ls_view *view, ls_batch *batch, ls_metric *metric) {
  ls_partition partition;
  ls_partition_rows(comm, tree, view->n, &partition);
  const size_t most = ls_size_min(LS_EVALUATE_ROWS, ls_size_min(batch->max_rows, model->max_rows));
  ls_metric_reset(metric);
  if (view->n > 0) ls_evaluate_set_scale(normalizer, view->dataset, ls_view_sample(view, 0), metric);
  for (size_t lane = 0; lane < partition.n_lanes; lane++) {
    ls_metric_begin_lane(metric, lane);
    for (size_t done = partition.lanes[lane]; done < partition.lanes[lane + 1]; done += most)
      add_rows(model, normalizer, view, batch, partition.first + done,
               ls_size_min(most, partition.lanes[lane + 1] - done), metric);
    ls_metric_end_lane(metric, lane, partition.n_lanes);
  }
  ls_comm_barrier(comm); /* a shard may take longer than the watchdog's timeout */
  ls_comm_tree_sum_f64(comm, tree, metric->sums, metric->n_sums);
  if (metric->ranking) measure_auc(comm, view, metric);
}
