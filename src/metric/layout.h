/* Where each sum stands. */
#ifndef LOCKSTEP_METRIC_LAYOUT_H
#define LOCKSTEP_METRIC_LAYOUT_H

#include "lockstep/metric.h"

enum { WEIGHT, LOSS, SAMPLES, FIXED };
enum { CORRECT = FIXED, COUNTS };
enum { SQUARED, ABSOLUTE, FIRST, SECOND, REGRESSION_SUMS };

/* (n_tops), the last ones. */
static inline double *top_sums(const ls_metric *metric) {
  return metric->sums + metric->n_sums - metric->n_tops;
}

/* Keeps the scores of a batch. z: (rows, n_outputs) */
void ranking_add(ls_metric *metric, size_t rows, const float *z);

/* Takes NULL. */
void ranking_destroy(ls_ranking **ranking);

#endif
