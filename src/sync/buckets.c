/* The sum of a bucket over all ranks:
 *
 *   1. Each of the P peers of a node sums its own part of the bucket over the terms of all peers, into its
 *      own terms. A peer's terms are either in the memory that peers share, or its own, of which it has
 *      streamed to that memory what the others need. If nodes have different numbers of ranks, some peers
 *      hold no part.
 *   2. The N ranks with the same part exchange its pieces by all-to-all. Each sums its piece; then an
 *      allgather distributes the sums. The traffic is 2 (N - 1) / N of the part each way, as in a ring.
 *   3. Each rank updates the parameters whose sums it has, in the vector that its peers have in common.
 *
 * Terms are added in the order of nodes, and of peers within each node, in all modes. Mode sharded stops
 * before the allgather: pieces are updated first, and then gathered as parameters between the nodes. Mode
 * allreduce leaves step 2 to MPI for float32 between two nodes, where there is only one order.
 *
 * In bfloat16 both transfers of step 2 are half as long. Rounding errors are added to the next step's
 * gradient (error feedback: Seide et al., "1-bit stochastic gradient descent and its application to
 * data-parallel distributed training of speech DNNs", Interspeech 2014), once for the terms and once for
 * their sum. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define PIECE ((size_t)1 << 10) /* elements: shorter messages take nearly as long */

size_t ls_sync_bucket_length(size_t n, size_t n_pieces) {
  const size_t line = LS_ALIGNMENT / sizeof(float); /* buckets end at a cache line */
  const size_t length = ls_size_min(ls_size_max(n / 16 / line * line, (size_t)1 << 16), (size_t)1 << 20);
  return ls_size_max(length, n_pieces * PIECE);
}

static size_t length_of(ls_sync_mode mode, size_t n, size_t n_pieces) {
  return mode == LS_SYNC_OVERLAP ? ls_sync_bucket_length(n, n_pieces) : ls_size_max(n, 1);
}

/* The number of pieces of a bucket. */
static size_t count_pieces(const ls_exchange *exchange) {
  return (size_t)exchange->n_parts * (size_t)exchange->n_nodes;
}

size_t sync_buckets_count(ls_sync_mode mode, size_t n, size_t n_pieces) {
  const size_t length = length_of(mode, n, n_pieces);
  return ls_size_max(1, (n + length - 1) / length);
}

static size_t size_of(ls_gradient_type type) {
  return type == LS_GRADIENT_BF16 ? sizeof(uint16_t) : sizeof(float);
}

/* Whether step 2 uses transfers; otherwise there is one node, or MPI does it. */
static bool uses_transfers(const ls_exchange *exchange, const ls_buckets *b) {
  const bool is_left_to_mpi = b->mode == LS_SYNC_ALLREDUCE && b->type == LS_GRADIENT_F32;
  return exchange->n_nodes > (is_left_to_mpi ? 2 : 1);
}

/* Local. Partitions n elements; returns the size of all parts. */
static size_t partition(const ls_exchange *exchange, ls_buckets *b) {
  const size_t length = length_of(b->mode, exchange->n, count_pieces(exchange));
  size_t parts = 0;
  for (size_t k = 0; k < b->n; k++) {
    const size_t first = k * length;
    const size_t count = ls_size_min(length, exchange->n - first);
    sync_bucket *const one = &b->list[k];
    one->all = (ls_range){.first = first, .count = count};
    one->part = sync_piece_of(one->all, exchange->n_parts, exchange->peer);
    one->piece = sync_piece_of(one->part, exchange->n_nodes, exchange->node);
    one->offset = parts;
    b->ranges[k] = b->mode == LS_SYNC_SHARDED ? one->piece : one->part;
    parts += one->part.count;
  }
  return parts;
}

/* Local. Takes the buffers from the arena: the terms, and those for transfers between nodes. */
static void take_buffers(const ls_exchange *exchange, ls_buckets *b, size_t parts) {
  const bool sends = uses_transfers(exchange, b);
  const size_t n_peers = (size_t)exchange->n_peers;
  const size_t n_nodes = (size_t)exchange->n_nodes;
  b->n_errors = sends && b->type == LS_GRADIENT_BF16 ? parts : 0;
  b->terms = ls_arena_take(&b->arena, ls_size_max(n_peers, n_nodes), sizeof *b->terms);
  b->halves = ls_arena_take(&b->arena, b->n_errors, sizeof *b->halves);
  b->errors = ls_arena_take(&b->arena, b->n_errors, sizeof *b->errors);
  b->sum_errors = ls_arena_take(&b->arena, b->n_errors, sizeof *b->sum_errors);
  b->decoded = ls_arena_take(&b->arena, b->n_errors ? n_nodes : 0, SYNC_BLOCK * sizeof *b->decoded);
  for (size_t k = 0; sends && k < b->n; k++)
    b->list[k].received = ls_arena_take(&b->arena, b->list[k].piece.count, n_nodes * size_of(b->type));
}

