/* Waiting for ranks that are at work, and telling those of other nodes that this one's are: an empty
 * message now and then, from the first rank of each node to the others. It goes out while that rank works
 * (by its beats), and while it waits where all meet after local work or for a transfer between nodes; the
 * others' watchdogs see it on their boards. In other waits it does not: a step must be shorter than the
 * limit. */
#include "internal.h"

#include <stdlib.h>
#include <unistd.h>

#define SPIN     2e-4 /* seconds of waiting before it sleeps in between */
#define NAP_US   50
#define WORDS    8.0 /* to other nodes in the time of the watchdog's limit */
#define WORD_TAG 1

static ls_comm *teller; /* the first rank of a node, with others to tell */

/* Local. Takes what others have told. */
static void listen(ls_comm *comm) {
  int has_word = 0;
  MPI_Status from;
  for (;;) {
    MPI_Iprobe(MPI_ANY_SOURCE, WORD_TAG, comm->leaders, &has_word, &from);
    if (!has_word) return;
    MPI_Recv(NULL, 0, MPI_BYTE, from.MPI_SOURCE, WORD_TAG, comm->leaders, MPI_STATUS_IGNORE);
    comm_message_received(comm);
  }
}

/* Local. Tells the other nodes, if it is time to and any rank of this one has moved. */
static void tell(ls_comm *comm) {
  const double now = ls_clock();
  if (now - comm->word_sent < comm->timeout / WORDS) return;
  const uint64_t beats = comm_node_heartbeats(comm);
  if (beats == comm->word_beats) return;
  int n = 0;
  int own = 0;
  MPI_Comm_size(comm->leaders, &n);
  MPI_Comm_rank(comm->leaders, &own);
  comm->word_sent = now;
  comm->word_beats = beats;
  /* NOLINTNEXTLINE(clang-analyzer-optin.mpi.MPI-Checker): freed, as nobody waits for a word to arrive */
  for (int i = 0; i < n; i++) {
    MPI_Request request = MPI_REQUEST_NULL;
    if (i == own) continue;
    MPI_Isend(NULL, 0, MPI_BYTE, i, WORD_TAG, comm->leaders, &request);
    MPI_Request_free(&request);
  }
}

void comm_relay_messages(void) {
  static double passed;
  const double now = teller ? ls_clock() : 0.0;
  if (!teller || now - passed < teller->timeout / (4.0 * WORDS)) return;
  passed = now;
  listen(teller);
  tell(teller);
}

void comm_notify_peers(ls_comm *comm) {
  teller = comm && comm->leaders != MPI_COMM_NULL ? comm : NULL;
  ls_heartbeat_hook_set(teller ? comm_relay_messages : NULL);
}

void comm_await(ls_comm *comm, MPI_Request *request) {
  const double start = ls_clock();
  int is_done = 0;
  (void)comm;
  comm_waits(true);
  for (;;) {
    MPI_Test(request, &is_done, MPI_STATUS_IGNORE);
    if (is_done) break;
    comm_relay_messages();
    if (ls_clock() - start > SPIN) usleep(NAP_US);
  }
  comm_waits(false);
}
