/* Buckets: pieces of the gradient, each summed over all ranks as a whole. */
#ifndef LOCKSTEP_SYNC_INTERNAL_H
#define LOCKSTEP_SYNC_INTERNAL_H

#include "lockstep/sync.h"

/* Local. The number of buckets of n elements in a mode, if each is divided into n_pieces pieces. */
size_t sync_buckets_count(ls_sync_mode mode, size_t n, size_t n_pieces);

/* Local. Creates the buckets of a mode. Borrows grads (n): this rank's terms, then the sum.
 * LS_ERR_INTERNAL. */
ls_status sync_buckets_create(const ls_exchange *exchange, ls_sync_mode mode, ls_gradient_type type,
                              float *grads, ls_buckets **out);
void sync_buckets_destroy(ls_buckets **buckets);

/* Local. Discards the rounding errors of bfloat16. */
void sync_buckets_discard_errors(ls_buckets *buckets);

/* Local. This rank's piece of the first bucket, which it updates in mode sharded. */
ls_range sync_buckets_piece(const ls_buckets *buckets);

/* Local. Begins a step over `rows` rows of all ranks. Discards rounding errors of a step with another
 * number. */
void sync_buckets_set_rows(ls_buckets *buckets, uint64_t rows);

/* Collective. The elements below `ready` are final: starts the buckets within them, and advances those in
 * progress. */
void sync_buckets_advance(ls_comm *comm, ls_exchange *exchange, ls_buckets *buckets, size_t ready);

/* Collective. Waits for all buckets, which must have been started. `grads` is then the sum over all ranks,
 * in mode sharded only this rank's piece of it. Returns the sum of squares of the elements that this rank
 * summed; each element counts on one rank only. The caller provides the next fence among the peers. */
double sync_buckets_finish(ls_comm *comm, ls_exchange *exchange, ls_buckets *buckets);

/* Collective, mode sharded. Sends this rank's piece of values (n) to all other ranks. The caller provides
 * the next fence. */
void sync_buckets_allgather(ls_comm *comm, ls_exchange *exchange, const ls_buckets *buckets, float *values);

#endif