/* Local. `n` buckets without buffers; NULL if memory is short. */
static ls_buckets *create(size_t n) {
  ls_buckets *b = ls_calloc(1, sizeof *b);
  if (!b) return NULL;
  *b = (ls_buckets){
      .n = n, .list = ls_calloc(n, sizeof *b->list), .ranges = ls_calloc(n, sizeof *b->ranges)};
  if (!b->list || !b->ranges) sync_buckets_destroy(&b);
  return b;
}

ls_status sync_buckets_create(const ls_exchange *exchange, ls_sync_mode mode, ls_gradient_type type,
                              ls_buckets **out) {
  const size_t n = sync_buckets_count(mode, exchange->n, count_pieces(exchange));
  ls_buckets *const b = *out = create(n);
  if (!b) return ls_fail_memory("the buckets of the gradient", n * sizeof *b->list);
  b->mode = mode;
  b->type = type;
  b->grads = exchange->terms[exchange->peer];
  const size_t parts = partition(exchange, b);
  take_buffers(exchange, b, parts);
  const ls_status status = ls_arena_commit(&b->arena, "the gradients of other ranks");
  if (status == LS_OK)
    take_buffers(exchange, b, parts);
  else
    sync_buckets_destroy(out);
  return status;
}

void sync_buckets_destroy(ls_buckets **buckets) {
  if (!*buckets) return;
  free((*buckets)->list);
  free((*buckets)->ranges);
  ls_arena_destroy(&(*buckets)->arena);
  free(*buckets);
  *buckets = NULL;
}

void sync_buckets_discard_errors(ls_buckets *b) {
  memset(b->errors, 0, b->n_errors * sizeof *b->errors);
  memset(b->sum_errors, 0, b->n_errors * sizeof *b->sum_errors);
}

const ls_range *sync_buckets_ranges(const ls_buckets *b, size_t *n) {
  *n = b->n;
  return b->ranges;
}

void sync_buckets_set_terms(ls_buckets *b, float *grads) {
  b->grads = grads;
}

/* Step 1. Local. Streams the other peers' parts of this rank's own terms. */
static void post_terms(const ls_exchange *exchange, const ls_buckets *b, const sync_bucket *one) {
  if (!sync_has_own_terms(exchange, b)) return;
  for (int p = 0; p < exchange->n_parts; p++) {
    const ls_range part = sync_piece_of(one->all, exchange->n_parts, p);
    if (p != exchange->peer)
      ls_math_copy_nontemporal(part.count, b->grads + part.first,
                               exchange->terms[exchange->peer] + part.first);
  }
  ls_math_end_nontemporal();
}

/* Step 1. Local, after a fence. */
static void sum_peers(const ls_exchange *exchange, ls_buckets *b, const sync_bucket *one) {
  const size_t n = one->part.count;
  float *const own = b->grads + one->part.first;
  double squares = 0.0;
  for (int p = 0; p < exchange->n_peers; p++) b->terms[p] = exchange->terms[p] + one->part.first;
  b->terms[exchange->peer] = own;
  if (exchange->n_peers > 1) squares = ls_math_fold(n, (size_t)exchange->n_peers, b->terms, own);
  if (exchange->n_peers == 1 && exchange->n_nodes == 1) squares = ls_math_sum_squares(n, own);
  if (exchange->n_nodes == 1) b->squares += squares;
}

/* Step 2, the all-to-all. */
static void start_alltoall(ls_comm *comm, ls_exchange *exchange, ls_buckets *b, size_t k) {
  sync_bucket *const one = &b->list[k];
  const void *sent = b->grads + one->part.first;
  if (b->type == LS_GRADIENT_BF16) {
    uint16_t *const halves = b->halves + one->offset;
    ls_math_to_bf16(one->part.count, sent, b->errors + one->offset, halves);
    sent = halves;
  }
  ls_exchange_alltoall(comm, exchange, 2 * k, size_of(b->type), sent, one->part.count, one->received);
}

/* Local. Writes the sum of a piece over the nodes to `piece`; returns its sum of squares. */
static double sum_floats(const ls_exchange *exchange, ls_buckets *b, const sync_bucket *one, float *piece) {
  const float *const received = (const float *)(const void *)one->received;
  for (int q = 0; q < exchange->n_nodes; q++) b->terms[q] = received + (size_t)q * one->piece.count;
  return ls_math_fold(one->piece.count, (size_t)exchange->n_nodes, b->terms, piece);
}

