/* plan: compares predictions with closed forms. */
#include "support.h"

#include "lockstep/plan.h"

/* Round numbers: 1 ms per message, 1 GB/s of data over the link, sums at 4 GB/s. */
static const ls_plan_link simple = {.alpha = 1e-3, .beta = 1e-9, .gamma = 0.25e-9};

static void check_seconds(const char *what, double got, double want) {
  check_close(what, got, want, 1e-12 + 1e-9 * want);
}

static void allreduce_uses_the_fastest_algorithm(void **state) {
  (void)state;
  check_seconds("one node", ls_plan_allreduce(&simple, 1, 1e6), 0.0);
  /* Small: doubling, lg 8 = 3 messages of all bytes. */
  check_seconds("8 nodes, small", ls_plan_allreduce(&simple, 8, 1000.0), 3.0 * (1e-3 + 1.25e-6));
  /* Large: Rabenseifner, 6 messages; 7/8 of the bytes are sent, summed and returned. */
  check_seconds("8 nodes, large", ls_plan_allreduce(&simple, 8, 1e8), 6e-3 + 0.875 * (0.2 + 0.025));
  check_seconds("2 nodes, large", ls_plan_allreduce(&simple, 2, 1e8), 2e-3 + 0.5 * (0.2 + 0.025));
  /* Not a power of two, large: the ring, 4 messages, 2/3 of the bytes. */
  check_seconds("3 nodes, large", ls_plan_allreduce(&simple, 3, 1e8), 4e-3 + 2.0 / 3.0 * (0.2 + 0.025));
  /* Not a power of two, small: fold, lg 4 = 2 messages, unfold. */
  check_seconds("5 nodes, small", ls_plan_allreduce(&simple, 5, 1000.0),
                2.0 * (1e-3 + 1.25e-6) + 2.0 * (1e-3 + 1e-6) + 0.25e-6);
}

static void exchanges_and_small_sums_match_closed_forms(void **state) {
  (void)state;
  check_seconds("one node", ls_plan_exchange(&simple, 1, 1e6), 0.0);
  check_seconds("4 nodes", ls_plan_exchange(&simple, 4, 1e8), 1e-3 + 3e-6 + 0.075);
  check_seconds("small, alone", ls_plan_small(&simple, 1, 1), 0.0);
  check_seconds("small, 5 nodes of 3", ls_plan_small(&simple, 5, 3), 3e-3 + 2e-6);
}

/* A fitted link reproduces the times that it was fitted to. */
static void fitted_links_reproduce_their_times(void **state) {
  (void)state;
  for (uint64_t q = 2; q <= 9; q++) {
    ls_plan_link link = {.gamma = simple.gamma};
    ls_plan_fit_link(q, 1e7, ls_plan_small(&simple, q, 1), ls_plan_allreduce(&simple, q, 1e7), &link);
    check_close("alpha", link.alpha, simple.alpha, 1e-12);
    check_close("beta", link.beta, simple.beta, 1e-15);
  }
}

static void ranks_of_a_node_share_its_link(void **state) {
  (void)state;
  const ls_plan_cluster cluster = {
      .nodes = 2, .ranks_per_node = 4, .bandwidth = 1e9 / LS_PLAN_LINK_SHARE, .latency = 2e-6};
  const ls_plan_link link = ls_plan_link_of(&cluster, 1e-9);
  check_close("alpha", link.alpha, 2e-6, 0.0);
  check_close("beta", link.beta, 1e-9, 1e-20);
  check_close("gamma", link.gamma, 0.25e-9, 1e-20);
}

/* ------------------------------------------------------------------------ the run */

