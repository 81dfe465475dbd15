/* The learning rate. */
#include "internal.h"

double train_lr(const trainer *t) {
  const ls_job *const job = t->setup->job;
  if (t->rate.fixed > 0.0) return t->rate.fixed;
  const ls_schedule_time now = {.step = t->progress.step,
                                .epoch = t->progress.epoch,
                                .n_reductions = t->progress.plateau.n_reductions};
  return ls_schedule_lr(&job->schedule, job->optim->lr, &now);
}

void train_fix_lr(trainer *t, double lr) {
  t->rate.fixed = lr;
}

void train_record_lr(trainer *t, double lr) {
  t->rate.last = lr;
}
