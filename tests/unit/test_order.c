/* Blocks, views by blocks, and the order of an epoch with windows. */
#include "lockstep/data.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

#define SEED 3
#define MB   ((size_t)1 << 20)

static void check_int(const char *what, uint64_t got, uint64_t want) {
  if (got != want)
    fail_msg("%s: got %llu, want %llu", what, (unsigned long long)got, (unsigned long long)want);
}

/* -------------------------------------------------------------------------- blocks */

/* A dataset of which only the blocks are used. Released by drop. */
static ls_dataset dataset_of(size_t n_files, const uint64_t *rows, const uint64_t *chunks,
                             size_t row_bytes) {
  ls_dataset d = {0};
  assert_int_equal(ls_blocks_create(n_files, rows, chunks, row_bytes, &d.blocks), LS_OK);
  d.n_samples = d.blocks->n_samples;
  return d;
}

static void drop(ls_dataset *d) {
  ls_blocks_destroy(&d->blocks);
}

/* Blocks follow each other without gaps, inside their files, and ls_blocks_find finds them. */
static void check_blocks(const ls_dataset *d) {
  const ls_blocks *const b = d->blocks;
  uint64_t next = 0;
  size_t file = 0;
  for (uint64_t k = 0; k < b->n; k++) {
    const ls_block_range r = ls_blocks_range(b, k);
    while (b->files[file].first + b->files[file].rows <= r.first) file++;
    assert_int_equal(r.first, next);
    assert_true(r.n > 0 && r.first + r.n <= b->files[file].first + b->files[file].rows);
    assert_int_equal(ls_blocks_find(b, r.first), k);
    assert_int_equal(ls_blocks_find(b, r.first + r.n - 1), k);
    next += r.n;
  }
  assert_int_equal(next, d->n_samples);
}

/* A file of `rows` rows has this number of rows in a block. */
static void check_rows_per_block(uint64_t rows, uint64_t chunk, size_t row_bytes, uint64_t expected) {
  ls_dataset d = dataset_of(1, &rows, &chunk, row_bytes);
  check_int("rows per block", d.blocks->files[0].rows_per_block, expected);
  check_int("blocks", d.blocks->n, ((rows + expected - 1) / expected));
  if (d.blocks->n < 100000) check_blocks(&d);
  drop(&d);
}

static void blocks_have_the_stated_sizes(void **state) {
  (void)state;
  check_rows_per_block(60000, 1, 784, 1338);      /* at least 1 MiB: 1337.5 rows */
  check_rows_per_block(60000, 1338, 784, 1338);   /* one chunk */
  check_rows_per_block(60000, 1000, 784, 2000);   /* whole chunks */
  check_rows_per_block(60000, 20000, 784, 20000); /* a chunk of 15 MB is a block by itself */
  check_rows_per_block(1000, 1, 784, 1338);       /* the file is smaller than a block */
  check_rows_per_block(1000, 4096, 784, 2000);    /* and smaller than its chunk */
  check_rows_per_block(1, 1, 1, MB);              /* one sample of one byte */
  check_rows_per_block(100, 1, 8 * MB, 1);        /* samples of 8 MiB */
  check_rows_per_block(3000000000, 1, 1, MB);     /* 3 GB: 1/4096 is less than 1 MiB */
  check_rows_per_block(16 * 1024, 1, MB, 4);      /* 16 GiB: 1/4096 is 4 MiB */
  check_rows_per_block(1024 * 1024, 1, MB, 8);    /* 1 TiB: at most 8 MiB */
  check_rows_per_block(1024 * 1024, 5, MB, 5);    /* two chunks would have 10 MiB */
  check_rows_per_block(UINT64_C(1) << 39, 1, (size_t)1 << 40, 1); /* bytes beyond 2^64 */
}

/* Blocks end with their file; files may have different chunks, and fewer rows than a block. */
static void blocks_end_with_their_file(void **state) {
  (void)state;
  const uint64_t rows[] = {2500, 1, 700, 3000};
  const uint64_t chunks[] = {1, 1, 64, 500};
  ls_dataset d = dataset_of(4, rows, chunks, 1024);
  check_int("blocks", d.blocks->n, 3 + 1 + 1 + 2);
  check_int("chunks of 64 rows", d.blocks->files[2].rows_per_block, 1024);
  check_int("chunks of 500 rows", d.blocks->files[3].rows_per_block, 1500);
  check_blocks(&d);
  drop(&d);
}

