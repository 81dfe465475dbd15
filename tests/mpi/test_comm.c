/* comm: agreement, sums, broadcasts, equality and shared memory, on any number of ranks. */
#include "support.h"

#include <sys/statvfs.h>

/* ----------------------------------------------------------------- agreement */

static void test_identity(void **state) {
  (void)state;
  uint64_t seen[256] = {0};
  EXPECT(rank >= 0 && rank < size && size <= 256);
  if (rank < 256) seen[rank] = 1;
  ls_comm_sum_u64(comm, seen, COUNT(seen));
  for (int r = 0; r < size; r++) EXPECT(seen[r] == 1);
  EXPECT(ls_comm_node_size(comm) >= 1 && ls_comm_node_size(comm) <= size);
  EXPECT(ls_comm_threads(comm) >= 1);
  EXPECT(strlen(ls_comm_library(comm)) > 0);
  settle();
}

/* Zero threads are not too many; a rank with more threads than cores is found. */
static void test_oversubscription(void **state) {
  (void)state;
  ls_oversubscription group = {0};
  EXPECT(!ls_comm_oversubscribed(comm, 0, &group));
  for (int busy = 0; busy < size; busy++) {
    EXPECT(ls_comm_oversubscribed(comm, rank == busy ? 100000 : 0, &group));
    EXPECT(group.threads == 100000 && group.cores >= 1 && group.cores < 100000);
    EXPECT(group.ranks >= 1 && group.ranks <= size && same_text(group.host) && strlen(group.host) > 0);
  }
  settle();
}

static void test_agree_on_success(void **state) {
  (void)state;
  EXPECT(ls_comm_agree(comm, LS_OK) == LS_OK);
  settle();
}

/* If one rank fails, all ranks get its status and message. */
static void test_one_rank_fails(void **state) {
  (void)state;
  for (int failing = 0; failing < size; failing++) {
    char said[64];
    char before[64];
    snprintf(said, sizeof said, "100%% of %d: %%s %%n", failing);
    snprintf(before, sizeof before, "rank %d on ", failing);
    const ls_status status =
        ls_comm_agree(comm, rank == failing ? ls_fail(LS_ERR_DATA, "%s", said) : LS_OK);
    EXPECT(status == LS_ERR_DATA);
    EXPECT_PART(ls_message(), said);
    EXPECT(failing == 0 ? strcmp(ls_message(), said) == 0
                        : strncmp(ls_message(), before, strlen(before)) == 0);
    EXPECT(same_text(ls_message()));
    settle();
  }
}

/* If all ranks fail, the largest status wins, and among its ranks the lowest. */
static void test_greatest_status_of_lowest_rank(void **state) {
  (void)state;
  const int first = size / 2; /* the ranks from here on have the larger status */
  const ls_status mine = rank >= first ? LS_ERR_MODEL : LS_ERR_DATA;
  char expected[32];
  snprintf(expected, sizeof expected, "failure of %d", first);
  const ls_status status = ls_comm_agree(comm, ls_fail(mine, "failure of %d", rank));
  EXPECT(status == LS_ERR_MODEL);
  EXPECT_PART(ls_message(), expected);
  EXPECT(same_text(ls_message()));
  settle();
}

/* LS_STOPPED is larger than all failures. */
static void test_stopped_is_greatest(void **state) {
  (void)state;
  const bool is_last = rank == size - 1;
  const ls_status status = ls_comm_agree(comm, is_last ? ls_fail(LS_STOPPED, "stopped") : LS_OK);
  EXPECT(status == LS_STOPPED);
  EXPECT_PART(ls_message(), "stopped");
  settle();
}

/* A message of the maximal length is truncated equally on all ranks. */
static void test_long_message(void **state) {
  (void)state;
  char text[2 * LS_MESSAGE_MAX];
  memset(text, 'x', sizeof text - 1);
  text[sizeof text - 1] = '\0';
  const bool is_last = rank == size - 1;
  const ls_status status = ls_comm_agree(comm, is_last ? ls_fail(LS_ERR_CONFIG, "%s", text) : LS_OK);
  EXPECT(status == LS_ERR_CONFIG);
  EXPECT(strlen(ls_message()) > LS_MESSAGE_MAX / 2 && strlen(ls_message()) < LS_MESSAGE_MAX);
  EXPECT(same_text(ls_message()));
  settle();
}

