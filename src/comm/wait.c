/* Waiting for ranks that are still working, and progress messages between nodes.
 *
 * The first rank of each node occasionally sends the others an empty message, which their watchdogs count
 * as progress. It sends and receives them while it works (in its heartbeats), in comm_await, and while it
 * waits for a transfer between nodes. All waits use comm_await, except those inside a step, where a call of
 * MPI that blocks is faster; so a step must be shorter than the timeout. */
#include "internal.h"

#include <stdlib.h>
#include <unistd.h>

#define SPIN                 2e-4 /* seconds of waiting before it sleeps between tests */
#define NAP_US               50
#define MESSAGES_PER_TIMEOUT 8.0
#define PROGRESS_TAG         1

static ls_comm *leader; /* the first rank of a node, if there are other nodes */

/* Local. Receives the messages of other nodes. */
static void receive_messages(ls_comm *comm) {
  int has_message = 0;
  MPI_Status from;
  for (;;) {
    MPI_Iprobe(MPI_ANY_SOURCE, PROGRESS_TAG, comm->leaders, &has_message, &from);
    if (!has_message) return;
    MPI_Recv(NULL, 0, MPI_BYTE, from.MPI_SOURCE, PROGRESS_TAG, comm->leaders, MPI_STATUS_IGNORE);
    comm_message_received(comm);
  }
}

/* Local. Sends a message to the other nodes if it is due and a rank of this node has made progress. */
static void send_messages(ls_comm *comm) {
  const double now = ls_clock();
  if (now - comm->message_time < comm->timeout / MESSAGES_PER_TIMEOUT) return;
  const uint64_t heartbeats = comm_node_heartbeats(comm);
  if (heartbeats == comm->message_heartbeats) return;
  int n = 0;
  int own = 0;
  MPI_Comm_size(comm->leaders, &n);
  MPI_Comm_rank(comm->leaders, &own);
  comm->message_time = now;
  comm->message_heartbeats = heartbeats;
  /* NOLINTNEXTLINE(clang-analyzer-optin.mpi.MPI-Checker): freed, as nobody waits for delivery */
  for (int i = 0; i < n; i++) {
    MPI_Request request = MPI_REQUEST_NULL;
    if (i == own) continue;
    MPI_Isend(NULL, 0, MPI_BYTE, i, PROGRESS_TAG, comm->leaders, &request);
    MPI_Request_free(&request);
  }
}

void comm_relay_messages(void) {
  static double last;
  const double now = leader ? ls_clock() : 0.0;
  if (!leader || now - last < leader->timeout / (4.0 * MESSAGES_PER_TIMEOUT)) return;
  last = now;
  receive_messages(leader);
  send_messages(leader);
}

void comm_relay_start(ls_comm *comm) {
  leader = comm && comm->leaders != MPI_COMM_NULL ? comm : NULL;
  ls_heartbeat_hook_set(leader ? comm_relay_messages : NULL);
}

void comm_await(MPI_Request *request) {
  comm_await_status(request, MPI_STATUS_IGNORE);
}

void comm_await_status(MPI_Request *request, MPI_Status *status) {
  const double start = ls_clock();
  int is_done = 0;
  comm_set_waiting(true);
  for (;;) {
    MPI_Test(request, &is_done, status);
    if (is_done) break;
    comm_relay_messages();
    if (ls_clock() - start > SPIN) usleep(NAP_US);
  }
  comm_set_waiting(false);
}

void comm_barrier(MPI_Comm group) {
  MPI_Request request;
  MPI_Ibarrier(group, &request);
  comm_await(&request);
}

void comm_meet(ls_comm *comm) {
  if (comm->node_size < comm->size) comm_barrier(comm->world);
}
