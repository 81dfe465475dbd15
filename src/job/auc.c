/* The ROC AUC of evaluated samples, over all ranks.
 *
 * The scores of one or a few outputs are sorted over the ranks: each rank sorts its own; the ranks find the
 * scores that divide all of them into equal parts; and each rank gets and sorts one part. The sums over the
 * sorted scores then continue from rank to rank: an output may span ranks, and even equal scores may. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>

#define TOGETHER_BYTES ((size_t)16 << 20) /* of outputs that are ranked together, unless one has more */

/* What a metric keeps. */
typedef struct sizes {
  size_t rows;     /* of this rank's shard */
  size_t most;     /* outputs that are ranked together */
  size_t capacity; /* scores of them; SIZE_MAX if that is too large */
} sizes;

static sizes measure_sizes(const ls_comm *comm, const ls_comm_tree *tree, uint64_t samples,
                           size_t n_outputs) {
  const size_t part = ls_shard_most(samples, ls_comm_size(comm));
  const size_t fitting = TOGETHER_BYTES / (2 * sizeof(ls_scored)) / ls_size_max(part, 1);
  const size_t most = ls_size_min(ls_size_max(fitting, 1), LS_AUC_OUTPUTS_MAX);
  sizes s = {.rows = tree ? tree->count * ls_shard_most(samples, (int)tree->n_lanes) : part,
             .most = ls_size_min(most, n_outputs)};
  if (!ls_size_mul(ls_size_max(part, s.rows), s.most, &s.capacity)) s.capacity = SIZE_MAX;
  return s;
}

ls_status ls_evaluate_keep_scores(const ls_comm *comm, const ls_comm_tree *tree, uint64_t samples,
                                  ls_metric *metric) {
  const sizes s = measure_sizes(comm, tree, samples, metric->n_outputs);
  if (s.capacity == SIZE_MAX) return ls_fail_memory("the scores of ROC AUC", SIZE_MAX);
  return ls_metric_keep_scores(metric, s.rows, s.most, s.capacity);
}

size_t ls_evaluate_scores_bytes(const ls_comm *comm, const ls_comm_tree *tree, uint64_t samples,
                                size_t n_outputs) {
  const sizes s = measure_sizes(comm, tree, samples, n_outputs);
  size_t kept = 0;
  size_t sorted = 0;
  const bool fits = ls_size_mul(s.rows, n_outputs * (sizeof(float) + sizeof(bool)), &kept) &&
                    ls_size_mul(s.capacity, 2 * sizeof(ls_scored), &sorted) &&
                    ls_size_add(kept, sorted, &kept);
  return fits ? kept : SIZE_MAX;
}

/* ------------------------------------------------------------------- equal parts */

/* The division of the sorted scores of all ranks among them. Arrays: one block, owned. */
typedef struct division {
  size_t size;      /* ranks */
  uint64_t *starts; /* (size + 1): the first of this rank's sorted samples that each rank gets */
  uint64_t *keys;   /* (size): the key of the first sample of each part */
  uint64_t *counts; /* (size) */
  uint64_t *equals; /* (size) */
} division;

static ls_status create_division(const ls_comm *comm, division *d) {
  const size_t size = d->size = (size_t)ls_comm_size(comm);
  d->starts = ls_calloc(4 * size + 1, sizeof *d->starts);
  if (!d->starts) return ls_fail_memory("the scores of ROC AUC", (4 * size + 1) * sizeof *d->starts);
  d->keys = d->starts + size + 1;
  d->counts = d->keys + size;
  d->equals = d->counts + size;
  return LS_OK;
}

