/* plan: the cost of a run on a cluster: time of a step, samples/s, memory, useful number of ranks. The
 * costs of one rank are measured; messages between ranks are modelled.
 *
 * Times are in seconds, sizes in bytes, rates in bytes/s. */
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
  double bandwidth;               /* nominal rate of a node's link, each way; 0 for a single node */
  double latency;                 /* of a small message between two nodes, one way, including MPI */
  double memory_bandwidth;        /* of a node; 0: the measured rate of a rank times the ranks */
  double disk_bandwidth;          /* at which a node reads streamed samples; 0: the measured rate */
} ls_plan_cluster;

/* The fraction of a link's rate that carries data: 1448 of the 1538 bytes of an Ethernet frame. */
#define LS_PLAN_LINK_SHARE 0.94

/* The time to send a message, and the latency within a node. */
#define LS_PLAN_MESSAGE 1e-6

/* ------------------------------------------------------------------- the network */

/* Hockney's model ("The communication challenge for MPP", 1994): a message of n bytes takes alpha + n beta.
 * Costs of collectives: Thakur, Rabenseifner & Gropp, "Optimization of collective communication operations
 * in MPICH" (2005), whose p is the number of nodes q here. Each of the P ranks of a node sends 1/P of the
 * vector, so the node's link carries the whole vector, `bytes`. */
typedef struct ls_plan_link {
  double alpha, beta; /* seconds per message, per byte */
  double gamma;       /* seconds per byte of the vector to sum it, by all P ranks of a node together */
} ls_plan_link;

/* Local. The link of a cluster whose ranks sum a byte in `sum` seconds. */
ls_plan_link ls_plan_link_of(const ls_plan_cluster *cluster, double sum);

/* Local. An allreduce over q nodes, by the fastest of the usual algorithms:
 *   recursive doubling  lg q (alpha + n beta + n gamma)
 *   Rabenseifner's      2 lg q alpha + 2 (q-1)/q n beta + (q-1)/q n gamma
 *   ring                2 (q-1) alpha + 2 (q-1)/q n beta + (q-1)/q n gamma
 * If q is not a power of two, the first two fold the excess nodes before and unfold them after:
 * 2 (alpha + n beta) + n gamma more. 0 if q is 1. */
double ls_plan_allreduce(const ls_plan_link *link, uint64_t q, double bytes);

/* Local. An all-to-all or allgather over q nodes whose messages are all posted together:
 *   alpha + (q-1) LS_PLAN_MESSAGE + (q-1)/q n beta; 0 if q is 1. */
double ls_plan_exchange(const ls_plan_link *link, uint64_t q, double bytes);

/* Local. An allreduce of a few numbers over q nodes of p ranks: ceil(lg q) alpha + ceil(lg p)
 * LS_PLAN_MESSAGE. */
double ls_plan_small(const ls_plan_link *link, uint64_t q, uint64_t p);

/* Local. The inverse: sets alpha and beta of the link on which, over q > 1 nodes of one rank, an allreduce
 * of a few numbers takes `small` seconds and one of `bytes` bytes `large`. gamma must be set. */
void ls_plan_fit_link(uint64_t q, double bytes, double small, double large, ls_plan_link *link);

/* ------------------------------------------------------------------ measurements */

#define LS_PLAN_POINTS_MOST 48

/* The costs of one rank while the other ranks of this run do the same work. */
typedef struct ls_plan_costs {
  size_t n_points;
  size_t rows[LS_PLAN_POINTS_MOST];    /* ascending, from one row or one lane */
  double seconds[LS_PLAN_POINTS_MOST]; /* gathering of the rows, forward, loss, backward */
  double update, square;              /* seconds per parameter: its update; its part of the gradient norm */
  double sum, copy;                   /* seconds per byte of memory */
  double sums;                        /* per pass: small allreduces by layers with batch statistics */
  double bandwidth, latency;          /* of the links, as in ls_plan_cluster; 0 if this run has one node */
  double disk;                        /* bytes of streamed samples per second and node; 0: resident */
  double private_bytes, shared_bytes; /* of a rank: libraries and buffers; memory shared by all ranks */
  int nodes, ranks, threads;          /* of this run: nodes, ranks per node, threads per rank */
  double share;                       /* processor time by elapsed time; below 1 on a busy machine */
  double elapsed;                     /* seconds of the measurement */
} ls_plan_costs;

