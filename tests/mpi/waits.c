/* Each collective function waits for a rank that works for several times the limit of the watchdog and
 * sends heartbeats. The ranks on other nodes (nodes.c) see these only as messages, which every wait must
 * receive. waits RANK: the rank that works. Exit code 0, or that of the watchdog. */
#include "lockstep/comm.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIMIT 1.0 /* seconds */
#define N     5

static ls_comm *comm;
static float floats[N];
static double doubles[N];
static uint64_t words[N];
static float all[N * 64];
static ls_shared shared;

static void sum_f32(void) {
  ls_comm_sum_f32(comm, floats, N);
}
static void sum_f64(void) {
  ls_comm_sum_f64(comm, doubles, N);
}
static void sum_u64(void) {
  ls_comm_sum_u64(comm, words, N);
}
static void gather(void) {
  ls_comm_gather_f32(comm, floats, N, 0, all);
}
static void broadcast(void) {
  ls_comm_broadcast(comm, words, sizeof words);
}
static void broadcast_text(void) {
  char *text = ls_comm_rank(comm) == 0 ? ls_strdup("text") : NULL;
  LS_ASSERT(ls_comm_broadcast_text(comm, &text) == LS_OK);
  free(text);
}
static void compare(void) {
  LS_ASSERT(ls_comm_all_equal(comm, 1, 2));
}
static void agree(void) {
  LS_ASSERT(ls_comm_agree(comm, LS_OK) == LS_OK);
}
static void barrier(void) {
  ls_comm_barrier(comm);
}
static void create_shared(void) {
  LS_ASSERT(ls_comm_shared_create(comm, 1000, &shared) == LS_OK);
}
static void broadcast_shared(void) {
  ls_comm_shared_broadcast(comm, &shared);
}

static void (*const functions[])(void) = {sum_f32,   sum_f64,        sum_u64,         gather,
                                          broadcast, broadcast_text, compare,         agree,
                                          barrier,   create_shared,  broadcast_shared};

int main(int argc, char **argv) {
  if (ls_comm_create(&argc, &argv, &comm) != LS_OK) return LS_ERR_INTERNAL;
  const int worker = argc > 1 ? (int)strtol(argv[1], NULL, 10) : ls_comm_size(comm) - 1;
  ls_comm_set_timeout(comm, LIMIT);
  for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
    for (double end = ls_clock() + 2.5 * LIMIT; ls_comm_rank(comm) == worker && ls_clock() < end;) {
      usleep(20000);
      ls_heartbeat();
    }
    functions[i]();
    if (ls_comm_rank(comm) == 0) printf("function %zu: done\n", i);
  }
  ls_comm_shared_destroy(comm, &shared);
  ls_comm_destroy(&comm);
  return 0;
}
