/* All-to-all between ranks, and work in the order of ranks. */
#include "internal.h"

#include <string.h>

#define DELIVERY_TAG 2
#define TURN_TAG     3

/* NOLINTBEGIN(clang-analyzer-optin.mpi.MPI-Checker): comm_await waits for the requests */

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

/* ---------------------------------------------------------- all-to-all of elements */

#define PIECE_BYTES ((size_t)8 << 20)

static size_t offset_of(const uint64_t *counts, int rank) {
  size_t offset = 0;
  for (int r = 0; r < rank; r++) offset += counts[r];
  return offset;
}

/* Collective over pairs. Sends bytes to one rank while it receives those from another. */
static void swap(const ls_comm *comm, const unsigned char *x, size_t n_send, int to, unsigned char *y,
                 size_t n_receive, int from) {
  while (n_send > 0 || n_receive > 0) {
    const size_t sends = ls_size_min(n_send, PIECE_BYTES);
    const size_t receives = ls_size_min(n_receive, PIECE_BYTES);
    MPI_Request requests[2] = {MPI_REQUEST_NULL, MPI_REQUEST_NULL};
    if (receives > 0) MPI_Irecv(y, (int)receives, MPI_BYTE, from, DELIVERY_TAG, comm->world, &requests[0]);
    if (sends > 0) MPI_Isend(x, (int)sends, MPI_BYTE, to, DELIVERY_TAG, comm->world, &requests[1]);
    comm_await(&requests[0]);
    comm_await(&requests[1]);
    ls_heartbeat();
    x += sends;
    y += receives;
    n_send -= sends;
    n_receive -= receives;
  }
}

void ls_comm_alltoall(ls_comm *comm, size_t size, const void *x, const uint64_t *starts, void *all,
                      uint64_t *counts) {
  const unsigned char *const mine = x;
  unsigned char *const out = all;
  for (int r = 0; r < comm->size; r++) counts[r] = starts[r + 1] - starts[r];
  comm_meet(comm);
  COMM_WAIT(MPI_Alltoall(MPI_IN_PLACE, 1, MPI_UINT64_T, counts, 1, MPI_UINT64_T, comm->world));
  for (int distance = 0; distance < comm->size; distance++) {
    const int to = (comm->rank + distance) % comm->size;
    const int from = (comm->rank - distance + comm->size) % comm->size;
    const unsigned char *const first = mine + starts[to] * size;
    unsigned char *const place = out + offset_of(counts, from) * size;
    if (distance > 0)
      swap(comm, first, (starts[to + 1] - starts[to]) * size, to, place, counts[from] * size, from);
    else if (counts[from] > 0)
      memcpy(place, first, counts[from] * size);
  }
}

/* ---------------------------------------------------------------- the order of ranks */

void ls_comm_before_u64(ls_comm *comm, uint64_t *x, size_t n) {
  comm_meet(comm);
  comm_set_waiting(true);
  for (size_t done = 0; done < n; done += (size_t)next_piece(n - done))
    MPI_Exscan(MPI_IN_PLACE, x + done, next_piece(n - done), MPI_UINT64_T, MPI_SUM, comm->world);
  comm_set_waiting(false);
  if (comm->rank == 0 && n > 0) memset(x, 0, n * sizeof *x); /* which MPI leaves undefined */
}

void ls_comm_in_turn(ls_comm *comm, void *data, size_t bytes, void (*work)(void *context, void *data),
                     void *context) {
  MPI_Request request;
  LS_ASSERT(bytes <= INT32_MAX);
  if (comm->rank > 0) {
    MPI_Irecv(data, (int)bytes, MPI_BYTE, comm->rank - 1, TURN_TAG, comm->world, &request);
    comm_await(&request);
  }
  work(context, data);
  if (comm->rank + 1 < comm->size) {
    MPI_Isend(data, (int)bytes, MPI_BYTE, comm->rank + 1, TURN_TAG, comm->world, &request);
    comm_await(&request);
  }
}

/* NOLINTEND(clang-analyzer-optin.mpi.MPI-Checker) */
