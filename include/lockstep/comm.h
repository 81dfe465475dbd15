/* comm: the ranks of a run. They agree on failures, sum arrays, and share memory within a node.
 *
 * The only module that uses MPI. A function with an `ls_comm *` parameter is collective: all ranks call it
 * in the same order. One with a `const ls_comm *` is local. An MPI failure ends all ranks. */
#ifndef LOCKSTEP_COMM_H
#define LOCKSTEP_COMM_H

#include "lockstep/base.h"

typedef struct ls_comm ls_comm;

/* Collective. Starts MPI. From then on a bug (LS_ASSERT) on one rank ends all ranks with LS_ERR_INTERNAL.
 * Call once. */
ls_status ls_comm_create(int *argc, char ***argv, ls_comm **out);

/* Collective. Sets the timeout of the watchdog, the same on all ranks (600 s until then). If no rank makes
 * progress for so long, the run ends: on each node one rank reports the probable cause and exits with
 * LS_ERR_INTERNAL, and the launcher then ends the other ranks. Progress is: a step, a layer, a collective
 * call or a piece of file I/O that completes (ls_heartbeat). A single rank has no watchdog. */
void ls_comm_set_timeout(ls_comm *comm, double seconds);

/* Local. Sets the file that also receives the message of a bug or of the watchdog. */
void ls_comm_set_log(const ls_comm *comm, const char *path);

/* Collective. Ends MPI. */
void ls_comm_destroy(ls_comm **comm);

/* Local. This rank, the number of ranks, and the number of ranks on this node. */
int ls_comm_rank(const ls_comm *comm);
int ls_comm_size(const ls_comm *comm);
int ls_comm_node_size(const ls_comm *comm);
int ls_comm_node_rank(const ls_comm *comm); /* this rank among those of its node */

/* Collective. Divides the ranks into groups: those that give the same number, from 0 on, get a communicator
 * of their own, in the order of their ranks; a rank with a negative number gets NULL. There remains one
 * watchdog, of all ranks: as long as any group makes progress, the others may wait for it. The caller
 * destroys the group before the communicator that it is a part of. LS_ERR_INTERNAL if memory is short. */
ls_status ls_comm_split(ls_comm *comm, int group, ls_comm **out);

/* Collective over the group. Accepts NULL. */
void ls_comm_split_destroy(ls_comm **part);

/* Local. The number of ranks on this node, those of other groups included. */
int ls_comm_node_all(const ls_comm *comm);

/* Local. If this is the only rank, but a launcher has started several (the mpirun of another MPI library,
 * or srun without PMI): the environment variable that shows it, as "NAME: VALUE"; otherwise NULL. */
const char *ls_comm_unknown_launcher(const ls_comm *comm);

/* Local. The MPI library and its version, one line. Borrowed. */
const char *ls_comm_library(const ls_comm *comm);

/* Local. The default number of threads of this rank: OPENBLAS_NUM_THREADS, otherwise OMP_NUM_THREADS, if
 * set for this rank or for rank 0. Otherwise the cores of its affinity mask, divided among the ranks of the
 * node that have the same mask, but at most SLURM_CPUS_PER_TASK and at most its share of the container's
 * CPU quota. At least 1. */
int ls_comm_threads(const ls_comm *comm);

/* Local. The number of cores by which SLURM_CPUS_PER_TASK exceeds those of this rank; 0 if it does not, or
 * if OPENBLAS_NUM_THREADS or OMP_NUM_THREADS is set. */
int ls_comm_cores_missing(const ls_comm *comm);

/* Ranks of one node that run more threads than they have cores. */
typedef struct ls_oversubscription {
  char host[256];
  int ranks, threads, cores; /* threads and cores of all these ranks together */
} ls_oversubscription;

/* Collective. Whether the ranks of a node, or ranks with the same affinity mask, run more threads than they
 * have cores. `threads`: those of this rank. *out is the first such group, the same on all ranks. */
bool ls_comm_oversubscribed(ls_comm *comm, int threads, ls_oversubscription *out);

/* Collective. Describes what the order of sums depends on: "4 ranks on 2 nodes, 1 thread each", or, if
 * nodes or threads differ, with a number that stands for them. The same text on all ranks. LS_ERR_INTERNAL.
 */
