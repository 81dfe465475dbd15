/* train.max_time: when to stop so that everything is saved in time. */
#include "internal.h"

#include <math.h>

#define STEPS 3    /* after the decision: the step that carries it, and what may be slower than before */
#define RATE  50e6 /* bytes per second: of saving, before the first save */

/* Seconds that saving takes: the save in progress, model.h5 and the last checkpoint, each at most as long
 * as the longest so far. */
static double time_to_save(const trainer *t) {
  const ls_job *const job = t->setup->job;
  const double bytes = (double)ls_saver_bytes(job->model, job->optim);
  const double longest = ls_saver_longest(t->saves.saver);
  return 3.0 * (longest > 0.0 ? longest : bytes / RATE);
}

void train_set_deadline(trainer *t) {
  const double limit = t->setup->job->train.max_time;
  const double elapsed = ls_clock_process();
  if (limit <= 0.0 || !t->is_root) return;
  if (elapsed < 0.0)
    ls_log(LS_LOG_WARNING,
           "train.max_time counts from now on, as /proc does not say when this process started");
  t->deadline.at = ls_clock() + limit - fmax(elapsed, 0.0);
}

bool train_check_deadline(trainer *t) {
  train_deadline *const d = &t->deadline;
  if (d->at <= 0.0) return false;
  const double now = ls_clock();
  if (d->turn_began > 0.0) d->longest_turn = fmax(d->longest_turn, now - d->turn_began);
  d->turn_began = now;
  d->is_near = now + d->longest_turn + STEPS * d->longest_step + time_to_save(t) >= d->at;
  return d->is_near;
}
