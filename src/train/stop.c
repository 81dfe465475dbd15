/* Signals that ask a run to stop: a flag, which each step's reduction carries to all ranks. */
#include "lockstep/train.h"

#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#define AGAIN 1.0 /* seconds; what comes sooner is the same Ctrl-C: `timeout` sends it twice */

static volatile sig_atomic_t asked;
static _Atomic double interrupted; /* when Ctrl-C first came; 0: it did not */

/* Ctrl-C a second time ends the process as it would any other. */
static void note_interrupt(void) {
  const double now = ls_clock();
  if (interrupted > 0.0 && now - interrupted > AGAIN) {
    signal(SIGINT, SIG_DFL);
    raise(SIGINT);
  }
  if (interrupted <= 0.0) interrupted = now;
}

/* After TERM there is little time, whatever follows. */
static void remember(int number) {
  if (number == SIGINT) note_interrupt();
  if (asked != SIGTERM) asked = number;
}

static bool is_ignored(int number) {
  struct sigaction before;
  return sigaction(number, NULL, &before) == 0 && before.sa_handler == SIG_IGN;
}

void ls_stop_install(void) {
  static const int numbers[] = {SIGUSR1, SIGTERM, SIGINT, SIGHUP, SIGPIPE};
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = remember;
  action.sa_flags = SA_RESTART;
  sigfillset(&action.sa_mask);
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
    const bool may_be_ignored = numbers[i] == SIGHUP || numbers[i] == SIGPIPE; /* as by nohup */
    if (!may_be_ignored || !is_ignored(numbers[i])) sigaction(numbers[i], &action, NULL);
  }
}

int ls_stop_signal(void) {
  return (int)asked;
}
