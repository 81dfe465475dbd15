/* Gathering: each rank has a part of a vector, and gets those of all others. */
#include "internal.h"

#include <string.h>

/* Mode sharded. Collective between the nodes: completes this rank's part of `values`. */
static void gather_part(ls_comm *comm, ls_exchange *exchange, const ls_buckets *b, float *values) {
  const ls_range part = b->list[0].part;
  if (b->mode != LS_SYNC_SHARDED || exchange->n_nodes == 1) return;
  ls_exchange_allgather(comm, exchange, 1, sizeof(float), values + part.first, part.count);
  ls_exchange_wait(exchange, 1);
}

/* Local. Copies the parts of the other peers: those of peer p from sources[p], or all from `source`. */
static void copy_parts(const ls_exchange *exchange, const ls_buckets *b, float *const *sources,
                       const float *source, float *values) {
  LS_ASSERT(sources || source);
  const size_t n_parts = (size_t)exchange->n_parts;
  for (size_t k = 0; k < b->n * n_parts; k++) {
    const int p = (int)(k % n_parts);
    const ls_range part = sync_piece_of(b->list[k / n_parts].all, exchange->n_parts, p);
    if (p != exchange->peer)
      memcpy(values + part.first, (sources ? sources[p] : source) + part.first,
             part.count * sizeof *values);
  }
}

void sync_buckets_complete(ls_comm *comm, ls_exchange *exchange, const ls_buckets *b, bool is_mirrored,
                           float *params) {
  const bool is_copy = params != exchange->common;
  gather_part(comm, exchange, b, params);
  for (size_t k = 0; k < b->n && is_copy && !is_mirrored; k++)
    ls_math_copy_nontemporal(b->list[k].part.count, params + b->list[k].part.first,
                             exchange->common + b->list[k].part.first);
  ls_math_end_nontemporal();
  ls_exchange_fence(comm, exchange);
  if (is_copy) copy_parts(exchange, b, NULL, exchange->common, params);
}

void sync_buckets_allgather(ls_comm *comm, ls_exchange *exchange, const ls_buckets *b) {
  gather_part(comm, exchange, b, b->grads);
  for (size_t k = 0; k < b->n && sync_has_own_terms(exchange, b); k++)
    memcpy(exchange->terms[exchange->peer] + b->list[k].part.first, b->grads + b->list[k].part.first,
           b->list[k].part.count * sizeof *b->grads);
  ls_exchange_fence(comm, exchange);
  copy_parts(exchange, b, exchange->terms, NULL, b->grads);
  ls_exchange_fence(comm, exchange);
}
