/* A rank (default: the last one) works for three times the limit of the watchdog while the others wait.
 * With `beats beating [RANK]` it sends heartbeats and succeeds; with `beats silent [RANK]` it sends none;
 * with `beats leaving [RANK]` it calls exit(0) instead. */
#include "lockstep/comm.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIMIT 2.0  /* seconds */
#define STEP  0.05 /* between heartbeats */

int main(int argc, char **argv) {
  ls_comm *comm = NULL;
  const bool beats = argc > 1 && strcmp(argv[1], "beating") == 0;
  if (ls_comm_create(&argc, &argv, &comm) != LS_OK) return LS_ERR_INTERNAL;
  ls_comm_set_timeout(comm, LIMIT);
  const int worker = argc > 2 ? (int)strtol(argv[2], NULL, 10) : ls_comm_size(comm) - 1;
  const bool works = ls_comm_rank(comm) == worker;
  if (works && argc > 1 && strcmp(argv[1], "leaving") == 0) exit(0);
  for (double end = ls_clock() + 3.0 * LIMIT; works && ls_clock() < end;) {
    usleep((useconds_t)(1e6 * STEP));
    if (beats) ls_heartbeat();
  }
  const ls_status status = ls_comm_agree(comm, LS_OK);
  ls_comm_destroy(&comm);
  return (int)status;
}
