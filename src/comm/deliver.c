/* All-to-all of pieces between groups of ranks. */
#include "internal.h"

#define DELIVERY_TAG 2

/* Collective over pairs. Sends pieces to one rank while it receives those from another. A piece that is not
 * full is the last. */
static void exchange(ls_comm *comm, const ls_delivery *d, int to, int from) {
  const size_t full = d->piece_bytes;
  size_t sent = to == comm->rank ? 0 : full; /* bytes of the latest piece */
  size_t received = from == comm->rank ? 0 : full;
  while (sent == full || received == full) {
    MPI_Request requests[2] = {MPI_REQUEST_NULL, MPI_REQUEST_NULL};
    MPI_Status status;
    const bool receives = received == full;
    if (receives)
      MPI_Irecv(d->buffers[0], (int)full, MPI_BYTE, from, DELIVERY_TAG, comm->world, &requests[0]);
    if (sent == full) {
      sent = d->pack(d->context, to, d->buffers[1]);
      MPI_Isend(d->buffers[1], (int)sent, MPI_BYTE, to, DELIVERY_TAG, comm->world, &requests[1]);
    }
    if (receives) {
      int bytes = 0;
      comm_await_status(&requests[0], &status);
      MPI_Get_count(&status, MPI_BYTE, &bytes);
      received = (size_t)bytes;
      d->unpack(d->context, d->buffers[0], received);
    }
    comm_await(&requests[1]);
    ls_heartbeat();
  }
}

void ls_comm_deliver(ls_comm *comm, const ls_delivery *d) {
  LS_ASSERT(d->piece_bytes > 0 && d->piece_bytes < INT32_MAX);
  for (int distance = 1; distance < comm->size; distance++) {
    const int to = (comm->rank + distance) % comm->size;
    const int from = (comm->rank - distance + comm->size) % comm->size;
    const int mine = d->groups[comm->rank];
    exchange(comm, d, d->groups[to] == mine ? comm->rank : to, d->groups[from] == mine ? comm->rank : from);
  }
}
