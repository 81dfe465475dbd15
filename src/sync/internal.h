/* Buckets: pieces of the gradient, each summed over all ranks as a whole. */
#ifndef LOCKSTEP_SYNC_INTERNAL_H
#define LOCKSTEP_SYNC_INTERNAL_H

#include "lockstep/sync.h"

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
