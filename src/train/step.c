/* One step: its batches, and the same update on all ranks. */
#include "internal.h"

#include <math.h>

/* The first block of parameters, in the order of backward, whose gradient is not finite; NULL: none. */
static const ls_segment *find_not_finite(const ls_model *model) {
  for (size_t i = 0; i < model->n_segments; i++) {
    const ls_segment *const segment = &model->segments[i];
    const size_t n = ls_segment_count(segment);
    if (!isfinite(ls_math_sum_squares(n, model->grads + segment->offset))) return segment;
  }
  return NULL;
}

/* The sign of a NaN has no meaning and differs between processors. */
static double without_sign(double x) {
  return isnan(x) ? (double)NAN : x;
}

/* Collective. LS_ERR_NUMERIC with the same description of the step on all ranks. */
static ls_status fail_step(trainer *t, const ls_step *step) {
  const ls_model *const model = t->setup->job->model;
  ls_sync_allgather(t->comm, t->sync); /* this rank may have only a part of the sum */
  const ls_segment *const segment = find_not_finite(model);
  return ls_fail(LS_ERR_NUMERIC, "step %llu (epoch %llu): %s%s%s: loss %g, gradient norm %g",
                 (unsigned long long)(t->progress.step + 1), (unsigned long long)(t->progress.epoch + 1),
                 ls_message(), segment ? ", first (from the output on) in " : "",
                 segment ? segment->path : "", without_sign(ls_metric_loss(t->batches.metric)),
                 without_sign(step->grad_norm));
}

/* Local. Whether this rank was asked to stop. After a failed save the run ends as soon as all ranks know of
 * it. */
static bool must_stop(trainer *t) {
  const ls_train_options *const options = t->options;
  const bool is_near = train_check_deadline(t);
  const bool is_asked = options && options->must_stop && options->must_stop(options->context);
  return ls_stop_signal() != 0 || is_near || is_asked ||
         (t->saves.saver && ls_saver_has_failed(t->saves.saver));
}

/* Collective. Sums over the ranks, and the optimizer's update. */
static ls_status update(trainer *t) {
  ls_job *const job = t->setup->job;
  const ls_metric *const metric = t->batches.metric;
  ls_step step = {.weight = ls_metric_weight(metric),
                  .sums = metric->sums,
                  .wants_stop = must_stop(t),
                  .is_reduced = t->batches.total_grads != NULL,
                  .lr = train_lr(t)};
  const train_timer timer = train_time(t);
  const ls_status status = ls_sync_step(t->comm, t->sync, &step, job->optim);
  ls_model_set_vectors(job->model, t->sync->params, t->sync->grads);
  train_add_compute(t, timer);
  t->is_stopping = step.wants_stop;
  return status == LS_ERR_NUMERIC ? fail_step(t, &step) : status;
}

ls_status train_try_step(trainer *t) {
  uint64_t samples = 0;
  LS_TRY(train_run_batches(t, &samples));
  (void)update(t);
  t->is_stopping = false; /* the first real step will see it again */
  return LS_OK;
}

ls_status train_run_step(trainer *t) {
  const train_timer timer = train_time(t);
  const ls_metric *const metric = t->batches.metric;
  ls_progress *const progress = &t->progress;
  const double lr = train_lr(t);
  train_keep_state(t);
  uint64_t samples = 0;
  LS_TRY(train_run_batches(t, &samples));
  const ls_status updated = update(t);
  LS_TRY(updated == LS_ERR_NUMERIC ? train_skip_step(t) : updated);
  progress->step++;
  progress->samples += samples;
  progress->epoch_samples += samples;
  t->last_lr = lr;
  if (updated == LS_OK) {
    ls_metric_merge(t->metric, metric);
    train_report_step(t, ls_metric_loss(metric), ls_metric_quality(metric));
  }
  train_add_total(t, timer);
  t->deadline.longest_step = fmax(t->deadline.longest_step, ls_clock() - timer.start);
  return LS_OK;
}
