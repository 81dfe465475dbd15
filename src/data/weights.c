/* Weights: of classes, and the sum over a view. */
#include "internal.h"

size_t data_class_of(const ls_dataset *dataset, const ls_row *row) {
  return row->class_number ? (size_t)*row->class_number : ls_row_value(dataset, row, 0) > 0.5;
}

/* What is summed over the samples of a dataset. */
typedef struct weighing {
  const ls_dataset *dataset;
  const double *class_weights; /* NULL: all are 1 */
} weighing;

/* Only rows with one class, or with one label, have a class. */
static void check_has_classes(const ls_dataset *d) {
  LS_ASSERT(d->target == LS_TARGET_CLASSES || (d->target == LS_TARGET_LABELS && d->n_outputs == 1));
}

static void count_class(void *context, const ls_row *row, double *counts) {
  const weighing *const w = context;
  counts[data_class_of(w->dataset, row)] += 1.0;
}

static void add_weight(void *context, const ls_row *row, double *sum) {
  const weighing *const w = context;
  const double factor = w->class_weights ? w->class_weights[data_class_of(w->dataset, row)] : 1.0;
  *sum += (double)row->weight * factor;
}

ls_status ls_class_weights_balance(ls_comm *comm, const ls_view *view, size_t n_classes, double *weights) {
  weighing w = {.dataset = view->dataset};
  const data_scan scan = {.view = view,
                          .name = "counting the samples of each class",
                          .n_sums = n_classes,
                          .visit = count_class,
                          .context = &w};
  check_has_classes(view->dataset);
  LS_TRY(data_scan_run(comm, &scan, weights));
  for (size_t k = 0; k < n_classes; k++)
    if (weights[k] > 0.0) weights[k] = (double)view->n / ((double)n_classes * weights[k]);
  return LS_OK;
}

#define PROBES ((uint64_t)16)

/* Local. Looks at this rank's part of the samples: evenly distributed over the view. */
static ls_status probe(const ls_comm *comm, const ls_view *view, weighing *w, bool *found) {
  const uint64_t n = ls_size_min(view->n, PROBES);
  double sum = 0.0;
  for (uint64_t i = (uint64_t)ls_comm_rank(comm); i < n; i += (uint64_t)ls_comm_size(comm)) {
    ls_row row = {0};
    LS_TRY(ls_view_fetch(view, i * (view->n / n), &row));
    add_weight(w, &row, &sum);
  }
  *found = sum > 0.0;
  return LS_OK;
}

ls_status ls_view_finds_weight(ls_comm *comm, const ls_view *view, const double *class_weights,
                               bool *found) {
  weighing w = {.dataset = view->dataset, .class_weights = class_weights};
  bool own = false;
  if (class_weights) check_has_classes(view->dataset);
  LS_TRY(ls_comm_agree(comm, probe(comm, view, &w, &own)));
  uint64_t n_found = own;
  ls_comm_sum_u64(comm, &n_found, 1);
  *found = n_found > 0;
  return LS_OK;
}

ls_status ls_view_weight(ls_comm *comm, const ls_view *view, const double *class_weights, double *sum) {
  weighing w = {.dataset = view->dataset, .class_weights = class_weights};
  const data_scan scan = {
      .view = view, .name = "adding the sample weights", .n_sums = 1, .visit = add_weight, .context = &w};
  if (class_weights) check_has_classes(view->dataset);
  return data_scan_run(comm, &scan, sum);
}
