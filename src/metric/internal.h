/* Private to the module: the positions of the sums. */
#ifndef LOCKSTEP_SRC_METRIC_INTERNAL_H
#define LOCKSTEP_SRC_METRIC_INTERNAL_H

#include "lockstep/metric.h"

enum { WEIGHT, LOSS, SAMPLES, FIXED };
enum { CORRECT = FIXED, COUNTS };
enum { SQUARED, ABSOLUTE, FIRST, SECOND, REGRESSION_SUMS };

/* (n_tops): the sums of top-k accuracy. */
static inline double *metric_top_sums(const ls_metric *metric) {
  return metric->sums + metric->n_sums - metric->n_tops;
}

/* (REGRESSION_SUMS): the sums of output k. */
static inline double *metric_output_sums(const ls_metric *metric, size_t k) {
  return metric->sums + FIXED + REGRESSION_SUMS * k;
}

/* Adds the scores and targets of a batch to the ranking. z: (rows, n_outputs) */
void metric_add_scores(ls_metric *metric, size_t rows, const float *z, const ls_targets *targets);

/* Accepts NULL. */
void metric_destroy_ranking(ls_ranking *ranking);

#endif
