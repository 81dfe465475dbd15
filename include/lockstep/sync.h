/* sync: reduces the gradients of all ranks and applies the same step on all ranks. */
#ifndef LOCKSTEP_SYNC_H
#define LOCKSTEP_SYNC_H

#include "lockstep/base.h"
#include "lockstep/comm.h"
#include "lockstep/config.h"
#include "lockstep/optim.h"

/* How the gradients are reduced and the parameters updated. All modes give the same model, to rounding. If
 * the ranks of a node share memory, each holds a part of the sum and updates that part of the parameters,
 * of which the node has one copy. Otherwise each rank acts as a node. */
typedef enum ls_sync_mode {
  LS_SYNC_AUTO,      /* to be chosen by measurement */
  LS_SYNC_ALLREDUCE, /* every node receives the whole sum and updates all parameters */
  LS_SYNC_OVERLAP,   /* the same, but buckets are reduced during the backward pass */
  LS_SYNC_SHARDED /* each rank receives a piece of the sum and updates that piece of the parameters, whose
                     optimizer state only it holds; then the parameters are gathered between the nodes */
} ls_sync_mode;

/* Their names in the config, in the order of the enumeration, ended by NULL. */
extern const char *const ls_sync_mode_names[];

/* The type of gradients sent between nodes. Within a node it is always float32. */
typedef enum ls_gradient_type { LS_GRADIENT_F32, LS_GRADIENT_BF16 } ls_gradient_type;

/* The section `comm:`. */
typedef struct ls_sync_config {
  uint64_t threads;   /* of BLAS in each rank; 0: ls_comm_threads */
  int mode;           /* ls_sync_mode */
  int gradient_type;  /* ls_gradient_type */
  double timeout;     /* seconds, of the watchdog: see ls_comm_set_timeout */
  bool shared_memory; /* the ranks of a node share memory for parameters and gradients */
} ls_sync_config;

extern const ls_key ls_sync_keys[];

/* Local. Reads the section; collects errors. */
void ls_sync_configure(ls_config *config, ls_sync_config *out);

typedef struct ls_buckets ls_buckets;

/* The ranks of a node read each other's gradients and parameters either in place, or as copies: each rank
 * has its own, and streams what the others need to memory, past the caches. Which is faster depends on the
 * distance of the cores, and may change during a run. Both give the same bits. At the start and from time
 * to time, a few steps try both. */
typedef struct ls_sync_trial {
  bool copies;     /* in the current step; the same on all ranks */
  bool prefers;    /* copies: the result of the latest trial */
  uint64_t step;   /* since the latest trial began */
  double ended;    /* the step before, on ls_clock */
  double seconds;  /* the time of that step, on this rank */
  double least[2]; /* of a step in place and with copies in this trial: seconds, summed over the ranks */
} ls_sync_trial;

typedef struct ls_sync {
  size_t n;
  float *params; /* (n), owned: of all ranks of a node, if they share memory, or a copy for this rank; after
                    ls_sync_set_mode the former. ls_sync_step may change the address. Other functions write
                    them only before the first step, where all ranks of the node write the same or wait */
  float *grads;  /* (n), owned: this rank's gradient; after a step, `updated` of it is the sum over all
                    ranks;  ls_sync_step may change the address if it succeeds */
  ls_sync_mode mode; /* current */
  size_t n_updated;
  const ls_range *updated; /* (n_updated): the parameters that this rank updates, and whose state its
                              optimizer holds */
  double seconds;          /* spent in communication so far, including waiting for other ranks */

  /* The caller may set these after ls_sync_create. */
  double clip_norm;  /* limit of the norm of the whole gradient; 0: none */
  double clip_value; /* limit of an element after that; 0: none */
  ls_comm_tree
      *tree; /* borrowed: makes sums independent of the number of ranks; NULL: they differ by rounding */
  size_t n_penalised;
  const ls_segment *penalised; /* borrowed: the segments with penalties */
  uint64_t rows; /* of all ranks in the current step; set before its gradient is reduced. If it differs from
                    that of the last step, the rounding errors of bfloat16 are discarded */

  /* Private. */
  ls_gradient_type type;
  ls_exchange *exchange;
  ls_buckets *buckets; /* the pieces in which the gradient is summed, for the current mode */
  size_t ready;        /* mode overlap: the number of final elements of the gradient */
  double weight;
  bool has_begun; /* a step in mode overlap */
  double *buffer; /* values reduced beside the gradient */
  size_t n_sums;
  ls_sync_trial trial;
  float *own_params, *own_grads; /* (n) each: of this rank alone; NULL: no rank shares others */
} ls_sync;

