/* Sums, gathers and broadcasts of arrays of any length. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define BROADCAST_BYTES ((size_t)1 << 22) /* of a piece */

void comm_combine(MPI_Comm group, unsigned char *x, size_t n, size_t size, MPI_Datatype type, MPI_Op op) {
  comm_set_waiting(true);
  while (n > 0) {
    const int piece = next_piece(n);
    MPI_Allreduce(MPI_IN_PLACE, x, piece, type, op, group);
    x += (size_t)piece * size;
    n -= (size_t)piece;
  }
  comm_set_waiting(false);
}

void ls_comm_sum_f32(ls_comm *comm, float *x, size_t n) {
  comm_meet(comm);
  if (comm->size > 1) comm_combine(comm->world, (unsigned char *)x, n, sizeof *x, MPI_FLOAT, MPI_SUM);
}

void ls_comm_sum_f64(ls_comm *comm, double *x, size_t n) {
  comm_meet(comm);
  if (comm->size > 1) comm_combine(comm->world, (unsigned char *)x, n, sizeof *x, MPI_DOUBLE, MPI_SUM);
}

void ls_comm_max_f64(ls_comm *comm, double *x, size_t n) {
  comm_meet(comm);
  if (comm->size > 1) comm_combine(comm->world, (unsigned char *)x, n, sizeof *x, MPI_DOUBLE, MPI_MAX);
}

void ls_comm_sum_u64(ls_comm *comm, uint64_t *x, size_t n) {
  comm_meet(comm);
  if (comm->size > 1) comm_combine(comm->world, (unsigned char *)x, n, sizeof *x, MPI_UINT64_T, MPI_SUM);
}

void ls_comm_node_sum_u64(ls_comm *comm, uint64_t *x, size_t n) {
  comm_meet(comm);
  if (comm->node_size > 1)
    comm_combine(comm->node, (unsigned char *)x, n, sizeof *x, MPI_UINT64_T, MPI_SUM);
}

/* NOLINTBEGIN(clang-analyzer-optin.mpi.MPI-Checker): comm_await waits for the requests */

/* Receives an array of any length, in pieces; returns its length. */
static size_t receive(const ls_comm *comm, int from, float *x) {
  uint64_t n = 0;
  MPI_Request request;
  MPI_Irecv(&n, 1, MPI_UINT64_T, from, 0, comm->world, &request);
  comm_await(&request);
  for (size_t done = 0; done < n; done += (size_t)next_piece(n - done)) {
    MPI_Irecv(x + done, next_piece(n - done), MPI_FLOAT, from, 0, comm->world, &request);
    comm_await(&request);
  }
  return n;
}

/* Waits until the array has been received, so that messages do not accumulate there. */
static void send(const ls_comm *comm, int to, const float *x, uint64_t n) {
  MPI_Request request;
  MPI_Isend(&n, 1, MPI_UINT64_T, to, 0, comm->world, &request);
  comm_await(&request);
  for (size_t done = 0; done < n; done += (size_t)next_piece(n - done)) {
    MPI_Issend(x + done, next_piece(n - done), MPI_FLOAT, to, 0, comm->world, &request);
    comm_await(&request);
  }
}

/* NOLINTEND(clang-analyzer-optin.mpi.MPI-Checker) */

void ls_comm_gather_f32(ls_comm *comm, const float *x, size_t n, int root, float *all) {
  size_t done = 0;
  for (int from = 0; from < comm->size; from++) {
    if (from == root && comm->rank == root && n > 0) memcpy(all + done, x, n * sizeof *x);
    if (from == root)
      done += n;
    else if (comm->rank == root)
      done += receive(comm, from, all + done);
    else if (comm->rank == from)
      send(comm, root, x, n);
  }
}

/* In pieces, each followed by a heartbeat: a whole dataset may take long. */
void comm_broadcast(MPI_Comm group, unsigned char *data, size_t bytes) {
  while (bytes > 0) {
    const size_t piece = ls_size_min(bytes, BROADCAST_BYTES);
    COMM_WAIT(MPI_Bcast(data, (int)piece, MPI_BYTE, 0, group));
    data += piece;
    bytes -= piece;
  }
}

/* Local. Whether the ranks of a node have the bytes at `data` in common. */
static bool is_common(const ls_comm *comm, const unsigned char *data) {
  const comm_common *c = comm->commons;
  while (c && !(data >= c->data && data < c->data + c->bytes)) c = c->next;
  return c != NULL;
}

void ls_comm_broadcast(ls_comm *comm, void *data, size_t bytes) {
  comm_meet(comm);
  if (!is_common(comm, data)) {
    comm_broadcast(comm->world, data, bytes);
    return;
  }
  if (comm->leaders != MPI_COMM_NULL) comm_broadcast(comm->leaders, data, bytes);
  comm_window_fence(comm->node);
}

ls_status ls_comm_broadcast_text(ls_comm *comm, char **text) {
  uint64_t bytes = comm->rank == 0 && *text ? strlen(*text) + 1 : 0;
  ls_comm_broadcast(comm, &bytes, sizeof bytes);
  if (comm->rank != 0) *text = bytes > 0 ? malloc(bytes) : NULL;
  const bool failed = bytes > 0 && !*text;
  const ls_status status = ls_comm_agree(comm, failed ? ls_fail_memory("a broadcast text", bytes) : LS_OK);
  if (status == LS_OK) ls_comm_broadcast(comm, *text, bytes);
  return status;
}

bool ls_comm_all_equal(ls_comm *comm, uint64_t low, uint64_t high) {
  /* All are equal if and only if the bits set on any rank are those set on all ranks. */
  const uint64_t mine[2] = {low, high};
  uint64_t all[2];
  uint64_t any[2];
  comm_meet(comm);
  comm_set_waiting(true);
  MPI_Allreduce(mine, all, 2, MPI_UINT64_T, MPI_BAND, comm->world);
  MPI_Allreduce(mine, any, 2, MPI_UINT64_T, MPI_BOR, comm->world);
  comm_set_waiting(false);
  return all[0] == any[0] && all[1] == any[1];
}

void ls_comm_barrier(ls_comm *comm) {
  comm_barrier(comm->world);
}
