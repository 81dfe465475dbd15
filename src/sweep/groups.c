/* Groups of ranks, and which trial each trains next.
 *
 * Groups take the next trial from a counter in the shared memory of their node, so that no group waits
 * while there is work on its node. Between nodes, the trials are divided beforehand, in proportion to their
 * groups: a counter that all nodes share would make each wait for the steps of another. Results do not
 * depend on which group trains a trial. */
#include "internal.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

typedef struct counter {
  _Alignas(LS_ALIGNMENT) atomic_uint_fast64_t next;
} counter;

ls_status sweep_groups_create(ls_comm *world, int size, sweep_groups *g) {
  const int ranks = ls_comm_size(world);
  const int rank = ls_comm_rank(world);
  int n_domains = 0;
  *g = (sweep_groups){.world = world, .n = ranks / size, .size = size};
  g->index = rank / size < g->n ? rank / size : -1;
  g->domains = ls_calloc((size_t)ranks, sizeof *g->domains);
  LS_TRY(ls_comm_agree(world, g->domains ? LS_OK : ls_fail_memory("the groups of ranks", (size_t)ranks)));
  LS_TRY(ls_comm_split(world, g->index, &g->mine));
  LS_TRY(ls_comm_groups(world, true, sizeof(counter), g->domains, &n_domains));
  LS_TRY(ls_comm_shared_create_group(world, sizeof(counter), g->domains, &g->counter));
  return ls_mailbox_create(world, sizeof(sweep_message), &g->box);
}

void sweep_groups_destroy(sweep_groups *g) {
  if (!g->world) return;
  ls_mailbox_destroy(g->world, &g->box);
  ls_comm_shared_destroy(g->world, &g->counter);
  ls_comm_split_destroy(&g->mine);
  free(g->domains);
  *g = (sweep_groups){0};
}

bool sweep_groups_is_leader(const sweep_groups *g) {
  return g->mine && ls_comm_rank(g->mine) == 0;
}

void sweep_groups_restart(sweep_groups *g) {
  counter *const c = g->counter.data;
  ls_comm_shared_fence(g->world);
  atomic_store(&c->next, 0);
  ls_comm_shared_fence(g->world);
}

/* The domain of the group that has trial i beforehand. */
static int domain_of(const sweep_groups *g, uint64_t i) {
  return g->domains[(int)(i % (uint64_t)g->n) * g->size];
}

/* The k-th of n trials of this rank's domain; n: there are fewer. */
static uint64_t find_trial(const sweep_groups *g, uint64_t n, uint64_t k) {
  const int own = g->domains[g->index * g->size];
  uint64_t i = 0;
  for (; i < n; i++)
    if (domain_of(g, i) == own && k-- == 0) break;
  return i;
}

uint64_t sweep_groups_claim(sweep_groups *g, uint64_t n) {
  counter *const c = g->counter.data;
  uint64_t i = n;
  if (sweep_groups_is_leader(g) && !g->is_stopping) i = find_trial(g, n, atomic_fetch_add(&c->next, 1));
  ls_comm_broadcast(g->mine, &i, sizeof i);
  return i;
}

bool sweep_groups_must_stop(const sweep_groups *g) {
  bool stops = g->is_stopping;
  ls_comm_broadcast(g->mine, &stops, sizeof stops);
  return stops;
}

void sweep_groups_stop(sweep_groups *g) {
  const sweep_message message = {.is_stop = true};
  g->is_stopping = true;
  if (g->has_posted) return;
  g->has_posted = true;
  for (int i = 0; i < g->n; i++)
    if (i != g->index) ls_mailbox_send(g->box, i * g->size, &message);
}