/* ---------------------------------------------------------------------- sums */

/* Integers add up exactly in every type, at lengths around MPI's changes of algorithm. */
static void test_sums_of_integers(void **state) {
  (void)state;
  const size_t lengths[] = {1, 2, 3, 5, 127, 1000, 4097, 100003};
  for (size_t k = 0; k < COUNT(lengths); k++) {
    const size_t n = lengths[k];
    float *const f = ls_calloc(n, sizeof *f);
    double *const d = ls_calloc(n, sizeof *d);
    uint64_t *const u = ls_calloc(n, sizeof *u);
    for (size_t i = 0; f && d && u && i < n; i++) {
      f[i] = (float)(i % 1000) * (float)(rank + 1);
      d[i] = -(double)i * (rank + 1);
      u[i] = (i << 32) + (uint64_t)rank + 1;
    }
    ls_comm_sum_f32(comm, f, n);
    ls_comm_sum_f64(comm, d, n);
    ls_comm_sum_u64(comm, u, n);
    const int ranks = size * (size + 1) / 2; /* the sum of rank + 1 */
    size_t wrong = 0;
    for (size_t i = 0; i < n; i++)
      wrong += f[i] != (float)(i % 1000) * (float)ranks || d[i] != -(double)i * ranks ||
               u[i] != (uint64_t)size * (i << 32) + (uint64_t)ranks;
    EXPECT(wrong == 0);
    free(f);
    free(d);
    free(u);
    settle();
  }
}

static void test_empty_sums(void **state) {
  (void)state;
  ls_comm_sum_f32(comm, NULL, 0);
  ls_comm_sum_f64(comm, NULL, 0);
  ls_comm_sum_u64(comm, NULL, 0);
  settle();
}

/* Floating-point sums have the same bits on all ranks and on repetition, close to the sum in double. */
static void test_sums_have_the_same_bits(void **state) {
  (void)state;
  const size_t n = 1000003;
  float *const x = ls_calloc(n, sizeof *x);
  float *const again = ls_calloc(n, sizeof *again);
  double *const exact = ls_calloc(n, sizeof *exact);
  for (int r = 0; r < size; r++) {
    const ls_rng rng = ls_rng_make(7, LS_RNG_CHECK, 0, (uint64_t)r);
    ls_rng_normal(&rng, 0, n, x);
    for (size_t i = 0; i < n; i++) exact[i] += (double)x[i];
    if (r == rank) memcpy(again, x, n * sizeof *x);
  }
  memcpy(x, again, n * sizeof *x);
  ls_comm_sum_f32(comm, x, n);
  ls_comm_sum_f32(comm, again, n);
  EXPECT(same_bytes(x, n * sizeof *x));
  EXPECT(memcmp(x, again, n * sizeof *x) == 0);
  double worst = 0.0;
  for (size_t i = 0; i < n; i++) worst = fmax(worst, fabs((double)x[i] - exact[i]));
  EXPECT_CLOSE(worst, 0.0, 1e-6 * size);
  free(x);
  free(again);
  free(exact);
  settle();
}

/* An infinity or NaN on one rank appears in the sum on all. */
static void test_sums_carry_nan(void **state) {
  (void)state;
  float f[2] = {1.0F, rank == size - 1 ? NAN : 0.0F};
  double d[2] = {rank == 0 ? (double)INFINITY : 1.0, 1.0};
  ls_comm_sum_f32(comm, f, 2);
  ls_comm_sum_f64(comm, d, 2);
  EXPECT(isfinite(f[0]) && isnan(f[1]) && isinf(d[0]) && isfinite(d[1]));
  settle();
}

/* ---------------------------------------------------------------- gathering */

