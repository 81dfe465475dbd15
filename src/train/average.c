/* train.ema: the exponential moving average of the weights. */
#include "internal.h"

bool train_has_average(const trainer *t) {
  return t->setup->job->train.ema > 0.0;
}

void train_use_average(trainer *t) {
  ls_job *const job = t->setup->job;
  ls_optim_get_slot(job->optim, job->optim->type->n_slots, t->sync->grads);
  ls_sync_allgather(t->comm, t->sync);
  ls_model_set_vectors(job->model, t->sync->grads, t->sync->grads);
}

void train_use_weights(trainer *t) {
  ls_model_set_vectors(t->setup->job->model, t->sync->params, t->sync->grads);
}
