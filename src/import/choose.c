/* Chooses the rows that go to /test. */
#include "internal.h"

#include <math.h>

ls_status import_choose_test(const char *path, uint64_t n, double fraction, output *out) {
  if (n >> 40 != 0) return ls_fail(LS_ERR_DATA, "%s: too many samples; must be fewer than 2^40", path);
  const uint64_t n_test = (uint64_t)llround(fraction * (double)n);
  if (n_test == n || (n_test == 0 && fraction > 0.0))
    return ls_fail(LS_ERR_DATA, "%s: a test fraction of %g selects %s of the %llu samples; choose a %s one",
                   path, fraction, n_test ? "all" : "none", (unsigned long long)n,
                   n_test ? "smaller" : "larger");
  out->n_test = n_test;
  out->order = ls_permutation_make(ls_rng_make(out->seed, LS_RNG_IMPORT, 0, 0), n);
  return LS_OK;
}

bool import_is_test(const output *out, uint64_t row) {
  return out->n_test > 0 && ls_permutation_at(&out->order, row) < out->n_test;
}
