/* The rungs: how many trials train for how many epochs. */
#include "internal.h"

/* first * factor, at most `most`. */
static uint64_t multiply(uint64_t first, uint64_t factor, uint64_t most) {
  return first > most / factor ? most : first * factor;
}

ls_sweep_rungs sweep_rungs_of(const sweep_plan *plan, uint64_t epochs) {
  ls_sweep_rungs r = {.n = 1, .epochs = {epochs}, .trials = {plan->trials}};
  if (plan->search != SWEEP_HALVING) return r;
  r.n = 0;
  uint64_t trials = plan->trials;
  for (uint64_t now = plan->first; r.n < LS_SWEEP_RUNGS_MAX; now = multiply(now, plan->factor, epochs)) {
    const bool is_last = now >= epochs || trials == 1;
    r.epochs[r.n] = is_last ? epochs : now;
    r.trials[r.n++] = trials;
    if (is_last) break;
    trials = trials / plan->factor > 1 ? trials / plan->factor : 1;
  }
  return r;
}
