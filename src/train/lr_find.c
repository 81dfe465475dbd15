/* The learning rate range test: steps at increasing rates, until the loss diverges. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>

#define DECAY    0.9 /* of the running mean, each step */
#define DIVERGED 4.0 /* times the minimum of the smoothed loss */

/* Adds a point: the rate of a step, and the loss before it. *mean: the running mean of the losses, whose
 * initial value 0 is corrected for. */
static void add_point(ls_lr_curve *curve, double lr, double loss, double *mean) {
  *mean = DECAY * *mean + (1.0 - DECAY) * loss;
  const double smoothed = *mean / (1.0 - pow(DECAY, (double)(curve->n + 1)));
  curve->points[curve->n] = (ls_lr_point){.lr = lr, .loss = loss, .smoothed = smoothed};
  if (smoothed < curve->points[curve->least].smoothed) curve->least = curve->n;
  curve->n++;
  curve->diverged = smoothed > DIVERGED * curve->points[curve->least].smoothed;
}

/* Collective. Runs one step at a rate; epochs follow each other without evaluation. */
static ls_status run_step(trainer *t, double lr) {
  const uint64_t n = t->setup->train.view.n;
  ls_progress *const p = &t->progress;
  if (p->epoch_samples == n) {
    p->epoch_samples = 0;
    p->epoch++;
  }
  t->fixed_lr = lr;
  return train_run_step(t);
}

/* Collective. Runs steps at rates from `from` to `to`, in geometric progression. */
static ls_status run_steps(trainer *t, double from, double to, size_t n_steps, ls_lr_curve *curve) {
  double mean = 0.0;
  for (size_t i = 0; i < n_steps && !curve->diverged; i++) {
    const double lr = from * pow(to / from, n_steps > 1 ? (double)i / (double)(n_steps - 1) : 0.0);
    const ls_status status = run_step(t, lr);
    curve->diverged = status == LS_ERR_NUMERIC;
    if (curve->diverged) return LS_OK;
    LS_TRY(status);
    if (t->is_stopping) return ls_fail(LS_STOPPED, "stopped by a signal; nothing was written");
    if (!isnan(ls_metric_loss(t->batches.metric)))
      add_point(curve, lr, ls_metric_loss(t->batches.metric), &mean);
  }
  return LS_OK;
}

ls_status ls_lr_find(ls_comm *comm, ls_setup *setup, double from, double to, size_t n_steps,
                     ls_lr_curve *curve) {
  trainer t;
  *curve = (ls_lr_curve){.points = ls_calloc(n_steps, sizeof *curve->points)};
  ls_status status = train_create(&t, comm, setup);
  if (status == LS_OK && !curve->points)
    status = ls_fail_memory("the curve", n_steps * sizeof *curve->points);
  status = ls_comm_agree(comm, status);
  if (status == LS_OK) status = train_choose_mode(&t, LS_SYNC_AUTO);
  if (status == LS_OK) {
    t.progress.seed = setup->job->train.seed;
    train_initialise(&t);
    status = run_steps(&t, from, to, n_steps, curve);
  }
  if (status == LS_OK && curve->least > 0) curve->suggested = curve->points[curve->least].lr / 10.0;
  train_destroy(&t);
  return status;
}