/* 1,000,000 parameters, last layer first: W (100, 1000) with its bias, then W (1000, 899) with its own. */
static const ls_segment segments[] = {
    {.kind = LS_SEGMENT_BIAS, .rows = 100, .offset = 0},
    {.kind = LS_SEGMENT_WEIGHT, .rows = 100, .row = {1, {1000}}, .offset = 100, .multiply_adds = 1e5},
    {.kind = LS_SEGMENT_BIAS, .rows = 900, .offset = 100100},
    {.kind = LS_SEGMENT_WEIGHT, .rows = 1000, .row = {1, {899}}, .offset = 101000, .multiply_adds = 899e3}};

static const ls_plan_work usual = {.n_params = 1000000,
                                   .n_segments = 4,
                                   .segments = segments,
                                   .batch_size = 1024,
                                   .accumulate = 1,
                                   .steps = 1000,
                                   .slots = 2,
                                   .least_rows = 256,
                                   .least_bytes = 1e7,
                                   .row_bytes = 1e3,
                                   .data_bytes = 5e7,
                                   .mode = LS_PLAN_ALLREDUCE};

static const ls_plan_costs costs = {.n_points = 3,
                                    .rows = {1, 64, 1024},
                                    .seconds = {1e-3, 8e-3, 128e-3},
                                    .update = 2e-9,
                                    .square = 1e-9,
                                    .sum = 1e-10,
                                    .copy = 2e-10,
                                    .private_bytes = 2e7,
                                    .shared_bytes = 1e7};

static ls_plan_cluster cluster_of(uint64_t nodes, uint64_t ranks_per_node) {
  return (ls_plan_cluster){.nodes = nodes,
                           .ranks_per_node = ranks_per_node,
                           .bandwidth = 1e9 / LS_PLAN_LINK_SHARE,
                           .latency = 1e-3};
}

static ls_plan_row row_of(const ls_plan_work *work, uint64_t nodes, uint64_t ranks_per_node) {
  const ls_plan_cluster cluster = cluster_of(nodes, ranks_per_node);
  return ls_plan_predict(work, &costs, &cluster);
}

static void passes_are_interpolated(void **state) {
  (void)state;
  check_seconds("no row", ls_plan_pass(&costs, 0), 0.0);
  check_seconds("1 row", ls_plan_pass(&costs, 1), 1e-3);
  check_seconds("halfway", ls_plan_pass(&costs, 544), 68e-3);
  check_seconds("beyond", ls_plan_pass(&costs, 2048), 256e-3);
}

static void one_rank_has_the_measured_costs(void **state) {
  (void)state;
  const ls_plan_row row = row_of(&usual, 1, 1);
  check_seconds("compute", row.compute, 128e-3);
  check_seconds("reduce", row.reduce, 0.0);
  check_seconds("update", row.update, 3e-3);
  check_seconds("step", row.step, 131e-3);
  check_seconds("run", row.run_seconds, 131.0);
  check_close("samples/s", row.samples_per_second, 1024.0 / 131e-3, 1e-6);
  check_close("efficiency", row.efficiency, 1.0, 1e-12);
  check_close("rank", row.rank_bytes, 3e7 + 1e7 + 768e3 + 8e6 + 12e6, 1.0);
  check_close("node", row.node_bytes, row.rank_bytes + 5e7, 1.0);
}

/* 4 nodes of 4 ranks: 4 MB within the node, summed and 3/4 of it read; 4 MB over the link. */
#define WITHIN (4e6 * 1e-10 + 3e6 * 1e-10 + 2.0 * 2e-6)
#define SMALL  (2e-3 + 2e-6)

