/* The data-parallel step: the sum over all ranks, check, update. */
#include "internal.h"

#include <float.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

const char *const ls_sync_mode_names[] = {"auto", "allreduce", "overlap", "sharded", NULL};

static const char *const gradient_type_names[] = {"float32", "bfloat16", NULL};

const ls_key ls_sync_keys[] = {
    LS_CHOICE_KEY(
        "mode", ls_sync_config, mode, "auto", ls_sync_mode_names,
        "reduction of gradients and update. auto: the fastest in a trial at the start; allreduce: "
        "every node updates all parameters; overlap: like allreduce, but reduces during the "
        "backward pass; sharded: each rank updates one part and stores the optimizer state of that "
        "part only"),
    LS_CHOICE_KEY("gradient_type", ls_sync_config, gradient_type, "float32", gradient_type_names,
                  "type of gradients sent between nodes; bfloat16 halves the bytes, but a resumed run does "
                  "not repeat bit for bit"),
    LS_BOOL_KEY("shared_memory", ls_sync_config, shared_memory, "true",
                "the ranks of a node share one copy of the parameters and read each other's gradients; "
                "false: each rank acts as a node"),
    LS_TIME_KEY("timeout", ls_sync_config, timeout, "10m",
                "time without progress on any rank after which the run ends and reports the stalled rank; "
                "must exceed the duration of a step"),
    LS_COUNT_KEY("threads", ls_sync_config, threads, "auto", 1, 1024,
                 "threads per rank; auto: OPENBLAS_NUM_THREADS or OMP_NUM_THREADS, else the cores of its "
                 "affinity mask, at most SLURM_CPUS_PER_TASK",
                 .word = "auto"),
    {0},
};

void ls_sync_configure(ls_config *config, ls_sync_config *out) {
  *out = (ls_sync_config){.shared_memory = true, .timeout = 600.0};
  ls_node *const section = ls_config_section(config, ls_config_root(config), "comm");
  if (section) ls_config_read(config, section, ls_sync_keys, out);
}

/* Positions in the buffer; the sums follow. */
enum { SQUARES, WEIGHT, STOP, LR, SECONDS, FIXED };

/* Local. Allocates all but the exchange. */
static ls_status create(size_t n, size_t n_sums, ls_sync **out) {
  ls_sync *sync = ls_calloc(1, sizeof *sync);
  double *const buffer = ls_calloc(FIXED + n_sums, sizeof *buffer);
  if (!sync || !buffer) {
    free(sync);
    free(buffer);
    return ls_fail_memory("the reduction", n_sums * sizeof *buffer);
  }
  *sync = (ls_sync){.n = n, .buffer = buffer, .n_sums = n_sums};
  *out = sync;
  return LS_OK;
}

/* Local. Allocates the parameters and the gradient of this rank alone, if ranks share others. */
static ls_status create_copies(ls_sync *sync) {
  if (!sync->exchange->is_shared) return LS_OK;
  sync->own_params = ls_calloc(sync->n, sizeof *sync->own_params);
  sync->own_grads = ls_calloc(sync->n, sizeof *sync->own_grads);
  if (sync->own_params && sync->own_grads) return LS_OK;
  return ls_fail_memory("copies of parameters and gradients", 2 * sync->n * sizeof *sync->own_params);
}

ls_status ls_sync_create(ls_comm *comm, const ls_sync_config *config, size_t n, size_t n_sums,
                         ls_sync **out) {
  ls_sync *sync = NULL;
  *out = NULL;
  ls_status status = ls_comm_agree(comm, create(n, n_sums, &sync));
  *out = sync;
  if (status == LS_OK)
    status = ls_exchange_create(comm, n, 2 * sync_buckets_count(LS_SYNC_OVERLAP, n, 1),
                                config->shared_memory, &sync->exchange);
  if (status == LS_OK) status = ls_comm_agree(comm, create_copies(sync));
  if (status == LS_OK) {
    const ls_sync_mode mode = (ls_sync_mode)config->mode;
    sync->type = (ls_gradient_type)config->gradient_type;
    status = ls_sync_set_mode(comm, sync, mode == LS_SYNC_AUTO ? LS_SYNC_ALLREDUCE : mode);
  }
  if (status != LS_OK) ls_sync_destroy(comm, out);
  return status;
}

void ls_sync_destroy(ls_comm *comm, ls_sync **sync) {
  if (!*sync) return;
  sync_buckets_destroy(&(*sync)->buckets);
  ls_exchange_destroy(comm, &(*sync)->exchange);
  free((*sync)->own_params);
  free((*sync)->own_grads);
  free((*sync)->buffer);
  free(*sync);
  *sync = NULL;
}

