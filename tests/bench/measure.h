/* Time and median, for all benchmarks. */
#ifndef LOCKSTEP_BENCH_MEASURE_H
#define LOCKSTEP_BENCH_MEASURE_H

#include <stdlib.h>
#include <time.h>

static inline int ascending(const void *a, const void *b) {
  const double x = *(const double *)a;
  const double y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Sorts the values. */
static inline double median(size_t n, double *values) {
  qsort(values, n, sizeof *values, ascending);
  return (values[(n - 1) / 2] + values[n / 2]) / 2.0;
}

/* Processor time of this thread in seconds. */
static inline double clock_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#endif
