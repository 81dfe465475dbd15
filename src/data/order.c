/* The order of an epoch: a permutation of a view, keyed on (seed, epoch), or the order of the file. */
#include "lockstep/data.h"

#include <stdlib.h>

struct ls_order {
  const ls_view *view; /* borrowed */
  uint64_t seed;
  bool is_shuffled;
  ls_permutation permutation;
};

ls_status ls_order_create(const ls_view *view, uint64_t seed, bool shuffle, ls_order **out) {
  *out = ls_calloc(1, sizeof **out);
  if (!*out) return ls_fail_memory("the order of samples", sizeof **out);
  **out = (ls_order){.view = view, .seed = seed, .is_shuffled = shuffle};
  return LS_OK;
}

void ls_order_destroy(ls_order **order) {
  free(*order);
  *order = NULL;
}

void ls_order_begin(ls_order *order, uint64_t epoch) {
  const ls_rng rng = ls_rng_make(order->seed, LS_RNG_SHUFFLE, 0, epoch);
  order->permutation = ls_permutation_make(rng, order->view->n);
}

void ls_order_samples(const ls_order *order, uint64_t first, size_t n, uint64_t *samples) {
  for (size_t i = 0; i < n; i++) {
    const uint64_t position = first + i;
    samples[i] = ls_view_sample(
        order->view, order->is_shuffled ? ls_permutation_at(&order->permutation, position) : position);
  }
}
