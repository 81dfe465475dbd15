/* The shares of ranks and groups in an epoch, against counting row by row. */
#include "data/internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define MOST_RANKS 7

typedef struct example {
  uint64_t n;
  size_t batch_rows, n_lanes;
  int size;
  int groups[MOST_RANKS];
} example;

/* Positions of a window from any start are consecutive places of the group of their rank. */
static void check(const example *e) {
  data_shares s;
  uint64_t counts[MOST_RANKS] = {0};
  assert_int_equal(data_shares_create(e->n, e->batch_rows, e->n_lanes, e->size, e->groups, &s), LS_OK);
  for (uint64_t p = 0; p < e->n; p++) {
    const uint64_t begin = p / e->batch_rows * e->batch_rows;
    const size_t rows = ls_size_min(e->batch_rows, e->n - begin);
    const int rank = data_shares_rank(&s, p);
    const ls_shard shard = data_feed_shard(e->n_lanes, rows, rank, e->size);
    assert_true(p - begin >= shard.first && p - begin - shard.first < shard.rows);
    for (int g = 0; g < e->size; g++) assert_int_equal(data_shares_count(&s, g, p), counts[g]);
    assert_int_equal(data_shares_index(&s, rank, p), counts[e->groups[rank]]++);
  }
  for (int g = 0; g < e->size; g++) {
    assert_int_equal(data_shares_count(&s, g, e->n), counts[g]);
    for (uint64_t first = 0; first < e->n; first++) {
      const uint64_t rows = ls_size_min(first % 13 + 1, e->n - first);
      assert_true(data_shares_count(&s, g, first + rows) - data_shares_count(&s, g, first) <=
                  data_shares_most(&s, g, rows));
    }
  }
  data_shares_free(&s);
}

static void test_shares(void **state) {
  (void)state;
  static const example examples[] = {
      {.n = 1, .batch_rows = 1, .size = 1},
      {.n = 100, .batch_rows = 10, .size = 1},
      {.n = 103, .batch_rows = 10, .size = 2, .groups = {0, 0}},
      {.n = 103, .batch_rows = 10, .size = 3, .groups = {0, 1, 2}},
      {.n = 103, .batch_rows = 10, .size = 4, .groups = {0, 1, 0, 1}},
      {.n = 29, .batch_rows = 29, .size = 7, .groups = {0, 0, 1, 1, 1, 2, 2}},
      {.n = 31, .batch_rows = 3, .size = 7, .groups = {0, 1, 1, 2, 2, 2, 0}}, /* ranks without rows */
      {.n = 103, .batch_rows = 16, .n_lanes = 4, .size = 3, .groups = {0, 0, 1}},
      {.n = 103, .batch_rows = 17, .n_lanes = 8, .size = 5, .groups = {0, 1, 1, 0, 0}},
      {.n = 50, .batch_rows = 9, .n_lanes = 2, .size = 7, .groups = {0, 0, 0, 1, 1, 1, 1}},
      {.n = 50, .batch_rows = 9, .n_lanes = 1, .size = 2, .groups = {0, 1}},
  };
  for (size_t i = 0; i < sizeof examples / sizeof examples[0]; i++) check(&examples[i]);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_shares)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
