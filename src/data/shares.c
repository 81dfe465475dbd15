/* The rows of an epoch that each rank, or group of ranks, uses.
 *
 * Batches divide the epoch, and ranks divide a batch, into contiguous rows. All batches but the last are
 * equal, so that the rank of a position, and the number of rows that its group uses before it, follow from
 * tables of two batches. */
#include "internal.h"

#include <stdlib.h>

ls_shard data_feed_shard(size_t n_lanes, size_t rows, int rank, int size) {
  size_t lane = 0;
  size_t n = 0;
  if (n_lanes == 0) return ls_shard_of(rows, rank, size);
  ls_comm_tree_lanes(n_lanes, rank, size, &lane, &n);
  const size_t first = ls_shard_of(rows, (int)lane, (int)n_lanes).first;
  if (n == 0) return (ls_shard){.first = first};
  const ls_shard last = ls_shard_of(rows, (int)(lane + n - 1), (int)n_lanes);
  return (ls_shard){.first = first, .rows = last.first + last.rows - first};
}

/* Fills the table of a batch of `rows` rows. totals: (groups), zeros */
static void divide(const data_shares *s, size_t n_lanes, size_t rows, data_share *table, size_t *totals) {
  size_t first = 0;
  for (int r = 0; r < s->size; r++) {
    const size_t n = data_feed_shard(n_lanes, rows, r, s->size).rows;
    table[r] = (data_share){.first = first, .rows = n, .before = totals[s->groups[r]]};
    totals[s->groups[r]] += n;
    first += n;
  }
  LS_ASSERT(first == rows);
}

ls_status data_shares_create(uint64_t n, size_t batch_rows, size_t n_lanes, int size, const int *groups,
                             data_shares *s) {
  const size_t ranks = (size_t)size;
  *s = (data_shares){.n = n,
                     .batch_rows = batch_rows,
                     .size = size,
                     .groups = groups,
                     .tables = ls_calloc(2 * ranks, sizeof *s->tables),
                     .totals = ls_calloc(2 * ranks, sizeof *s->totals)};
  if (!s->tables || !s->totals) return ls_fail_memory("shares of ranks", 2 * ranks * sizeof *s->tables);
  divide(s, n_lanes, batch_rows, s->tables, s->totals);
  divide(s, n_lanes, n % batch_rows, s->tables + ranks, s->totals + ranks);
  return LS_OK;
}

void data_shares_free(data_shares *s) {
  free(s->tables);
  free(s->totals);
  *s = (data_shares){0};
}

/* 0 for a full batch, 1 for the last one, which is smaller. */
static size_t kind_of(const data_shares *s, uint64_t batch) {
  return batch == s->n / s->batch_rows;
}

int data_shares_rank(const data_shares *s, uint64_t position) {
  const size_t ranks = (size_t)s->size;
  const uint64_t batch = position / s->batch_rows;
  const uint64_t row = position % s->batch_rows;
  const data_share *const table = s->tables + kind_of(s, batch) * ranks;
  size_t low = 0;
  for (size_t high = ranks - 1; low < high;) { /* the first whose rows do not end before this one */
    const size_t middle = (low + high) / 2;
    if (table[middle].first + table[middle].rows > row)
      high = middle;
    else
      low = middle + 1;
  }
  return (int)low;
}

uint64_t data_shares_index(const data_shares *s, int rank, uint64_t position) {
  const uint64_t batch = position / s->batch_rows;
  const size_t row = position % s->batch_rows;
  const data_share *const share = s->tables + kind_of(s, batch) * (size_t)s->size + rank;
  return batch * s->totals[s->groups[rank]] + share->before + (row - share->first);
}

uint64_t data_shares_count(const data_shares *s, int group, uint64_t position) {
  const uint64_t batch = position / s->batch_rows;
  const size_t rows = position % s->batch_rows;
  const data_share *const table = s->tables + kind_of(s, batch) * (size_t)s->size;
  uint64_t count = batch * s->totals[group];
  for (int r = 0; r < s->size; r++)
    if (s->groups[r] == group && table[r].first < rows)
      count += ls_size_min(rows - table[r].first, table[r].rows);
  return count;
}

uint64_t data_shares_most(const data_shares *s, int group, uint64_t rows) {
  return ls_size_min(rows, (rows / s->batch_rows + 2) * s->totals[group]);
}
