/* sync: gradients in, the same step out on all ranks. */
#ifndef LOCKSTEP_SYNC_H
#define LOCKSTEP_SYNC_H

#include "lockstep/base.h"
#include "lockstep/comm.h"
#include "lockstep/config.h"
#include "lockstep/optim.h"

/* The section `comm:`. */
typedef struct ls_sync_config {
  uint64_t threads; /* of BLAS in each rank; 0: as ls_comm_threads says */
} ls_sync_config;

extern const ls_key ls_sync_keys[];

/* Local. Reads the section; collects mistakes. */
void ls_sync_configure(ls_config *config, ls_sync_config *out);

typedef struct ls_sync {
  double *buffer; /* owned: what is reduced beside the gradient */
  size_t n_sums;
  double seconds; /* spent in communication so far, waiting for other ranks included */

  /* To be set after ls_sync_create where they are wanted. */
  double clip_norm;   /* the most that the norm of the whole gradient may be; 0: anything */
  double clip_value;  /* the most that an element may be, after that; 0: anything */
  ls_comm_tree *tree; /* borrowed: sums do not depend on the number of ranks; NULL: they do, by rounding */
  size_t n_penalised;
  const ls_segment *penalised; /* borrowed: the segments that have penalties; 0 of them: none */
} ls_sync;

/* Local. For steps with n_sums sums of metrics. */
ls_status ls_sync_create(size_t n_sums, ls_sync **out);
void ls_sync_destroy(ls_sync **sync);

/* What goes into a step and comes out, beside the gradient. */
typedef struct ls_step {
  double weight;    /* in: the sum of the weights of this rank's rows; out: of all ranks' */
  double *sums;     /* (n_sums), in: this rank's sums of metrics; out: of all ranks' */
  bool wants_stop;  /* in: this rank was asked to stop; out: any rank was */
  double lr;        /* in: the learning rate */
  bool is_reduced;  /* in: weight, sums and gradient are those of all ranks already: see ls_sync_reduce */
  double grad_norm; /* out: the Euclidean norm of the mean gradient of loss and l2, before clipping */
} ls_step;

/* Collective. Weight, sums and grads (n), of this rank's rows, become those of all ranks. With a tree, a
 * step of several batches adds up what this makes of each: the order in which they are added then depends
 * on no rank. */
void ls_sync_reduce(ls_comm *comm, ls_sync *sync, ls_step *step, size_t n, float *grads);

/* Collective. grads (n) holds this rank's gradient summed over its rows; params (n) takes the optimizer's
 * step by its mean over the rows of all ranks: the gradient of l2 is added, then clipped (by norm, as in
 * PyTorch's clip_grad_norm_, then by value), then the update, then the proximal step of l1. The parameters
 * stay bitwise equal on all ranks.
 * LS_ERR_NUMERIC, alike on all ranks and before anything is updated, where the gradient or a sum is not
 * finite. */
ls_status ls_sync_step(ls_comm *comm, ls_sync *sync, ls_step *step, ls_optim *optim, float *grads,
                       float *params);

#endif
