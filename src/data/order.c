/* The order of an epoch: a permutation of a view, keyed on (seed, epoch), or the order of the files.
 *
 * With a window there are two permutations: of the blocks of the view, and of the samples of each window.
 * Each is computed where it is needed, so memory is proportional to the number of blocks, not of samples.
 */
#include "internal.h"

#include <stdlib.h>

/* Instances of LS_RNG_SHUFFLE. They must not change, or resumed runs would differ. */
enum { ALL_SAMPLES, BLOCKS, WINDOWS, WINDOW_SAMPLES, WINDOW_PARTNERS };

typedef struct window_state {
  ls_order_window window;
  ls_permutation samples;  /* position in the window -> sample, counted over the entries */
  ls_permutation partners; /* position in the window -> that of the partner in mixup */
} window_state;

struct ls_order {
  const ls_view *view; /* borrowed */
  uint64_t seed, epoch;
  bool is_shuffled;
  uint64_t window;            /* samples; 0: none, and the tables are absent */
  bool covers;                /* one permutation of all samples: no window, or one that covers the view */
  ls_permutation permutation; /* used if `covers` */
  uint64_t n_windows;
  window_state *windows;   /* owned, in ascending positions */
  ls_order_entry *entries; /* (blocks of the view), owned */
};

/* All windows but the last have at least `window` samples. */
static uint64_t most_windows(const ls_order *o) {
  return ls_size_min((o->view->n - 1) / o->window + 1, ls_view_n_blocks(o->view));
}

ls_status ls_order_create(const ls_view *view, uint64_t seed, bool shuffle, uint64_t window,
                          ls_order **out) {
  ls_order *const o = *out = ls_calloc(1, sizeof **out);
  if (!o) return ls_fail_memory("the order of samples", sizeof *o);
  *o = (ls_order){.view = view,
                  .seed = seed,
                  .is_shuffled = shuffle,
                  .window = view->n > 0 ? window : 0,
                  .covers = window == 0 || window >= view->n};
  if (o->window == 0) return LS_OK;
  const uint64_t n_blocks = ls_view_n_blocks(view);
  o->windows = ls_calloc(most_windows(o), sizeof *o->windows);
  o->entries = ls_calloc(n_blocks, sizeof *o->entries);
  if (o->windows && o->entries) return LS_OK;
  ls_order_destroy(out);
  return ls_fail_memory("the order of blocks", n_blocks * sizeof(ls_order_entry));
}

void ls_order_destroy(ls_order **order) {
  if (*order) {
    free((*order)->windows);
    free((*order)->entries);
  }
  free(*order);
  *order = NULL;
}

/* ------------------------------------------------------------------------- windows */

/* A permutation of the n samples of window w. Each window has a seed of its own, since its number is not
 * part of the key of a permutation. */
static ls_permutation permute_window(const ls_order *o, uint64_t w, uint32_t instance, uint64_t n) {
  const ls_rng rng = ls_rng_make(o->seed, LS_RNG_SHUFFLE, WINDOWS, o->epoch);
  uint32_t words[4];
  ls_rng_block(&rng, w, 0, words);
  const uint64_t seed = (uint64_t)words[1] << 32 | words[0];
  return ls_permutation_make(ls_rng_make(seed, LS_RNG_SHUFFLE, instance, o->epoch), n);
}

/* Adds a window that begins at entry k, and returns the entry after it. */
static uint64_t add_window(ls_order *o, uint64_t k, uint64_t position) {
  const uint64_t w = o->n_windows++;
  const uint64_t n_blocks = ls_view_n_blocks(o->view);
  ls_order_window window = {.first = position, .first_entry = k};
  for (; k < n_blocks && window.n < o->window; k++) {
    o->entries[k].offset = window.n;
    window.n += ls_blocks_range(o->view->dataset->blocks, o->entries[k].block).n;
  }
  window.n_entries = k - window.first_entry;
  o->windows[w] = (window_state){.window = window,
                                 .samples = permute_window(o, w, WINDOW_SAMPLES, window.n),
                                 .partners = permute_window(o, w, WINDOW_PARTNERS, window.n)};
  return k;
}

void ls_order_begin(ls_order *o, uint64_t epoch) {
  o->epoch = epoch;
  o->permutation =
      ls_permutation_make(ls_rng_make(o->seed, LS_RNG_SHUFFLE, ALL_SAMPLES, epoch), o->view->n);
  if (o->window == 0) return;
  const uint64_t n_blocks = ls_view_n_blocks(o->view);
  const ls_permutation blocks =
      ls_permutation_make(ls_rng_make(o->seed, LS_RNG_SHUFFLE, BLOCKS, epoch), n_blocks);
  const bool permutes = o->is_shuffled && !o->covers;
  for (uint64_t k = 0; k < n_blocks; k++)
    o->entries[k].block = ls_view_block(o->view, permutes ? ls_permutation_at(&blocks, k) : k);
  o->n_windows = 0;
  for (uint64_t k = 0, position = 0; k < n_blocks; position += o->windows[o->n_windows - 1].window.n)
    k = add_window(o, k, position);
}

