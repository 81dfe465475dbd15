/* The board: shared memory through which the watchdogs of a node see each other's ranks. */
#include "internal.h"

#include <stddef.h>
#include <string.h>
#include <unistd.h>

/* Collective over the first ranks of the nodes. */
static void name_other_hosts(const ls_comm *comm, char *text, size_t size) {
  enum { NODES_MAX = 16, NAME = 64 };
  char names[NODES_MAX * NAME];
  char mine[NAME] = "";
  int n_nodes = 0;
  int own = 0;
  MPI_Comm_size(comm->leaders, &n_nodes);
  MPI_Comm_rank(comm->leaders, &own);
  if (n_nodes > NODES_MAX) snprintf(text, size, "the other hosts");
  if (n_nodes > NODES_MAX) return;
  gethostname(mine, sizeof mine - 1);
  MPI_Allgather(mine, NAME, MPI_CHAR, names, NAME, MPI_CHAR, comm->leaders);
  text[0] = '\0';
  for (int i = 0; i < n_nodes; i++)
    if (i != own) ls_append(text, size, "%s%s", text[0] ? ", " : "", names + (ptrdiff_t)i * NAME);
}

/* Collective over the node. Ends all ranks if there is no memory; the rank that cannot get it reports that.
 */
static void create_window(ls_comm *comm, size_t bytes) {
  comm_window *const window = &comm->board_window;
  const bool is_mapped = comm_window_create(comm, bytes, window);
  const bool is_reserved = comm->node_rank != 0 || !is_mapped || comm_window_reserve(window, 0, bytes);
  if (window->is_refused || !is_reserved)
    comm_fail("cannot start the ranks of this host: cannot create a small file in /dev/shm; check its free "
              "space and permissions");
  comm_window_fence(comm->node);
}

void comm_board_create(ls_comm *comm) {
  const size_t bytes = sizeof *comm->board + (size_t)comm->node_size * sizeof(comm_slot);
  create_window(comm, bytes);
  comm->board = (comm_board *)(void *)comm->board_window.data;
  if (comm->node_rank == 0) {
    memset(comm->board, 0, sizeof *comm->board);
    if (comm->leaders != MPI_COMM_NULL)
      name_other_hosts(comm, comm->board->other_hosts, sizeof comm->board->other_hosts);
  }
  comm_slot *const mine = &comm->board->slots[comm->node_rank];
  memset(mine, 0, sizeof *mine);
  mine->rank = comm->rank;
  mine->pid = (long)getpid();
  comm_window_fence(comm->node);
  comm_watchdog_attach(comm, comm->board);
}

void comm_board_destroy(ls_comm *comm) {
  if (!comm->board) return;
  comm_watchdog_attach(comm, NULL);
  comm->board = NULL;
  comm_window_destroy(&comm->board_window);
}
