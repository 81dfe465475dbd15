/* Signals that ask a run to stop: they set a flag, which the reduction of each step carries to all ranks.
 */
#include "internal.h"

#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#define REPEAT_SECONDS 1.0 /* an earlier SIGINT belongs to the same Ctrl-C: `timeout` sends it twice */

static volatile sig_atomic_t requested; /* the signal; 0: none */
static _Atomic double interrupted;      /* time of the first Ctrl-C; 0: none */

/* A second Ctrl-C ends the process, as it ends any other. */
static void note_interrupt(void) {
  const double now = ls_clock();
  if (interrupted > 0.0 && now - interrupted > REPEAT_SECONDS) {
    signal(SIGINT, SIG_DFL);
    raise(SIGINT);
  }
  if (interrupted <= 0.0) interrupted = now;
}

/* After TERM little time is left; later signals do not change that. */
static void handle(int number) {
  if (number == SIGINT) note_interrupt();
  if (requested != SIGTERM) requested = number;
}

void ls_stop_install(const sigset_t *ignored) {
  static const int numbers[] = {SIGUSR1, SIGTERM, SIGINT, SIGHUP, SIGPIPE};
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = handle;
  action.sa_flags = SA_RESTART;
  sigfillset(&action.sa_mask);
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
    const bool may_be_ignored = numbers[i] == SIGHUP || numbers[i] == SIGPIPE;
    if (may_be_ignored && sigismember(ignored, numbers[i]) == 1)
      signal(numbers[i], SIG_IGN); /* a library may have replaced it */
    else
      sigaction(numbers[i], &action, NULL);
  }
}

int ls_stop_signal(void) {
  return (int)requested;
}
