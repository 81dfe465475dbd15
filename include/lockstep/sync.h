/* sync: gradients in, the same step out on all ranks. */
#ifndef LOCKSTEP_SYNC_H
#define LOCKSTEP_SYNC_H

#include "lockstep/base.h"
#include "lockstep/comm.h"
#include "lockstep/config.h"
#include "lockstep/optim.h"

/* How the gradients of all ranks become one step. All are the same model, to rounding. */
typedef enum ls_sync_mode {
  LS_SYNC_AUTO,      /* none yet: to be chosen by trying */
  LS_SYNC_ALLREDUCE, /* all ranks get the whole sum and update all parameters */
  LS_SYNC_OVERLAP,   /* the same, begun piece by piece while the backward pass goes on */
  LS_SYNC_SHARDED    /* each rank gets a piece of the sum, and updates that piece of the parameters with its
                        piece of the optimizer's state; then the parameters are gathered */
} ls_sync_mode;

/* Their names in the config, in the order of the enumeration, ended by NULL. */
extern const char *const ls_sync_mode_names[];

/* What goes from node to node. Within a node it is always float32. */
typedef enum ls_gradient_type { LS_GRADIENT_F32, LS_GRADIENT_BF16 } ls_gradient_type;

/* The section `comm:`. */
typedef struct ls_sync_config {
  uint64_t threads;   /* of BLAS in each rank; 0: as ls_comm_threads says */
  int mode;           /* ls_sync_mode */
  int gradient_type;  /* ls_gradient_type */
  double timeout;     /* seconds, of the watchdog: see ls_comm_set_timeout */
  bool shared_memory; /* sums within a node go through memory that its ranks share */
} ls_sync_config;

extern const ls_key ls_sync_keys[];

/* Local. Reads the section; collects mistakes. */
void ls_sync_configure(ls_config *config, ls_sync_config *out);

typedef struct ls_buckets ls_buckets;

typedef struct ls_sync {
  size_t n;
  float *grads;      /* (n), borrowed: this rank's gradient, and then the sum over all ranks */
  ls_sync_mode mode; /* in force */
  ls_range updated; /* of the n parameters, those that this rank updates: the optimizer holds their state */
  double seconds;   /* spent in communication so far, waiting for other ranks included */

  /* To be set after ls_sync_create where they are wanted. */
  double clip_norm;   /* the most that the norm of the whole gradient may be; 0: anything */
  double clip_value;  /* the most that an element may be, after that; 0: anything */
  ls_comm_tree *tree; /* borrowed: sums do not depend on the number of ranks; NULL: they do, by rounding */
  size_t n_penalised;
  const ls_segment *penalised; /* borrowed: the segments that have penalties; 0 of them: none */
  uint64_t rows; /* of all ranks in the step at hand, before its gradient is begun: what bfloat16 rounded
                    away in a step of another size is forgotten */

  /* Its own. */
  ls_gradient_type type;
  ls_exchange *exchange;
  ls_buckets *buckets; /* the pieces in which the gradient is summed, of the mode in force */
  size_t ready;        /* of a step whose gradient comes bit by bit: what is final */
  double weight;
  const float *params; /* borrowed; NULL: none has begun */
  double *buffer;      /* what is reduced beside the gradient */
  size_t n_sums;
} ls_sync;

/* Collective. For steps of n parameters with n_sums sums of metrics, in the mode that the config asks for;
 * where that is auto, in LS_SYNC_ALLREDUCE until ls_sync_set_mode. Borrows grads (n), aligned. */
ls_status ls_sync_create(ls_comm *comm, const ls_sync_config *config, size_t n, float *grads, size_t n_sums,
                         ls_sync **out);
void ls_sync_destroy(ls_comm *comm, ls_sync **sync);

/* Collective. Puts another mode in force, and with it sync->updated. What bfloat16 rounded away so far is
 * forgotten. */
ls_status ls_sync_set_mode(ls_comm *comm, ls_sync *sync, ls_sync_mode mode);

/* What goes into a step and comes out, beside the gradient. */
typedef struct ls_step {
  double weight;    /* in: the sum of the weights of this rank's rows; out: of all ranks' */
  double *sums;     /* (n_sums), in: this rank's sums of metrics; out: of all ranks' */
  bool wants_stop;  /* in: this rank was asked to stop; out: any rank was */
  double lr;        /* in: the learning rate; out: rank 0's */
  bool is_reduced;  /* in: weight, sums and gradient are those of all ranks already: see ls_sync_reduce */
  double grad_norm; /* out: the Euclidean norm of the mean gradient of loss and l2, before clipping */
} ls_step;

/* Collective. Weight, sums and grads (n), of this rank's rows, become those of all ranks. With a tree, a
 * step of several batches adds up what this makes of each: the order in which they are added then depends
 * on no rank. */
void ls_sync_reduce(ls_comm *comm, ls_sync *sync, ls_step *step, size_t n, float *grads);

/* Mode overlap only, around a backward pass that fills sync->grads from its start to its end.
 *
 * ls_sync_begin: Local. The weight is that of this rank's rows in the step, the parameters are those that
 * the gradient is taken at. ls_sync_ready: Collective. The first `ready` elements of the gradient are
 * final: what can be sent is sent, and what is under way is seen to. Ranks may say so in other steps, but
 * where they meet in another collective call all must have said the same. */
void ls_sync_begin(ls_sync *sync, double weight, const float *params);
void ls_sync_ready(ls_comm *comm, ls_sync *sync, size_t ready);

/* Collective. sync->grads holds this rank's gradient summed over its rows; params (n) takes the optimizer's
 * step by its mean over the rows of all ranks: the gradient of l2 is added, then clipped (by norm, as in
 * PyTorch's clip_grad_norm_, then by value), then the update, then the proximal step of l1. The parameters
 * stay bitwise equal on all ranks, also where these have unlike processors: the learning rate is rank 0's.
 * LS_ERR_NUMERIC, alike on all ranks and before anything is updated, where the gradient or a sum is not
 * finite. Steps may go on after it: what bfloat16 rounded away so far is forgotten then. sync->grads keeps
 * the sum, in mode sharded this rank's piece of it. */
ls_status ls_sync_step(ls_comm *comm, ls_sync *sync, ls_step *step, ls_optim *optim, float *params);

/* Collective. Of values (n), those that a rank updates go from it to all the others. */
void ls_sync_allgather(ls_comm *comm, ls_sync *sync, float *values);

/* Local. Elements of a bucket in mode overlap, for a gradient of n elements: 256 KiB to 4 MiB. */
size_t ls_sync_bucket_length(size_t n);

#endif
