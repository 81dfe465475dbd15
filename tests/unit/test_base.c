/* base: messages, sizes, the arena, random numbers and permutations. */
#include "support.h"

#include <Random123/philox.h>
#include <math.h>
#include <stdatomic.h>

/* ------------------------------------------------------------------- texts */

static void utf8_excludes_malformed_sequences(void **state) {
  (void)state;
  static const char *const valid[] = {
      "", "abc", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80", "\xED\x9F\xBF", "\xF4\x8F\xBF\xBF"};
  static const char *const invalid[] = {"\xE9",
                                        "a\xC3",
                                        "\xC3(",
                                        "\x80",
                                        "\xC0\xAF",
                                        "\xE0\x80\xAF",
                                        "\xED\xA0\x80",
                                        "\xE2\x82",
                                        "\xFF",
                                        "\xF4\x90\x80\x80",
                                        "\xF0\x80\x80\x80"};
  for (size_t i = 0; i < sizeof valid / sizeof *valid; i++)
    assert_true(ls_is_utf8(valid[i], strlen(valid[i])));
  for (size_t i = 0; i < sizeof invalid / sizeof *invalid; i++)
    assert_false(ls_is_utf8(invalid[i], strlen(invalid[i])));
}

/* A text is cut between two characters. */
static void text_is_cut_between_characters(void **state) {
  (void)state;
  const char text[] = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80z"; /* of 1, 2, 3, 4 and 1 bytes */
  const int expected[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 11, 11};
  for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
    assert_int_equal(ls_clip(text, i), expected[i]);
  assert_int_equal(ls_clip("\x80\x80\x80\x80\x80", 4), 4); /* not UTF-8 */
}

/* ------------------------------------------------------------------ status */

static void fail_formats_and_returns(void **state) {
  (void)state;
  assert_int_equal(ls_fail(LS_ERR_DATA, "%s:%d: bad", "x.csv", 7), LS_ERR_DATA);
  assert_string_equal(ls_message(), "x.csv:7: bad");
  assert_int_equal(ls_fail_memory("the net", 2500000), LS_ERR_INTERNAL);
  assert_true(message_has(ls_message(), "out of memory ~ the net ~ 2.5 MB"));
}

static void fail_can_wrap_its_own_message(void **state) {
  (void)state;
  ls_fail(LS_ERR_DATA, "inner");
  ls_fail(LS_ERR_DATA, "rank %d: %s, %s", 3, ls_message(), ls_message());
  assert_string_equal(ls_message(), "rank 3: inner, inner");
}

static void fail_truncates_long_messages(void **state) {
  (void)state;
  char text[LS_MESSAGE_MAX + 100];
  memset(text, 'x', sizeof text - 1);
  text[sizeof text - 1] = '\0';
  ls_fail(LS_ERR_DATA, "%s", text);
  assert_int_equal(strlen(ls_message()), LS_MESSAGE_MAX - 1);
}

/* Sets a bool: whether the thread has no message before its own. */
static void *fail_elsewhere(void *was_empty) {
  *(bool *)was_empty = ls_message()[0] == '\0';
  ls_fail(LS_ERR_DATA, "of the other thread");
  return NULL;
}

static void messages_belong_to_their_thread(void **state) {
  (void)state;
  pthread_t thread;
  bool was_empty = false;
  ls_fail(LS_ERR_DATA, "of this thread");
  assert_int_equal(ls_thread_start(&thread, fail_elsewhere, &was_empty), 0);
  assert_int_equal(pthread_join(thread, NULL), 0);
  assert_true(was_empty);
  assert_string_equal(ls_message(), "of this thread");
}

/* ----------------------------------------------------------- parallel loops */

enum { PARTS = 1000, LOOPS = 200 };

typedef struct visits {
  atomic_int of[PARTS];
  bool is_outer;
} visits;

static void visit(void *context, size_t part) {
  visits *const v = context;
  atomic_fetch_add(&v->of[part], 1);
  if (v->is_outer && part % 100 == 0) ls_parallel(PARTS, visit, &(visits){.is_outer = false});
}

/* Loops of all sizes, also from inside a part. Returns NULL if they are right. */
static void *check_loops(void *context) {
  for (size_t n = 0; n < PARTS; n += PARTS / LOOPS) {
    visits v = {.is_outer = n % 3 == 0};
    ls_parallel(n, visit, &v);
    for (size_t i = 0; i < PARTS; i++)
      if (v.of[i] != (i < n)) return context;
  }
  return NULL;
}

static void parallel_loops_run_each_part_once(void **state) {
  for (int threads = 1; threads <= 4; threads++) {
    assert_int_equal(ls_parallel_set(threads), LS_OK);
    assert_null(check_loops(&state));
  }
  assert_int_equal(ls_parallel_set(1), LS_OK);
}

static void several_callers_have_parallel_loops(void **state) {
  (void)state;
  pthread_t thread;
  void *failed = NULL;
  assert_int_equal(ls_parallel_set(3), LS_OK);
  assert_int_equal(ls_thread_start(&thread, check_loops, &failed), 0);
  void *const failed_here = check_loops(&failed);
  assert_int_equal(pthread_join(thread, &failed), 0);
  assert_null(failed);
  assert_null(failed_here);
  assert_int_equal(ls_parallel_set(1), LS_OK);
}

/* A sum whose order of additions matters. */
static double sum_of(void *context, size_t first, size_t count) {
  (void)context;
  double sum = 0.0;
  for (size_t i = first; i < first + count; i++) sum += 1.0 / (double)(i + 1);
  return sum;
}

static void parallel_sums_do_not_depend_on_threads(void **state) {
  (void)state;
  const double want = ls_parallel_sum(12345, 10, sum_of, NULL);
  assert_true(fabs(want - 9.998263) < 1e-6);
  for (int threads = 2; threads <= 4; threads++) {
    assert_int_equal(ls_parallel_set(threads), LS_OK);
    for (int i = 0; i < 20; i++) assert_true(ls_parallel_sum(12345, 10, sum_of, NULL) == want);
  }
  assert_int_equal(ls_parallel_set(1), LS_OK);
  assert_true(ls_parallel_sum(0, 10, sum_of, NULL) == 0.0);
}

static jmp_buf after_bug;

static void catch_bug(void) {
  longjmp(after_bug, 1);
}

/* Whether `act` ends in ls_bug. */
static bool is_bug(void (*act)(void)) {
  ls_bug_handler_set(catch_bug);
  bool caught = true;
  if (setjmp(after_bug) == 0) {
    act();
    caught = false;
  }
  ls_bug_handler_set(NULL);
  return caught;
}

static void use_large_instance(void) {
  ls_rng_make(1, LS_RNG_INIT, 1U << 12, 0);
}

static void use_largest_instance(void) {
  ls_rng_make(1, LS_RNG_INIT, (1U << 12) - 1, ((uint64_t)1 << 40) - 1);
}

static void use_late_time(void) {
  ls_rng_make(1, LS_RNG_INIT, 0, (uint64_t)1 << 40);
}

static void permute_too_many(void) {
  ls_permutation_make(ls_rng_make(1, LS_RNG_SHUFFLE, 0, 0), (uint64_t)1 << 40);
}

static void permute_beyond_the_end(void) {
  const ls_permutation p = ls_permutation_make(ls_rng_make(1, LS_RNG_SHUFFLE, 0, 0), 5);
  ls_permutation_at(&p, 5);
}

static ls_arena overdrawn;

static void take_more_than_measured(void) {
  ls_arena_take(&overdrawn, 10, 4);
  ls_arena_commit(&overdrawn, "test");
  ls_arena_take(&overdrawn, 10, 4);
  ls_arena_take(&overdrawn, 1, 1);
}

static void violated_invariants_are_bugs(void **state) {
  (void)state;
  assert_true(is_bug(use_large_instance));
  assert_false(is_bug(use_largest_instance));
  assert_true(is_bug(use_late_time));
  assert_true(is_bug(permute_too_many));
  assert_true(is_bug(permute_beyond_the_end));
  assert_true(is_bug(take_more_than_measured));
  ls_arena_destroy(&overdrawn);
}

/* --------------------------------------------------------------------- log */

static void log_copies_its_lines(void **state) {
  (void)state;
  FILE *const file = tmpfile();
  assert_non_null(file);
  ls_log_tee(file);
  ls_log(LS_LOG_WARNING, "%d is odd", 7);
  ls_log_enable(false);
  ls_log(LS_LOG_WARNING, "unseen");
  ls_log_enable(true);
  ls_log_tee(NULL);
  ls_log(LS_LOG_WARNING, "not copied");

  char line[200];
  rewind(file);
  assert_non_null(fgets(line, sizeof line, file));
  int year = 0;
  int seconds = -1;
  assert_int_equal(sscanf(line, "%d-%*d-%*d %*d:%*d:%d ", &year, &seconds), 2);
  assert_in_range(year, 2020, 9999);
  assert_string_equal(line + strlen("2020-01-01 00:00:00 "), "warning: 7 is odd\n");
  assert_null(fgets(line, sizeof line, file));
  fclose(file);
}

/* ------------------------------------------------------------ sizes, memory */

static void sizes_are_checked(void **state) {
  (void)state;
  static const struct {
    size_t a, b;
    bool product_fits, sum_fits;
  } rows[] = {
      {0, 0, true, true},
      {0, SIZE_MAX, true, true},
      {1, SIZE_MAX, true, false},
      {2, SIZE_MAX / 2, true, true},
      {2, SIZE_MAX / 2 + 1, false, true},
      {(size_t)1 << 32, (size_t)1 << 32, false, true},
      {SIZE_MAX, SIZE_MAX, false, false},
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    size_t product = 77;
    size_t sum = 77;
    assert_int_equal(ls_size_mul(rows[i].a, rows[i].b, &product), rows[i].product_fits);
    assert_int_equal(ls_size_add(rows[i].a, rows[i].b, &sum), rows[i].sum_fits);
    assert_int_equal(product, rows[i].product_fits ? rows[i].a * rows[i].b : 77);
    assert_int_equal(sum, rows[i].sum_fits ? rows[i].a + rows[i].b : 77);
  }
  assert_int_equal(ls_size_max(3, 5), 5);
  assert_int_equal(ls_size_min(3, 5), 3);
}

static void calloc_is_zeroed_and_aligned(void **state) {
  (void)state;
  for (size_t n = 0; n < 200; n += 33) {
    unsigned char *const block = ls_calloc(n, 3);
    assert_non_null(block);
    assert_int_equal((uintptr_t)block % LS_ALIGNMENT, 0);
    for (size_t i = 0; i < 3 * n; i++) assert_int_equal(block[i], 0);
    free(block);
  }
}

static void calloc_rejects_overflow(void **state) {
  (void)state;
  assert_null(ls_calloc(SIZE_MAX, 2));
  assert_null(ls_calloc((size_t)1 << 33, (size_t)1 << 33));
  assert_null(ls_calloc(SIZE_MAX, 1)); /* rounding up to the alignment overflows */
}

static void texts_are_created(void **state) {
  (void)state;
  char *const copy = ls_strdup("100% so");
  char *const made = ls_format("%s-%05d", "step", 42);
  assert_string_equal(copy, "100% so");
  assert_string_equal(made, "step-00042");
  free(copy);
  free(made);
}

static void arena_measures_then_divides(void **state) {
  (void)state;
  static const size_t counts[] = {1, 0, 16, 17, 1000};
  ls_arena arena = {0};
  for (size_t i = 0; i < COUNT(counts); i++) assert_null(ls_arena_take(&arena, counts[i], 4));
  assert_int_equal(arena.used, 64 + 64 + 64 + 128 + 4032);
  assert_int_equal(ls_arena_commit(&arena, "test"), LS_OK);
  assert_int_equal(arena.used, 0);

  unsigned char *end = arena.base;
  for (size_t i = 0; i < COUNT(counts); i++) {
    unsigned char *const piece = ls_arena_take(&arena, counts[i], 4);
    assert_true(piece >= end && (i == 0 || piece > arena.base));
    assert_int_equal((uintptr_t)piece % LS_ALIGNMENT, 0);
    for (size_t k = 0; k < 4 * counts[i]; k++) assert_int_equal(piece[k], 0);
    memset(piece, 255, 4 * counts[i]);
    end = piece + ls_size_max(4 * counts[i], 1);
  }
  assert_int_equal(arena.used, arena.capacity);
  ls_arena_destroy(&arena);
  assert_null(arena.base);
  assert_int_equal(arena.capacity, 0);
}

static void arena_rejects_overflow(void **state) {
  (void)state;
  static const size_t counts[][2] = {{SIZE_MAX, 2}, {SIZE_MAX, 1}, {SIZE_MAX - 128, 1}};
  for (size_t i = 0; i < COUNT(counts); i++) {
    ls_arena arena = {0};
    ls_arena_take(&arena, 100, 1);
    ls_arena_take(&arena, counts[i][0], counts[i][1]);
    assert_true(arena.overflow);
    assert_int_equal(ls_arena_commit(&arena, "the net"), LS_ERR_INTERNAL);
    assert_non_null(strstr(ls_message(), "the net"));
    ls_arena_destroy(&arena);
  }
}

/* ----------------------------------------------------------- random numbers */

/* Random123's own vectors (its tests/kat_vectors, "philox4x32 10"). */
static const struct {
  uint32_t counter[4], key[2], words[4];
} known_answers[] = {
    {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
     {0xffffffff, 0xffffffff},
     {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
    {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
     {0xa4093822, 0x299f31d0},
     {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
};

static void philox_gives_the_known_answers(void **state) {
  (void)state;
  for (size_t i = 0; i < COUNT(known_answers); i++) {
    const uint32_t *const c = known_answers[i].counter;
    const uint32_t *const k = known_answers[i].key;
    const philox4x32_ctr_t counter = {{c[0], c[1], c[2], c[3]}};
    const philox4x32_key_t key = {{k[0], k[1]}};
    const philox4x32_ctr_t words = philox4x32(counter, key);
    assert_memory_equal(words.v, known_answers[i].words, sizeof known_answers[i].words);
  }
}

/* The fields of the counter accept any value, so blocks can reproduce all vectors. */
static void blocks_give_the_known_answers(void **state) {
  (void)state;
  for (size_t i = 0; i < COUNT(known_answers); i++) {
    const uint32_t *const c = known_answers[i].counter;
    const uint32_t *const k = known_answers[i].key;
    const ls_rng rng = {.seed = (uint64_t)k[1] << 32 | k[0],
                        .time = (uint64_t)(c[3] >> 16 & 0xff) << 32 | c[2],
                        .purpose = (uint16_t)c[3]};
    uint32_t words[4];
    ls_rng_block(&rng, (uint64_t)(c[3] >> 24) << 32 | c[1], c[0], words);
    assert_memory_equal(words, known_answers[i].words, sizeof words);
  }
}

static void every_argument_matters(void **state) {
  (void)state;
  const uint64_t top = (uint64_t)1 << 39;
  static const struct {
    uint64_t seed;
    ls_rng_purpose purpose;
    uint32_t instance;
    uint64_t time, sample;
    uint32_t block;
  } rows[] = {
      {1, LS_RNG_INIT, 0, 0, 0, 0},
      {1, LS_RNG_INIT, 0, 0, 0, 1},
      {1, LS_RNG_INIT, 0, 0, 0, 0x80000000},
      {1, LS_RNG_INIT, 0, 0, 1, 0},
      {1, LS_RNG_INIT, 0, 0, top, 0},
      {1, LS_RNG_INIT, 0, 1, 0, 0},
      {1, LS_RNG_INIT, 0, top, 0, 0},
      {1, LS_RNG_INIT, 1, 0, 0, 0},
      {1, LS_RNG_INIT, 4095, 0, 0, 0},
      {1, LS_RNG_SPLIT, 0, 0, 0, 0},
      {1, LS_RNG_IMPORT, 0, 0, 0, 0},
      {2, LS_RNG_INIT, 0, 0, 0, 0},
      {1 + ((uint64_t)1 << 63), LS_RNG_INIT, 0, 0, 0, 0},
  };
  uint32_t words[COUNT(rows)][4];
  for (size_t i = 0; i < COUNT(rows); i++) {
    const ls_rng rng = ls_rng_make(rows[i].seed, rows[i].purpose, rows[i].instance, rows[i].time);
    ls_rng_block(&rng, rows[i].sample, rows[i].block, words[i]);
    for (size_t j = 0; j < i; j++) assert_memory_not_equal(words[i], words[j], sizeof words[i]);
  }
}

/* An element's word is that of its block, for any number of words. */
static void words_come_from_blocks(void **state) {
  (void)state;
  const ls_rng rng = ls_rng_make(5, LS_RNG_DROPOUT, 3, 17);
  for (size_t n = 0; n < 14; n++) {
    uint32_t words[14] = {0};
    ls_rng_words(&rng, 9, n, words);
    for (size_t i = 0; i < n; i++) {
      uint32_t block[4];
      ls_rng_block(&rng, 9, (uint32_t)(i / 4), block);
      assert_int_equal(words[i], block[i % 4]);
    }
    for (size_t i = n; i < 14; i++) assert_int_equal(words[i], 0);
  }
}

static void numbers_do_not_depend_on_their_count(void **state) {
  (void)state;
  const ls_rng rng = ls_rng_make(5, LS_RNG_INIT, 3, 17);
  float uniform[14];
  float normal[14];
  ls_rng_uniform(&rng, 9, 14, uniform);
  ls_rng_normal(&rng, 9, 14, normal);
  for (size_t n = 0; n < 14; n++) {
    float fewer[14];
    ls_rng_uniform(&rng, 9, n, fewer);
    check_same("uniform", n, fewer, uniform);
    ls_rng_normal(&rng, 9, n, fewer);
    check_same("normal", n, fewer, normal);
  }
}

#define DRAWS 1000000

/* The mean of x^k. */
static double moment(size_t n, const float *x, double k) {
  double sum = 0.0;
  for (size_t i = 0; i < n; i++) sum += pow((double)x[i], k);
  return sum / (double)n;
}

/* The tolerances are five standard errors of a mean of DRAWS numbers. */
static void uniform_is_uniform(void **state) {
  (void)state;
  const ls_rng rng = ls_rng_make(1, LS_RNG_CHECK, 0, 0);
  float *const x = new_floats(DRAWS);
  ls_rng_uniform(&rng, 0, DRAWS, x);
  for (size_t i = 0; i < DRAWS; i++) {
    assert_true(x[i] >= 0.0F && x[i] < 1.0F);
    assert_true(x[i] * 0x1p24F == floorf(x[i] * 0x1p24F));
  }
  check_close("mean", moment(DRAWS, x, 1), 1.0 / 2.0, 5 * sqrt(1.0 / 12.0 / DRAWS));
  check_close("square", moment(DRAWS, x, 2), 1.0 / 3.0, 5 * sqrt(4.0 / 45.0 / DRAWS));
  free(x);
}

static void normal_is_normal(void **state) {
  (void)state;
  const ls_rng rng = ls_rng_make(1, LS_RNG_CHECK, 0, 0);
  float *const x = new_floats(DRAWS);
  ls_rng_normal(&rng, 0, DRAWS, x);
  check_close("mean", moment(DRAWS, x, 1), 0.0, 5 * sqrt(1.0 / DRAWS));
  check_close("variance", moment(DRAWS, x, 2), 1.0, 5 * sqrt(2.0 / DRAWS));
  check_close("third", moment(DRAWS, x, 3), 0.0, 5 * sqrt(15.0 / DRAWS));
  check_close("fourth", moment(DRAWS, x, 4), 3.0, 5 * sqrt(96.0 / DRAWS));
  double product = 0.0; /* of the two numbers from one pair of words */
  for (size_t i = 0; i < DRAWS; i += 2) product += (double)x[i] * (double)x[i + 1];
  check_close("covariance", product / (DRAWS / 2.0), 0.0, 5 * sqrt(2.0 / DRAWS));
  free(x);
}

/* Consecutive samples and consecutive times are uncorrelated. */
static void neighbours_are_independent(void **state) {
  (void)state;
  enum { N = 100000 };
  double by_sample = 0.0;
  double by_time = 0.0;
  for (uint64_t i = 0; i < N; i++) {
    const ls_rng now = ls_rng_make(1, LS_RNG_CHECK, 0, i);
    const ls_rng later = ls_rng_make(1, LS_RNG_CHECK, 0, i + 1);
    float a = 0.0F;
    float b = 0.0F;
    float c = 0.0F;
    ls_rng_uniform(&now, i, 1, &a);
    ls_rng_uniform(&now, i + 1, 1, &b);
    ls_rng_uniform(&later, i, 1, &c);
    by_sample += ((double)a - 0.5) * ((double)b - 0.5);
    by_time += ((double)a - 0.5) * ((double)c - 0.5);
  }
  check_close("samples", by_sample / N, 0.0, 5.0 / 12.0 / sqrt(N));
  check_close("times", by_time / N, 0.0, 5.0 / 12.0 / sqrt(N));
}

/* -------------------------------------------------------------- permutations */

static ls_permutation permutation_of(uint64_t n, uint64_t epoch) {
  return ls_permutation_make(ls_rng_make(1, LS_RNG_SHUFFLE, 0, epoch), n);
}

#ifdef __SANITIZE_ADDRESS__
#define MANY 1000000 /* fewer with sanitizers, which are slow */
#else
#define MANY 10000000
#endif

/* Many values at once give what single ones do. */
static void permutations_of_many_values(void **state) {
  (void)state;
  static const uint64_t sizes[] = {1, 2, 3, 7, 255, 256, 1000, 60000, UINT64_C(1) << 40};
  for (size_t s = 0; s < COUNT(sizes); s++) {
    const uint64_t n = sizes[s];
    const ls_permutation p = permutation_of(n - (n > 1000), 5); /* the largest is 2^40 - 1 */
    uint64_t x[150];
    for (size_t i = 0; i < COUNT(x); i++) x[i] = i * UINT64_C(987654321987) % p.n;
    ls_permutation_apply(&p, COUNT(x), x);
    for (size_t i = 0; i < COUNT(x); i++)
      assert_int_equal(x[i], ls_permutation_at(&p, i * UINT64_C(987654321987) % p.n));
    ls_permutation_invert(&p, COUNT(x), x);
    for (size_t i = 0; i < COUNT(x); i++) assert_int_equal(x[i], i * UINT64_C(987654321987) % p.n);
  }
}

static void permutations_are_bijections(void **state) {
  (void)state;
  static const uint64_t sizes[] = {1, 2, 3, 7, 255, 256, 1000, 60000, MANY};
  for (size_t s = 0; s < COUNT(sizes); s++) {
    const uint64_t n = sizes[s];
    const ls_permutation p = permutation_of(n, 3);
    unsigned char *const seen = ls_calloc(n / 8 + 1, 1);
    assert_non_null(seen);
    for (uint64_t i = 0; i < n; i++) {
      const uint64_t at = ls_permutation_at(&p, i);
      const unsigned char bit = (unsigned char)(1U << (at % 8));
      if (at >= n || (seen[at / 8] & bit)) fail_msg("of %lu: %lu goes to %lu", n, i, at);
      if (i % 97 == 0) assert_int_equal(ls_permutation_inverse(&p, at), i);
      seen[at / 8] |= bit;
    }
    free(seen);
  }
}

static int compare_u64(const void *a, const void *b) {
  const uint64_t x = *(const uint64_t *)a;
  const uint64_t y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

/* The sum of (seen - expected)^2 / expected over equally likely cells. */
static double chi_square(size_t cells, const unsigned *seen) {
  double total = 0.0;
  for (size_t i = 0; i < cells; i++) total += seen[i];
  const double expected = total / (double)cells;
  double sum = 0.0;
  for (size_t i = 0; i < cells; i++) sum += (seen[i] - expected) * (seen[i] - expected) / expected;
  return sum;
}

/* Different positions from both ends of 0 .. n - 1 and from between; n > count^2. */
static uint64_t position_of(uint64_t i, uint64_t count, uint64_t n) {
  if (i % 3 == 0) return i;
  return i % 3 == 1 ? n - 1 - i : n / count * i;
}

/* All images differ, and all parts of the range get equally many (99 degrees of freedom: chi-square exceeds
 * 171 once in 100,000). */
static void large_permutations_work(void **state) {
  (void)state;
  enum { N = 100000, CELLS = 100 };
  static const uint64_t sizes[] = {1000000000000, ((uint64_t)1 << 40) - 1};
  uint64_t *const at = ls_calloc(N, sizeof *at);
  assert_non_null(at);
  for (size_t s = 0; s < COUNT(sizes); s++) {
    const ls_permutation p = permutation_of(sizes[s], 3);
    unsigned cells[CELLS] = {0};
    double mean = 0.0;
    for (uint64_t i = 0; i < N; i++) {
      at[i] = ls_permutation_at(&p, position_of(i, N, sizes[s]));
      assert_true(at[i] < sizes[s]);
      cells[(size_t)((double)at[i] / (double)sizes[s] * CELLS)]++;
      mean += (double)at[i] / (double)sizes[s] / N;
    }
    check_close("mean place", mean, 0.5, 5 * sqrt(1.0 / 12.0 / N));
    assert_true(chi_square(CELLS, cells) < 171.0);
    qsort(at, N, sizeof *at, compare_u64);
    for (size_t i = 1; i < N; i++) assert_true(at[i] != at[i - 1]);
  }
  free(at);
}

/* All six permutations of three are equally likely: chi-square exceeds 20.5 once in a thousand. */
static void permutations_of_three_are_uniform(void **state) {
  (void)state;
  unsigned seen[9] = {0};
  for (uint64_t epoch = 0; epoch < 60000; epoch++) {
    const ls_permutation p = permutation_of(3, epoch);
    seen[3 * ls_permutation_at(&p, 0) + ls_permutation_at(&p, 1)]++;
  }
  const unsigned six[6] = {seen[1], seen[2], seen[3], seen[5], seen[6], seen[7]};
  assert_int_equal(seen[0] + seen[4] + seen[8], 0);
  assert_true(chi_square(6, six) < 20.5);
}

/* Each of ten elements has every image equally often (9 degrees of freedom: chi-square exceeds 33.7 once in
 * 10,000), and so do the first two together (89: 149). */
static void permutations_of_ten_are_uniform(void **state) {
  (void)state;
  unsigned seen[10][10] = {0};
  unsigned both[10][10] = {0};
  for (uint64_t epoch = 0; epoch < 30000; epoch++) {
    const ls_permutation p = permutation_of(10, epoch);
    for (uint64_t i = 0; i < 10; i++) seen[i][ls_permutation_at(&p, i)]++;
    both[ls_permutation_at(&p, 0)][ls_permutation_at(&p, 1)]++;
  }
  for (size_t i = 0; i < 10; i++) assert_true(chi_square(10, seen[i]) < 33.7);

  unsigned pairs[90];
  size_t n = 0;
  for (size_t i = 0; i < 10; i++)
    for (size_t j = 0; j < 10; j++)
      if (i != j) pairs[n++] = both[i][j];
  assert_int_equal(n, 90);
  assert_true(chi_square(90, pairs) < 149.0);
}

/* Over many epochs each of fifty samples has every position equally often (49 degrees of freedom:
 * chi-square exceeds 104 once in 100,000). Each epoch is one permutation, so the sum over all cells, times
 * 49/50, is chi-square with 49 * 49 = 2401 degrees of freedom and deviation 69: neither more uneven than
 * chance nor less. */
static void positions_over_epochs_are_uniform(void **state) {
  (void)state;
  enum { N = 50, EPOCHS = 20000 };
  static unsigned seen[N][N];
  memset(seen, 0, sizeof seen);
  for (uint64_t epoch = 0; epoch < EPOCHS; epoch++) {
    const ls_permutation p = permutation_of(N, epoch);
    for (uint64_t i = 0; i < N; i++) seen[ls_permutation_at(&p, i)][i]++;
  }
  double sum = 0.0;
  for (size_t sample = 0; sample < N; sample++) {
    const double one = chi_square(N, seen[sample]);
    assert_true(one < 104.0);
    sum += one;
  }
  check_close("all cells", sum * (N - 1) / N, 2401.0, 5 * sqrt(2 * 2401.0));
}

/* Epochs and seeds give different orders, and neighbours are on average n / 3 apart, as in any random
 * order. */
static void epochs_differ(void **state) {
  (void)state;
  const uint64_t n = 60000;
  const ls_permutation now = permutation_of(n, 0);
  const ls_permutation later = permutation_of(n, 1);
  const ls_permutation other = ls_permutation_make(ls_rng_make(2, LS_RNG_SHUFFLE, 0, 0), n);
  unsigned equal = 0;
  double apart = 0.0;
  for (uint64_t i = 0; i + 1 < n; i++) {
    const uint64_t at = ls_permutation_at(&now, i);
    if (at == ls_permutation_at(&later, i) || at == ls_permutation_at(&other, i) || at == i) equal++;
    apart += fabs((double)ls_permutation_at(&now, i + 1) - (double)at);
  }
  assert_true(equal < 15); /* 3 are expected */
  check_close("apart", apart / (double)n, (double)n / 3.0, 0.02 * (double)n / 3.0);
}

/* -------------------------------------------------------------------- clock */

static void clock_is_monotonic(void **state) {
  (void)state;
  double last = ls_clock();
  for (int i = 0; i < 1000; i++) {
    const double now = ls_clock();
    assert_true(now >= last);
    last = now;
  }
}

/* The process started after the test, and its age grows with the clock. */
static void clock_of_the_process(void **state) {
  (void)state;
  const double first = ls_clock_process();
  const double start = ls_clock();
  while (ls_clock() - start < 0.02) {
  }
  const double later = ls_clock_process();
  assert_true(first >= 0.0 && first < 3600.0);
  assert_true(later - first >= 0.02);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(utf8_excludes_malformed_sequences),
      cmocka_unit_test(text_is_cut_between_characters),
      cmocka_unit_test(fail_formats_and_returns),
      cmocka_unit_test(fail_can_wrap_its_own_message),
      cmocka_unit_test(fail_truncates_long_messages),
      cmocka_unit_test(messages_belong_to_their_thread),
      cmocka_unit_test(parallel_loops_run_each_part_once),
      cmocka_unit_test(several_callers_have_parallel_loops),
      cmocka_unit_test(parallel_sums_do_not_depend_on_threads),
      cmocka_unit_test(violated_invariants_are_bugs),
      cmocka_unit_test(log_copies_its_lines),
      cmocka_unit_test(sizes_are_checked),
      cmocka_unit_test(calloc_is_zeroed_and_aligned),
      cmocka_unit_test(calloc_rejects_overflow),
      cmocka_unit_test(texts_are_created),
      cmocka_unit_test(arena_measures_then_divides),
      cmocka_unit_test(arena_rejects_overflow),
      cmocka_unit_test(philox_gives_the_known_answers),
      cmocka_unit_test(blocks_give_the_known_answers),
      cmocka_unit_test(every_argument_matters),
      cmocka_unit_test(words_come_from_blocks),
      cmocka_unit_test(numbers_do_not_depend_on_their_count),
      cmocka_unit_test(uniform_is_uniform),
      cmocka_unit_test(normal_is_normal),
      cmocka_unit_test(neighbours_are_independent),
      cmocka_unit_test(permutations_of_many_values),
      cmocka_unit_test(permutations_are_bijections),
      cmocka_unit_test(large_permutations_work),
      cmocka_unit_test(permutations_of_three_are_uniform),
      cmocka_unit_test(permutations_of_ten_are_uniform),
      cmocka_unit_test(positions_over_epochs_are_uniform),
      cmocka_unit_test(epochs_differ),
      cmocka_unit_test(clock_is_monotonic),
      cmocka_unit_test(clock_of_the_process),
  };
  return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