/* Between two nodes, MPI adds; between more, two exchanges add in the order of the nodes. */
static void allreduce_matches_its_closed_form(void **state) {
  (void)state;
  const ls_plan_row two = row_of(&usual, 2, 4);
  const double doubling = 1e-3 + 4e-3 + 4e6 * 0.25e-10;
  check_seconds("reduce, 2 nodes", two.reduce, WITHIN + doubling + 1e-3 + 2.0 * LS_PLAN_MESSAGE);
  check_close("no buffer", two.buffer_bytes, 0.0, 0.0);
  const ls_plan_row row = row_of(&usual, 4, 4);
  assert_int_equal(row.rows, 64);
  check_seconds("compute", row.compute, 8e-3);
  const double exchange = 1e-3 + 3e-6 + 0.75 * 4e-3;
  check_seconds("reduce", row.reduce, WITHIN + 2.0 * exchange + 0.75 * 1e6 * 1e-10 + SMALL);
  check_seconds("update", row.update, 2e-3 / 4.0 + 1e-3 / 16.0);
  check_close("buffer", row.buffer_bytes, 1e6, 1e-3);
  check_close("optimizer", row.optimizer_bytes, 8e6 / 4.0, 1e-3);
}

static void sharded_matches_its_closed_form(void **state) {
  (void)state;
  ls_plan_work work = usual;
  work.mode = LS_PLAN_SHARDED;
  const ls_plan_row row = row_of(&work, 4, 4);
  const double exchange = 1e-3 + 3e-6 + 0.75 * 4e-3;
  check_seconds("reduce", row.reduce, WITHIN + 2.0 * exchange + 0.75 * 1e6 * 1e-10 + SMALL);
  check_seconds("update", row.update, 3e-3 / 16.0);
  check_close("optimizer", row.optimizer_bytes, 8e6 / 16.0, 1e-3);
  check_close("buffer", row.buffer_bytes, 1e6, 1e-3);
}

/* bfloat16 halves the bytes of the gradient, not of the parameters; rounding costs three passes over 1 MB.
 */
static void bfloat16_halves_the_gradient(void **state) {
  (void)state;
  ls_plan_work work = usual;
  work.is_half = true;
  const double exchange = 1e-3 + 3e-6 + 0.75 * 2e-3;
  const double rest = WITHIN + SMALL + 0.75 * 1e6 * 1e-10 + 3.0 * 1e6 * 2e-10;
  check_seconds("allreduce", row_of(&work, 4, 4).reduce, rest + 2.0 * exchange);
  work.mode = LS_PLAN_SHARDED;
  check_seconds("sharded", row_of(&work, 4, 4).reduce, rest + 2.0 * exchange + 0.75 * 2e-3);
  check_close("buffer", row_of(&work, 4, 4).buffer_bytes, 2e6, 1e-3);
}

/* The time of bytes in both exchanges, and the latency of these. */
static double crossing(double bytes) {
  return 2.0 * 0.75 * bytes * 1e-9 + 0.75 * bytes / 4.0 * 1e-10;
}

#define WAITS  (2.0 * (1e-3 + 3e-6))
#define BUCKET (65536.0 * 4.0)                      /* the least bucket, for 1,000,000 parameters */
#define LAST   ((1000000.0 - 15.0 * 65536.0) * 4.0) /* bytes of the sixteenth bucket */

/* With many rows the link waits for backward, and only the last bucket is sent after it. */
static void overlap_never_hides_the_last_bucket(void **state) {
  (void)state;
  ls_plan_work work = usual;
  work.mode = LS_PLAN_OVERLAP;
  work.batch_size = 262144;
  check_seconds("reduce", row_of(&work, 4, 4).reduce, WITHIN + SMALL + WAITS + crossing(LAST));
}

/* Two layers of 500,000 parameters, a pass of 8 ms: dW and dx of the upper and dW of the lower layer take
 * 3/5 of it. Seven buckets of the upper layer are sent before the eighth, which ends in the lower layer, is
 * complete; the link is busy from then on. */
