/* sweep: Sobol's sequence. */
#include "lockstep/sweep.h"

#include "support.h"

/* Points of scipy.stats.qmc.Sobol(21, scramble=False) of SciPy 1.17.1, times 2^32, in some dimensions. */
static void test_points(void **state) {
  (void)state;
  static const size_t dims[] = {0, 1, 2, 6, 13, 20};
  static const struct {
    uint32_t index, x[6];
  } points[] = {
      {0, {0, 0, 0, 0, 0, 0}},
      {1, {2147483648, 2147483648, 2147483648, 2147483648, 2147483648, 2147483648}},
      {2, {3221225472, 1073741824, 1073741824, 1073741824, 1073741824, 1073741824}},
      {3, {1073741824, 3221225472, 3221225472, 3221225472, 3221225472, 3221225472}},
      {7, {536870912, 2684354560, 1610612736, 2684354560, 1610612736, 3758096384}},
      {15, {268435456, 4026531840, 2415919104, 3489660928, 2415919104, 3489660928}},
  };
  for (size_t i = 0; i < sizeof points / sizeof points[0]; i++)
    for (size_t k = 0; k < 6; k++) assert_int_equal(ls_sobol(points[i].index, dims[k]), points[i].x[k]);
}

/* In each dimension, the first 1024 points have one in each interval of length 2^-10. */
static void test_intervals(void **state) {
  (void)state;
  enum { N = 1024 };
  for (size_t dim = 0; dim < LS_SOBOL_DIMS; dim++) {
    unsigned char seen[N] = {0};
    for (uint32_t i = 0; i < N; i++) {
      const uint32_t interval = ls_sobol(i, dim) >> 22;
      assert_false(seen[interval]);
      seen[interval] = 1;
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_points), cmocka_unit_test(test_intervals)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