/* Local. The private and the shared memory of this process; 0 if the system does not report them. */
void ls_plan_resident(double *private_bytes, double *shared_bytes);

/* Collective. Measures on all ranks at the same time, for a few seconds. All ranks must be on one node, or
 * one on each of several nodes, whose links are then measured, too. costs->private_bytes and shared_bytes
 * must hold the values at start-up. Changes model and optimizer. LS_ERR_INTERNAL if memory is short. */
ls_status ls_plan_measure(ls_comm *comm, ls_setup *setup, ls_plan_costs *costs);

/* Local. The time of a pass: interpolated, or proportional to the rows beyond the largest measurement. */
double ls_plan_pass(const ls_plan_costs *costs, size_t rows);

/* ---------------------------------------------------------------------- the run */

/* How gradients are reduced. */
typedef enum ls_plan_mode {
  LS_PLAN_ALLREDUCE, /* comm.mode: allreduce */
  LS_PLAN_OVERLAP,   /* comm.mode: overlap */
  LS_PLAN_SHARDED,   /* comm.mode: sharded */
  LS_PLAN_TREE,      /* train.reproducible */
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
  uint64_t lanes;             /* of a reproducible run; else 0 */
  size_t slots;               /* vectors of optimizer state */
  size_t least_rows;          /* least number of rows for which a model is built */
  double least_bytes;         /* of that model: parameters, gradients, activations */
  double row_bytes;           /* of each further row */
  double data_bytes;          /* one copy per node; 0 if the samples are streamed */
  double window_bytes;        /* of streamed samples: two windows, divided among the nodes */
  double partner_bytes;       /* likewise, on several nodes: the partners of mixup */
  double reader_bytes;        /* and the buffers of each rank */
  double sample_bytes;        /* of a streamed sample; 0 if the samples are resident */
  ls_plan_mode mode;          /* as configured */
  bool is_half;               /* bfloat16 gradients between nodes */
} ls_plan_work;

/* Local. The work of a run on these ranks. Builds a second model to measure the bytes of a row.
 * LS_ERR_INTERNAL. */
ls_status ls_plan_work_of(const ls_comm *comm, const ls_setup *setup, ls_plan_work *out);

typedef struct ls_plan_row {
  uint64_t nodes, ranks_per_node, ranks;
  size_t rows; /* of a batch, on the rank with the most */
  ls_plan_mode mode;
  double compute, reduce, update; /* seconds */
  double read;                    /* of streamed samples, while other steps compute; 0: resident */
  double step;                    /* the sum of the first three, or `read` if that is longer */
  double samples_per_second;
  double efficiency;                                 /* samples/s / (ranks * samples/s of one rank) */
  double run_seconds;                                /* of all steps */
  double model_bytes, optimizer_bytes, buffer_bytes; /* of each rank */
  double save_bytes; /* of rank 0 in addition: the copy that checkpoints are written from */
  double rank_bytes; /* of rank 0 in total, including libraries */
  double node_bytes; /* of all ranks of rank 0's node, and its data or its part of the windows */
} ls_plan_row;

/* Local. Whether a step waits for its samples. */
bool ls_plan_is_limited_by_reading(const ls_plan_row *row);

/* Local. Predicts one cluster, in the mode of work->mode or the fastest. */
ls_plan_row ls_plan_predict(const ls_plan_work *work, const ls_plan_costs *costs,
                            const ls_plan_cluster *cluster);

#define LS_PLAN_ROWS_MOST 64

/* Local. Predicts one node of 1, 2, 4 ... ranks up to ranks_per_node, then 2, 4 ... nodes of these, up to
 * `nodes`.  rows: (LS_PLAN_ROWS_MOST). Returns their number. */
size_t ls_plan_table(const ls_plan_work *work, const ls_plan_costs *costs, const ls_plan_cluster *cluster,
                     ls_plan_row *rows);

/* Local. The index of the last useful row: the next row's samples/s are below 1.1 times its own per
 * doubling of the ranks. n - 1 if all are useful. */
size_t ls_plan_last_useful(const ls_plan_row *rows, size_t n);

#endif
