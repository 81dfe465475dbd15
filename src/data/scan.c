/* A pass over the samples of a view, shared by all ranks.
 *
 * The blocks of the view are divided into ranges, which depend on the data alone. One rank reads each
 * range, in the order of the files. The sums of the ranges are added as the leaves of a binary tree, so
 * that they have the same bits for any number of ranks. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define RANGES       ((size_t)256)
#define LEVELS_BYTES ((size_t)64 << 20) /* of the sums that exist at the same time */

/* Fewer ranges if the sums of so many would need too much memory. */
static size_t count_ranges(size_t n_sums) {
  size_t n = RANGES;
  while (n > 1 && n_sums > LEVELS_BYTES / sizeof(double) / ls_lane_depth(n)) n /= 2;
  return n;
}

/* Visits the samples of the view among samples first .. first + n - 1 of the dataset. */
static ls_status visit_samples(const data_scan *scan, uint64_t first, uint64_t n, double *sums) {
  const ls_view *const view = scan->view;
  uint64_t samples[DATA_FETCH_ROWS];
  ls_row rows[DATA_FETCH_ROWS];
  for (uint64_t next = first; next < first + n;) {
    size_t count = 0;
    for (; next < first + n && count < DATA_FETCH_ROWS; next++) {
      ls_heartbeat_every(next);
      if (!view->is_split || ls_view_has(view, next)) samples[count++] = next;
    }
    LS_TRY(ls_dataset_fetch(view->dataset, count, samples, rows));
    for (size_t i = 0; i < count; i++) scan->visit(scan->context, &rows[i], sums);
  }
  return LS_OK;
}

/* Draws the progress bar. */
static void report_progress(const data_scan *scan, uint64_t done, uint64_t all) {
  char text[80];
  if (!ls_log_bar_is_due()) return;
  snprintf(text, sizeof text, "%s: %3.0f %%", scan->name, 100.0 * (double)done / (double)all);
  ls_log_bar(text);
}

/* Visits block k: of the dataset, if the view has samples of all blocks, otherwise of the view. */
static ls_status visit_block(const data_scan *scan, uint64_t k, double *sums) {
  const ls_view *const view = scan->view;
  const uint64_t block = view->is_split ? k : ls_view_block(view, k);
  const ls_block_range range = ls_blocks_range(view->dataset->blocks, block);
  return visit_samples(scan, range.first, range.n, sums);
}

/* Samples of the view before its block k. */
static uint64_t samples_before(const ls_view *view, uint64_t k) {
  return k < ls_view_n_blocks(view) ? ls_view_block_first(view, k) : view->n;
}

/* Local. This rank's samples will be fetched in order. Samples of a permutation are in memory. */
static ls_status expect_samples(const ls_view *view, const ls_comm_tree *tree) {
  if (view->is_split) return LS_OK;
  const uint64_t n_blocks = ls_view_n_blocks(view);
  const uint64_t first = samples_before(view, tree->first * n_blocks / tree->n_lanes);
  const uint64_t end = samples_before(view, (tree->first + tree->count) * n_blocks / tree->n_lanes);
  const ls_expected expected = {
      .view = view, .first = first, .run = ls_size_max(end - first, 1), .n = end - first};
  return ls_dataset_expect(view->dataset, &expected);
}

/* Local. Visits this rank's ranges, and folds their sums into the first level.  levels: (depth, n_sums) */
static ls_status visit_ranges(const data_scan *scan, const ls_comm_tree *tree, double *levels) {
  const ls_view *const view = scan->view;
  const uint64_t n_blocks = view->is_split ? view->dataset->blocks->n : ls_view_n_blocks(view);
  const uint64_t first = tree->first * n_blocks / tree->n_lanes;
  const uint64_t last = (tree->first + tree->count) * n_blocks / tree->n_lanes;
  LS_TRY(expect_samples(view, tree));
  for (size_t r = 0; r < tree->count; r++) {
    double *const sums = levels + ls_lane_level(r) * scan->n_sums;
    const uint64_t begin = (tree->first + r) * n_blocks / tree->n_lanes;
    const uint64_t end = (tree->first + r + 1) * n_blocks / tree->n_lanes;
    memset(sums, 0, scan->n_sums * sizeof *sums);
    for (uint64_t k = begin; k < end; k++) {
      LS_TRY(visit_block(scan, k, sums));
      report_progress(scan, k + 1 - first, last - first);
    }
    ls_lane_fold(levels, scan->n_sums, r, tree->count);
  }
  return LS_OK;
}

ls_status data_scan_run(ls_comm *comm, const data_scan *scan, double *sums) {
  ls_comm_tree *tree = NULL;
  double *levels = NULL;
  const size_t n_ranges = count_ranges(scan->n_sums);
  ls_status status = ls_comm_tree_create(comm, n_ranges, &tree);
  if (status == LS_OK) {
    const size_t count = scan->n_sums * ls_lane_depth(ls_size_max(tree->count, 1));
    levels = ls_calloc(ls_size_max(count, 1), sizeof *levels);
    status = levels ? visit_ranges(scan, tree, levels)
                    : ls_fail_memory("sums over samples", count * sizeof *levels);
    (void)ls_dataset_expect(scan->view->dataset, &(ls_expected){.run = 1}); /* the view may end */
    ls_log_bar("");
  }
  status = ls_comm_agree(comm, status);
  if (status == LS_OK) {
    LS_ASSERT(levels);
    ls_comm_tree_sum_f64(comm, tree, levels, scan->n_sums);
    memcpy(sums, levels, scan->n_sums * sizeof *sums);
  }
  free(levels);
  ls_comm_tree_destroy(&tree);
  return status;
}
