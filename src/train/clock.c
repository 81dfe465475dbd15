/* The time of an epoch: computing, communication, data. */
#include "internal.h"

train_timer train_time(const trainer *t) {
  return (train_timer){.start = ls_clock(), .communication = t->sync->seconds};
}

void train_add_total(trainer *t, train_timer timer) {
  const double seconds = ls_clock() - timer.start;
  t->progress.epoch_seconds += seconds;
  t->times.total += seconds;
}

void train_add_compute(trainer *t, train_timer timer) {
  t->times.compute += ls_clock() - timer.start - (t->sync->seconds - timer.communication);
}

void train_reset_times(trainer *t) {
  t->times = (train_times){.communication = t->sync->seconds};
}
