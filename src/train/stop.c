/* Signals that ask a run to stop: a flag, which each step's reduction carries to all ranks. */
#include "lockstep/train.h"

#include <signal.h>
#include <string.h>

static volatile sig_atomic_t asked;

/* A second Ctrl-C ends the process as it would any other. */
static void remember(int number) {
  if (number == SIGINT && asked == SIGINT) {
    signal(SIGINT, SIG_DFL);
    raise(SIGINT);
  }
  asked = number;
}

void ls_stop_install(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = remember;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGUSR1, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
}

int ls_stop_signal(void) {
  return (int)asked;
}
