/* Chooses the rows that go to /test. */
#include "internal.h"

#include <math.h>

ls_status import_choose_test(const char *path, uint64_t n, const ls_import_options *options,
                             uint64_t *n_test, ls_permutation *order) {
  const double fraction = options->test_fraction;
  *n_test = 0;
  if (n >> 40 != 0) return ls_fail(LS_ERR_DATA, "%s: too many samples; must be fewer than 2^40", path);
  *n_test = (uint64_t)llround(fraction * (double)n);
  if (*n_test == n || (*n_test == 0 && fraction > 0.0))
    return ls_fail(LS_ERR_DATA, "%s: a test fraction of %g selects %s of the %llu samples; choose a %s one",
                   path, fraction, *n_test ? "all" : "none", (unsigned long long)n,
                   *n_test ? "smaller" : "larger");
  *order = ls_permutation_make(ls_rng_make(options->seed, LS_RNG_IMPORT, 0, 0), n);
  return LS_OK;
}
