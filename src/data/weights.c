/* What samples weigh: the weights of classes, and of views. */
#include "internal.h"

#include <string.h>

size_t ls_class_of(const ls_dataset *dataset, uint64_t sample) {
  if (dataset->target == LS_TARGET_CLASSES) return (size_t)((const int32_t *)dataset->y.data)[sample];
  LS_ASSERT(dataset->target == LS_TARGET_LABELS && dataset->n_outputs == 1);
  return ((const float *)dataset->y.data)[sample] > 0.5F;
}

/* The samples of a view that this rank works on. */
static ls_shard my_shard(const ls_comm *comm, const ls_view *view) {
  return ls_shard_of(view->n, ls_comm_rank(comm), ls_comm_size(comm));
}

void ls_class_weights_balance(ls_comm *comm, const ls_view *view, size_t n_classes, double *weights) {
  const ls_shard shard = my_shard(comm, view);
  memset(weights, 0, n_classes * sizeof *weights);
  for (size_t i = 0; i < shard.rows; i++)
    weights[ls_class_of(view->dataset, ls_view_sample(view, shard.first + i))] += 1.0;
  ls_comm_sum_f64(comm, weights, n_classes); /* counts: whole numbers, so exact */
  for (size_t k = 0; k < n_classes; k++)
    if (weights[k] > 0.0) weights[k] = (double)view->n / ((double)n_classes * weights[k]);
}

double ls_view_weight(ls_comm *comm, const ls_view *view, const double *class_weights) {
  const ls_dataset *const d = view->dataset;
  const ls_shard shard = my_shard(comm, view);
  double sum = 0.0;
  for (size_t i = 0; i < shard.rows; i++) {
    const uint64_t sample = ls_view_sample(view, shard.first + i);
    const double weight = d->has_weights ? (double)((const float *)d->w.data)[sample] : 1.0;
    sum += class_weights ? weight * class_weights[ls_class_of(d, sample)] : weight;
  }
  ls_comm_sum_f64(comm, &sum, 1);
  return sum;
}