uint64_t ls_order_n_windows(const ls_order *o) {
  LS_ASSERT(o->window > 0);
  return o->n_windows;
}

ls_order_window ls_order_window_at(const ls_order *o, uint64_t w) {
  LS_ASSERT(w < o->n_windows);
  return o->windows[w].window;
}

ls_order_entry ls_order_entry_at(const ls_order *o, uint64_t k) {
  LS_ASSERT(o->window > 0 && k < ls_view_n_blocks(o->view));
  return o->entries[k];
}

uint64_t ls_order_find_window(const ls_order *o, uint64_t position) {
  LS_ASSERT(o->window > 0 && position < o->view->n);
  uint64_t low = 0;
  for (uint64_t high = o->n_windows; high - low > 1;) {
    const uint64_t middle = low + (high - low) / 2;
    *(o->windows[middle].window.first <= position ? &low : &high) = middle;
  }
  return low;
}

/* The permutation of the samples of a window; NULL: they keep their order. */
static const ls_permutation *permutation_of(const ls_order *o, uint64_t w) {
  if (!o->is_shuffled) return NULL;
  return o->covers ? &o->permutation : &o->windows[w].samples;
}

void ls_order_positions(const ls_order *o, uint64_t w, uint64_t first, size_t n, uint64_t *positions) {
  LS_ASSERT(o->windows && w < o->n_windows);
  const ls_permutation *const p = permutation_of(o, w);
  for (size_t i = 0; i < n; i++) positions[i] = first + i;
  if (p) ls_permutation_invert(p, n, positions);
  for (size_t i = 0; i < n; i++) positions[i] += o->windows[w].window.first;
}

/* The number in the dataset of sample i of a window. */
static uint64_t entry_sample(const ls_order *o, const ls_order_window *w, uint64_t i) {
  uint64_t low = w->first_entry;
  for (uint64_t high = low + w->n_entries; high - low > 1;) {
    const uint64_t middle = low + (high - low) / 2;
    *(o->entries[middle].offset <= i ? &low : &high) = middle;
  }
  const ls_order_entry *const e = &o->entries[low];
  return ls_blocks_range(o->view->dataset->blocks, e->block).first + i - e->offset;
}

/* -------------------------------------------------------------------------- samples */

/* The samples at n positions from `first` on, all of window w. */
static void window_samples(const ls_order *o, uint64_t w, uint64_t first, size_t n, uint64_t *samples) {
  const ls_permutation *const p = permutation_of(o, w);
  const ls_order_window *const window = o->covers ? NULL : &o->windows[w].window;
  for (size_t i = 0; i < n; i++) samples[i] = first + i - (window ? window->first : 0);
  if (p) ls_permutation_apply(p, n, samples);
  for (size_t i = 0; i < n; i++)
    samples[i] = window ? entry_sample(o, window, samples[i]) : ls_view_sample(o->view, samples[i]);
}

void ls_order_samples(const ls_order *o, uint64_t first, size_t n, uint64_t *samples) {
  for (size_t done = 0, some; done < n; done += some) {
    const uint64_t position = first + done;
    const uint64_t w = o->covers ? 0 : ls_order_find_window(o, position);
    const ls_order_window *const window = o->covers ? NULL : &o->windows[w].window;
    some = window ? ls_size_min(n - done, window->first + window->n - position) : n - done;
    window_samples(o, w, position, some, samples + done);
  }
}

static uint64_t sample_at(const ls_order *o, uint64_t position) {
  uint64_t sample;
  ls_order_samples(o, position, 1, &sample);
  return sample;
}

uint64_t ls_order_partner(const ls_order *o, uint64_t position) {
  const window_state *const w = &o->windows[ls_order_find_window(o, position)];
  return w->window.first + ls_permutation_at(&w->partners, position - w->window.first);
}

uint64_t ls_order_partner_inverse(const ls_order *o, uint64_t position) {
  const window_state *const w = &o->windows[ls_order_find_window(o, position)];
  return w->window.first + ls_permutation_inverse(&w->partners, position - w->window.first);
}

void ls_order_partners(const ls_order *o, uint64_t first, size_t n, const uint64_t *samples,
                       uint64_t *partners) {
  for (size_t i = 0; i < n; i++)
    partners[i] = o->window > 0 ? sample_at(o, ls_order_partner(o, first + i))
                                : data_mixup_partner(o->view, o->seed, o->epoch, samples[i]);
}