/* Collective. Prepares steps of n parameters with n_sums sums of metrics in the configured mode; for auto,
 * in LS_SYNC_ALLREDUCE until ls_sync_set_mode. Parameters and gradient are 0.
 * LS_ERR_CONFIG if n is too large for the counts of MPI, LS_ERR_INTERNAL. */
ls_status ls_sync_create(ls_comm *comm, const ls_sync_config *config, size_t n, size_t n_sums,
                         ls_sync **out);
void ls_sync_destroy(ls_comm *comm, ls_sync **sync);

/* Collective. Changes the mode, sync->updated, sync->params and sync->grads. Discards the rounding errors
 * of bfloat16. LS_ERR_INTERNAL. */
ls_status ls_sync_set_mode(ls_comm *comm, ls_sync *sync, ls_sync_mode mode);

/* Inputs and outputs of a step beside the gradient. */
typedef struct ls_step {
  double weight;    /* in: sum of the weights of this rank's rows; out: of all rows */
  double *sums;     /* (n_sums), in: this rank's sums of metrics; out: over all ranks */
  bool wants_stop;  /* in: this rank has received a request to stop; out: any rank has */
  double lr;        /* in: the learning rate; out: that of rank 0 */
  bool is_reduced;  /* in: weight, sums and gradient are already those of all ranks (ls_sync_reduce) */
  double grad_norm; /* out: the Euclidean norm of the mean gradient of loss and l2, before clipping */
} ls_step;

/* Collective. Replaces weight, sums and grads (n) of this rank's rows by those of all ranks. With a tree, a
 * step of several batches adds the results of this function, so that the order of additions does not depend
 * on the ranks. */
void ls_sync_reduce(ls_comm *comm, ls_sync *sync, ls_step *step, size_t n, float *grads);

/* Mode overlap only, around a backward pass that fills sync->grads from beginning to end. */

/* Local. Begins a step. `weight`: of this rank's rows. */
void ls_sync_begin(ls_sync *sync, double weight);

/* Collective. The first `ready` elements of the gradient are final: starts the buckets that can be sent,
 * and advances those in progress. Ranks may pass different sequences of `ready`, but must have passed the
 * same last value before they meet in another collective call. */
void ls_sync_ready(ls_comm *comm, ls_sync *sync, size_t ready);

/* Collective. Updates sync->params. sync->grads is this rank's gradient, summed over its rows. The step
 * adds the gradient of l2, reduces over all ranks, divides by the total weight, clips (by norm like
 * PyTorch's clip_grad_norm_, then by value), updates, and applies the proximal step of l1. The parameters
 * stay bitwise equal on all ranks, even on different processors, because all use rank 0's learning rate.
 * LS_ERR_NUMERIC on all ranks, before any update, if the gradient or a sum is not finite; the caller may
 * continue with the next step, and the rounding errors of bfloat16 are discarded. */
ls_status ls_sync_step(ls_comm *comm, ls_sync *sync, ls_step *step, ls_optim *optim);

/* Local, with the same result on all ranks. Whether ranks update different parts of the parameters. */
bool ls_sync_is_divided(const ls_sync *sync);

/* Collective. Sends the elements of sync->grads that this rank updates to all other ranks. */
void ls_sync_allgather(ls_comm *comm, ls_sync *sync);

/* Local. Elements of a bucket in mode overlap, for a gradient of n elements: 256 KiB to 4 MiB, but at least
 * 4 KiB for each of the pieces into which the ranks divide a bucket. */
size_t ls_sync_bucket_length(size_t n, size_t n_pieces);

#endif