static void overlap_hides_the_first_buckets(void **state) {
  (void)state;
  static const ls_segment halves[] = {
      {.kind = LS_SEGMENT_WEIGHT, .rows = 500, .row = {1, {1000}}, .offset = 0, .multiply_adds = 5e5},
      {.kind = LS_SEGMENT_WEIGHT, .rows = 1000, .row = {1, {500}}, .offset = 500000, .multiply_adds = 5e5}};
  ls_plan_work work = usual;
  work.mode = LS_PLAN_OVERLAP;
  work.segments = halves;
  work.n_segments = 2;
  const double part = 8e-3 / 5.0;
  const double first = part * 65536.0 / 500000.0;
  const double eighth = 2.0 * part + part * (8.0 * 65536.0 - 500000.0) / 500000.0;
  assert_true(crossing(BUCKET) > first && first + 7.0 * crossing(BUCKET) < eighth);
  check_seconds("reduce", row_of(&work, 4, 4).reduce,
                WITHIN + SMALL + WAITS + eighth + crossing(4e6 - 7.0 * BUCKET) - 3.0 * part);
}

/* A convolution multiplies its weights at many positions: the lower of two layers of 500,000 parameters
 * takes most of the pass, which hides all buckets but the last two,
 * of which the last is short. */
static void overlap_hides_behind_convolutions(void **state) {
  (void)state;
  static const ls_segment halves[] = {
      {.kind = LS_SEGMENT_WEIGHT, .rows = 500, .row = {1, {1000}}, .offset = 0, .multiply_adds = 5e5},
      {.kind = LS_SEGMENT_WEIGHT,
       .rows = 50,
       .row = {3, {10, 10, 100}},
       .offset = 500000,
       .multiply_adds = 5e6}};
  ls_plan_work work = usual;
  work.mode = LS_PLAN_OVERLAP;
  work.segments = halves;
  work.n_segments = 2;
  work.batch_size = 2048;
  const double unit = 16e-3 / 11.5;                    /* of 10^6 multiplications */
  const double each = 5.0 * unit * 65536.0 / 500000.0; /* a bucket of the lower layer */
  const double last = 5.0 * unit * (1000000.0 - 15.0 * 65536.0) / 500000.0;
  assert_true(crossing(BUCKET) < each && crossing(BUCKET) > last);
  check_seconds("reduce", row_of(&work, 4, 4).reduce,
                WITHIN + SMALL + WAITS + crossing(BUCKET) - last + crossing(LAST));
}

static void auto_chooses_the_fastest_mode(void **state) {
  (void)state;
  ls_plan_work work = usual;
  for (uint64_t nodes = 1; nodes <= 64; nodes *= 2) {
    double least = INFINITY;
    for (int mode = LS_PLAN_ALLREDUCE; mode <= LS_PLAN_SHARDED; mode++) {
      work.mode = (ls_plan_mode)mode;
      least = fmin(least, row_of(&work, nodes, 4).step);
    }
    work.mode = LS_PLAN_AUTO;
    check_close("auto", row_of(&work, nodes, 4).step, least, 0.0);
  }
}

static void accumulated_batches_are_reduced_once(void **state) {
  (void)state;
  ls_plan_work work = usual;
  work.accumulate = 3;
  const ls_plan_row once = row_of(&usual, 2, 2);
  const ls_plan_row row = row_of(&work, 2, 2);
  check_seconds("compute", row.compute, 3.0 * once.compute);
  check_seconds("reduce", row.reduce, once.reduce);
  check_close("samples/s", row.samples_per_second, 3.0 * 1024.0 / row.step, 1e-6);
}

static void memory_bandwidth_bounds_a_node(void **state) {
  (void)state;
  ls_plan_cluster cluster = cluster_of(1, 4);
  cluster.memory_bandwidth = 1e9;
  const ls_plan_row row = ls_plan_predict(&usual, &costs, &cluster);
  check_seconds("reduce", row.reduce, 4.0 * 4e6 * 1.75 / 1e9 + 2.0 * 2e-6 + 2e-6);
}

