/* What the files of comm share. */
#ifndef LOCKSTEP_COMM_INTERNAL_H
#define LOCKSTEP_COMM_INTERNAL_H

#include "lockstep/comm.h"

#include <mpi.h>

struct ls_comm {
  MPI_Comm world, node; /* node: the ranks that share this one's memory */
  int rank, size;
  int node_rank, node_size;
  bool is_first_node;       /* rank 0 is on this node */
  MPI_Comm leaders;         /* the first ranks of all nodes; MPI_COMM_NULL elsewhere, and on one node */
  double timeout;           /* seconds, of the watchdog */
  struct comm_board *board; /* of the node's watchdogs, in shared memory; NULL: one rank */
  MPI_Win board_window;
  double word_sent;           /* to other nodes: when, on ls_clock */
  uint64_t word_beats;        /* how often this node's ranks had beaten then */
  int threads, cores_missing; /* see ls_comm_threads, ls_comm_cores_missing */
  char library[MPI_MAX_LIBRARY_VERSION_STRING];
};

/* Local. Zeroed memory without which ranks can't even agree: where it is short, that is told, and all ranks
 * end. To be freed by the caller. */
void *comm_calloc(size_t count, size_t size);

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

/* Local. The watchdog of this process: it runs before MPI and beyond its end. LS_ERR_INTERNAL. */
ls_status comm_watchdog_start(void);
void comm_watchdog_stop(void);

/* Collective. The watchdogs of a node see each other from the first to the second. */
void comm_watchdog_join(ls_comm *comm);
void comm_watchdog_leave(ls_comm *comm);

/* Local. Around whatever waits for other ranks: true before it, false once they came. */
void comm_waits(bool for_others);

/* Local. The beats of this node's ranks, and word of those of another. */
uint64_t comm_node_heartbeats(const ls_comm *comm);
void comm_message_received(const ls_comm *comm);

/* Waits for a request that all ranks make after local work, which may take long: sleeping, and passing on
 * what the watchdogs of other nodes need to know (wait.c). */
void comm_await(ls_comm *comm, MPI_Request *request);

/* Local. Takes word of other nodes, and tells them of this one, now and then: in a wait, and by each beat.
 */
void comm_relay_messages(void);

/* Local. From now on the work of this process's first thread is made known to other nodes; NULL: no more.
 */
void comm_notify_peers(ls_comm *comm);

#endif
