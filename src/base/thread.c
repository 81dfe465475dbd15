/* Threads. */
#include "lockstep/base.h"

#include <signal.h>
#include <time.h>

int ls_thread_start(pthread_t *thread, void *(*run)(void *), void *context) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const int error = pthread_create(thread, NULL, run, context);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return error;
}

void ls_thread_wait(pthread_cond_t *condition, pthread_mutex_t *mutex, double seconds) {
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  const long nanoseconds = until.tv_nsec + (long)(1e9 * (seconds - (double)(time_t)seconds));
  until.tv_sec += (time_t)seconds + nanoseconds / 1000000000;
  until.tv_nsec = nanoseconds % 1000000000;
  pthread_cond_clockwait(condition, mutex, CLOCK_MONOTONIC, &until);
}
