/* Several nodes on one machine: a library for LD_PRELOAD that divides the ranks into nodes of the sizes in
 * $TEST_NODES, such as 2,1; the last size holds for all further nodes. Each node has its own shared memory
 * and watchdog's board, and the nodes exchange messages as real ones do. */
#include <mpi.h>
#include <stdlib.h>

/* The node of a rank. */
static int node_of(const char *sizes, int rank) {
  char *rest = NULL;
  int node = 0;
  long size = strtol(sizes, &rest, 10);
  for (long first = 0; rank >= first + size && size > 0; node++) {
    first += size;
    if (*rest == ',') size = strtol(rest + 1, &rest, 10);
  }
  return node;
}

int MPI_Comm_split_type(MPI_Comm comm, int type, int key, MPI_Info info, MPI_Comm *out) {
  const char *const sizes = getenv("TEST_NODES");
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  if (!sizes) return PMPI_Comm_split_type(comm, type, key, info, out);
  return MPI_Comm_split(comm, node_of(sizes, rank), key, out);
}
