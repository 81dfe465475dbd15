/* Heartbeats: progress of this process. */
#include "lockstep/base.h"

#include <stdatomic.h>

static atomic_uint_fast64_t heartbeats;
static _Thread_local void (*hook)(void);

void ls_heartbeat(void) {
  atomic_fetch_add_explicit(&heartbeats, 1, memory_order_relaxed);
  if (hook) hook();
}

uint64_t ls_heartbeat_count(void) {
  return atomic_load_explicit(&heartbeats, memory_order_relaxed);
}

void ls_heartbeat_hook_set(void (*function)(void)) {
  hook = function;
}
