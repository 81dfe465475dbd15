/* train.max_time: when to stop so that all is saved by then. */
#include "internal.h"

#include <math.h>

#define STEPS 3    /* after the decision: the one it rides in, and what may be slower than any before */
#define RATE  50e6 /* bytes per second: of saving, until it was seen */

/* Seconds that saving takes: what is under way, then model.h5 and the last checkpoint, each at most as long
 * as the longest so far. */
static double time_to_save(const trainer *t) {
  const ls_job *const job = t->setup->job;
  const double bytes = (double)ls_saver_bytes(job->model, job->optim);
  const double longest = ls_saver_longest(t->saver);
  return 3.0 * (longest > 0.0 ? longest : bytes / RATE);
}

void train_set_deadline(trainer *t) {
  const double limit = t->setup->job->train.max_time;
  const double before = ls_clock_process();
  if (limit <= 0.0 || !t->is_root) return;
  if (before < 0.0)
    ls_log(LS_LOG_WARNING, "train.max_time counts from now on: /proc does not tell when the process began");
  t->deadline = ls_clock() + limit - fmax(before, 0.0);
}

bool train_is_near_deadline(trainer *t) {
  if (t->deadline <= 0.0) return false;
  const double now = ls_clock();
  if (t->longest.turn_began > 0.0) t->longest.turn = fmax(t->longest.turn, now - t->longest.turn_began);
  t->longest.turn_began = now;
  t->is_late = now + t->longest.turn + STEPS * t->longest.step + time_to_save(t) >= t->deadline;
  return t->is_late;
}
