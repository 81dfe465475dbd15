/* comm: the ranks of a run. They agree on failures, add up arrays, share memory within a node.
 *
 * The only room that knows MPI. A function that takes an `ls_comm *` is collective: every rank calls it,
 * in the same order; one that takes a `const ls_comm *` is local. An MPI failure ends all ranks. */
#ifndef LOCKSTEP_COMM_H
#define LOCKSTEP_COMM_H

#include "lockstep/base.h"

typedef struct ls_comm ls_comm;

/* Collective. Starts MPI, and makes a bug (LS_ASSERT) on one rank end all of them with LS_ERR_INTERNAL.
 * Call once. */
ls_status ls_comm_create(int *argc, char ***argv, ls_comm **out);

/* Collective, and alike on all ranks. When nothing has moved for so many seconds (600 at first), on no
 * rank, the run ends: a rank of each node that sees it says whose fault it is, as far as it can, and leaves
 * with LS_ERR_INTERNAL from a thread of its own, on which the others are ended. What moves: steps and
 * collectives that end, layers, and files that are read and written (ls_heartbeat). A rank by itself is not
 * watched. */
void ls_comm_set_timeout(ls_comm *comm, double seconds);

/* Local. The file that takes a line where this rank dies of a bug or of that. */
void ls_comm_set_log(const ls_comm *comm, const char *path);

/* Collective. Ends MPI. */
void ls_comm_destroy(ls_comm **comm);

/* Local. This rank, the number of ranks, and of those on this rank's node. */
int ls_comm_rank(const ls_comm *comm);
int ls_comm_size(const ls_comm *comm);
int ls_comm_node_size(const ls_comm *comm);

/* Local. The MPI library and its version, one line. Borrowed. */
const char *ls_comm_library(const ls_comm *comm);

/* Local. The threads this rank should run where nothing else is said: OPENBLAS_NUM_THREADS, or else
 * OMP_NUM_THREADS, where one is set for this rank or for rank 0. Else its cores: those of its affinity
 * mask, shared out among the ranks of its node that have the same mask, but at most SLURM_CPUS_PER_TASK and
 * its share of the processor time that the container is limited to. At least 1. */
int ls_comm_threads(const ls_comm *comm);

/* Local. By how many cores SLURM_CPUS_PER_TASK exceeds what this rank has; 0 where it does not, or where
 * other variables decide. */
int ls_comm_cores_missing(const ls_comm *comm);

/* Ranks of one node with more threads than cores. */
typedef struct ls_oversubscription {
  char host[256];
  int ranks, threads, cores; /* threads: of all these ranks; cores: that they may use */
} ls_oversubscription;

/* Collective. Each rank gives the threads it runs. Whether those of a node, or of ranks with one mask, are
 * more than the cores they may use: *out is then the first such case, the same on all ranks. */
bool ls_comm_oversubscribed(ls_comm *comm, int threads, ls_oversubscription *out);

/* Collective. The nodes in words, a line each in the order of their first ranks: "host: ranks 0-1, 2
 * threads in all, on cores 0 | 1", the cores of each rank's affinity mask, once where all have the same.
 * Each rank gives the threads it runs. *out is rank 0's, for the caller to free; NULL elsewhere.
 * LS_ERR_INTERNAL where memory is short. */
ls_status ls_comm_hosts(ls_comm *comm, int threads, char **out);

/* Collective. The ranks' verdict on local work: the greatest status of any rank. Where that is a failure,
 * ls_message() is then on every rank that of the lowest rank that has it, with its rank and host before
 * it if that is not rank 0. */
ls_status ls_comm_agree(ls_comm *comm, ls_status mine);

/* Collective. x[i], i < n, becomes its sum over all ranks; the same bits on every rank. */
void ls_comm_sum_f32(ls_comm *comm, float *x, size_t n);
void ls_comm_sum_f64(ls_comm *comm, double *x, size_t n);
void ls_comm_sum_u64(ls_comm *comm, uint64_t *x, size_t n);

/* Collective. Rank 0 gets the arrays of all ranks one behind the other, by rank, in `all`; elsewhere `all`
 * may be NULL. Each rank gives `n` elements of its own, any number. */
void ls_comm_gather_f32(ls_comm *comm, const float *x, size_t n, float *all);

/* Sums that do not depend on the number of ranks. The terms are those of n_lanes lanes, a power of two: the
 * leaves of a binary tree. Each rank holds the lanes below one node of it (some ranks none, where there are
 * more of them than lanes) with their sum, folded as the tree says; ls_comm_tree_sum goes on from there to
 * the root. So every addition is the same, whatever the number of ranks. */
typedef struct ls_comm_tree {
  size_t n_lanes;
  size_t first, count; /* this rank's lanes */
  float *parts;        /* owned */
  double *parts64;     /* owned */
} ls_comm_tree;

/* Local. This rank's part of the tree, and room for its sums. The caller destroys it. */
ls_status ls_comm_tree_create(const ls_comm *comm, size_t n_lanes, ls_comm_tree **out);
void ls_comm_tree_destroy(ls_comm_tree **tree);

/* Local. The lanes that a rank holds. */
void ls_comm_tree_lanes(size_t n_lanes, int rank, int size, size_t *first, size_t *count);

