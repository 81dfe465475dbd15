/* Evaluation: each rank evaluates its shard, and the sums are added. Some ranks rank the scores for ROC
 * AUC.
 */
#include "internal.h"

#define RANKERS_BYTES ((size_t)1 << 30) /* of all ranks that compute AUCs, if there are several */

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

/* The weight of a sample for ROC AUC: negative if the sample does not belong to class or label k. */
static float signed_weight(const ls_dataset *data, const ls_row *row, size_t k) {
  const bool is_in = row->class_number ? (size_t)*row->class_number == k : ls_row_value(data, row, k) > 0.5;
  return is_in ? row->weight : -row->weight;
}

/* Local. The AUC of output k from its gathered scores, which are in the view's order. */
static ls_status rank_scores(const ls_view *view, const ls_ranking *r, size_t k) {
  for (size_t i = 0; i < view->n; i++) {
    ls_row row;
    LS_TRY(ls_dataset_fetch(view->dataset, 1, &r->order[i], &row));
    r->samples[i] = (ls_scored){.score = r->gathered[i], .weight = signed_weight(view->dataset, &row, k)};
    ls_heartbeat_every(i);
  }
  r->auc[k] = ls_auc_compute(view->n, r->samples, r->samples + view->n);
  return LS_OK;
}

/* The number of ranks that compute AUCs at the same time, each of one output. Each needs arrays for all
 * samples, so there are fewer for more samples. */
static int count_rankers(const ls_comm *comm, size_t n_outputs, uint64_t samples) {
  const size_t row_bytes = sizeof(uint64_t) + sizeof(float) + 2 * sizeof(ls_scored);
  const size_t most = ls_size_max(RANKERS_BYTES / row_bytes / ls_size_max(samples, 1), 1);
  return (int)ls_size_min(most, ls_size_min(n_outputs, (size_t)ls_comm_size(comm)));
}

/* Collective. Ranks 0 to n_rankers - 1 compute the AUC of one output each, and continue with the next ones.
 * Shards are contiguous and in rank order, so the result does not depend on their number. */
static ls_status measure_auc(ls_comm *comm, const ls_view *view, ls_metric *metric) {
  ls_ranking *const r = metric->ranking;
  const size_t n = metric->n_outputs;
  const size_t rank = (size_t)ls_comm_rank(comm);
  const size_t n_rankers = (size_t)r->n_rankers;
  ls_status status = LS_OK;
  LS_ASSERT(rank >= n_rankers || view->n <= r->all_rows);
  for (size_t i = 0; rank < n_rankers && i < view->n; i++) {
    r->order[i] = ls_view_sample(view, i);
    ls_heartbeat_every(i);
  }
  for (size_t first = 0; first < n; first += n_rankers) {
    for (size_t k = first; k < ls_size_min(first + n_rankers, n); k++)
      ls_comm_gather_f32(comm, r->scores + k * r->max_rows, r->rows, (int)(k - first), r->gathered);
    for (size_t k = first; k < ls_size_min(first + n_rankers, n); k++) {
      r->auc[k] = 0.0;
      if (status == LS_OK && k - first == rank) status = rank_scores(view, r, k);
    }
  }
  LS_TRY(ls_comm_agree(comm, status));
  ls_comm_sum_f64(comm, r->auc, n); /* exact: one rank has each number, the others 0 */
  return LS_OK;
}

ls_status ls_evaluate_keep_scores(const ls_comm *comm, const ls_comm_tree *tree, uint64_t samples,
                                  ls_metric *metric) {
  const size_t shard = tree ? tree->count * ls_shard_most(samples, (int)tree->n_lanes)
                            : ls_shard_most(samples, ls_comm_size(comm));
  const int n_rankers = count_rankers(comm, metric->n_outputs, samples);
  LS_TRY(ls_metric_keep_scores(metric, shard, ls_comm_rank(comm) < n_rankers ? samples : 0));
  metric->ranking->n_rankers = n_rankers;
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
  return metric->ranking ? measure_auc(comm, view, metric) : LS_OK;
}