/* Rank 0 gets n(rank) elements from each rank: in their order, and nothing beyond them. */
static void check_gather(size_t first, size_t step) {
  size_t all = 0;
  size_t before = 0; /* of the ranks below this one */
  for (int r = 0; r < size; r++) all += first + step * (size_t)(size - 1 - r);
  for (int r = 0; r < rank; r++) before += first + step * (size_t)(size - 1 - r);
  const size_t n = first + step * (size_t)(size - 1 - rank);
  float *const mine = ls_calloc(n, sizeof *mine);
  float *const gathered = rank == 0 ? ls_calloc(all + 1, sizeof *gathered) : NULL;
  EXPECT(mine && (gathered || rank != 0));
  settle();
  for (size_t i = 0; i < n; i++) mine[i] = (float)((before + i) % 16000001);
  if (rank == 0) gathered[all] = -1.0F;
  ls_comm_gather_f32(comm, mine, n, 0, gathered);
  size_t wrong = 0;
  for (size_t i = 0; rank == 0 && i < all; i++) wrong += gathered[i] != (float)(i % 16000001);
  EXPECT(wrong == 0 && (rank != 0 || gathered[all] == -1.0F));
  free(gathered);
  free(mine);
  settle();
}

/* The last rank, or all, may have nothing. */
static void test_gather(void **state) {
  (void)state;
  check_gather(0, 0);
  check_gather(0, 1);
  check_gather(1, 0);
  check_gather(1000, 7);
  check_gather(100003, 1);
}

/* A rank that is ahead waits for the rank that receives. */
static void test_gather_again_and_again(void **state) {
  (void)state;
  float all[1024];
  const size_t n = rank % 3 ? 3 : 0;
  size_t wrong = 0;
  for (int round = 0; round < 200; round++) {
    const float mine[3] = {(float)round, (float)rank, 0.5F};
    const int root = round % size;
    ls_comm_gather_f32(comm, mine, n, root, all);
    size_t at = 0;
    for (int r = 0; r < size && rank == root; r++) {
      if (r % 3 == 0) continue;
      wrong += all[at] != (float)round || all[at + 1] != (float)r || all[at + 2] != 0.5F;
      at += 3;
    }
  }
  EXPECT(wrong == 0);
  settle();
}

/* ------------------------------------------------------ all-to-all, order of ranks */

/* Elements from one rank to another. */
static size_t n_between(size_t from, size_t to, size_t scale) {
  return scale * ((3 * from + 5 * to) % 4);
}

static uint64_t element(size_t from, size_t to, size_t i) {
  return (uint64_t)from << 48 | (uint64_t)to << 40 | i;
}

/* The elements come in the order of ranks; some messages are empty, and others have several pieces. */
static void check_alltoall(size_t scale) {
  const size_t most = 3 * scale * (size_t)size;
  uint64_t *const x = ls_calloc(2 * most + 1, sizeof *x);
  uint64_t *const all = x ? x + most : NULL;
  uint64_t *const starts = ls_calloc(2 * (size_t)size + 1, sizeof *starts);
  uint64_t *const counts = starts ? starts + size + 1 : NULL;
  EXPECT(x && starts);
  settle();
  for (size_t to = 0; to < (size_t)size; to++) {
    const size_t n = n_between((size_t)rank, to, scale);
    for (size_t i = 0; i < n; i++) x[starts[to] + i] = element((size_t)rank, to, i);
    starts[to + 1] = starts[to] + n;
  }
  all[most] = 77;
  ls_comm_alltoall(comm, sizeof *x, x, starts, all, counts);
  size_t wrong = 0;
  const uint64_t *at = all;
  for (size_t from = 0; from < (size_t)size; from++) {
    const size_t n = n_between(from, (size_t)rank, scale);
    wrong += counts[from] != n;
    for (size_t i = 0; i < n; i++) wrong += *at++ != element(from, (size_t)rank, i);
  }
  EXPECT(wrong == 0 && all[most] == 77);
  free(x);
  free(starts);
  settle();
}

static void test_alltoall(void **state) {
  (void)state;
  check_alltoall(0);
  check_alltoall(1);
  check_alltoall(1000);
  check_alltoall(700001); /* messages of up to 17 MB */
}

static void append_rank(void *context, void *data) {
  int *const list = data;
  *(int *)context = list[0]; /* ranks before this one */
  list[++list[0]] = rank;
}

static void test_order_of_ranks(void **state) {
  (void)state;
  uint64_t x[2] = {(uint64_t)rank + 1, 1};
  int list[16] = {0};
  int before = -1;
  ls_comm_before_u64(comm, x, 2);
  EXPECT(x[0] == (uint64_t)(rank * (rank + 1) / 2) && x[1] == (uint64_t)rank);
  ls_comm_in_turn(comm, list, sizeof list, append_rank, &before);
  EXPECT(before == rank && list[0] == rank + 1);
  for (int r = 0; r <= rank; r++) EXPECT(list[r + 1] == r);
  settle();
}

