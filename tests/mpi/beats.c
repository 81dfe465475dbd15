/* The last rank works for three times the watchdog's limit while the others wait: `beats beating` says that
 * it moves on, and ends well; `beats silent` does not. */
#include "lockstep/comm.h"

#include <string.h>
#include <unistd.h>

#define LIMIT 2.0  /* seconds */
#define STEP  0.05 /* between beats */

int main(int argc, char **argv) {
  ls_comm *comm = NULL;
  const bool beats = argc > 1 && strcmp(argv[1], "beating") == 0;
  if (ls_comm_create(&argc, &argv, &comm) != LS_OK) return LS_ERR_INTERNAL;
  ls_comm_set_timeout(comm, LIMIT);
  const bool works = ls_comm_rank(comm) == ls_comm_size(comm) - 1;
  for (double end = ls_clock() + 3.0 * LIMIT; works && ls_clock() < end;) {
    usleep((useconds_t)(1e6 * STEP));
    if (beats) ls_beat();
  }
  const ls_status status = ls_comm_agree(comm, LS_OK);
  ls_comm_destroy(&comm);
  return (int)status;
}
