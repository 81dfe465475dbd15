/* Sums, gatherings and broadcasts of arrays of any length. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define BROADCAST ((size_t)1 << 22) /* bytes at a time */

void comm_sum(MPI_Comm group, unsigned char *x, size_t n, size_t size, MPI_Datatype type) {
  comm_waits(true);
  while (n > 0) {
    const int piece = next_piece(n);
    MPI_Allreduce(MPI_IN_PLACE, x, piece, type, MPI_SUM, group);
    x += (size_t)piece * size;
    n -= (size_t)piece;
  }
  comm_waits(false);
}

void ls_comm_sum_f32(ls_comm *comm, float *x, size_t n) {
  if (comm->size > 1) comm_sum(comm->world, (unsigned char *)x, n, sizeof *x, MPI_FLOAT);
}

void ls_comm_sum_f64(ls_comm *comm, double *x, size_t n) {
  if (comm->size > 1) comm_sum(comm->world, (unsigned char *)x, n, sizeof *x, MPI_DOUBLE);
}

void ls_comm_sum_u64(ls_comm *comm, uint64_t *x, size_t n) {
  if (comm->size > 1) comm_sum(comm->world, (unsigned char *)x, n, sizeof *x, MPI_UINT64_T);
}

/* Rank 0 takes an array of any length, piece by piece; returns how long it was. */
static size_t receive(const ls_comm *comm, int from, float *x) {
  uint64_t n = 0;
  MPI_Recv(&n, 1, MPI_UINT64_T, from, 0, comm->world, MPI_STATUS_IGNORE);
  for (size_t done = 0; done < n; done += (size_t)next_piece(n - done))
    MPI_Recv(x + done, next_piece(n - done), MPI_FLOAT, from, 0, comm->world, MPI_STATUS_IGNORE);
  return n;
}

/* Waits until it is taken, so that nothing piles up before rank 0. */
static void send(const ls_comm *comm, const float *x, uint64_t n) {
  MPI_Send(&n, 1, MPI_UINT64_T, 0, 0, comm->world);
  for (size_t done = 0; done < n; done += (size_t)next_piece(n - done))
    MPI_Ssend(x + done, next_piece(n - done), MPI_FLOAT, 0, 0, comm->world);
}

void ls_comm_gather_f32(ls_comm *comm, const float *x, size_t n, float *all) {
  if (comm->rank == 0 && n > 0) memcpy(all, x, n * sizeof *x);
  for (int from = 1; from < comm->size; from++) {
    comm_waits(true);
    if (comm->rank == 0) n += receive(comm, from, all + n);
    if (comm->rank == from) send(comm, x, n);
    comm_waits(false);
  }
}

/* In pieces whose ends are beats: a whole data set may take long. */
static void broadcast(MPI_Comm group, unsigned char *data, size_t bytes) {
  while (bytes > 0) {
    const size_t piece = ls_size_min(bytes, BROADCAST);
    comm_waits(true);
    MPI_Bcast(data, (int)piece, MPI_BYTE, 0, group);
    comm_waits(false);
    data += piece;
    bytes -= piece;
  }
}

void ls_comm_broadcast(ls_comm *comm, void *data, size_t bytes) {
  broadcast(comm->world, data, bytes);
}

ls_status ls_comm_broadcast_text(ls_comm *comm, char **text) {
  uint64_t bytes = comm->rank == 0 && *text ? strlen(*text) + 1 : 0;
  ls_comm_broadcast(comm, &bytes, sizeof bytes);
  if (comm->rank != 0) *text = bytes > 0 ? malloc(bytes) : NULL;
  const bool short_of_memory = bytes > 0 && !*text;
  const ls_status status = ls_comm_agree(comm, short_of_memory ? ls_fail_memory("a text", bytes) : LS_OK);
  if (status == LS_OK) ls_comm_broadcast(comm, *text, bytes);
  return status;
}

bool ls_comm_all_equal(ls_comm *comm, uint64_t low, uint64_t high) {
  /* All equal exactly where the bits set anywhere are the bits set everywhere. */
  const uint64_t mine[2] = {low, high};
  uint64_t all[2];
  uint64_t any[2];
  comm_waits(true);
  MPI_Allreduce(mine, all, 2, MPI_UINT64_T, MPI_BAND, comm->world);
  MPI_Allreduce(mine, any, 2, MPI_UINT64_T, MPI_BOR, comm->world);
  comm_waits(false);
  return all[0] == any[0] && all[1] == any[1];
}

void ls_comm_barrier(ls_comm *comm) {
  MPI_Request request;
  MPI_Ibarrier(comm->world, &request);
  comm_await(comm, &request);
}

/* Collective. From here on every rank sees what any has written. */
static void settle(ls_comm *comm, const ls_shared *shared) {
  comm_window_fence(comm->world, shared->window ? *(MPI_Win *)shared->window : MPI_WIN_NULL);
}

/* Rank 0's copy to one rank of each node, or to all ranks of a node whose copies are private. */
void ls_comm_shared_spread(ls_comm *comm, ls_shared *shared) {
  const bool holds_copy = shared->is_private || comm->node_rank == 0;
  MPI_Comm holders = MPI_COMM_NULL;
  settle(comm, shared);
  comm_waits(true);
  MPI_Comm_split(comm->world, holds_copy ? 0 : MPI_UNDEFINED, comm->rank, &holders);
  comm_waits(false);
  if (holders != MPI_COMM_NULL) {
    broadcast(holders, shared->data, shared->bytes);
    comm_waits(true);
    MPI_Comm_free(&holders);
    comm_waits(false);
  }
  settle(comm, shared);
}