ls_status ls_sync_set_mode(ls_comm *comm, ls_sync *sync, ls_sync_mode mode) {
  LS_ASSERT(mode != LS_SYNC_AUTO);
  sync_buckets_destroy(&sync->buckets);
  LS_TRY(ls_comm_agree(comm, sync_buckets_create(sync->exchange, mode, sync->type, &sync->buckets)));
  sync->mode = mode;
  sync->updated = sync_buckets_ranges(sync->buckets, &sync->n_updated);
  sync->params = sync->exchange->common;
  sync->grads = sync->exchange->terms[sync->exchange->peer];
  sync_trial_start(&sync->trial);
  return LS_OK;
}

bool ls_sync_is_divided(const ls_sync *sync) {
  return sync->mode == LS_SYNC_SHARDED || sync->exchange->is_shared;
}

/* Copies a step's inputs into the buffer. */
static void pack(const ls_sync *sync, const ls_step *step, double squares) {
  double *const buffer = sync->buffer;
  buffer[SQUARES] = squares;
  buffer[WEIGHT] = step->weight;
  buffer[STOP] = step->wants_stop ? 1.0 : 0.0;
  buffer[LR] = 0.0;
  buffer[SECONDS] = sync->trial.seconds;
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

/* Each rank adds the gradient of the penalty weighted by its own rows; the sum over ranks is complete. */
static void add_penalty(const ls_sync *sync, ls_range range, double weight) {
  ls_penalty_add_gradient(sync->n_penalised, sync->penalised, range, weight, sync->params, sync->grads);
}

void ls_sync_begin(ls_sync *sync, double weight) {
  sync->ready = 0;
  sync->weight = weight;
  sync->has_begun = true;
}

void ls_sync_ready(ls_comm *comm, ls_sync *sync, size_t ready) {
  const double start = ls_clock();
  if (sync->ready == 0) sync_buckets_set_rows(sync->buckets, sync->rows);
  const ls_range fresh = {.first = sync->ready, .count = ready > sync->ready ? ready - sync->ready : 0};
  add_penalty(sync, fresh, sync->weight);
  sync->ready = fresh.first + fresh.count;
  sync_buckets_advance(comm, sync->exchange, sync->buckets, sync->ready);
  sync->seconds += ls_clock() - start;
}

/* Collective. Sums the gradient, then in one short array: metrics, the gradient norm, requests to stop, and
 * rank 0's learning rate, which may differ in the last digit on other processors. All ranks meet in this
 * second sum: afterwards, all have finished the backward pass and read each other's gradients. */
static void reduce_step(ls_comm *comm, ls_sync *sync, ls_step *step) {
  if (!sync->has_begun) ls_sync_begin(sync, step->weight);
  ls_sync_ready(comm, sync, sync->n);
  sync->has_begun = false;
  const double start = ls_clock();
  pack(sync, step, sync_buckets_finish(comm, sync->exchange, sync->buckets));
  if (ls_comm_rank(comm) == 0) sync->buffer[LR] = step->lr;
  atomic_thread_fence(memory_order_seq_cst); /* for the memory that peers share */
  ls_comm_tree_sum_f64(comm, NULL, sync->buffer, FIXED + sync->n_sums);
  atomic_thread_fence(memory_order_seq_cst);
  sync->seconds += ls_clock() - start;
  unpack(sync, step);
  step->lr = sync->buffer[LR];
  step->wants_stop = sync->buffer[STOP] > 0.0;
  step->grad_norm = norm_of(sync->buffer[SQUARES], step->weight);
}

/* Collective. The same with the tree. Every rank computes the norm of the whole gradient itself, because a
 * division among ranks would depend on their number. Ranks without lanes may request a stop too. */
static void reduce_by_tree(ls_comm *comm, ls_sync *sync, ls_step *step) {
  double shared[2] = {step->wants_stop ? 1.0 : 0.0, ls_comm_rank(comm) == 0 ? step->lr : 0.0};
  LS_ASSERT(!sync->exchange->is_shared); /* each rank reads all parameters here, and updates all */
  if (!step->is_reduced) ls_sync_reduce(comm, sync, step, sync->n, sync->grads);
  ls_comm_tree_sum_f64(comm, NULL, shared, 2);
  add_penalty(sync, (ls_range){.first = 0, .count = sync->n}, step->weight);
  step->wants_stop = shared[0] > 0.0;
  step->lr = shared[1];
  step->grad_norm = norm_of(ls_math_sum_squares(sync->n, sync->grads), step->weight);
}

/* The factor from sum to mean; 0 if all samples of the batch have weight 0. */
static float mean_scale(const ls_step *step) {
  return step->weight > 0.0 ? (float)(1.0 / step->weight) : 0.0F;
}

/* The mean gradient must fit float too: no element exceeds its norm. */
static ls_status check_finite(const ls_sync *sync, const ls_step *step) {
  bool finite = step->grad_norm <= (double)FLT_MAX && isfinite(step->weight) && isfinite(mean_scale(step));
  for (size_t i = 0; i < sync->n_sums; i++) finite = finite && isfinite(step->sums[i]);
  return finite ? LS_OK : ls_fail(LS_ERR_NUMERIC, "the loss or its gradient is not finite");
}

/* As in PyTorch: the norm of the clipped gradient is at most clip_norm. */
static float clip_scale(const ls_sync *sync, const ls_step *step) {
  const double ratio = sync->clip_norm / (step->grad_norm + 1e-6);
  return sync->clip_norm > 0.0 && ratio < 1.0 ? (float)ratio : 1.0F;
}

/* Local. Whether the update itself writes the common parameters, beside a copy for this rank: it is the
 * last change of them, and of all of this rank's part. */
static bool is_mirrored(const ls_sync *sync, const ls_optim *optim) {
  return !optim->type->sums && sync->params != sync->exchange->common && sync->n_penalised == 0 &&
         (sync->mode != LS_SYNC_SHARDED || sync->exchange->n_nodes == 1);
}

/* What sum_norms needs. */
typedef struct norms {
  ls_comm *comm;
  const ls_sync *sync;
} norms;

/* Collective. Adds the norms of the parts of all ranks. Except in mode sharded, each node has all parts. */
static void sum_norms(void *context, double *x, size_t n) {
  const norms *const k = context;
  const int copies = k->sync->mode == LS_SYNC_SHARDED ? 1 : k->sync->exchange->n_nodes;
  ls_comm_tree_sum_f64(k->comm, NULL, x, n);
  for (size_t i = 0; i < n; i++) x[i] /= (double)copies;
}

/* Collective if the optimizer needs norms. Updates this rank's parameters from the sum over all rows. */
static void update(ls_comm *comm, const ls_sync *sync, const ls_step *step, ls_optim *optim) {
  const float scale = mean_scale(step) * clip_scale(sync, step);
  norms context = {.comm = comm, .sync = sync};
  LS_ASSERT(optim->n_ranges == sync->n_updated);
  for (size_t r = 0; r < sync->n_updated && sync->clip_value > 0.0 && scale > 0.0F; r++)
    ls_math_clamp(sync->updated[r].count, (float)(sync->clip_value / (double)scale),
                  sync->grads + sync->updated[r].first);
  optim->mirror = is_mirrored(sync, optim) ? sync->exchange->common : NULL;
  optim->sum = sync->tree ? NULL : sum_norms; /* with a tree, every rank updates all parameters */
  optim->context = &context;
  ls_optim_step(optim, step->lr, scale, sync->grads, sync->params);
  for (size_t r = 0; r < sync->n_updated; r++)
    ls_penalty_soft_threshold(sync->n_penalised, sync->penalised, sync->updated[r], step->lr, sync->params);
  ls_optim_update_average(optim, sync->params);
}

/* Collective. Waits until all parts of the parameters are complete. */
static void complete(ls_comm *comm, ls_sync *sync, const ls_optim *optim) {
  const double start = ls_clock();
  sync_buckets_complete(comm, sync->exchange, sync->buckets, is_mirrored(sync, optim), sync->params);
  sync->seconds += ls_clock() - start;
}

/* Local. Parameters and gradients are read in place or as copies from now on. */
static void set_copies(ls_sync *sync, bool copies) {
  const ls_exchange *const exchange = sync->exchange;
  if (copies && sync->params == exchange->common)
    memcpy(sync->own_params, exchange->common, sync->n * sizeof *sync->params);
  sync->params = copies ? sync->own_params : exchange->common;
  sync->grads = copies ? sync->own_grads : exchange->terms[exchange->peer];
  sync_buckets_set_terms(sync->buckets, sync->grads);
}

ls_status ls_sync_step(ls_comm *comm, ls_sync *sync, ls_step *step, ls_optim *optim) {
  (sync->tree ? reduce_by_tree : reduce_step)(comm, sync, step);
  const ls_status status = check_finite(sync, step);
  if (status == LS_OK) {
    update(comm, sync, step, optim);
    complete(comm, sync, optim);
  } else {
    sync_buckets_discard_errors(sync->buckets);
  }
  if (status == LS_OK && sync->exchange->is_shared) { /* otherwise the caller inspects the gradient */
    sync_trial_advance(&sync->trial, sync->buffer[SECONDS]);
    set_copies(sync, sync->trial.copies);
  }
  return status;
}

void ls_sync_allgather(ls_comm *comm, ls_sync *sync) {
  const double start = ls_clock();
  if (ls_sync_is_divided(sync)) sync_buckets_allgather(comm, sync->exchange, sync->buckets);
  sync->seconds += ls_clock() - start;
}