/* ---------------------------------------------------------------- broadcasts */

static unsigned char pattern(size_t i) {
  return (unsigned char)(i * 2654435761U >> 13);
}

static void check_broadcast(size_t bytes) {
  unsigned char *const data = ls_calloc(bytes, 1);
  EXPECT(data != NULL);
  settle();
  for (size_t i = 0; rank == 0 && i < bytes; i++) data[i] = pattern(i);
  ls_comm_broadcast(comm, data, bytes);
  size_t wrong = 0;
  for (size_t i = 0; i < bytes; i++) wrong += data[i] != pattern(i);
  free(data);
  EXPECT(wrong == 0);
  settle();
}

static void test_broadcast(void **state) {
  (void)state;
  ls_comm_broadcast(comm, NULL, 0);
  check_broadcast(1);
  check_broadcast(1000003);
}

/* More than the 2^27 bytes that go at a time. */
static void test_broadcast_in_pieces(void **state) {
  (void)state;
  check_broadcast(((size_t)1 << 27) + 5);
}

/* Rank 0's text arrives; the others' own pointers are replaced, not read. */
static void check_text(const char *text) {
  char *mine = rank == 0 && text ? ls_strdup(text) : NULL;
  EXPECT(ls_comm_broadcast_text(comm, &mine) == LS_OK);
  EXPECT(text ? mine && strcmp(mine, text) == 0 : !mine);
  free(mine);
  settle();
}

static void test_broadcast_text(void **state) {
  (void)state;
  check_text(NULL);
  check_text("");
  check_text("seed: 1\n");
  const size_t length = 3000001;
  char *const text = malloc(length + 1);
  if (!text) return;
  for (size_t i = 0; i < length; i++) text[i] = (char)('a' + pattern(i) % 26);
  text[length] = '\0';
  check_text(text);
  free(text);
}

/* ------------------------------------------------------------------ equality */

static void test_all_equal(void **state) {
  (void)state;
  const uint64_t values[] = {0, 1, UINT64_MAX, 0x0123456789ABCDEFU};
  for (size_t i = 0; i < COUNT(values); i++) EXPECT(ls_comm_all_equal(comm, values[i], ~values[i]));
  settle();
}

/* A single bit of one rank differs: low or high, at the ends or in the middle. */
static void test_one_bit_differs(void **state) {
  (void)state;
  const unsigned bits[] = {0, 31, 63};
  for (int odd = 0; odd < size; odd++) {
    for (size_t k = 0; k < COUNT(bits); k++) {
      const uint64_t flip = rank == odd ? (uint64_t)1 << bits[k] : 0;
      const bool low = ls_comm_all_equal(comm, 5 ^ flip, 6);
      const bool high = ls_comm_all_equal(comm, 5, 6 ^ flip);
      EXPECT(low == (size == 1) && high == (size == 1));
    }
    settle();
  }
}

/* Opposite bits on half of the ranks do not cancel. */
static void test_opposites_differ(void **state) {
  (void)state;
  const uint64_t mine = rank % 2 == 0 ? 0 : UINT64_MAX;
  EXPECT(ls_comm_all_equal(comm, mine, mine) == (size == 1));
  EXPECT(ls_comm_all_equal(comm, mine, ~mine) == (size == 1));
  settle();
}

/* ------------------------------------------------------------- shared memory */

/* Memory starts zeroed; after each broadcast all ranks see what rank 0 wrote. */
static void check_shared(size_t bytes) {
  ls_shared shared;
  EXPECT(ls_comm_shared_create(comm, bytes, &shared) == LS_OK);
  settle();
  const unsigned char *const data = shared.data;
  EXPECT(shared.bytes == bytes);
  EXPECT(bytes == 0 || data);
  size_t wrong = 0;
  for (size_t i = 0; i < bytes; i += 509) wrong += data[i] != 0;
  ls_comm_barrier(comm); /* all have read before rank 0 writes */
  for (size_t round = 0; round < 2; round++) {
    for (size_t i = 0; rank == 0 && i < bytes; i++) ((unsigned char *)shared.data)[i] = pattern(i + round);
    ls_comm_shared_broadcast(comm, &shared);
    for (size_t i = 0; i < bytes; i++) wrong += data[i] != pattern(i + round);
    ls_comm_barrier(comm);
  }
  EXPECT(wrong == 0);
  ls_comm_shared_destroy(comm, &shared);
  EXPECT(!shared.data && !shared.window && shared.bytes == 0);
  ls_comm_shared_destroy(comm, &shared); /* accepts a zeroed one */
  settle();
}

