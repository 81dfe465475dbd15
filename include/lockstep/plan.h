/* plan: what a run will cost on a cluster, before anyone books it: the time of a step, samples/s, memory,
 * and where more ranks stop helping. What one rank does is measured here; what passes between ranks is
 * modelled.
 *
 * Times are seconds, sizes bytes, rates bytes/s. */
#ifndef LOCKSTEP_PLAN_H
#define LOCKSTEP_PLAN_H

#include "lockstep/base.h"
#include "lockstep/comm.h"
#include "lockstep/config.h"
#include "lockstep/job.h"
#include "lockstep/math.h"

#define LS_PLAN_RANKS_MOST 10000

/* ------------------------------------------------------------------ the cluster */

typedef struct ls_plan_cluster {
  uint64_t nodes, ranks_per_node; /* each at least 1, their product at most LS_PLAN_RANKS_MOST */
  double bandwidth;               /* of a node's link, each way, as sold; 0 where there is one node */
  double latency;                 /* of a small message between two nodes, one way, MPI's part included */
  double memory_bandwidth;        /* of a node; 0: as many times that of a rank here as it has ranks */
} ls_plan_cluster;

/* What is left of a link's rate for what is sent: 1448 of the 1538 bytes of an Ethernet frame, preamble and
 * gap included, with IP, TCP and its time stamps. */
#define LS_PLAN_LINK_SHARE 0.94

/* What a message costs the rank that sends it, and how long a small one takes within a node. */
#define LS_PLAN_MESSAGE 1e-6

/* ------------------------------------------------------------------- the network */

/* Hockney's model ("The communication challenge for MPP", 1994): a message of n bytes takes alpha + n beta.
 * Costs of collectives by it: Thakur, Rabenseifner & Gropp, "Optimization of collective communication
 * operations in MPICH" (2005), whose p is here the nodes q. The P ranks of a node share its link: each
 * sends its part, 1/P of the vector, so that `bytes`, of the whole vector, go over the link. */
typedef struct ls_plan_link {
  double alpha, beta; /* seconds of a message, of a byte */
  double gamma;       /* seconds to add a byte of the vector: 1/P of what a rank needs, as P ranks do it */
} ls_plan_link;

/* Local. The link of a cluster, where a rank adds a byte in `sum` seconds. */
ls_plan_link ls_plan_link_of(const ls_plan_cluster *cluster, double sum);

/* Local. An allreduce over q nodes, the least of what libraries choose from:
 *   recursive doubling  lg q (alpha + n beta + n gamma)
 *   Rabenseifner's      2 lg q alpha + 2 (q-1)/q n beta + (q-1)/q n gamma
 *   ring                2 (q-1) alpha + 2 (q-1)/q n beta + (q-1)/q n gamma
 * The first two fold what is beyond a power of two before and unfold it after: 2 (alpha + n beta) + n gamma
 * more. 0 where q is 1. */
double ls_plan_allreduce(const ls_plan_link *link, uint64_t q, double bytes);

/* Local. An all-to-all or allgather over q nodes whose messages are all posted at once:
 *   alpha + (q-1) LS_PLAN_MESSAGE + (q-1)/q n beta; 0 where q is 1. */
double ls_plan_exchange(const ls_plan_link *link, uint64_t q, double bytes);

/* Local. An allreduce of a few numbers over q nodes of p ranks: ceil(lg q) alpha + ceil(lg p)
 * LS_PLAN_MESSAGE. */
double ls_plan_small(const ls_plan_link *link, uint64_t q, uint64_t p);

/* Local. The way back: alpha and beta of the link on which, over q > 1 nodes of one rank, a few numbers
 * take `small` seconds and an allreduce of so many bytes `large`. gamma is given. */
void ls_plan_fit_link(uint64_t q, double bytes, double small, double large, ls_plan_link *link);

/* ---------------------------------------------------------------- what is measured */

#define LS_PLAN_POINTS_MOST 48

/* Of one rank, while the other ranks of this run do the same. */
typedef struct ls_plan_costs {
  size_t n_points;
  size_t rows[LS_PLAN_POINTS_MOST];    /* rising; the first is the fewest that a rank can have */
  double seconds[LS_PLAN_POINTS_MOST]; /* to gather so many rows, forward, loss, backward */
  double update, square;               /* of a parameter: its update; its part of the gradient's norm */
  double sum, copy;                    /* of a byte in the node's memory: adding it up, copying it */
  double sums;                         /* per pass: small allreduces by layers that see the whole batch */
  double bandwidth, latency;           /* of the links, as in ls_plan_cluster; 0: this run has one node */
  double private_bytes, shared_bytes;  /* of a rank at work: libraries and buffers; what all ranks share */
  int nodes, ranks, threads;           /* that measured: nodes, ranks of each, BLAS threads of each rank */
  double share;   /* of the time in which this rank had a processor: less where others took it */
  double elapsed; /* what measuring took */
} ls_plan_costs;

