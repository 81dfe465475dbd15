/* The monitored column: which epoch is the best, when to stop early, when the learning rate drops. */
#include "internal.h"

#include <math.h>
#include <string.h>

int train_monitored(const trainer *t) {
  const ls_job *const job = t->setup->job;
  int column = 0;
  while (strcmp(job->train.monitor, train_column_name(column, job->task)) != 0) column++;
  return column;
}

/* Qualities and speed are better when larger, the others when smaller. */
static bool is_larger_better(int column) {
  return column == COLUMN_TRAIN_QUALITY || column == COLUMN_VAL_QUALITY ||
         column == COLUMN_SAMPLES_PER_SECOND;
}

/* Whether a value is better by more than `delta`. */
static bool is_better(int column, double value, double best, double delta) {
  return is_larger_better(column) ? value > best + delta : value < best - delta;
}

bool train_is_best(const trainer *t, const double row[COLUMNS]) {
  const int column = train_monitored(t);
  const ls_progress *const progress = &t->progress;
  if (isnan(row[column])) return false;
  return progress->best_epoch == 0 || is_better(column, row[column], progress->best_value, 0.0);
}

/* Early stopping: n_stale epochs in a row were not better than stale_value. */
static void count_stale(trainer *t, int column, double value) {
  ls_progress *const p = &t->progress;
  const bool improved = !isnan(value) && (!p->has_stale_value || is_better(column, value, p->stale_value,
                                                                           t->setup->job->train.min_delta));
  p->n_stale = improved ? 0 : p->n_stale + 1;
  if (!improved) return;
  p->stale_value = value;
  p->has_stale_value = 1;
}

void train_watch(trainer *t, const double row[COLUMNS]) {
  const ls_job *const job = t->setup->job;
  const int column = train_monitored(t);
  if (job->train.patience > 0) count_stale(t, column, row[column]);
  if (ls_schedule_is_plateau(&job->schedule))
    ls_plateau_update(&job->schedule, row[column], is_larger_better(column), &t->progress.plateau);
}

void train_forget_watched(trainer *t) {
  ls_progress *const p = &t->progress;
  p->n_stale = p->has_stale_value = 0;
  p->plateau.has_best = p->plateau.n_bad = 0;
}

bool train_is_stale(const trainer *t) {
  const uint64_t patience = t->setup->job->train.patience;
  return patience > 0 && t->progress.n_stale >= patience;
}