ls_status ls_comm_layout(ls_comm *comm, int threads, char *text, size_t bytes);

/* Collective. Describes the nodes, one line each, in the order of their first ranks: "host: ranks 0-1, 2
 * threads in all, on cores 0 | 1", with the cores of each affinity mask, or of one if all are equal.
 * `threads`: those of this rank. *out is NULL except on rank 0, where the caller frees it. LS_ERR_INTERNAL.
 */
ls_status ls_comm_hosts(ls_comm *comm, int threads, char **out);

/* Collective. Combines the outcomes of local work: returns the largest status of all ranks. If that is a
 * failure, ls_message() on every rank becomes the message of the lowest rank with that status, preceded by
 * its rank and host unless it is rank 0. */
ls_status ls_comm_agree(ls_comm *comm, ls_status mine);

/* Collective. Replaces x[i], i < n, by its sum over all ranks; the same bits on every rank. Ranks may
 * arrive at any time, as in all functions here but ls_comm_tree_sum_* and ls_exchange_*. */
void ls_comm_sum_f32(ls_comm *comm, float *x, size_t n);
void ls_comm_sum_f64(ls_comm *comm, double *x, size_t n);
void ls_comm_sum_u64(ls_comm *comm, uint64_t *x, size_t n);

/* Collective. Replaces x[i], i < n, by the largest of all ranks. */
void ls_comm_max_f64(ls_comm *comm, double *x, size_t n);

/* Collective. Replaces x[i], i < n, by its sum over the ranks of this node. */
void ls_comm_node_sum_u64(ls_comm *comm, uint64_t *x, size_t n);

/* Collective. Concatenates the arrays of all ranks, in the order of ranks, in `all` of rank `root`; other
 * ranks may pass NULL. `n`, the number of this rank's elements, may differ between ranks. */
void ls_comm_gather_f32(ls_comm *comm, const float *x, size_t n, int root, float *all);

/* Sums that do not depend on the number of ranks. The terms belong to n_lanes lanes, a power of two, which
 * are the leaves of a binary tree. Each rank holds the lanes below one tree node (none if there are more
 * ranks than lanes) and their sum, folded in tree order; ls_comm_tree_sum_* continues up to the root. Every
 * addition is therefore the same for any number of ranks. */
typedef struct ls_comm_tree {
  size_t n_lanes;
  size_t first, count; /* this rank's lanes */
  float *parts;        /* owned, like the following */
  float *padded;
  double *parts64;
} ls_comm_tree;

/* Local. Creates this rank's part of the tree, with buffers for its sums. The caller destroys it. */
ls_status ls_comm_tree_create(const ls_comm *comm, size_t n_lanes, ls_comm_tree **out);
void ls_comm_tree_destroy(ls_comm_tree **tree);

/* Local. The lanes that `rank` holds. */
void ls_comm_tree_lanes(size_t n_lanes, int rank, int size, size_t *first, size_t *count);

/* Collective. Replaces x[i], i < n, this rank's sum over its lanes, by the sum over all lanes; the same
 * bits on every rank. Ignores x on ranks without lanes. Without a tree (NULL), adds in MPI's order. For use
 * in a step: ranks must arrive within the timeout of the watchdog; otherwise call ls_comm_barrier before.
 */
void ls_comm_tree_sum_f32(ls_comm *comm, ls_comm_tree *tree, float *x, size_t n);
void ls_comm_tree_sum_f64(ls_comm *comm, ls_comm_tree *tree, double *x, size_t n);

/* A hierarchical exchange for sums over all ranks, with memory for the terms and for what is computed from
 * the sums. The ranks of a node, called peers, read each other's terms, or copies of them, in shared
 * memory, and have one common vector. All are divided into as many parts as the node with the fewest ranks
 * has ranks; between nodes, the peers that hold the same part exchange it. If a node has too little shared
 * memory, each rank is its own only peer, with private memory. */
typedef struct ls_exchange {
  size_t n;
  bool is_shared;    /* the ranks of a node are peers; the same on all ranks */
  int n_peers, peer; /* the number of peers, and this rank's index among them */
  int n_parts;       /* peer p holds part p; peers from n_parts on hold none */
  int n_nodes, node; /* the number of groups of peers, and the index of this rank's group */
  float *common;     /* (n), aligned: one copy for all peers, who write different parts; owned */
  float **terms;     /* (n_peers), each (n), aligned: peer p writes terms[p]; owned */
  struct ls_exchange_state *state; /* shared memory, transfers in progress */
} ls_exchange;

