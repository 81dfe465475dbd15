/* The monitored column: the best epoch, early stopping, and the plateau schedule. */
#include "internal.h"

#include <math.h>

static int monitored_column(const trainer *t) {
  const int column = ls_column_find(t->setup->job, t->setup->job->train.monitor);
  LS_ASSERT(column >= 0);
  return column;
}

/* Whether a value is better by more than `delta`. */
static bool is_better(const trainer *t, double value, double best, double delta) {
  return ls_column_is_maximized(t->setup->job, monitored_column(t)) ? value > best + delta
                                                                    : value < best - delta;
}

static void update_best(trainer *t, double value) {
  ls_progress *const p = &t->progress;
  if (isnan(value) || (p->best_epoch > 0 && !is_better(t, value, p->best_value, 0.0))) return;
  p->best_epoch = p->epoch;
  p->best_value = value;
}

/* Early stopping: counts the epochs since the latest improvement of stale_value. An earlier part of the run
 * may have had early stopping; if it is enabled again, it starts anew. */
static void update_patience(trainer *t, double value) {
  ls_progress *const p = &t->progress;
  if (t->setup->job->train.patience == 0) p->n_stale = p->has_stale_value = 0;
  if (t->setup->job->train.patience == 0) return;
  const bool improved = !isnan(value) && (!p->has_stale_value || is_better(t, value, p->stale_value,
                                                                           t->setup->job->train.min_delta));
  p->n_stale = improved ? 0 : p->n_stale + 1;
  if (!improved) return;
  p->stale_value = value;
  p->has_stale_value = 1;
}

void train_update_monitor(trainer *t, const train_row *row) {
  const ls_job *const job = t->setup->job;
  const int column = monitored_column(t);
  const double value = row->values[column];
  if (isnan(value) && !t->has_warned) {
    t->has_warned = true;
    ls_log(LS_LOG_WARNING,
           "epoch %llu: train.monitor: %s has no value; such an epoch is never the best, and counts as one "
           "without improvement",
           (unsigned long long)t->progress.epoch, job->train.monitor);
  }
  update_patience(t, value);
  ls_plateau_update(&job->schedule, value, ls_column_is_maximized(job, column), &t->progress.plateau);
  update_best(t, value);
}

void train_reset_monitor(trainer *t) {
  ls_progress *const p = &t->progress;
  p->n_stale = p->has_stale_value = 0;
  p->plateau.has_best = p->plateau.n_bad = 0;
}

bool train_is_stopped_early(const trainer *t) {
  const uint64_t patience = t->setup->job->train.patience;
  return patience > 0 && t->progress.n_stale >= patience;
}
