/* Buckets: pieces of the gradient, each summed over all ranks as a whole. */
#ifndef LOCKSTEP_SYNC_INTERNAL_H
#define LOCKSTEP_SYNC_INTERNAL_H

#include "lockstep/sync.h"

#define SYNC_BLOCK 1024 /* elements decoded at a time */

typedef struct sync_bucket {
  ls_range all;            /* of the gradient */
  ls_range part;           /* of this rank among its peers */
  ls_range piece;          /* of this rank's node in the part */
  size_t offset;           /* of its part among the parts of all buckets */
  unsigned char *received; /* (n_nodes, piece): the terms of the piece, in the type that is sent */
} sync_bucket;

struct ls_buckets {
  ls_sync_mode mode;
  ls_gradient_type type;
  float *grads; /* (all), borrowed: the terms of this rank, those that peers share or its own */
  size_t n;
  sync_bucket *list; /* (n) */
  ls_range *ranges;  /* (n): see sync_buckets_ranges */
  ls_arena arena;    /* of the buffers below, and of the received terms of each bucket */
  uint16_t *halves;  /* bfloat16: (all parts) the values to send */
  float *errors;     /* bfloat16: (all parts) rounding errors of the terms */
  float *sum_errors; /* bfloat16: (all parts) rounding errors of the sums, at the pieces' positions */
  size_t n_errors;
  uint64_t rows;       /* of the step of these errors */
  float *decoded;      /* bfloat16: (n_nodes, SYNC_BLOCK) */
  const float **terms; /* (max(n_peers, n_nodes)): arrays to sum */
  double squares;
  size_t n_started, n_summed; /* buckets whose all-to-all has started, and whose terms are summed */
};

/* Local. Piece i of n of a range. */
static inline ls_range sync_piece_of(ls_range whole, int n_pieces, int i) {
  size_t first = 0;
  size_t count = 0;
  ls_exchange_piece(whole.count, n_pieces, i, &first, &count);
  return (ls_range){.first = whole.first + first, .count = count};
}

/* Whether the terms of this rank are its own. */
static inline bool sync_has_own_terms(const ls_exchange *exchange, const ls_buckets *b) {
  return b->grads != exchange->terms[exchange->peer];
}

/* Local. The number of buckets of n elements in a mode, if each is divided into n_pieces pieces. */
size_t sync_buckets_count(ls_sync_mode mode, size_t n, size_t n_pieces);

/* Local. Creates the buckets of a mode. LS_ERR_INTERNAL. */
ls_status sync_buckets_create(const ls_exchange *exchange, ls_sync_mode mode, ls_gradient_type type,
                              ls_buckets **out);
void sync_buckets_destroy(ls_buckets **buckets);

/* Local. Discards the rounding errors of bfloat16. */
void sync_buckets_discard_errors(ls_buckets *buckets);

/* Local. The elements that this rank sums and updates, *n ranges. */
const ls_range *sync_buckets_ranges(const ls_buckets *buckets, size_t *n);

/* Local. Where the terms of this rank are from the next step on, (all), borrowed: in the memory that peers
 * share, exchange->terms[peer], or elsewhere; the same on all ranks. */
void sync_buckets_set_terms(ls_buckets *buckets, float *grads);

/* Local. Begins a step over `rows` rows of all ranks. Discards rounding errors of a step with another
 * number. */
void sync_buckets_set_rows(ls_buckets *buckets, uint64_t rows);

/* Collective. The elements below `ready` are final: starts the buckets within them, and advances those in
 * progress. */
void sync_buckets_advance(ls_comm *comm, ls_exchange *exchange, ls_buckets *buckets, size_t ready);

/* Collective. Waits for all buckets, which must have been started. This rank's ranges of its terms are then
 * the sums over all ranks. Returns the sum of squares of the elements that this rank summed; each element
 * counts on one rank only. The caller provides the next fence among the peers. */
double sync_buckets_finish(ls_comm *comm, ls_exchange *exchange, ls_buckets *buckets);

/* Collective. All ranks have updated their ranges of `params`, either the common vector or, on all ranks, a
 * copy: completes both on all nodes. is_mirrored: the common vector has this rank's ranges too, which are
 * all of its part. */
void sync_buckets_complete(ls_comm *comm, ls_exchange *exchange, const ls_buckets *buckets,
                           bool is_mirrored, float *params);

/* Collective. Completes the terms of this rank by the ranges of all others. */
void sync_buckets_allgather(ls_comm *comm, ls_exchange *exchange, const ls_buckets *buckets);

/* Local. The first trial begins. */
void sync_trial_start(ls_sync_trial *trial);

/* Local, with the same result on all ranks. A step has ended; chooses the kind of the next one.
 * `seconds`: trial->seconds during the step, summed over the ranks. */
void sync_trial_advance(ls_sync_trial *trial, double seconds);

#endif