/* Local. Piece i of n elements split into n_pieces: all pieces but the last ones have the same length, and
 * start at an aligned address if the whole does. */
static inline void ls_exchange_piece(size_t n, int n_pieces, int i, size_t *first, size_t *count) {
  const size_t line = LS_ALIGNMENT / sizeof(float);
  const size_t share = n / (size_t)n_pieces + (n % (size_t)n_pieces > 0);
  const size_t each = (share + line - 1) / line * line;
  *first = ls_size_min(n, (size_t)i * each);
  *count = ls_size_min(n - *first, each);
}

/* Collective. Allocates vectors of n floats, zeroed, and allows n_transfers concurrent transfers between
 * nodes. `shares`: make the ranks of a node peers if possible. LS_ERR_CONFIG if n is too large for the
 * counts of MPI, LS_ERR_INTERNAL. */
ls_status ls_exchange_create(ls_comm *comm, size_t n, size_t n_transfers, bool shares, ls_exchange **out);

/* Collective. Accepts NULL. */
void ls_exchange_destroy(ls_comm *comm, ls_exchange **exchange);

/* Collective over the peers. All of them can afterwards read what any of them wrote before. */
void ls_exchange_fence(ls_comm *comm, ls_exchange *exchange);

/* Collective over the ranks that hold the same part, like the following functions; the others do nothing.
 * Replaces x[i], i < n, by its sum over the nodes; the same bits on each. */
void ls_exchange_sum_f32(ls_comm *comm, ls_exchange *exchange, float *x, size_t n);

/* Starts transfer k, an all-to-all: splits x (n), of elements of `size` bytes (2 or 4), into one piece per
 * node, and collects this node's piece from every node in `pieces`, (n_nodes, piece). Both buffers must
 * stay unchanged until the transfer has completed. All ranks start these transfers in the same order. */
void ls_exchange_alltoall(ls_comm *comm, ls_exchange *exchange, size_t k, size_t size, const void *x,
                          size_t n, void *pieces);

/* Starts transfer k, an allgather: sends each node's own piece of x (n) to all other nodes. Same rules. */
void ls_exchange_allgather(ls_comm *comm, ls_exchange *exchange, size_t k, size_t size, void *x, size_t n);

/* Local. Whether transfer k has completed (true if it was never started); advances transfers in progress.
 */
bool ls_exchange_test(ls_exchange *exchange, size_t k);

/* Local. Waits until transfer k has completed. */
void ls_exchange_wait(ls_exchange *exchange, size_t k);

/* What ls_comm_deliver sends to other ranks, in pieces. */
typedef struct ls_delivery {
  size_t piece_bytes; /* of all pieces to a rank but the last, which is smaller and may be empty */
  const int *groups;  /* (size): ranks of the same group send each other nothing */
  void *buffers[2];   /* (piece_bytes) each */
  void *context;
  /* Fills the next piece to a rank and returns its bytes. */
  size_t (*pack)(void *context, int to, void *piece);
  void (*unpack)(void *context, const void *piece, size_t bytes);
} ls_delivery;

/* Collective. All ranks send to all others, of different groups. */
void ls_comm_deliver(ls_comm *comm, const ls_delivery *delivery);

/* Collective. Sends elements starts[r] .. starts[r + 1] - 1 of x, of `size` bytes each, to rank r, and
 * stores the elements from all ranks, in the order of ranks, in `all`. starts: (ranks + 1); counts: (ranks)
 * becomes the number of elements from each rank. */
void ls_comm_alltoall(ls_comm *comm, size_t size, const void *x, const uint64_t *starts, void *all,
                      uint64_t *counts);

/* Collective. Replaces x[i], i < n, by its sum over the ranks below this one. */
void ls_comm_before_u64(ls_comm *comm, uint64_t *x, size_t n);

/* Collective. Calls work(context, data) on one rank after the other. Each gets the `bytes` bytes of data
 * that the rank before it leaves; rank 0 gets its own. */
