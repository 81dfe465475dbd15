/* Where each sum stands. */
#ifndef LOCKSTEP_METRIC_LAYOUT_H
#define LOCKSTEP_METRIC_LAYOUT_H

#include "lockstep/metric.h"

enum { WEIGHT, LOSS, SAMPLES, FIXED };
enum { CORRECT = FIXED, COUNTS };
enum { SQUARED, ABSOLUTE, FIRST, SECOND, REGRESSION_SUMS };

#endif
