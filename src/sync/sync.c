/* The data-parallel step: allreduce, check, update. */
#include "lockstep/sync.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

const ls_key ls_sync_keys[] = {
    {.name = "threads",
     .type = LS_KEY_COUNT,
     .offset = offsetof(ls_sync_config, threads),
     .fallback = "auto",
     .min = 1,
     .max = 1024,
     .word = "auto",
     .help =
         "BLAS threads of each rank; auto: OPENBLAS_NUM_THREADS or OMP_NUM_THREADS, else the cores it is "
         "bound to, at most SLURM_CPUS_PER_TASK"},
    {0}};

void ls_sync_configure(ls_config *config, ls_sync_config *out) {
  *out = (ls_sync_config){0};
  ls_node *const section = ls_config_section(config, ls_config_root(config), "comm");
  if (section) ls_config_read(config, section, ls_sync_keys, out);
}

/* What stands before the sums in the buffer. */
enum { SQUARES, WEIGHT, STOP, FIXED };

ls_status ls_sync_create(size_t n_sums, ls_sync **out) {
  *out = NULL;
  ls_sync *sync = ls_calloc(1, sizeof *sync);
  if (sync) sync->buffer = ls_calloc(FIXED + n_sums, sizeof *sync->buffer);
  if (!sync || !sync->buffer) {
    ls_sync_destroy(&sync);
    return ls_fail_memory("the reduction", n_sums * sizeof(double));
  }
  sync->n_sums = n_sums;
  *out = sync;
  return LS_OK;
}

void ls_sync_destroy(ls_sync **sync) {
  if (!*sync) return;
  free((*sync)->buffer);
  free(*sync);
  *sync = NULL;
}

/* Each rank squares its part of the reduced gradient, so that the check of all of it costs 1 / size of a
 * pass. */
static double squares_of_part(const ls_comm *comm, size_t n, const float *grads) {
  const size_t rank = (size_t)ls_comm_rank(comm);
  const size_t size = (size_t)ls_comm_size(comm);
  const size_t each = n / size;
  const size_t first = rank * each;
  return ls_math_sum_squares(rank + 1 == size ? n - first : each, grads + first);
}

/* The sums in one array, and back. */
static void pack(const ls_sync *sync, const ls_step *step, double squares) {
  double *const buffer = sync->buffer;
  buffer[SQUARES] = squares;
  buffer[WEIGHT] = step->weight;
  buffer[STOP] = step->wants_stop ? 1.0 : 0.0;
  for (size_t i = 0; i < sync->n_sums; i++) buffer[FIXED + i] = step->sums[i];
}

static void unpack(const ls_sync *sync, ls_step *step) {
  step->weight = sync->buffer[WEIGHT];
  for (size_t i = 0; i < sync->n_sums; i++) step->sums[i] = sync->buffer[FIXED + i];
}

void ls_sync_reduce(ls_comm *comm, ls_sync *sync, ls_step *step, size_t n, float *grads) {
  const double start = ls_clock();
  pack(sync, step, 0.0);
  ls_comm_tree_sum_f32(comm, sync->tree, grads, n);
  ls_comm_tree_sum_f64(comm, sync->tree, sync->buffer, FIXED + sync->n_sums);
  sync->seconds += ls_clock() - start;
  unpack(sync, step);
}

static double norm_of(double squares, double weight) {
  return sqrt(squares) / (weight > 0.0 ? weight : 1.0);
}

/* Collective. The gradient's sum; then what is small: sums, the gradient's norm, the wish to stop. */
static void reduce_step(ls_comm *comm, ls_sync *sync, ls_step *step, size_t n, const float *params,
                        float *grads) {
  /* Each rank adds its rows' share of the penalty's gradient: their sum is the whole. */
  ls_penalty_add_gradient(sync->n_penalised, sync->penalised, step->weight, params, grads);
  const double start = ls_clock();
  ls_comm_sum_f32(comm, grads, n);
  const double reduced = ls_clock();
  pack(sync, step, squares_of_part(comm, n, grads));
  const double squared = ls_clock();
  ls_comm_sum_f64(comm, sync->buffer, FIXED + sync->n_sums);
  sync->seconds += (reduced - start) + (ls_clock() - squared);
  unpack(sync, step);
  step->wants_stop = sync->buffer[STOP] > 0.0;
  step->grad_norm = norm_of(sync->buffer[SQUARES], step->weight);
}

/* Collective. The same by the tree. What follows from the sums each rank works out for itself: sharing it
 * out would depend on their number. A rank without lanes may wish to stop too. */
static void reduce_by_tree(ls_comm *comm, ls_sync *sync, ls_step *step, size_t n, const float *params,
                           float *grads) {
  uint64_t wishes = step->wants_stop;
  if (!step->is_reduced) ls_sync_reduce(comm, sync, step, n, grads);
  ls_comm_sum_u64(comm, &wishes, 1);
  ls_penalty_add_gradient(sync->n_penalised, sync->penalised, step->weight, params, grads);
  step->wants_stop = wishes > 0;
  step->grad_norm = norm_of(ls_math_sum_squares(n, grads), step->weight);
}

/* What makes the mean of the sum; 0 where only samples of weight 0 are in the batch. */
static float mean_scale(const ls_step *step) {
  return step->weight > 0.0 ? (float)(1.0 / step->weight) : 0.0F;
}

/* The mean gradient must fit float too: no element of it is beyond its norm. */
static ls_status check_finite(const ls_sync *sync, const ls_step *step) {
  bool finite = step->grad_norm <= (double)FLT_MAX && isfinite(step->weight) && isfinite(mean_scale(step));
  for (size_t i = 0; i < sync->n_sums; i++) finite = finite && isfinite(step->sums[i]);
  return finite ? LS_OK : ls_fail(LS_ERR_NUMERIC, "the loss or its gradient is not finite");
}

/* PyTorch's: the norm of what is left is at most clip_norm. */
static float clip_scale(const ls_sync *sync, const ls_step *step) {
  const double ratio = sync->clip_norm / (step->grad_norm + 1e-6);
  return sync->clip_norm > 0.0 && ratio < 1.0 ? (float)ratio : 1.0F;
}

/* Local. The update, from the sum over all rows. */
static void update(const ls_sync *sync, const ls_step *step, ls_optim *optim, float *grads, float *params) {
  const float scale = mean_scale(step) * clip_scale(sync, step);
  if (sync->clip_value > 0.0 && scale > 0.0F)
    ls_math_clamp(optim->n, (float)(sync->clip_value / (double)scale), grads);
  ls_optim_step(optim, step->lr, scale, grads, params);
  ls_penalty_shrink(sync->n_penalised, sync->penalised, step->lr, params);
}

ls_status ls_sync_step(ls_comm *comm, ls_sync *sync, ls_step *step, ls_optim *optim, float *grads,
                       float *params) {
  (sync->tree ? reduce_by_tree : reduce_step)(comm, sync, step, optim->n, params, grads);
  const ls_status status = check_finite(sync, step);
  if (status != LS_OK) return status;
  update(sync, step, optim, grads, params);
  return LS_OK;
}