void ls_comm_in_turn(ls_comm *comm, void *data, size_t bytes, void (*work)(void *context, void *data),
                     void *context);

/* Collective. Copies rank 0's bytes to all ranks. `data` may be the common vector of an exchange or a part
 * of it, on all ranks: then it is received once per node, and no rank returns before those of its node. */
void ls_comm_broadcast(ls_comm *comm, void *data, size_t bytes);

/* Collective. Copies rank 0's *text (NULL allowed) to the other ranks, where the caller frees it.
 * LS_ERR_INTERNAL. */
ls_status ls_comm_broadcast_text(ls_comm *comm, char **text);

/* Collective. Whether all ranks gave the same 128 bits. */
bool ls_comm_all_equal(ls_comm *comm, uint64_t low, uint64_t high);

/* Collective. Waits for all ranks. */
void ls_comm_barrier(ls_comm *comm);

/* Short messages between ranks of different groups, outside of collectives. */
typedef struct ls_mailbox ls_mailbox;

/* Collective. `bytes`: of each message, at most a few thousand. LS_ERR_INTERNAL. */
ls_status ls_mailbox_create(ls_comm *comm, size_t bytes, ls_mailbox **out);

/* Local. Sends a message (copied) to a rank, without waiting for it. Messages from one rank arrive in
 * order. */
void ls_mailbox_send(ls_mailbox *box, int to, const void *message);

/* Local. Receives the next message, if one has arrived. */
bool ls_mailbox_receive(ls_mailbox *box, void *message);

/* Collective. Waits for all ranks, for any time, and meanwhile calls receive(context), which must receive
 * the messages that have arrived. On return it has received all messages that were sent before. */
void ls_mailbox_wait(ls_comm *comm, ls_mailbox *box, void (*receive)(void *context), void *context);

/* Collective. All messages must have been received. Accepts NULL. */
void ls_mailbox_destroy(ls_comm *comm, ls_mailbox **box);

/* Read-mostly memory of which each node holds one copy. */
typedef struct ls_shared {
  void *data; /* `bytes` bytes: the same memory for all ranks of a node, or this rank's private copy */
  size_t bytes;
  bool is_private; /* shared memory was too small: this rank has its own copy */
  void *window;    /* owned; NULL if private */
} ls_shared;

/* Collective. Allocates `bytes` bytes (the same number on all ranks), zeroed. On a node with too little
 * shared memory each rank gets a private copy, and one warning is logged. LS_ERR_DATA if a node has too
 * little memory, LS_ERR_INTERNAL. */
ls_status ls_comm_shared_create(ls_comm *comm, size_t bytes, ls_shared *out);

/* Local. The free bytes of this node's shared memory; 0 if unknown. */
size_t ls_comm_shared_memory(void);

/* Collective. Divides the ranks into groups that share memory: the nodes. A node with less than `bytes`
 * bytes of free shared memory, which may differ between nodes, gets a group for each rank; so do all
 * without `shares`. groups: (size), the group of each rank, counted from 0 in the order of their first
 * ranks. LS_ERR_INTERNAL if memory is short. */
ls_status ls_comm_groups(ls_comm *comm, bool shares, size_t bytes, int *groups, int *n_groups);

/* Collective. As ls_comm_shared_create, but for groups of ls_comm_groups, which may have different numbers
 * of bytes: those of this rank's group. */
ls_status ls_comm_shared_create_group(ls_comm *comm, size_t bytes, const int *groups, ls_shared *out);

/* Collective. Every rank of a group can read afterwards what any of its ranks wrote before. */
void ls_comm_shared_fence(ls_comm *comm);

/* Local. The part of n units of rank 0's contents that this rank fills before ls_comm_shared_broadcast: the
 * units are divided, in rank order, among the ranks that see rank 0's memory. */
void ls_comm_shared_part(const ls_comm *comm, const ls_shared *shared, size_t n, size_t *first,
                         size_t *count);

/* Collective. Copies rank 0's contents to every node. Afterwards all ranks may read. */
void ls_comm_shared_broadcast(ls_comm *comm, ls_shared *shared);

/* Collective. Frees it; accepts a zeroed ls_shared. */
void ls_comm_shared_destroy(ls_comm *comm, ls_shared *shared);

#endif