static double sum_halves(const ls_exchange *exchange, ls_buckets *b, const sync_bucket *one, float *piece) {
  const size_t n = one->piece.count;
  const uint16_t *const received = (const uint16_t *)(const void *)one->received;
  double squares = 0.0;
  for (int q = 0; q < exchange->n_nodes; q++) b->terms[q] = b->decoded + (size_t)q * SYNC_BLOCK;
  for (size_t first = 0; first < n; first += SYNC_BLOCK) {
    const size_t length = ls_size_min(SYNC_BLOCK, n - first);
    for (int q = 0; q < exchange->n_nodes; q++)
      ls_math_from_bf16(length, received + (size_t)q * n + first, b->decoded + (size_t)q * SYNC_BLOCK);
    squares += ls_math_fold(length, (size_t)exchange->n_nodes, b->terms, piece + first);
  }
  return squares;
}

/* Step 2, the allgather, except in mode sharded. */
static void start_allgather(ls_comm *comm, ls_exchange *exchange, ls_buckets *b, size_t k) {
  const sync_bucket *const one = &b->list[k];
  void *part = b->grads + one->part.first;
  if (b->type == LS_GRADIENT_BF16) {
    const size_t at = one->offset + (one->piece.first - one->part.first);
    ls_math_to_bf16(one->piece.count, b->grads + one->piece.first, b->sum_errors + at, b->halves + at);
    part = b->halves + one->offset;
  }
  ls_exchange_allgather(comm, exchange, 2 * k + 1, size_of(b->type), part, one->part.count);
}

/* Step 2 between its transfers: the terms of bucket k have arrived. */
static void sum_nodes(ls_comm *comm, ls_exchange *exchange, ls_buckets *b, size_t k) {
  const sync_bucket *const one = &b->list[k];
  float *const piece = b->grads + one->piece.first;
  const bool is_half = b->type == LS_GRADIENT_BF16;
  const double squares = (is_half ? sum_halves : sum_floats)(exchange, b, one, piece);
  const bool is_final = b->mode == LS_SYNC_SHARDED;
  if (is_final || !is_half) b->squares += squares;
  if (!is_final) start_allgather(comm, exchange, b, k);
}

/* All peers have filled bucket k. */
static void start(ls_comm *comm, ls_exchange *exchange, ls_buckets *b, size_t k) {
  const sync_bucket *const one = &b->list[k];
  if (k == 0) b->squares = 0.0;
  post_terms(exchange, b, one);
  ls_exchange_fence(comm, exchange);
  sum_peers(exchange, b, one);
  if (uses_transfers(exchange, b)) {
    start_alltoall(comm, exchange, b, k);
  } else if (exchange->n_nodes > 1) {
    ls_exchange_sum_f32(comm, exchange, b->grads + one->part.first, one->part.count);
    b->squares += ls_math_sum_squares(one->piece.count, b->grads + one->piece.first);
  }
}

/* Rounding errors scale with the sum, and so with the number of rows. */
void sync_buckets_set_rows(ls_buckets *b, uint64_t rows) {
  if (b->rows != rows) sync_buckets_discard_errors(b);
  b->rows = rows;
}

void sync_buckets_advance(ls_comm *comm, ls_exchange *exchange, ls_buckets *b, size_t ready) {
  for (; b->n_started < b->n; b->n_started++) {
    const ls_range all = b->list[b->n_started].all;
    if (all.first + all.count > ready) break;
    start(comm, exchange, b, b->n_started);
  }
  if (!uses_transfers(exchange, b)) return;
  for (; b->n_summed < b->n_started && ls_exchange_test(exchange, 2 * b->n_summed); b->n_summed++)
    sum_nodes(comm, exchange, b, b->n_summed);
}

/* Waits for the transfers of all buckets. */
static void wait_all(ls_comm *comm, ls_exchange *exchange, ls_buckets *b) {
  for (; b->n_summed < b->n; b->n_summed++) {
    ls_exchange_wait(exchange, 2 * b->n_summed);
    sum_nodes(comm, exchange, b, b->n_summed);
  }
  if (b->mode == LS_SYNC_SHARDED) return;
  for (size_t k = 0; k < b->n; k++) {
    const sync_bucket *const one = &b->list[k];
    ls_exchange_wait(exchange, 2 * k + 1);
    if (b->type != LS_GRADIENT_BF16) continue;
    ls_math_from_bf16(one->part.count, b->halves + one->offset, b->grads + one->part.first);
    b->squares += ls_math_sum_squares(one->piece.count, b->grads + one->piece.first);
  }
}

double sync_buckets_finish(ls_comm *comm, ls_exchange *exchange, ls_buckets *b) {
  LS_ASSERT(b->n_started == b->n);
  if (uses_transfers(exchange, b)) wait_all(comm, exchange, b);
  b->n_started = b->n_summed = 0;
  return b->squares;
}
