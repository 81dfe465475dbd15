/* Groups of ranks with a communicator of their own. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

ls_status ls_comm_split(ls_comm *comm, int group, ls_comm **out) {
  ls_comm *const part = ls_calloc(1, sizeof *part);
  *out = NULL;
  const ls_status status =
      ls_comm_agree(comm, part ? LS_OK : ls_fail_memory("a communicator", sizeof *part));
  if (status != LS_OK) {
    free(part);
    return status;
  }
  LS_ASSERT(part);
  COMM_WAIT(MPI_Comm_split(comm->world, group >= 0 ? group : MPI_UNDEFINED, comm->rank, &part->world));
  if (part->world == MPI_COMM_NULL) {
    free(part);
    return LS_OK;
  }
  MPI_Comm_rank(part->world, &part->rank);
  MPI_Comm_size(part->world, &part->size);
  comm_find_node(part);
  part->node_all = comm->node_all;
  part->timeout = comm->timeout;
  part->threads = comm->threads;
  part->cores_missing = comm->cores_missing;
  memcpy(part->library, comm->library, sizeof part->library);
  *out = part;
  return LS_OK;
}

void ls_comm_split_destroy(ls_comm **part) {
  if (!*part) return;
  comm_free(*part);
  *part = NULL;
}

int ls_comm_node_all(const ls_comm *comm) {
  return comm->node_all;
}
