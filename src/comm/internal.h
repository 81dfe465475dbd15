/* What the files of comm share. Its files in order of dependency: fatal, watchdog, window, board, wait,
 * agree, reduce, shared, tree, exchange, deliver, threads, launcher, comm, split, mailbox. */
#ifndef LOCKSTEP_COMM_INTERNAL_H
#define LOCKSTEP_COMM_INTERNAL_H

#include "lockstep/comm.h"

#include <mpi.h>
#include <stdatomic.h>

#define COMM_HUGE_PAGE ((size_t)1 << 21) /* bytes */
#define COMM_TIMEOUT   600.0             /* seconds, of the watchdog until ls_comm_set_timeout */

/* ---------------------------------------------------------- the watchdog's board */

/* A rank's state as its watchdog publishes it; one cache line. */
typedef struct comm_slot {
  _Alignas(LS_ALIGNMENT) atomic_uint_fast64_t heartbeats;
  atomic_uint_fast64_t turns; /* of the watchdog thread: they stop if the process does */
  atomic_bool is_waiting;     /* for other ranks */
  int rank;
  long pid;
} comm_slot;

/* Shared memory of a node's watchdogs. */
typedef struct comm_board {
  _Alignas(LS_ALIGNMENT) atomic_uint_fast64_t messages; /* received from other nodes */
  atomic_bool has_reporter;                             /* one rank reports why the run ends */
  char other_hosts[512];                                /* names of the other nodes */
  comm_slot slots[];                                    /* (node_size) */
} comm_board;

/* Shared memory of the ranks of a node. */
typedef struct comm_window {
  unsigned char *data;  /* aligned to COMM_HUGE_PAGE, zeroed */
  unsigned char *space; /* the addresses around it: `bytes` */
  size_t bytes;
  int fd;
  bool is_refused; /* comm_window_create has failed because of this rank */
} comm_window;

/* Memory that all ranks of a node write and read as one copy: see ls_comm_broadcast. */
typedef struct comm_common {
  const unsigned char *data;
  size_t bytes;
  struct comm_common *next;
} comm_common;

struct ls_comm {
  MPI_Comm world, node; /* node: the ranks that share this one's memory */
  int rank, size;
  int node_rank, node_size;
  int node_all;     /* ranks of this node, those of other groups included (split.c) */
  int node_first;   /* the first rank of this node */
  MPI_Comm leaders; /* the first rank of each node; MPI_COMM_NULL on other ranks and if there is one node */
  double timeout;   /* seconds, of the watchdog */
  comm_board *board; /* NULL if there is one rank */
  comm_window board_window;
  comm_common *commons;        /* borrowed list */
  double message_time;         /* of the last message to other nodes, on ls_clock */
  uint64_t message_heartbeats; /* this node's heartbeats at that time */
  int threads, cores_missing;  /* see ls_comm_threads, ls_comm_cores_missing */
  char library[MPI_MAX_LIBRARY_VERSION_STRING];
};

/* --------------------------------------------------------------------- fatal.c */

/* Local. Ends all ranks; never returns. */
void comm_abort(void);

/* Local. Reports a failure before ranks can agree, and ends all ranks. */
_Noreturn void comm_fail(const char *message);

/* Local. Zeroed memory, which the caller frees; ends all ranks if memory is short. */
void *comm_calloc(size_t count, size_t size);

/* ------------------------------------------------------------------ watchdog.c */

/* Local. Starts the watchdog thread of this process; it runs from before MPI_Init to after MPI_Finalize.
 * LS_ERR_INTERNAL. */
ls_status comm_watchdog_start(void);
void comm_watchdog_stop(void);

/* Local. Connects the watchdog to its node's board; NULL: disconnects it. */
void comm_watchdog_attach(const ls_comm *comm, comm_board *board);

