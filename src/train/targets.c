/* The scale of a regression's targets: without data.standardize_targets, a model hardly learns targets far
 * from unit scale. */
#include "internal.h"

#include <math.h>

/* Root mean squares of targets at which the usual learning rates and initial weights work. */
#define SCALE_LEAST 0.1
#define SCALE_MOST  10.0

#define PATIENCE 3 /* epochs */

/* The first output whose targets are far from unit scale, with their mean and standard deviation; n_out:
 * none. */
static size_t find_far(const trainer *t, const ls_metric *metric, double *mean, double *std) {
  const ls_job *const job = t->setup->job;
  const size_t n = job->model->n_out;
  if (job->task != LS_TASK_REGRESSION || job->data.standardize_targets) return n;
  for (size_t k = 0; k < n; k++) {
    ls_metric_targets(metric, k, mean, std);
    const double scale = hypot(*mean, *std);
    if (scale > SCALE_MOST || (*std > 0.0 && scale < SCALE_LEAST)) return k;
  }
  return n;
}

const char *train_targets_remedy(const trainer *t, const ls_metric *metric) {
  double mean = 0.0;
  double std = 0.0;
  return find_far(t, metric, &mean, &std) < t->setup->job->model->n_out
             ? "; the targets are far from unit scale: set data.standardize_targets: true"
             : "";
}

#define ERROR_LEAST 0.01 /* of predictions of targets without spread, relative to their scale */

/* Whether the predictions are worse than the mean of the targets. r2 is undefined if float32 does not
 * resolve the differences of the targets. */
static bool is_worse_than_mean(const ls_metric *metric, double quality, double scale) {
  return isnan(quality) ? sqrt(ls_metric_mse(metric)) > ERROR_LEAST * scale : quality < 0.0;
}

void train_warn_targets(trainer *t) {
  double mean = 0.0;
  double std = 0.0;
  const double quality = ls_metric_quality(t->metric);
  const bool is_time = t->progress.epoch >= PATIENCE || train_is_finished(t);
  if (t->has_warned_targets || !is_time) return;
  const size_t k = find_far(t, t->metric, &mean, &std);
  if (k == t->setup->job->model->n_out || !is_worse_than_mean(t->metric, quality, hypot(mean, std))) return;
  t->has_warned_targets = true;
  ls_log(
      LS_LOG_WARNING,
      "epoch %llu: train_r2 is %.3g: the predictions are worse than the mean of the targets; the targets "
      "of output %zu are far from unit scale (mean %.3g, standard deviation %.3g): set "
      "data.standardize_targets: true",
      (unsigned long long)t->progress.epoch, quality, k, mean, std);
}
