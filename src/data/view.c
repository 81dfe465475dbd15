/* Views of a dataset, and shards of rows. */
#include "lockstep/data.h"

#include <math.h>

ls_view ls_view_all(const ls_dataset *dataset) {
  return (ls_view){.dataset = dataset, .n = dataset->n_samples};
}

void ls_view_split(const ls_dataset *dataset, double fraction, uint64_t seed, ls_view *train,
                   ls_view *validation) {
  const uint64_t n = dataset->n_samples;
  const uint64_t held_out = (uint64_t)llround(fraction * (double)n);
  const ls_permutation split = ls_permutation_make(ls_rng_make(seed, LS_RNG_SPLIT, 0, 0), n);
  *validation = (ls_view){.dataset = dataset, .n = held_out, .is_split = true, .split = split};
  *train =
      (ls_view){.dataset = dataset, .n = n - held_out, .is_split = true, .first = held_out, .split = split};
}

uint64_t ls_view_sample(const ls_view *view, uint64_t i) {
  LS_ASSERT(i < view->n);
  return view->is_split ? ls_permutation_at(&view->split, view->first + i) : i;
}

bool ls_view_has(const ls_view *view, uint64_t sample) {
  return !view->is_split || ls_permutation_inverse(&view->split, sample) - view->first < view->n;
}

ls_row ls_view_row(const ls_view *view, uint64_t i) {
  const uint64_t sample = ls_view_sample(view, i);
  ls_row row = {0};
  ls_dataset_fetch(view->dataset, 1, &sample, &row);
  return row;
}

ls_shard ls_shard_of(size_t rows, int rank, int size) {
  const size_t each = rows / (size_t)size;
  const size_t longer = rows % (size_t)size; /* the first ranks have one more */
  const size_t r = (size_t)rank;
  return (ls_shard){.first = r * each + ls_size_min(r, longer), .rows = each + (r < longer)};
}

size_t ls_shard_most(size_t rows, int size) {
  return ls_shard_of(rows, 0, size).rows;
}
