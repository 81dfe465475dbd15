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

/* Collective. Sets the two (threads.c), from what else is in `comm`. */
void comm_choose_threads(ls_comm *comm);

/* The narrowing to MPI's int: the elements of the next piece, at most 2^27 of them. */
static inline int next_piece(size_t left) {
  const size_t most = (size_t)1 << 27;
  return (int)(left < most ? left : most);
}

#endif
