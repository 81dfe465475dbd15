/* Beats: how a process shows that it moves on. */
#include "lockstep/base.h"

#include <stdatomic.h>

static atomic_uint_fast64_t beats;
static _Thread_local void (*hook)(void);

void ls_heartbeat(void) {
  atomic_fetch_add_explicit(&beats, 1, memory_order_relaxed);
  if (hook) hook();
}

uint64_t ls_heartbeat_count(void) {
  return atomic_load_explicit(&beats, memory_order_relaxed);
}

void ls_heartbeat_hook_set(void (*wanted)(void)) {
  hook = wanted;
}