/* Local. What of this process's memory is its own, and what is shared with others or files. 0 where the
 * system does not tell. */
void ls_plan_resident(double *private_bytes, double *shared_bytes);

/* Collective, on one node, or on several with one rank each, between which the links are measured too.
 * Measures with a built model, all ranks at once, for at most a few seconds.
 * costs->private_bytes and shared_bytes are given as they were at start-up. The model and optimizer are not
 * to be used after it. LS_ERR_INTERNAL where memory is short. */
ls_status ls_plan_measure(ls_comm *comm, ls_setup *setup, ls_plan_costs *costs);

/* Local. The time of a pass over so many rows: straight lines between what was measured, in proportion
 * beyond. */
double ls_plan_pass(const ls_plan_costs *costs, size_t rows);

/* ------------------------------------------------------------------------- the run */

/* How gradients become a step. */
typedef enum ls_plan_mode {
  LS_PLAN_ALLREDUCE, /* summed everywhere, then all update all */
  LS_PLAN_OVERLAP,   /* likewise, in buckets, while backward still runs */
  LS_PLAN_SHARDED,   /* each rank sums and updates its part, and gives it to the others */
  LS_PLAN_TREE,      /* reproducible sums */
  LS_PLAN_MODES,
  LS_PLAN_AUTO = LS_PLAN_MODES /* the fastest of the first three */
} ls_plan_mode;

extern const char *const ls_plan_mode_names[LS_PLAN_MODES];

typedef struct ls_plan_work {
  size_t n_params, n_segments;
  const ls_segment *segments; /* borrowed; in the order in which backward finishes them */
  size_t batch_size;          /* global */
  uint64_t accumulate;        /* batches of a step */
  uint64_t steps;             /* of the whole run */
  uint64_t lanes;             /* reproducible; else 0 */
  size_t slots;               /* vectors of state that the optimizer keeps */
  size_t least_rows;          /* the least that a model has room for */
  double least_bytes;         /* of such a model: parameters, gradients, activations */
  double row_bytes;           /* of a row more */
  double data_bytes;          /* one copy a node */
  ls_plan_mode mode;          /* asked for */
  bool is_half;               /* gradients cross nodes as bfloat16 */
} ls_plan_work;

/* Local. What a set-up run is to do. Builds a second model to see what a row costs: LS_ERR_INTERNAL where
 * memory is short; LS_ERR_CONFIG where comm.mode or comm.gradient_type is unknown. */
ls_status ls_plan_work_of(const ls_setup *setup, ls_plan_work *out);

typedef struct ls_plan_row {
  uint64_t nodes, ranks_per_node, ranks;
  size_t rows; /* of a batch, on the busiest rank */
  ls_plan_mode mode;
  double compute, reduce, update, step; /* seconds; step is the sum of the three */
  double samples_per_second;
  double efficiency;                                 /* of `ranks` times one rank's samples/s */
  double run_seconds;                                /* steps alone */
  double model_bytes, optimizer_bytes, buffer_bytes; /* a rank's */
  double save_bytes; /* rank 0's beside them: the copy that checkpoints are made of */
  double rank_bytes; /* all of rank 0's, its libraries too */
  double node_bytes; /* of all the ranks of rank 0's node, and the data */
} ls_plan_row;

/* Local. One cluster. A mode of work->mode, or the fastest. */
ls_plan_row ls_plan_predict(const ls_plan_work *work, const ls_plan_costs *costs,
                            const ls_plan_cluster *cluster);

#define LS_PLAN_ROWS_MOST 64

/* Local. One node of 1, 2, 4 ... ranks up to ranks_per_node, then 2, 4 ... nodes of these, up to `nodes`.
 * rows: (LS_PLAN_ROWS_MOST). Returns how many there are. */
size_t ls_plan_table(const ls_plan_work *work, const ls_plan_costs *costs, const ls_plan_cluster *cluster,
                     ls_plan_row *rows);

/* Local. The last row that helps: those after it bring less than a tenth more samples/s for twice the ranks
 * (or as much less for fewer). n - 1 where all do. */
size_t ls_plan_useful_nodes(const ls_plan_row *rows, size_t n);

#endif