/* The number of sorted samples whose keys are below a key. */
static uint64_t count_below(size_t n, const ls_scored *samples, uint64_t key) {
  size_t low = 0;
  for (size_t high = n; low < high;) {
    const size_t middle = low + (high - low) / 2;
    if (ls_auc_key(&samples[middle]) < key)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* Collective. Sets the key of each part r: the largest with at most r * all / size samples below it. */
static void find_keys(ls_comm *comm, division *d, size_t n, const ls_scored *samples, uint64_t all) {
  for (size_t r = 0; r < d->size; r++) d->keys[r] = 0;
  for (uint64_t bit = UINT64_C(1) << (LS_AUC_KEY_BITS - 1); bit > 0; bit /= 2) {
    for (size_t r = 0; r < d->size; r++) d->counts[r] = count_below(n, samples, d->keys[r] | bit);
    ls_comm_sum_u64(comm, d->counts, d->size);
    for (size_t r = 0; r < d->size; r++)
      if (d->counts[r] <= r * all / d->size) d->keys[r] |= bit;
  }
}

/* Collective. Divides this rank's sorted samples so that each rank gets a part of the same size of all
 * samples. Of samples with equal keys, those of lower ranks come first. */
static void divide(ls_comm *comm, division *d, size_t n, const ls_scored *samples) {
  uint64_t all = n;
  ls_comm_sum_u64(comm, &all, 1);
  find_keys(comm, d, n, samples, all);
  for (size_t r = 0; r < d->size; r++) {
    d->starts[r] = d->counts[r] = count_below(n, samples, d->keys[r]);
    d->equals[r] = count_below(n, samples, d->keys[r] + 1) - d->starts[r];
  }
  uint64_t *const before = d->keys; /* equal samples of lower ranks */
  for (size_t r = 0; r < d->size; r++) before[r] = d->equals[r];
  ls_comm_sum_u64(comm, d->counts, d->size);
  ls_comm_before_u64(comm, before, d->size);
  for (size_t r = 1; r < d->size; r++) {
    const uint64_t missing = r * all / d->size - d->counts[r]; /* equal samples of lower parts */
    if (missing > before[r]) d->starts[r] += ls_size_min(missing - before[r], d->equals[r]);
  }
  d->starts[0] = 0;
  d->starts[d->size] = n;
}

/* ------------------------------------------------------------------------ sums */

/* A part of the sorted scores. */
typedef struct part {
  const ls_scored *samples;
  size_t n, n_first; /* all of them, and those of the first output */
  ls_auc last;       /* the sums of the last output, if there are several */
  double *auc;       /* (outputs that are ranked together) */
} part;

/* The number of samples that have the output of the first one. */
static size_t count_output(size_t n, const ls_scored *samples) {
  return n > 0 ? count_below(n, samples, ((uint64_t)samples[0].output + 1) << 32) : 0;
}

/* Local. Adds all samples but those of the first output, which may begin on a lower rank. */
static void add_others(part *p) {
  p->n_first = count_output(p->n, p->samples);
  for (size_t i = p->n_first; i < p->n;) {
    const size_t n = count_output(p->n - i, p->samples + i);
    if (i > p->n_first) p->auc[p->last.output] = ls_auc_value(&p->last);
    p->last = (ls_auc){.output = p->samples[i].output};
    ls_auc_add(&p->last, n, p->samples + i);
    i += n;
  }
}

/* Continues with the sums of the output at the end of the part before. */
static void add_first(void *context, void *data) {
  part *const p = context;
  ls_auc *const sums = data;
  if (p->n == 0) return;
  if (p->samples[0].output != sums->output) {
    p->auc[sums->output] = ls_auc_value(sums);
    *sums = (ls_auc){.output = p->samples[0].output};
  }
  ls_auc_add(sums, p->n_first, p->samples);
  if (p->n_first == p->n) return;
  p->auc[sums->output] = ls_auc_value(sums);
  *sums = p->last;
}

static bool has_nan(const ls_metric *metric, size_t k) {
  const ls_ranking *const r = metric->ranking;
  bool has = false;
  for (size_t i = 0; i < r->rows; i++) has = has || isnan(r->scores[k * r->max_rows + i]);
  return has;
}

/* Collective. Each AUC becomes known to one rank, is NaN on ranks with a NaN among the scores, and 0
 * elsewhere. */
static void measure(ls_comm *comm, ls_metric *metric, division *d, size_t first, size_t count) {
  const ls_ranking *const r = metric->ranking;
  ls_scored *const sorted = r->samples;
  ls_scored *const received = r->samples + r->capacity;
  part p = {.samples = received, .auc = r->auc + first};
  ls_auc sums = {0};
  const bool is_last = ls_comm_rank(comm) + 1 == ls_comm_size(comm);
  const size_t n = ls_metric_scores(metric, first, count);
  ls_auc_sort(n, sorted, received);
  divide(comm, d, n, sorted);
  ls_comm_alltoall(comm, sizeof *sorted, sorted, d->starts, received, d->counts);
  for (size_t i = 0; i < d->size; i++) p.n += d->counts[i];
  LS_ASSERT(p.n <= r->capacity);
  ls_auc_sort(p.n, received, sorted);
  for (size_t k = 0; k < count; k++) p.auc[k] = 0.0;
  add_others(&p);
  ls_comm_in_turn(comm, &sums, sizeof sums, add_first, &p);
  for (size_t k = sums.output; k < count && is_last; k++) p.auc[k] = ls_auc_value(&sums);
  for (size_t k = 0; k < count; k++)
    if (has_nan(metric, first + k)) p.auc[k] = NAN;
}

ls_status job_measure_auc(ls_comm *comm, ls_metric *metric) {
  const ls_ranking *const r = metric->ranking;
  const size_t n = metric->n_outputs;
  division d = {0};
  LS_TRY(ls_comm_agree(comm, create_division(comm, &d)));
  LS_ASSERT(d.starts && d.keys && d.counts && d.equals);
  for (size_t first = 0; first < n; first += r->most)
    measure(comm, metric, &d, first, ls_size_min(r->most, n - first));
  free(d.starts);
  ls_comm_sum_f64(comm, r->auc, n); /* exact: all but one are 0, or NaN */
  return LS_OK;
}
