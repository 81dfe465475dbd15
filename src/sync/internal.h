/* The gradient in pieces, each summed over all ranks as a whole. */
#ifndef LOCKSTEP_SYNC_INTERNAL_H
#define LOCKSTEP_SYNC_INTERNAL_H

#include "lockstep/sync.h"

/* Local. The number of buckets of n elements in a mode: in overlap enough for the first to be on their way
 * early, but no shorter than what a network likes. */
size_t sync_buckets_count(ls_sync_mode mode, size_t n);

/* Local. Those of a mode, for an exchange. Borrows grads (n): the terms of this rank, and then their sum.
 */
ls_status sync_buckets_create(const ls_exchange *exchange, ls_sync_mode mode, ls_gradient_type type,
                              float *grads, ls_buckets **out);
void sync_buckets_destroy(ls_buckets **buckets);

/* Local. What bfloat16 rounded away so far is forgotten. */
void sync_buckets_forget(ls_buckets *buckets);

/* Local. This rank's piece of the first bucket: what it updates in mode sharded. */
ls_range sync_buckets_piece(const ls_buckets *buckets);

/* Local. A step over so many rows of all ranks begins: what was rounded away in one of another size is
 * forgotten. */
void sync_buckets_set_rows(ls_buckets *buckets, uint64_t rows);

/* Collective. The elements up to `ready` are final: the buckets that lie in them are begun, and those under
 * way are seen to. */
void sync_buckets_advance(ls_comm *comm, ls_exchange *exchange, ls_buckets *buckets, size_t ready);

/* Collective, once all are begun. Waits for all. The exchange's own array then holds the sum over all
 * ranks, in mode sharded its own piece of it only. Returns the sum of squares of what this rank summed,
 * each element on one rank only. Fences among the peers that follow are the caller's. */
double sync_buckets_finish(ls_comm *comm, ls_exchange *exchange, ls_buckets *buckets);

/* Collective, mode sharded. Each rank's piece of values (n) goes to all the others. Likewise. */
void sync_buckets_allgather(ls_comm *comm, ls_exchange *exchange, const ls_buckets *buckets, float *values);

#endif
