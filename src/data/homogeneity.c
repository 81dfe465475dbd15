/* Homogeneous blocks: how much the classes of a window differ from those of all samples.
 *
 * Let p_bk be the share of class k in block b, of B blocks of m samples, and p_k its mean over blocks. If
 * the samples of a block were random ones, sum_k var_b(p_bk) would be sum_k p_k (1 - p_k) / m. The excess,
 * relative to sum_k p_k (1 - p_k), is the intraclass correlation r of the samples of a block: 0 for random
 * samples, 1 for blocks of one class. Of T blocks, a window has W: the share of class k in it has the
 * variance r p_k (1 - p_k) (1 - W / T) / W. Half the sum of the mean absolute deviations, sqrt(2 / pi)
 * times the standard deviations, is the mean total variation distance. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>

ls_status ls_homogeneity_create(size_t n_classes, ls_homogeneity *out) {
  *out = (ls_homogeneity){.n_classes = n_classes, .shares = ls_calloc(n_classes, sizeof *out->shares)};
  return out->shares ? LS_OK : ls_fail_memory("the classes of blocks", n_classes * sizeof *out->shares);
}

void ls_homogeneity_destroy(ls_homogeneity *h) {
  free(h->shares);
  *h = (ls_homogeneity){0};
}

void ls_homogeneity_add(ls_homogeneity *h, const uint64_t *counts) {
  double rows = 0.0;
  for (size_t k = 0; k < h->n_classes; k++) rows += (double)counts[k];
  if (rows == 0.0) return;
  for (size_t k = 0; k < h->n_classes; k++) {
    const double share = (double)counts[k] / rows;
    h->shares[k] += share;
    h->squares += share * share;
  }
  h->inverse_rows += 1.0 / rows;
  h->n_blocks++;
}

/* The intraclass correlation, less three times the standard error that it has for random samples. squares:
 * sum of p_k^2 */
static double correlation(const ls_homogeneity *h, double squares) {
  const double n = (double)h->n_blocks;
  const double noise = h->inverse_rows / n; /* 1 / m */
  const double variance = (h->squares - n * squares) / (n - 1.0);
  return fmin(variance / (1.0 - squares) - noise - 3.0 * noise * sqrt(2.0 / (n - 1.0)), 1.0);
}

double ls_homogeneity_distance(const ls_homogeneity *h, double window_blocks, double all_blocks) {
  double squares = 0.0;
  double deviations = 0.0; /* sum of sqrt(p_k (1 - p_k)) */
  if (h->n_blocks < 2 || window_blocks >= all_blocks) return 0.0;
  for (size_t k = 0; k < h->n_classes; k++) {
    const double p = h->shares[k] / (double)h->n_blocks;
    squares += p * p;
    deviations += sqrt(p * (1.0 - p));
  }
  if (!(squares < 1.0 - 1e-9)) return 0.0; /* a single class */
  const double r = correlation(h, squares);
  if (!(r > 0.0)) return 0.0;
  const double two_over_pi = 0.6366197723675814;
  return 0.5 * deviations * sqrt(two_over_pi * r * (1.0 - window_blocks / all_blocks) / window_blocks);
}

/* -------------------------------------------------------------------- of a dataset */

#define BLOCK_ROWS   ((uint64_t)1024) /* samples of a block that are counted, at most */
#define BLOCKS_LEAST ((uint64_t)8)
#define BLOCKS_MOST  ((uint64_t)128)
#define Y_ROWS       ((uint64_t)1 << 16) /* of y that are read together */

/* What counts the classes of samples. */
typedef struct counting {
  const ls_dataset *dataset;
  uint64_t *counts;   /* (n_classes), owned */
  data_loader loader; /* of streamed data */
  unsigned char *y;   /* (Y_ROWS), of the target's type, owned; NULL: the samples are in memory */
} counting;

static void destroy(counting *c) {
  data_loader_close(&c->loader);
  free(c->counts);
  free(c->y);
}