/* ---------------------------------------------------------------------------- views */

/* The samples of two views: each sample of the dataset is in exactly one; both are in ascending order. */
static void check_views(const ls_dataset *d, const ls_view *train, const ls_view *validation) {
  uint8_t *const seen = ls_calloc(d->n_samples, 1);
  const ls_view *const views[] = {train, validation};
  assert_non_null(seen);
  assert_int_equal(train->n + validation->n, d->n_samples);
  for (size_t v = 0; v < 2; v++) {
    for (uint64_t i = 0; i < views[v]->n; i++) {
      const uint64_t sample = ls_view_sample(views[v], i);
      assert_true(i == 0 || sample > ls_view_sample(views[v], i - 1));
      assert_int_equal(seen[sample]++, 0);
      assert_true(ls_view_has(views[v], sample) && !ls_view_has(views[1 - v], sample));
    }
    for (uint64_t k = 0; k < ls_view_n_blocks(views[v]); k++)
      assert_int_equal(ls_view_sample(views[v], ls_view_block_first(views[v], k)),
                       ls_blocks_range(d->blocks, ls_view_block(views[v], k)).first);
  }
  free(seen);
}

/* Validation has the expected number of blocks. */
static void check_split(const ls_dataset *d, double fraction, uint64_t n_blocks) {
  ls_view train;
  ls_view validation;
  assert_int_equal(ls_view_split_blocks(d, fraction, SEED, &train, &validation), LS_OK);
  check_int("validation blocks", ls_view_n_blocks(&validation), n_blocks);
  check_views(d, &train, &validation);
  ls_view_release(&train);
  ls_view_release(&validation);
  assert_true(!train.list && validation.n == 0);
}

static void splits_have_whole_blocks(void **state) {
  (void)state;
  const uint64_t rows[] = {10000, 3};
  const uint64_t chunks[] = {1, 1};
  ls_dataset d = dataset_of(1, rows, chunks, 10486); /* 100 rows per block */
  check_split(&d, 0.0, 0);
  check_split(&d, 0.1, 10);
  check_split(&d, 0.101, 11);  /* round(f N) samples at least */
  check_split(&d, 0.9999, 99); /* never all blocks */
  drop(&d);
  d = dataset_of(1, rows + 1, chunks, 8); /* a single block cannot be divided */
  check_split(&d, 0.5, 0);
  drop(&d);
}

/* -------------------------------------------------------------------- order of an epoch */

/* The samples of an epoch, owned by the caller. */
static uint64_t *samples_of(const ls_order *order, uint64_t n) {
  uint64_t *const samples = ls_calloc(n, sizeof *samples);
  assert_non_null(samples);
  ls_order_samples(order, 0, n, samples);
  return samples;
}

static ls_order *new_order(const ls_view *view, bool shuffle, uint64_t window, uint64_t epoch) {
  ls_order *order = NULL;
  assert_int_equal(ls_order_create(view, SEED, shuffle, window, &order), LS_OK);
  ls_order_begin(order, epoch);
  return order;
}

/* The entries of a window are whole blocks: it has fewer than `window` samples without the last of them. */
static void check_entries(const ls_dataset *d, const ls_order *order, const ls_order_window *w,
                          uint64_t window) {
  uint64_t offset = 0;
  assert_true(w->n_entries > 0);
  for (uint64_t k = 0; k < w->n_entries; k++) {
    const ls_order_entry entry = ls_order_entry_at(order, w->first_entry + k);
    assert_int_equal(entry.offset, offset);
    assert_true(offset < window);
    offset += ls_blocks_range(d->blocks, entry.block).n;
  }
  assert_int_equal(offset, w->n);
}