static void test_shared_memory(void **state) {
  (void)state;
  const size_t sizes[] = {0, 1, 4096, 1000003};
  for (size_t i = 0; i < COUNT(sizes); i++) check_shared(sizes[i]);
}

/* After the broadcast all ranks see the parts that ranks filled. */
static void check_parts(size_t bytes) {
  ls_shared shared;
  size_t first = 0;
  size_t count = 0;
  EXPECT(ls_comm_shared_create(comm, bytes, &shared) == LS_OK);
  ls_comm_shared_part(comm, &shared, bytes, &first, &count);
  for (size_t i = first; i < first + count; i++) ((unsigned char *)shared.data)[i] = pattern(i);
  ls_comm_shared_broadcast(comm, &shared);
  size_t wrong = 0;
  for (size_t i = 0; i < bytes; i++) wrong += ((const unsigned char *)shared.data)[i] != pattern(i);
  EXPECT(wrong == 0);
  uint64_t all = count;
  ls_comm_sum_u64(comm, &all, 1);
  EXPECT(all == bytes);
  EXPECT(rank > 0 || first == 0);
  ls_comm_shared_destroy(comm, &shared);
  settle();
}

static void test_parts_of_shared_memory(void **state) {
  (void)state;
  const size_t sizes[] = {0, 1, 3, 4096, 1000003};
  for (size_t i = 0; i < COUNT(sizes); i++) check_parts(sizes[i]);
}

static void test_several_windows_at_once(void **state) {
  (void)state;
  ls_shared shared[3];
  for (size_t k = 0; k < COUNT(shared); k++)
    EXPECT(ls_comm_shared_create(comm, 1000 * (k + 1), &shared[k]) == LS_OK);
  settle();
  for (size_t k = 0; rank == 0 && k < COUNT(shared); k++)
    memset(shared[k].data, (int)k + 1, shared[k].bytes);
  for (size_t k = 0; k < COUNT(shared); k++) ls_comm_shared_broadcast(comm, &shared[k]);
  for (size_t k = 0; k < COUNT(shared); k++)
    for (size_t i = 0; i < shared[k].bytes; i++) EXPECT(((unsigned char *)shared[k].data)[i] == k + 1);
  for (size_t k = 0; k < COUNT(shared); k++) ls_comm_shared_destroy(comm, &shared[k]);
  settle();
}

/* The free bytes of /dev/shm; skips the test if there are too many to fill. */
static size_t small_free_bytes(void) {
  struct statvfs info;
  uint64_t bytes = statvfs("/dev/shm", &info) == 0 ? info.f_bavail * info.f_frsize : UINT64_MAX;
  ls_comm_broadcast(comm, &bytes, sizeof bytes);
  if (bytes > 1000000000U / (unsigned)size) skip();
  return bytes;
}

static void check_filled(ls_shared *shared) {
  const unsigned char *const data = shared->data;
  if (rank == 0) memset(shared->data, 42, shared->bytes);
  ls_comm_shared_broadcast(comm, shared);
  EXPECT(data[0] == 42 && data[shared->bytes / 2] == 42 && data[shared->bytes - 1] == 42);
  settle();
}

/* With a small /dev/shm, as in most containers, each rank gets a private copy. */
static void test_too_little_shared_memory(void **state) {
  (void)state;
  ls_shared shared;
  const size_t bytes = small_free_bytes() + 1;
  ls_log_enable(false); /* a warning is expected */
  EXPECT(ls_comm_shared_create(comm, bytes, &shared) == LS_OK);
  ls_log_enable(rank == 0);
  settle();
  EXPECT(shared.is_private && !shared.window);
  check_filled(&shared);
  ls_comm_shared_destroy(comm, &shared);
}

