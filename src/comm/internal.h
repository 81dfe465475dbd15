/* What the files of comm share. */
#ifndef LOCKSTEP_COMM_INTERNAL_H
#define LOCKSTEP_COMM_INTERNAL_H

#include "lockstep/comm.h"

#include <mpi.h>

struct ls_comm {
  MPI_Comm world, node; /* node: the ranks that share this one's memory */
  int rank, size;
  int node_rank, node_size;
  bool is_first_node;         /* rank 0 is on this node */
  int threads, cores_missing; /* see ls_comm_threads, ls_comm_cores_missing */
  char library[MPI_MAX_LIBRARY_VERSION_STRING];
};

/* Local. Zeroed memory without which ranks can't even agree: where it is short, that is told, and all ranks
 * end. To be freed by the caller. */
void *comm_need(size_t count, size_t size);

/* Collective. Sets the two (threads.c), from what else is in `comm`. */
void comm_choose_threads(ls_comm *comm);

/* The narrowing to MPI's int: the elements of the next piece, at most 2^27 of them. */
static inline int next_piece(size_t left) {
  const size_t most = (size_t)1 << 27;
  return (int)(left < most ? left : most);
}

/* Collective over a group. x[i], i < n, of `size` bytes each, becomes its sum. */
void comm_sum(MPI_Comm group, unsigned char *x, size_t n, size_t size, MPI_Datatype type);

/* Local. Whether the node's shared memory has room: writing beyond it would be a bus error, not a failure.
 */
bool comm_shared_memory_has(size_t bytes);

/* Collective over the node: one window, all of it the first rank's. To be freed by comm_window_free, which
 * is collective too. */
void *comm_window_allocate(ls_comm *comm, size_t bytes, MPI_Win *window);
void comm_window_free(MPI_Win *window);

/* Collective over a group of the window's ranks or more; MPI_WIN_NULL where this rank has none. What any of
 * them wrote into it before, all read after it. */
void comm_window_fence(MPI_Comm group, MPI_Win window);

#endif
