/* Weights: of classes, and the sum over a view. */
#include "internal.h"

#include <string.h>

/* Only rows with one class, or with one label, have a class. */
static void check_has_classes(const ls_dataset *d) {
  LS_ASSERT(d->target == LS_TARGET_CLASSES || (d->target == LS_TARGET_LABELS && d->n_outputs == 1));
}

size_t data_class_of(const ls_dataset *dataset, const ls_row *row) {
  return row->class_number ? (size_t)*row->class_number : ls_row_value(dataset, row, 0) > 0.5;
}

/* This rank's shard of a view. */
static ls_shard my_shard(const ls_comm *comm, const ls_view *view) {
  return ls_shard_of(view->n, ls_comm_rank(comm), ls_comm_size(comm));
}

ls_status ls_class_weights_balance(ls_comm *comm, const ls_view *view, size_t n_classes, double *weights) {
  const ls_shard shard = my_shard(comm, view);
  ls_status status = LS_OK;
  check_has_classes(view->dataset);
  memset(weights, 0, n_classes * sizeof *weights);
  for (size_t i = 0; status == LS_OK && i < shard.rows; i++) {
    ls_row row;
    status = ls_view_fetch(view, shard.first + i, &row);
    if (status == LS_OK) weights[data_class_of(view->dataset, &row)] += 1.0;
    ls_heartbeat_every(i);
  }
  LS_TRY(ls_comm_agree(comm, status));
  ls_comm_sum_f64(comm, weights, n_classes); /* counts are whole numbers, so the sum is exact */
  for (size_t k = 0; k < n_classes; k++)
    if (weights[k] > 0.0) weights[k] = (double)view->n / ((double)n_classes * weights[k]);
  return LS_OK;
}

ls_status ls_view_weight(ls_comm *comm, const ls_view *view, const double *class_weights, double *sum) {
  const ls_shard shard = my_shard(comm, view);
  const ls_dataset *const d = view->dataset;
  ls_status status = LS_OK;
  *sum = 0.0;
  if (class_weights) check_has_classes(d);
  for (size_t i = 0; status == LS_OK && i < shard.rows; i++) {
    ls_row row;
    status = ls_view_fetch(view, shard.first + i, &row);
    if (status == LS_OK)
      *sum += (double)row.weight * (class_weights ? class_weights[data_class_of(d, &row)] : 1.0);
    ls_heartbeat_every(i);
  }
  LS_TRY(ls_comm_agree(comm, status));
  ls_comm_sum_f64(comm, sum, 1);
  return LS_OK;
}