/* ls_order_positions inverts ls_order_samples, inside the window. */
static void check_positions(const ls_dataset *d, const ls_order *order, uint64_t w,
                            const uint64_t *samples) {
  const ls_order_window window = ls_order_window_at(order, w);
  for (uint64_t k = 0; k < window.n_entries; k++) {
    const ls_order_entry entry = ls_order_entry_at(order, window.first_entry + k);
    const ls_block_range r = ls_blocks_range(d->blocks, entry.block);
    uint64_t *const positions = ls_calloc(r.n, sizeof *positions);
    assert_non_null(positions);
    ls_order_positions(order, w, entry.offset, r.n, positions);
    for (uint64_t i = 0; i < r.n; i++) {
      assert_true(positions[i] >= window.first && positions[i] < window.first + window.n);
      assert_int_equal(samples[positions[i]], r.first + i);
    }
    free(positions);
  }
}

/* Partners are in the same window, and each sample is the partner of exactly one. */
static void check_partners(const ls_order *order, uint64_t n, const uint64_t *samples) {
  uint64_t *const partners = ls_calloc(n, sizeof *partners);
  assert_non_null(partners);
  ls_order_partners(order, 0, n, samples, partners);
  for (uint64_t i = 0; i < n; i++) {
    const uint64_t partner = ls_order_partner(order, i);
    assert_int_equal(ls_order_find_window(order, i), ls_order_find_window(order, partner));
    assert_int_equal(ls_order_partner_inverse(order, partner), i);
    assert_int_equal(partners[i], samples[partner]);
  }
  free(partners);
}

/* An epoch uses each sample of the view once, in windows that follow each other. */
static void check_order(const ls_view *view, uint64_t window, bool shuffle, uint64_t epoch) {
  const ls_dataset *const d = view->dataset;
  ls_order *order = new_order(view, shuffle, window, epoch);
  uint64_t *const samples = samples_of(order, view->n);
  uint8_t *const seen = ls_calloc(d->n_samples, 1);
  assert_non_null(seen);
  for (uint64_t i = 0; i < view->n; i++)
    assert_true(seen[samples[i]]++ == 0 && ls_view_has(view, samples[i]));
  for (uint64_t i = 0; !shuffle && i < view->n; i++) assert_int_equal(samples[i], ls_view_sample(view, i));
  uint64_t next = 0;
  uint64_t next_entry = 0;
  for (uint64_t w = 0; w < ls_order_n_windows(order); w++) {
    const ls_order_window one = ls_order_window_at(order, w);
    assert_true(one.first == next && one.first_entry == next_entry);
    assert_true(one.n >= window || one.first + one.n == view->n);
    assert_int_equal(ls_order_find_window(order, one.first), w);
    assert_int_equal(ls_order_find_window(order, one.first + one.n - 1), w);
    check_entries(d, order, &one, window);
    check_positions(d, order, w, samples);
    next += one.n;
    next_entry += one.n_entries;
  }
  assert_true(next == view->n && next_entry == ls_view_n_blocks(view));
  check_partners(order, view->n, samples);
  free(seen);
  free(samples);
  ls_order_destroy(&order);
}

/* The files of a case: n_files files of `rows` rows, and one more of `last` rows. */
typedef struct order_case {
  size_t n_files;
  uint64_t rows, last, chunk;
  size_t row_bytes;
  uint64_t windows[4]; /* 0: none */
} order_case;

static const order_case order_cases[] = {
    {0, 0, 10007, 1, 10486, {1, 250, 1000, 10006}}, /* blocks of 100 rows, the last of 7 */
    {0, 0, 10007, 300, 104860, {7, 301, 3000}},     /* chunks larger than a window */
    {3, 257, 101, 1, 10486, {1, 64, 300, 800}},     /* blocks that end files */
    {0, 0, 1, 1, 1, {1, 5}},                        /* one sample */
    {9999, 1, 1, 1, 16, {1, 3, 4096}},              /* 10,000 files of one sample */
    {0, 0, 40, 1, 8 * MB, {1, 3, 39}},              /* samples of 8 MiB */
};

