/* How gradients are summed in this run: as in the config, as before, or the fastest in a trial. */
#include "internal.h"

#include <math.h>
#include <string.h>

/* Collective. Sets a mode and creates the optimizer's state for it. Parameters and state are 0. */
static ls_status set_mode(trainer *t, ls_sync_mode mode) {
  ls_optim *const optim = t->setup->job->optim;
  ls_model *const model = t->setup->job->model;
  LS_TRY(ls_sync_set_mode(t->comm, t->sync, mode));
  ls_model_set_vectors(model, t->sync->params, t->sync->grads);
  optim->n_blocks = model->n_segments;
  optim->blocks = model->segments;
  memset(model->params, 0, model->n_params * sizeof *model->params); /* before the ranks agree */
  return ls_comm_agree(t->comm, ls_optim_build_part(optim, t->sync->n_updated, t->sync->updated));
}

#define TRIALS 3   /* steps of a mode, of which the first one only warms up */
#define LONG   0.1 /* seconds of the first step above which it is the only one */

/* Collective. Seconds of a step in the current mode: the minimum of a few, averaged over the ranks. The
 * parameters are 0 and hardly change; that takes as long, and values that are not finite do not matter. */
static ls_status time_steps(trainer *t, double *least) {
  t->fixed_lr = 1e-6;
  for (int i = 0; i < TRIALS; i++) {
    ls_comm_barrier(t->comm);
    const double start = ls_clock();
    LS_TRY(train_try_step(t));
    double seconds = (ls_clock() - start) / ls_comm_size(t->comm);
    ls_comm_sum_f64(t->comm, &seconds, 1);
    if (i <= 1 || seconds < *least) *least = seconds;
    if (i == 0 && seconds > LONG) break;
  }
  return LS_OK;
}

/* Undoes the effects of the trials. */
static void reset_trials(trainer *t) {
  t->sync->seconds = 0.0;
  t->fixed_lr = 0.0;
  train_reset_times(t);
}

/* Whether a mode is not tried, after the modes in `tried`. In bfloat16, only mode sharded leaves the sums
 * unrounded, so that it is tried only if no other mode fits in memory; the other modes give the same bits.
 */
static bool is_left_out(const trainer *t, ls_sync_mode mode, const char *tried) {
  return mode == LS_SYNC_SHARDED && t->sync->type == LS_GRADIENT_BF16 && tried[0];
}

/* Collective, with several nodes: within a node, nothing is sent in the background, and ranks update
 * different parts in all modes. */
static ls_status try_modes(trainer *t) {
  ls_status failure = LS_OK;
  static const ls_sync_mode modes[] = {LS_SYNC_ALLREDUCE, LS_SYNC_OVERLAP, LS_SYNC_SHARDED};
  ls_sync_mode best = LS_SYNC_ALLREDUCE;
  double least = INFINITY;
  char tried[120] = "";
  for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
    if (is_left_out(t, modes[i], tried)) continue;
    const ls_status status = set_mode(t, modes[i]);
    if (status != LS_OK) { /* its state does not fit in memory; that of another mode may */
      failure = status;
      continue;
    }
    double seconds = 0.0;
    LS_TRY(time_steps(t, &seconds));
    reset_trials(t);
    ls_append(tried, sizeof tried, "%s%s %.2f ms", tried[0] ? ", " : "", ls_sync_mode_names[modes[i]],
              seconds * 1e3);
    if (seconds < least) best = modes[i];
    least = fmin(least, seconds);
  }
  if (!tried[0]) return failure;
  snprintf(t->summation, sizeof t->summation, "%s (time of a step: %s)", ls_sync_mode_names[best], tried);
  return set_mode(t, best);
}

/* Adds the type in which gradients travel between nodes. */
static void describe_type(trainer *t) {
  const ls_exchange *const exchange = t->sync->exchange;
  const bool is_half = t->sync->type == LS_GRADIENT_BF16;
  if (exchange->n_nodes > 1)
    ls_append(t->summation, sizeof t->summation, ", %s between %d nodes", is_half ? "bfloat16" : "float32",
              exchange->n_nodes);
  else if (is_half)
    ls_append(t->summation, sizeof t->summation, ", float32, as there is only one node");
}

ls_status train_choose_mode(trainer *t, ls_sync_mode saved) {
  const ls_job *const job = t->setup->job;
  ls_sync_mode mode = (ls_sync_mode)job->sync.mode;
  if (mode == LS_SYNC_AUTO) {
    mode = saved;
    ls_comm_broadcast(t->comm, &mode, sizeof mode);
  }
  const bool has_choice = mode != LS_SYNC_AUTO || t->sync->exchange->n_nodes > 1;
  if (ls_comm_size(t->comm) == 1 || t->setup->tree || !has_choice) mode = LS_SYNC_ALLREDUCE;
  if (mode == LS_SYNC_AUTO) {
    LS_TRY(try_modes(t));
  } else {
    LS_TRY(set_mode(t, mode));
    snprintf(t->summation, sizeof t->summation, "%s",
             t->setup->tree ? "by a tree over lanes" : ls_sync_mode_names[mode]);
  }
  if (!t->setup->tree) describe_type(t);
  return LS_OK;
}
