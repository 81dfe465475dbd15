/* A clock that never goes back. */
#include "lockstep/base.h"

#include <time.h>

double ls_clock(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