/* Windows that fit one by one but not together: allocated memory counts before it is used. */
static void test_too_little_for_all_windows(void **state) {
  (void)state;
  ls_shared shared[4];
  const size_t bytes = small_free_bytes() / 3 + 1;
  ls_log_enable(false);
  for (size_t k = 0; k < COUNT(shared); k++)
    EXPECT(ls_comm_shared_create(comm, bytes, &shared[k]) == LS_OK);
  ls_log_enable(rank == 0);
  settle();
  EXPECT(shared[3].is_private);
  for (size_t k = 0; k < COUNT(shared); k++) check_filled(&shared[k]);
  for (size_t k = 0; k < COUNT(shared); k++) ls_comm_shared_destroy(comm, &shared[k]);
}

/* ----------------------------------------------------------------- sums over lanes */

/* The sum over the lanes below a tree node: left half plus right half. */
static void sum_node(size_t first, size_t count, size_t n, float *out) {
  if (count == 1) {
    const ls_rng rng = ls_rng_make(33, LS_RNG_CHECK, 1, 0);
    ls_rng_normal(&rng, first, n, out);
    return;
  }
  float *const right = ls_calloc(n, sizeof *right);
  sum_node(first, count / 2, n, out);
  sum_node(first + count / 2, count / 2, n, right);
  for (size_t i = 0; i < n; i++) out[i] += right[i];
  free(right);
}

/* Collective. The sum over all lanes has the same bits as on one rank. Values of ranks without lanes are
 * ignored. */
static void check_tree(size_t n_lanes, size_t n) {
  ls_comm_tree *tree = NULL;
  float *const x = ls_calloc(n, sizeof *x);
  float *const all = ls_calloc(n, sizeof *all);
  double *const x64 = ls_calloc(n, sizeof *x64);
  EXPECT(x && all && x64 && ls_comm_tree_create(comm, n_lanes, &tree) == LS_OK);
  settle();
  LS_ASSERT(tree);
  sum_node(0, n_lanes, n, all);
  if (tree->count > 0) sum_node(tree->first, tree->count, n, x);
  for (size_t i = 0; i < n; i++) x[i] = tree->count > 0 ? x[i] : NAN;
  for (size_t i = 0; i < n; i++) x64[i] = (double)x[i];
  ls_comm_tree_sum_f32(comm, tree, x, n);
  ls_comm_tree_sum_f64(comm, tree, x64, n);
  EXPECT(memcmp(x, all, n * sizeof *x) == 0);
  double far = 0.0;
  for (size_t i = 0; i < n; i++) far = fmax(far, fabs(x64[i] - (double)all[i]));
  EXPECT(far < 1e-5);
  EXPECT(same_bytes(x64, n * sizeof *x64));
  ls_comm_tree_destroy(&tree);
  free(x);
  free(all);
  free(x64);
  settle();
}

static void test_tree_sums(void **state) {
  (void)state;
  const size_t lanes[] = {1, 2, 4, 8, 32};
  const size_t lengths[] = {1, 3, 1000, 4099, ((size_t)1 << 20) + 5};
  for (size_t l = 0; l < COUNT(lanes); l++)
    for (size_t k = 0; k < COUNT(lengths) - (lanes[l] != 8); k++) check_tree(lanes[l], lengths[k]);
}

/* For any number of ranks, each lane has one rank, and each rank's lanes are below one tree node. */
static void test_tree_lanes(void **state) {
  (void)state;
  for (size_t n_lanes = 1; n_lanes <= 64; n_lanes *= 2)
    for (int ranks = 1; ranks <= 70; ranks++) {
      size_t next = 0;
      for (int r = 0; r < ranks; r++) {
        size_t first = 0;
        size_t count = 0;
        ls_comm_tree_lanes(n_lanes, r, ranks, &first, &count);
        if (count == 0) continue;
        EXPECT(first == next && (count & (count - 1)) == 0 && first % count == 0);
        next = first + count;
      }
      EXPECT(next == n_lanes);
    }
  settle();
}

