/* The digest of a selection of the samples: ranges of rows, one in each of equal parts of the dataset.
 * Ranks read different ranges. It is the same for any number of ranks, and wherever the samples are kept.
 */
#include "internal.h"

#include <stdlib.h>

#define N_RANGES    ((uint64_t)64)
#define RANGE_BYTES ((size_t)1 << 16) /* of x in a range, at most, unless a row has more */
#define RANGE_ROWS  ((size_t)1024)    /* at most */

/* The rows of a range: those of the first part are at its start, those of the last at its end, and the
 * others at a fixed random place in their part. */
static ls_block_range select_range(const ls_dataset *d, uint64_t r) {
  const size_t row_bytes = d->n_features * ls_dtype_size(d->x_array.dtype);
  const uint64_t first = d->n_samples * r / N_RANGES;
  const uint64_t n = d->n_samples * (r + 1) / N_RANGES - first;
  const uint64_t rows = ls_size_min(ls_size_max(RANGE_BYTES / row_bytes, 1), RANGE_ROWS);
  if (n <= rows) return (ls_block_range){first, n};
  uint32_t words[4];
  const ls_rng rng = ls_rng_make(0, LS_RNG_FINGERPRINT, 0, 0);
  ls_rng_block(&rng, r, 0, words);
  const uint64_t place = ((uint64_t)words[1] << 32 | words[0]) % (n - rows + 1);
  if (r == 0) return (ls_block_range){first, rows};
  return (ls_block_range){first + (r + 1 < N_RANGES ? place : n - rows), rows};
}

/* Adds a sample to a digest. Values of type float64 count as float32.  values: (n_outputs), workspace */
static void add_sample(const ls_dataset *d, const ls_row *row, float *values, ls_digest *digest) {
  for (size_t k = 0; row->values && k < d->n_outputs; k++) values[k] = (float)ls_row_value(d, row, k);
  const ls_digest y = row->class_number ? ls_digest_of(row->class_number, sizeof *row->class_number)
                                        : ls_digest_of(values, d->n_outputs * sizeof *values);
  const ls_digest w = ls_digest_of(&row->weight, sizeof row->weight);
  const ls_digest x = ls_digest_of(row->x, d->n_features * ls_dtype_size(d->x_array.dtype));
  const ls_digest parts[] = {*digest, x, y, w};
  *digest = ls_digest_of(parts, sizeof parts);
}

/* The digest of the samples of a range. They are fetched together, as a file may have to decode a chunk for
 * each fetch. */
static ls_status digest_range(const ls_dataset *d, ls_block_range range, float *values, ls_digest *digest) {
  for (uint64_t done = 0; done < range.n;) {
    uint64_t samples[DATA_FETCH_ROWS];
    ls_row rows[DATA_FETCH_ROWS];
    const size_t n = ls_size_min(range.n - done, DATA_FETCH_ROWS);
    for (size_t i = 0; i < n; i++) samples[i] = range.first + done + i;
    LS_TRY(ls_dataset_fetch(d, n, samples, rows));
    for (size_t i = 0; i < n; i++) add_sample(d, &rows[i], values, digest);
    done += n;
  }
  return LS_OK;
}

/* Local. Adds the digests of this rank's ranges to `words`.  values: (n_outputs), workspace */
static ls_status add_ranges(const ls_comm *comm, const ls_dataset *d, float *values, uint64_t *words) {
  ls_status status = LS_OK;
  for (uint64_t r = (uint64_t)ls_comm_rank(comm); r < N_RANGES; r += (uint64_t)ls_comm_size(comm)) {
    const ls_block_range range = select_range(d, r);
    ls_digest digest = {0};
    if (status == LS_OK) status = digest_range(d, range, values, &digest);
    words[2 * r] = digest.low;
    words[2 * r + 1] = digest.high;
    ls_heartbeat();
  }
  return status;
}

ls_status data_selection_digest(ls_comm *comm, ls_dataset *d) {
  uint64_t words[2 * N_RANGES + 3] = {0};
  float *const values = ls_calloc(ls_size_max(d->n_outputs, 1), sizeof *values);
  const ls_status status = values ? add_ranges(comm, d, values, words)
                                  : ls_fail_memory("a row of y", d->n_outputs * sizeof *values);
  free(values);
  LS_TRY(ls_comm_agree(comm, status));
  ls_comm_sum_u64(comm, words, 2 * N_RANGES);
  words[2 * N_RANGES] = d->n_samples;
  words[2 * N_RANGES + 1] = ((uint64_t)d->x_array.dtype << 56) ^ d->n_features;
  words[2 * N_RANGES + 2] =
      ((uint64_t)d->has_weights << 63) ^ ((uint64_t)d->target << 56) ^ (uint64_t)d->n_outputs;
  d->selection = ls_digest_of(words, sizeof words);
  return LS_OK;
}

bool ls_dataset_same(const ls_dataset *a, const ls_dataset *b) {
  if (ls_digest_is_known(a->fingerprint) && ls_digest_is_known(b->fingerprint))
    return ls_digest_equal(a->fingerprint, b->fingerprint);
  return ls_digest_equal(a->selection, b->selection);
}