/* Local. Marks the calls that wait for other ranks: true before, false after. The latter is a heartbeat. */
void comm_set_waiting(bool is_waiting);
#define COMM_WAIT(call) (comm_set_waiting(true), (void)(call), comm_set_waiting(false))

/* Local. The heartbeats of this node's ranks. */
uint64_t comm_node_heartbeats(const ls_comm *comm);

/* Local. Counts a message of another node as progress. */
void comm_message_received(const ls_comm *comm);

/* -------------------------------------------------------------------- window.c */

/* Local. Whether the node's shared memory has so many free bytes. Writing beyond it would raise SIGBUS. */
bool comm_shared_memory_has(size_t bytes);

/* Collective over the node. Maps a window of `bytes` bytes. Returns the same on all ranks of the node:
 * whether that was possible. */
bool comm_window_create(ls_comm *comm, size_t bytes, comm_window *window);

/* Local. Allocates bytes first .. first + bytes - 1 in the memory near this rank, if possible on huge
 * pages. Returns whether there was enough. Writing to bytes that are not allocated may raise SIGBUS. */
bool comm_window_reserve(const comm_window *window, size_t first, size_t bytes);

/* Local. Other ranks may still use the window. */
void comm_window_destroy(comm_window *window);

/* Collective over a group that contains the ranks of a window. All of them can read afterwards what any of
 * them wrote before. */
void comm_window_fence(MPI_Comm group);

/* --------------------------------------------------------------------- board.c */

/* Collective. Between the two calls the watchdogs of a node see each other. */
void comm_board_create(ls_comm *comm);
void comm_board_destroy(ls_comm *comm);

/* ---------------------------------------------------------------------- wait.c */

/* Local. Waits for a request that may take long: sleeps, and relays messages. */
void comm_await(MPI_Request *request);
void comm_await_status(MPI_Request *request, MPI_Status *status);

/* Collective over a group. Waits for its ranks, as comm_await. */
void comm_barrier(MPI_Comm group);

/* Collective. If there are several nodes, waits for all ranks, as comm_await. A call of MPI that blocks and
 * follows takes no longer than its transfer. Ranks of one node need no messages: their heartbeats are on
 * the board. */
void comm_meet(ls_comm *comm);

/* Local. Exchanges progress messages with other nodes, at most 32 times per timeout. For use in waits; the
 * heartbeats of the first thread call it too. */
void comm_relay_messages(void);

/* Local. From now on this rank, if it is a node's first, sends progress messages; NULL: no longer. */
void comm_relay_start(ls_comm *comm);

/* -------------------------------------------------------------------- reduce.c */

/* Narrows to MPI's int: the number of elements of the next piece, at most 2^27. */
static inline int next_piece(size_t left) {
  const size_t most = (size_t)1 << 27;
  return (int)(left < most ? left : most);
}

/* Collective over a group. Replaces x[i], i < n, of `size` bytes each, by its sum or another combination.
 * Blocks. */
void comm_combine(MPI_Comm group, unsigned char *x, size_t n, size_t size, MPI_Datatype type, MPI_Op op);

/* Collective over a group. Copies the first rank's bytes to all. Blocks, with a heartbeat per piece. */
void comm_broadcast(MPI_Comm group, unsigned char *data, size_t bytes);

/* ------------------------------------------------------------------ launcher.c */

/* Local, before MPI starts. */
void comm_launcher_read(void);

/* ---------------------------------------------------------------------- comm.c */

/* Collective. Sets the communicators of this node and of the first ranks of all nodes. */
void comm_find_node(ls_comm *comm);

/* Collective. Frees the communicators and the memory. */
void comm_free(ls_comm *comm);

/* ------------------------------------------------------------------- threads.c */

/* Collective. Sets comm->threads and comm->cores_missing. */
void comm_choose_threads(ls_comm *comm);

/* Local. Keeps the shared libraries in memory that MPI_Finalize would unload (libraries.c). */
void comm_libraries_keep(void);

#endif
