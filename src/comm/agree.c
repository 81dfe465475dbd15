/* Agreement on the outcome of local work. */
#include "internal.h"

/* Collective. Copies the message of rank `owner`, preceded by its rank and host, to all ranks. */
static void broadcast_message(ls_comm *comm, ls_status status, int owner) {
  char text[LS_MESSAGE_MAX] = "";
  if (comm->rank == owner) {
    char host[MPI_MAX_PROCESSOR_NAME] = "";
    int length = 0;
    MPI_Get_processor_name(host, &length);
    if (owner == 0)
      snprintf(text, sizeof text, "%s", ls_message());
    else
      snprintf(text, sizeof text, "rank %d on %s: %.*s", owner, host, LS_MESSAGE_MAX - 512, ls_message());
  }
  COMM_WAIT(MPI_Bcast(text, (int)sizeof text, MPI_CHAR, owner, comm->world));
  (void)ls_fail(status, "%s", text);
}

ls_status ls_comm_agree(ls_comm *comm, ls_status mine) {
  struct {
    int status, rank;
  } local = {.status = (int)mine, .rank = comm->rank}, worst = {0, 0};
  MPI_Request request;
  MPI_Iallreduce(&local, &worst, 1, MPI_2INT, MPI_MAXLOC, comm->world, &request);
  comm_await(&request);
  /* NOLINTNEXTLINE(clang-analyzer-optin.mpi.MPI-Checker): comm_await has waited for it */
  const ls_status status = (ls_status)worst.status;
  if (status != LS_OK) broadcast_message(comm, status, worst.rank);
  return status;
}