static ls_status create(const ls_dataset *d, size_t n_classes, counting *c) {
  *c = (counting){.dataset = d, .counts = ls_calloc(n_classes, sizeof *c->counts)};
  if (!c->counts) return ls_fail_memory("the classes of blocks", n_classes * sizeof *c->counts);
  if (!d->is_streamed) return LS_OK;
  c->loader = data_loader_create(d);
  c->y = ls_calloc(Y_ROWS, data_y_bytes(d));
  return c->y ? LS_OK : ls_fail_memory("the classes of blocks", Y_ROWS * data_y_bytes(d));
}

static ls_status count_in_memory(counting *c, uint64_t sample) {
  ls_row row = {0};
  LS_TRY(ls_dataset_fetch(c->dataset, 1, &sample, &row));
  c->counts[data_class_of(c->dataset, &row)]++;
  return LS_OK;
}

/* Counts samples first, first + step ... below `end`, of whose file only y is read. */
static ls_status count_in_file(counting *c, uint64_t first, uint64_t end, uint64_t step) {
  const ls_dataset *const d = c->dataset;
  const uint64_t n = ls_size_min(Y_ROWS, end - first);
  LS_TRY(data_read_targets(d, &c->loader.source, first, n, c->y));
  for (uint64_t i = 0; i < n; i += step) {
    unsigned char *const y = c->y + i * data_y_bytes(d);
    const bool has_classes = d->target == LS_TARGET_CLASSES;
    const ls_row row = {.class_number = has_classes ? (const int32_t *)(void *)y : NULL,
                        .values = has_classes ? NULL : y};
    c->counts[data_class_of(d, &row)]++;
  }
  return LS_OK;
}

/* Counts the classes of samples at equal distances in a block. */
static ls_status count_classes(counting *c, ls_block_range range, size_t n_classes) {
  const uint64_t n = ls_size_min(range.n, BLOCK_ROWS);
  const uint64_t step = range.n / n;
  const uint64_t last = range.first + (n - 1) * step;
  const uint64_t at_once = c->y ? (Y_ROWS - 1) / step + 1 : 1; /* samples */
  for (size_t k = 0; k < n_classes; k++) c->counts[k] = 0;
  for (uint64_t i = 0; i < n; i += at_once) {
    const uint64_t first = range.first + i * step;
    LS_TRY(c->y ? count_in_file(c, first, last + 1, step) : count_in_memory(c, first));
  }
  ls_heartbeat();
  return LS_OK;
}

/* Adds the first n blocks of an order. */
static ls_status add_blocks(const ls_order *order, uint64_t n, counting *c, ls_homogeneity *h) {
  for (uint64_t k = 0; k < n; k++) {
    const ls_block_range range = ls_blocks_range(c->dataset->blocks, ls_order_entry_at(order, k).block);
    LS_TRY(count_classes(c, range, h->n_classes));
    ls_homogeneity_add(h, c->counts);
  }
  return LS_OK;
}

ls_status ls_homogeneity_measure(const ls_order *order, const ls_view *view, size_t n_classes,
                                 double *distance) {
  const uint64_t n_blocks = ls_view_n_blocks(view);
  const uint64_t of_window = ls_order_window_at(order, 0).n_entries;
  const uint64_t wanted = ls_size_min(ls_size_max(of_window, BLOCKS_LEAST), BLOCKS_MOST);
  ls_homogeneity h = {0};
  counting c = {0};
  ls_status status = ls_homogeneity_create(n_classes, &h);
  if (status == LS_OK) status = create(view->dataset, n_classes, &c);
  if (status == LS_OK) status = add_blocks(order, ls_size_min(wanted, n_blocks), &c, &h);
  if (status == LS_OK) *distance = ls_homogeneity_distance(&h, (double)of_window, (double)n_blocks);
  ls_homogeneity_destroy(&h);
  destroy(&c);
  return status;
}
