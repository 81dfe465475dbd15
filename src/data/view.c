/* Views of a dataset, and shards of rows. */
#include "lockstep/data.h"

#include <math.h>
#include <stdlib.h>

/* Instances of LS_RNG_SPLIT. They must not change, or resumed runs would differ. */
enum { SAMPLES, BLOCKS };

ls_view ls_view_all(const ls_dataset *dataset) {
  return (ls_view){.dataset = dataset, .n = dataset->n_samples};
}

void ls_view_split(const ls_dataset *dataset, double fraction, uint64_t seed, ls_view *train,
                   ls_view *validation) {
  const uint64_t n = dataset->n_samples;
  const uint64_t held_out = (uint64_t)llround(fraction * (double)n);
  const ls_permutation split = ls_permutation_make(ls_rng_make(seed, LS_RNG_SPLIT, SAMPLES, 0), n);
  *validation = (ls_view){.dataset = dataset, .n = held_out, .is_split = true, .split = split};
  *train =
      (ls_view){.dataset = dataset, .n = n - held_out, .is_split = true, .first = held_out, .split = split};
}

/* ------------------------------------------------------------------ views by blocks */

void ls_view_release(ls_view *view) {
  if (view->list) {
    free(view->list->blocks);
    free(view->list->first);
  }
  free(view->list);
  *view = (ls_view){0};
}

/* Marks the blocks of the validation data, and returns their number.  selected: (n) */
static uint64_t select_blocks(const ls_blocks *blocks, double fraction, uint64_t seed, bool *selected) {
  const uint64_t wanted = (uint64_t)llround(fraction * (double)blocks->n_samples);
  const ls_permutation split = ls_permutation_make(ls_rng_make(seed, LS_RNG_SPLIT, BLOCKS, 0), blocks->n);
  uint64_t n = 0;
  for (uint64_t samples = 0; samples < wanted && n + 1 < blocks->n; n++) {
    const uint64_t block = ls_permutation_at(&split, n);
    selected[block] = true;
    samples += ls_blocks_range(blocks, block).n;
  }
  return n;
}

/* Makes the view of the n blocks whose mark is `mark`. */
static ls_status make_list(const ls_dataset *dataset, const bool *marks, bool mark, uint64_t n,
                           ls_view *view) {
  ls_block_list *const list = ls_calloc(1, sizeof *list);
  *view = (ls_view){.dataset = dataset, .list = list};
  if (list) {
    list->blocks = ls_calloc(n, sizeof *list->blocks);
    list->first = ls_calloc(n + 1, sizeof *list->first);
  }
  if (!list || !list->blocks || !list->first)
    return ls_fail_memory("the blocks of a split", 2 * n * sizeof *list->first);
  for (uint64_t block = 0; block < dataset->blocks->n; block++) {
    if (marks[block] != mark) continue;
    list->blocks[list->n++] = block;
    view->n += ls_blocks_range(dataset->blocks, block).n;
    list->first[list->n] = view->n;
  }
  return LS_OK;
}

ls_status ls_view_split_blocks(const ls_dataset *dataset, double fraction, uint64_t seed, ls_view *train,
                               ls_view *validation) {
  const ls_blocks *const blocks = dataset->blocks;
  *train = *validation = (ls_view){.dataset = dataset};
  bool *const selected = ls_calloc(blocks->n, sizeof *selected);
  if (!selected) return ls_fail_memory("the blocks of a split", blocks->n * sizeof *selected);
  const uint64_t n = select_blocks(blocks, fraction, seed, selected);
  ls_status status = make_list(dataset, selected, true, n, validation);
  if (status == LS_OK) status = make_list(dataset, selected, false, blocks->n - n, train);
  free(selected);
  return status;
}

uint64_t ls_view_n_blocks(const ls_view *view) {
  LS_ASSERT(!view->is_split);
  return view->list ? view->list->n : view->dataset->blocks->n;
}

uint64_t ls_view_block(const ls_view *view, uint64_t k) {
  return view->list ? view->list->blocks[k] : k;
}

uint64_t ls_view_block_first(const ls_view *view, uint64_t k) {
  return view->list ? view->list->first[k] : ls_blocks_range(view->dataset->blocks, k).first;
}

/* The last k with table[k] <= value, of n values in ascending order. table[0] <= value */
static uint64_t search(const uint64_t *table, uint64_t n, uint64_t value) {
  uint64_t low = 0;
  for (uint64_t high = n; high - low > 1;) {
    const uint64_t middle = low + (high - low) / 2;
    *(table[middle] <= value ? &low : &high) = middle;
  }
  return low;
}

static uint64_t list_sample(const ls_view *view, uint64_t i) {
  const uint64_t k = search(view->list->first, view->list->n, i);
  return ls_blocks_range(view->dataset->blocks, view->list->blocks[k]).first + i - view->list->first[k];
}

static bool list_has(const ls_view *view, uint64_t sample) {
  const ls_block_list *const list = view->list;
  const uint64_t block = ls_blocks_find(view->dataset->blocks, sample);
  return list->n > 0 && list->blocks[search(list->blocks, list->n, block)] == block;
}

/* -------------------------------------------------------------------------- samples */

uint64_t ls_view_sample(const ls_view *view, uint64_t i) {
  LS_ASSERT(i < view->n);
  if (view->list) return list_sample(view, i);
  return view->is_split ? ls_permutation_at(&view->split, view->first + i) : i;
}

bool ls_view_has(const ls_view *view, uint64_t sample) {
  if (view->list) return list_has(view, sample);
  return !view->is_split || ls_permutation_inverse(&view->split, sample) - view->first < view->n;
}

ls_status ls_dataset_fetch(const ls_dataset *dataset, size_t n, const uint64_t *samples, ls_row *rows) {
  return dataset->reader->fetch(dataset->reader, n, samples, rows);
}

ls_status ls_dataset_expect(const ls_dataset *dataset, const ls_expected *expected) {
  return dataset->reader->expect ? dataset->reader->expect(dataset->reader, expected) : LS_OK;
}

ls_status ls_view_fetch(const ls_view *view, uint64_t i, ls_row *row) {
  const uint64_t sample = ls_view_sample(view, i);
  return ls_dataset_fetch(view->dataset, 1, &sample, row);
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
