/* Trials with different values: a draw that repeats an earlier one is skipped. So trials from lists are
 * sampled without replacement, and trial i is still the same for any number of trials above i. */
#include "internal.h"
#include "lockstep/store.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Draws after which a search for further trials ends. */
#define DRAWS_MOST(trials) (1000000 + 1000 * (trials))

/* The number of combinations of values; INFINITY if any range is of real numbers. */
static double count_combinations(const sweep_plan *plan) {
  double n = 1.0;
  for (size_t k = 0; k < plan->n_parameters; k++) {
    const ls_sweep_parameter *const p = &plan->parameters[k];
    const bool is_real = p->kind == LS_SWEEP_UNIFORM || p->kind == LS_SWEEP_LOG_UNIFORM;
    n *= is_real ? INFINITY : p->kind == LS_SWEEP_CHOICES ? (double)p->n_choices : p->high - p->low + 1.0;
  }
  return n;
}

/* A digest of the values of a draw, while plan->draws is NULL. */
static ls_digest digest_values(const sweep_plan *plan, uint64_t draw) {
  char text[SWEEP_PARAMETERS_MAX][LS_SWEEP_VALUE_MAX];
  memset(text, 0, sizeof text);
  for (size_t k = 0; k < plan->n_parameters; k++) sweep_value(plan, draw, k, text[k]);
  return ls_digest_of(text, plan->n_parameters * sizeof text[0]);
}

/* Adds a digest to a hash table of mask + 1 digests, not all of which are used. False if it is there. */
static bool add(ls_digest *table, size_t mask, ls_digest digest) {
  size_t i = digest.low & mask;
  for (; ls_digest_is_known(table[i]); i = (i + 1) & mask)
    if (ls_digest_equal(table[i], digest)) return false;
  table[i] = digest;
  return true;
}

/* Fills `draws` with the numbers of the first draws that differ. Returns how many it finds. */
static uint64_t choose(const sweep_plan *plan, ls_digest *table, size_t mask, uint32_t *draws) {
  const uint64_t most = DRAWS_MOST(plan->trials);
  uint64_t n = 0;
  for (uint64_t draw = 0; draw < most && n < plan->trials; draw++) {
    if (add(table, mask, digest_values(plan, draw))) draws[n++] = (uint32_t)draw;
    ls_heartbeat();
  }
  return n;
}

/* Collects an error if there are fewer than plan->trials combinations. */
static void report_few(const sweep_plan *plan, double n) {
  const ls_node *const trials = ls_node_find(ls_config_root(plan->config), "trials");
  ls_config_error(plan->config, trials,
                  "more trials than combinations of values; must be at most %.0f; use search: grid for all "
                  "combinations",
                  n);
}

/* Collects an error if the search for different draws has ended with `found`: there may be more. */
static void report_missed(const sweep_plan *plan, uint64_t found) {
  const ls_node *const trials = ls_node_find(ls_config_root(plan->config), "trials");
  ls_config_error(plan->config, trials,
                  "%llu random draws have only %llu different combinations of values; use at most %llu "
                  "trials, or search: grid for all combinations",
                  (unsigned long long)DRAWS_MOST(plan->trials), (unsigned long long)found,
                  (unsigned long long)found);
}

ls_status sweep_choose_draws(sweep_plan *plan) {
  const double n = count_combinations(plan);
  size_t mask = 1;
  if (plan->search == SWEEP_GRID || plan->trials == 0) return LS_OK;
  if (n < (double)plan->trials) {
    report_few(plan, n);
    return LS_OK;
  }
  while (mask < 2 * plan->trials) mask = 2 * mask + 1;
  ls_digest *const table = ls_calloc(mask + 1, sizeof *table);
  uint32_t *const draws = ls_calloc(plan->trials, sizeof *draws);
  const bool has_memory = table && draws;
  const uint64_t found = has_memory ? choose(plan, table, mask, draws) : 0;
  free(table);
  plan->draws = draws;
  if (!has_memory) return ls_fail_memory("the list of trials", plan->trials * sizeof *draws);
  if (found < plan->trials) report_missed(plan, found);
  return LS_OK;
}