/* Groups of two ranks, and one rank without a group if their number is odd. */
static void test_groups(void **state) {
  (void)state;
  ls_comm *group = NULL;
  const int index = rank / 2 < size / 2 ? rank / 2 : -1;
  uint64_t sums[] = {(uint64_t)rank, 1};
  EXPECT(ls_comm_split(comm, index, &group) == LS_OK);
  EXPECT((group == NULL) == (index < 0));
  if (group) {
    EXPECT(ls_comm_rank(group) == rank % 2 && ls_comm_size(group) == 2);
    EXPECT(ls_comm_node_all(group) == ls_comm_node_size(comm));
    for (int i = 0; i < 5 + 20 * index; i++) ls_comm_barrier(group); /* other groups do other work */
    ls_comm_sum_u64(group, sums, 2);
    EXPECT(sums[0] == (uint64_t)(4 * index + 1) && sums[1] == 2);
    const ls_status status =
        ls_comm_agree(group, rank % 2 ? ls_fail(LS_ERR_DATA, "group %d", index) : LS_OK);
    EXPECT(status == LS_ERR_DATA);
  }
  settle();
  ls_comm_split_destroy(&group);
  EXPECT(group == NULL);
}

typedef struct letters {
  ls_mailbox *box;
  int n[256]; /* of each rank */
} letters;

static void receive_letters(void *context) {
  letters *const l = context;
  int message[2] = {0};
  while (ls_mailbox_receive(l->box, message)) {
    EXPECT(message[0] >= 0 && message[0] < size && message[1] == l->n[message[0]]);
    if (message[0] >= 0 && message[0] < 256) l->n[message[0]]++;
  }
}

/* Rank r sends 10 r messages to each rank; none is lost, and those of a rank arrive in order. */
static void test_messages(void **state) {
  (void)state;
  letters l = {.box = NULL};
  EXPECT(ls_mailbox_create(comm, 2 * sizeof(int), &l.box) == LS_OK);
  for (int round = 1; round <= 2; round++) {
    for (int i = 10 * (round - 1) * rank; i < 10 * round * rank; i++)
      for (int to = 0; to < size; to++) ls_mailbox_send(l.box, to, (const int[]){rank, i});
    ls_mailbox_wait(comm, l.box, receive_letters, &l);
    for (int r = 0; r < size; r++) EXPECT(l.n[r] == 10 * round * r);
    settle();
  }
  ls_mailbox_destroy(comm, &l.box);
}

/* With the argument `bug`, the last rank has a bug while the others wait for it. */
int main(int argc, char **argv) {
  begin(&argc, &argv);
  if (argc > 1 && strcmp(argv[1], "bug") == 0) {
    LS_ASSERT(rank != size - 1);
    ls_comm_barrier(comm);
  }
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_identity),
      cmocka_unit_test(test_oversubscription),
      cmocka_unit_test(test_agree_on_success),
      cmocka_unit_test(test_one_rank_fails),
      cmocka_unit_test(test_greatest_status_of_lowest_rank),
      cmocka_unit_test(test_stopped_is_greatest),
      cmocka_unit_test(test_long_message),
      cmocka_unit_test(test_sums_of_integers),
      cmocka_unit_test(test_empty_sums),
      cmocka_unit_test(test_sums_have_the_same_bits),
      cmocka_unit_test(test_sums_carry_nan),
      cmocka_unit_test(test_tree_sums),
      cmocka_unit_test(test_tree_lanes),
      cmocka_unit_test(test_gather),
      cmocka_unit_test(test_gather_again_and_again),
      cmocka_unit_test(test_alltoall),
      cmocka_unit_test(test_order_of_ranks),
      cmocka_unit_test(test_broadcast),
      cmocka_unit_test(test_broadcast_in_pieces),
      cmocka_unit_test(test_broadcast_text),
      cmocka_unit_test(test_all_equal),
      cmocka_unit_test(test_one_bit_differs),
      cmocka_unit_test(test_opposites_differ),
      cmocka_unit_test(test_shared_memory),
      cmocka_unit_test(test_parts_of_shared_memory),
      cmocka_unit_test(test_several_windows_at_once),
      cmocka_unit_test(test_too_little_shared_memory),
      cmocka_unit_test(test_too_little_for_all_windows),
      cmocka_unit_test(test_groups),
      cmocka_unit_test(test_messages),
  };
  return finish(cmocka_run_group_tests(tests, NULL, NULL));
}