static ls_dataset dataset_of_case(const order_case *c) {
  uint64_t *const rows = ls_calloc(c->n_files + 1, sizeof *rows);
  uint64_t *const chunks = ls_calloc(c->n_files + 1, sizeof *chunks);
  assert_true(rows && chunks);
  for (size_t i = 0; i <= c->n_files; i++) {
    rows[i] = i < c->n_files ? c->rows : c->last;
    chunks[i] = c->chunk;
  }
  const ls_dataset d = dataset_of(c->n_files + 1, rows, chunks, c->row_bytes);
  free(rows);
  free(chunks);
  return d;
}

static void windows_use_every_sample_once(void **state) {
  (void)state;
  for (size_t i = 0; i < COUNT(order_cases); i++) {
    ls_dataset d = dataset_of_case(&order_cases[i]);
    ls_view views[2];
    const ls_view all = ls_view_all(&d);
    assert_int_equal(ls_view_split_blocks(&d, 0.3, SEED, &views[0], &views[1]), LS_OK);
    for (const uint64_t *w = order_cases[i].windows; w < order_cases[i].windows + 4 && *w; w++) {
      check_order(&all, *w, true, 0);
      check_order(&all, *w, true, 1);
      check_order(&all, *w, false, 0);
      check_order(&views[0], *w, true, 2);
    }
    ls_view_release(&views[0]);
    ls_view_release(&views[1]);
    drop(&d);
  }
}

/* Whether two orders of an epoch are equal. */
static bool same_order(const ls_view *view, uint64_t window, uint64_t epoch, uint64_t other_window,
                       uint64_t other_epoch) {
  ls_order *a = new_order(view, true, window, epoch);
  ls_order *b = new_order(view, true, other_window, other_epoch);
  uint64_t *const x = samples_of(a, view->n);
  uint64_t *const y = samples_of(b, view->n);
  const bool same = memcmp(x, y, view->n * sizeof *x) == 0;
  free(x);
  free(y);
  ls_order_destroy(&a);
  ls_order_destroy(&b);
  return same;
}

/* A window that covers the view is a full shuffle; epochs and smaller windows differ. */
static void a_window_that_covers_all_is_a_full_shuffle(void **state) {
  (void)state;
  ls_dataset d = dataset_of_case(&order_cases[0]);
  ls_view views[2];
  const ls_view all = ls_view_all(&d);
  assert_int_equal(ls_view_split_blocks(&d, 0.3, SEED, &views[0], &views[1]), LS_OK);
  assert_true(same_order(&all, 0, 5, 10007, 5));
  assert_true(same_order(&all, 0, 5, UINT64_MAX, 5));
  assert_true(same_order(&views[0], 0, 5, views[0].n, 5));
  assert_false(same_order(&all, 0, 5, 10006, 5));
  assert_false(same_order(&all, 1000, 5, 1000, 6));
  assert_false(same_order(&all, 1000, 5, 2000, 5));
  assert_true(same_order(&all, 1000, 5, 951, 5)); /* windows of 10 blocks, or 11 with the small one */
  check_order(&all, 10007, true, 5);
  ls_view_release(&views[0]);
  ls_view_release(&views[1]);
  drop(&d);
}

#define WINDOWS_LOW    0xbc1ec4dfce2f128c
#define VALIDATION_LOW 0xaea6e49f49e28218

/* Orders and splits must not change, or resumed runs would differ. */
static void orders_are_recorded(void **state) {
  (void)state;
  ls_dataset d = dataset_of_case(&order_cases[0]);
  ls_view train;
  ls_view validation;
  assert_int_equal(ls_view_split_blocks(&d, 0.1, SEED, &train, &validation), LS_OK);
  ls_order *order = new_order(&train, true, 1000, 7);
  uint64_t *const samples = samples_of(order, train.n);
  uint64_t *const partners = ls_calloc(train.n, sizeof *partners);
  assert_non_null(partners);
  ls_order_partners(order, 0, train.n, samples, partners);
  for (uint64_t i = 0; i < train.n; i++) samples[i] ^= partners[i] << 32;
  assert_int_equal(ls_digest_of(samples, train.n * sizeof *samples).low, WINDOWS_LOW);
  const size_t bytes = validation.list->n * sizeof *validation.list->blocks;
  assert_int_equal(ls_digest_of(validation.list->blocks, bytes).low, VALIDATION_LOW);
  free(samples);
  free(partners);
  ls_order_destroy(&order);
  ls_view_release(&train);
  ls_view_release(&validation);
  drop(&d);
}