/* Collective. x[i], i < n, the sum over this rank's lanes (of no account where it has none), becomes that
 * over all lanes, the same bits on every rank. Without a tree (NULL): ls_comm_sum_f32, ls_comm_sum_f64. */
void ls_comm_tree_sum_f32(ls_comm *comm, ls_comm_tree *tree, float *x, size_t n);
void ls_comm_tree_sum_f64(ls_comm *comm, ls_comm_tree *tree, double *x, size_t n);

/* Ways for sums over all ranks. The ranks of a node, the peers, read each other's outboxes; from node to
 * node go the parts of ranks with the same place among their peers. Where nodes have unlike numbers of
 * ranks, or too little shared memory, each rank is its own only peer, and there are no outboxes. */
typedef struct ls_exchange {
  size_t n;
  int n_peers, peer;               /* peers, and this rank's place among them */
  int n_nodes, node;               /* groups of peers, and the place of this rank's */
  float **outboxes;                /* (n_peers), each (n), aligned: memory that the peers share; owned */
  struct ls_exchange_state *state; /* what is under way */
} ls_exchange;

/* Local. Piece i of n elements cut into n_pieces: all but the last ones have the same length and start on
 * an aligned address where the whole does. */
static inline void ls_exchange_piece(size_t n, int n_pieces, int i, size_t *first, size_t *count) {
  const size_t line = LS_ALIGNMENT / sizeof(float);
  const size_t share = n / (size_t)n_pieces + (n % (size_t)n_pieces > 0);
  const size_t each = (share + line - 1) / line * line;
  *first = ls_size_min(n, (size_t)i * each);
  *count = ls_size_min(n - *first, each);
}

/* Collective. Outboxes of n floats, and room for n_transfers transfers from node to node at a time.
 * `shares`: the ranks of a node become peers where they can. */
ls_status ls_exchange_create(ls_comm *comm, size_t n, size_t n_transfers, bool shares, ls_exchange **out);

/* Collective. NULL is allowed. */
void ls_exchange_destroy(ls_comm *comm, ls_exchange **exchange);

/* Collective over the peers. What any of them wrote into its outbox before it, all can read after it. */
void ls_exchange_fence(ls_comm *comm, ls_exchange *exchange);

/* Collective over the ranks of the same place, as all that follow. x[i], i < n, becomes its sum over the
 * nodes; the same bits on each. */
void ls_exchange_sum_f32(ls_comm *comm, ls_exchange *exchange, float *x, size_t n);

/* Starts transfer k: x (n), of elements of `size` bytes (2 or 4), is cut into a piece for each node, and
 * this one gets its own piece of each: (n_nodes, piece). Both stay as they are until the transfer has
 * ended. Transfers of this kind are started in the same order everywhere. */
void ls_exchange_alltoall(ls_comm *comm, ls_exchange *exchange, size_t k, size_t size, const void *x,
                          size_t n, void *pieces);

/* Starts transfer k: each node's own piece of x (n) goes to all the others. Likewise. */
void ls_exchange_gather(ls_comm *comm, ls_exchange *exchange, size_t k, size_t size, void *x, size_t n);

/* Local. Whether transfer k has ended (one that never began has), after some work on those under way; and
 * waiting for it. */
bool ls_exchange_test(ls_exchange *exchange, size_t k);
void ls_exchange_wait(ls_exchange *exchange, size_t k);

/* Collective. Rank 0's bytes go to all. */
void ls_comm_broadcast(ls_comm *comm, void *data, size_t bytes);

/* Collective. Rank 0's *text (NULL allowed) goes to the others, where *text is allocated for the caller
 * to free. */
ls_status ls_comm_broadcast_text(ls_comm *comm, char **text);

/* Collective. Whether all ranks gave the same 128 bits. */
bool ls_comm_all_equal(ls_comm *comm, uint64_t low, uint64_t high);

/* Collective. Waits for all ranks. */
void ls_comm_barrier(ls_comm *comm);

/* Read-mostly memory of which each node holds one copy. */
typedef struct ls_shared {
  void *data; /* `bytes` of them, the same memory for all ranks of a node, or this rank's own copy */
  size_t bytes;
  bool is_private; /* shared memory was too small: this rank has a copy of its own */
  void *window;    /* the MPI window; NULL where private */
} ls_shared;

/* Collective. Memory of `bytes` bytes (the same on all ranks), page by page zero at first. A node whose
 * shared memory is too small gives each of its ranks a copy of its own, and one warning says so. */
ls_status ls_comm_shared_create(ls_comm *comm, size_t bytes, ls_shared *out);

/* Local. The part of rank 0's contents that this rank is to provide before they are spread, of n units of
 * any kind: they are shared out among the ranks that see rank 0's memory, in the order of the ranks. */
void ls_comm_shared_part(const ls_comm *comm, const ls_shared *shared, size_t n, size_t *first,
                         size_t *count);

/* Collective. What is in rank 0's memory goes to every node. After it, all may read. */
void ls_comm_shared_spread(ls_comm *comm, ls_shared *shared);

/* Collective. Frees it; a zeroed ls_shared is allowed. */
void ls_comm_shared_destroy(ls_comm *comm, ls_shared *shared);

#endif
