/* Removes temporary files when a signal ends the program, so that an interrupted import leaves nothing. */
#include "internal.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A file to remove. The handler may run at any time, so that entries never change. */
typedef struct entry {
  struct entry *next;
  char path[];
} entry;

static _Atomic(entry *) entries;
static atomic_bool is_held;

static const int numbers[] = {SIGHUP, SIGINT, SIGTERM, SIGQUIT, SIGUSR1, SIGUSR2, SIGXCPU, SIGXFSZ};

#define N_SIGNALS (sizeof numbers / sizeof *numbers)

static struct sigaction before[N_SIGNALS];

static void handle(int number) {
  if (atomic_load(&is_held)) return;
  for (const entry *e = atomic_load(&entries); e; e = e->next) unlink(e->path);
  signal(number, SIG_DFL);
  raise(number);
}

/* A write beyond the limit of the file size fails like any other. Signals that were ignored stay so. */
void import_cleanup_begin(void) {
  for (size_t i = 0; i < N_SIGNALS; i++) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = numbers[i] == SIGXFSZ ? SIG_IGN : handle;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    (void)sigaction(numbers[i], NULL, &before[i]);
    if (before[i].sa_handler != SIG_IGN) (void)sigaction(numbers[i], &action, NULL);
  }
}

ls_status import_cleanup_add(const char *path) {
  const size_t bytes = strlen(path) + 1;
  entry *const e = malloc(sizeof *e + bytes);
  if (!e) return ls_fail_memory("the name of a file", bytes);
  e->next = atomic_load(&entries);
  memcpy(e->path, path, bytes);
  atomic_store(&entries, e);
  return LS_OK;
}

void import_cleanup_hold(void) {
  atomic_store(&is_held, true);
}

void import_cleanup_end(void) {
  for (size_t i = 0; i < N_SIGNALS; i++) (void)sigaction(numbers[i], &before[i], NULL);
  for (entry *e = atomic_exchange(&entries, NULL), *next; e; e = next) {
    next = e->next;
    free(e);
  }
  atomic_store(&is_held, false);
}