/* Permuted blocks and samples are mixed: the mean distance of neighbours in the order is that of random
 * samples, n / 3, between blocks, and a third of the window inside one. */
static void orders_are_mixed(void **state) {
  (void)state;
  ls_dataset d = dataset_of_case(&order_cases[0]);
  const ls_view all = ls_view_all(&d);
  ls_order *order = new_order(&all, true, 1000, 0);
  uint64_t *const samples = samples_of(order, all.n);
  double sum = 0.0;
  for (uint64_t i = 1; i < all.n; i++) {
    const double step = (double)samples[i] - (double)samples[i - 1];
    sum += step < 0.0 ? -step : step;
  }
  check_close("mean distance", sum / (double)(all.n - 1), (double)all.n / 3.0, 0.15 * (double)all.n / 3.0);
  free(samples);
  ls_order_destroy(&order);
  drop(&d);
}

/* ------------------------------------------------------------------------ homogeneity */

/* The distance for n blocks with these counts of classes, (n, n_classes). */
static double distance_of(size_t n, size_t n_classes, const uint64_t *counts, double window, double all) {
  ls_homogeneity h;
  assert_int_equal(ls_homogeneity_create(n_classes, &h), LS_OK);
  for (size_t b = 0; b < n; b++) ls_homogeneity_add(&h, counts + b * n_classes);
  const double distance = ls_homogeneity_distance(&h, window, all);
  ls_homogeneity_destroy(&h);
  return distance;
}

/* Ten blocks of one class each have a correlation of 1: with windows of 3 of 100 blocks the distance is
 * 1/2 * 10 * 0.3 * sqrt(2 / pi * 0.97 / 3). */
static void blocks_of_one_class_are_found(void **state) {
  (void)state;
  uint64_t sorted[100] = {0};
  uint64_t mixed[100];
  for (size_t b = 0; b < 10; b++) sorted[11 * b] = 1000;
  for (size_t i = 0; i < 100; i++) mixed[i] = 90 + (i * 7 + i / 10) % 21;
  check_close("sorted", distance_of(10, 10, sorted, 3.0, 100.0), 1.5 * sqrt(0.6366197724 * 0.97 / 3.0),
              1e-6);
  check_close("large window", distance_of(10, 10, sorted, 90.0, 100.0),
              1.5 * sqrt(0.6366197724 * 0.1 / 90.0), 1e-6);
  check_close("all blocks", distance_of(10, 10, sorted, 100.0, 100.0), 0.0, 0.0);
  check_close("mixed", distance_of(10, 10, mixed, 3.0, 100.0), 0.0, 0.0);
  check_close("one block", distance_of(1, 10, sorted, 1.0, 100.0), 0.0, 0.0);
  /* Two classes with shares of 3/4 and 1/4, in blocks of one class. */
  const uint64_t two[16] = {50, 0, 50, 0, 50, 0, 0, 50, 50, 0, 50, 0, 50, 0, 0, 50};
  check_close("two classes", distance_of(8, 2, two, 2.0, 1e9), sqrt(3.0 / 16.0) * sqrt(0.6366197724 / 2.0),
              1e-2);
  uint64_t single[100] = {0};
  for (size_t b = 0; b < 10; b++) single[11 * b] = 1; /* blocks of one sample are random samples */
  check_close("single samples", distance_of(10, 10, single, 3.0, 100.0), 0.0, 0.0);
  check_close("one class", distance_of(10, 1, mixed, 3.0, 100.0), 0.0, 0.0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(blocks_have_the_stated_sizes),
      cmocka_unit_test(blocks_end_with_their_file),
      cmocka_unit_test(splits_have_whole_blocks),
      cmocka_unit_test(windows_use_every_sample_once),
      cmocka_unit_test(a_window_that_covers_all_is_a_full_shuffle),
      cmocka_unit_test(orders_are_recorded),
      cmocka_unit_test(orders_are_mixed),
      cmocka_unit_test(blocks_of_one_class_are_found),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