/* 8 lanes of 128 rows: 3 ranks have 2, 2 and 4 lanes; of 16 ranks, 8 have none. */
static void lanes_stay_whole(void **state) {
  (void)state;
  ls_plan_work work = usual;
  work.lanes = 8;
  work.mode = LS_PLAN_TREE;
  const struct {
    uint64_t ranks;
    size_t rows;
  } cases[] = {{1, 1024}, {2, 512}, {3, 512}, {4, 256}, {5, 256}, {8, 128}, {16, 128}};
  for (size_t i = 0; i < COUNT(cases); i++)
    assert_int_equal(row_of(&work, 1, cases[i].ranks).rows, cases[i].rows);
}

static void the_table_ends_at_the_requested_cluster(void **state) {
  (void)state;
  ls_plan_row rows[LS_PLAN_ROWS_MOST];
  ls_plan_cluster cluster = cluster_of(6, 3);
  const struct { uint64_t nodes, ranks; } want[] = {{1, 1}, {1, 2}, {1, 3}, {2, 6}, {4, 12}, {6, 18}};
  assert_int_equal(ls_plan_table(&usual, &costs, &cluster, rows), COUNT(want));
  for (size_t i = 0; i < COUNT(want); i++) {
    assert_int_equal(rows[i].nodes, want[i].nodes);
    assert_int_equal(rows[i].ranks, want[i].ranks);
  }
  cluster = cluster_of(1, 1);
  assert_int_equal(ls_plan_table(&usual, &costs, &cluster, rows), 1);
  cluster = cluster_of(LS_PLAN_RANKS_MOST, 1);
  assert_true(ls_plan_table(&usual, &costs, &cluster, rows) <= LS_PLAN_ROWS_MOST);
  cluster = cluster_of(2, LS_PLAN_RANKS_MOST / 2);
  const size_t n = ls_plan_table(&usual, &costs, &cluster, rows);
  assert_true(n <= LS_PLAN_ROWS_MOST);
  assert_int_equal(rows[n - 1].ranks, LS_PLAN_RANKS_MOST);
  assert_int_equal(rows[n - 1].rows, 1);
}

static void useful_rows_gain_a_tenth_per_doubling(void **state) {
  (void)state;
  ls_plan_row rows[4] = {{.ranks = 1, .samples_per_second = 100.0},
                         {.ranks = 2, .samples_per_second = 111.0},
                         {.ranks = 4, .samples_per_second = 121.0},
                         {.ranks = 8, .samples_per_second = 500.0}};
  assert_int_equal(ls_plan_last_useful(rows, 4), 1);
  rows[2].samples_per_second = 123.0;
  assert_int_equal(ls_plan_last_useful(rows, 4), 3);
  assert_int_equal(ls_plan_last_useful(rows, 1), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(allreduce_uses_the_fastest_algorithm),
                                     cmocka_unit_test(exchanges_and_small_sums_match_closed_forms),
                                     cmocka_unit_test(fitted_links_reproduce_their_times),
                                     cmocka_unit_test(ranks_of_a_node_share_its_link),
                                     cmocka_unit_test(passes_are_interpolated),
                                     cmocka_unit_test(one_rank_has_the_measured_costs),
                                     cmocka_unit_test(allreduce_matches_its_closed_form),
                                     cmocka_unit_test(sharded_matches_its_closed_form),
                                     cmocka_unit_test(bfloat16_halves_the_gradient),
                                     cmocka_unit_test(overlap_never_hides_the_last_bucket),
                                     cmocka_unit_test(overlap_hides_the_first_buckets),
                                     cmocka_unit_test(overlap_hides_behind_convolutions),
                                     cmocka_unit_test(auto_chooses_the_fastest_mode),
                                     cmocka_unit_test(accumulated_batches_are_reduced_once),
                                     cmocka_unit_test(memory_bandwidth_bounds_a_node),
                                     cmocka_unit_test(lanes_stay_whole),
                                     cmocka_unit_test(the_table_ends_at_the_requested_cluster),
                                     cmocka_unit_test(useful_rows_gain_a_tenth_per_doubling)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
