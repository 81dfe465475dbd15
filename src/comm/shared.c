/* Memory of which each node holds one copy. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* Collective over the node. Its first rank decides. */
static bool node_can_share(ls_comm *comm, size_t bytes) {
  int can = comm->node_size > 1 && bytes > 0 && (comm->node_rank != 0 || comm_shared_memory_has(bytes));
  COMM_WAIT(MPI_Bcast(&can, 1, MPI_INT, 0, comm->node));
  return can != 0;
}

/* The start of a rank's part of n units, divided among the ranks of the node; the first parts may have one
 * unit more. */
static size_t part_begin(const ls_comm *comm, size_t n, int node_rank) {
  const size_t r = (size_t)node_rank;
  const size_t size = (size_t)comm->node_size;
  return n / size * r + ls_size_min(n % size, r);
}

static void node_part(const ls_comm *comm, size_t n, size_t *first, size_t *count) {
  *first = part_begin(comm, n, comm->node_rank);
  *count = part_begin(comm, n, comm->node_rank + 1) - *first;
}

/* Collective over the node. Each rank allocates a part now, so that the next check of the free space counts
 * it. */
static ls_status share_window(ls_comm *comm, size_t bytes, comm_window *window) {
  size_t first = 0;
  size_t count = 0;
  node_part(comm, bytes, &first, &count);
  if (comm_window_create(comm, bytes, window) && comm_window_reserve(window, first, count)) return LS_OK;
  return ls_fail(LS_ERR_INTERNAL, "cannot create a file of %.1f MB in /dev/shm; free some of it",
                 (double)bytes / 1e6);
}

/* Local. Whether the node has memory for its copies. */
static ls_status check_memory(size_t bytes, int copies) {
  const ls_memory limit = ls_memory_limit("");
  if (bytes <= limit.bytes / (size_t)copies) return LS_OK;
  return ls_fail(
      LS_ERR_DATA,
      "%.1f MB of data in %d cop%s exceed the memory of this node, %.1f MB (%s); use smaller data "
      "or a node with more memory%s",
      (double)bytes / 1e6, copies, copies == 1 ? "y" : "ies", (double)limit.bytes / 1e6, limit.source,
      copies == 1 ? "" : ", or enlarge /dev/shm to hold one copy per node");
}

/* Collective. `share`: the same on all ranks of a node. */
static ls_status create(ls_comm *comm, size_t bytes, bool share, ls_shared *out) {
  *out = (ls_shared){0};
  LS_TRY(ls_comm_agree(comm, check_memory(bytes, share ? 1 : comm->node_size)));
  void *const memory = share ? ls_calloc(1, sizeof(comm_window)) : ls_calloc(bytes, 1);
  ls_status status = ls_comm_agree(comm, memory ? LS_OK : ls_fail_memory("a dataset", bytes));
  if (status != LS_OK) {
    free(memory);
    return status;
  }
  *out = (ls_shared){.data = memory, .bytes = bytes, .is_private = !share};
  if (share) {
    out->window = memory;
    status = share_window(comm, bytes, memory);
    out->data = ((const comm_window *)memory)->data;
  }
  status = ls_comm_agree(comm, status);
  if (status == LS_OK) return LS_OK;
  if (share) comm_window_destroy(memory);
  free(memory);
  *out = (ls_shared){0};
  return status;
}

ls_status ls_comm_shared_create(ls_comm *comm, size_t bytes, ls_shared *out) {
  bool share = node_can_share(comm, bytes);
  ls_status status = create(comm, bytes, share, out);
  if (status == LS_ERR_INTERNAL) { /* another program may have filled /dev/shm meanwhile */
    share = false;
    status = create(comm, bytes, share, out);
  }
  if (status != LS_OK) return status;
  uint64_t copies = !share && comm->node_size > 1 && bytes > 0;
  ls_comm_sum_u64(comm, &copies, 1);
  if (copies > 0)
    ls_log(
        LS_LOG_WARNING,
        "/dev/shm is too small for %.1f MB of data: %llu ranks hold a private copy each; enlarge /dev/shm "
        "to hold one copy per node",
        (double)bytes / 1e6, (unsigned long long)copies);
  return LS_OK;
}

ls_status ls_comm_groups(ls_comm *comm, bool shares, size_t bytes, int *groups, int *n_groups) {
  const size_t size = (size_t)comm->size;
  uint64_t *const firsts = ls_calloc(size, sizeof *firsts); /* ranks of the groups */
  const bool shares_node = shares && (bytes > 0 ? node_can_share(comm, bytes) : comm->node_size > 1);
  LS_TRY(ls_comm_agree(comm, firsts ? LS_OK : ls_fail_memory("groups of ranks", size * sizeof *firsts)));
  LS_ASSERT(firsts);
  firsts[comm->rank] = (uint64_t)(shares_node ? comm->node_first : comm->rank);
  ls_comm_sum_u64(comm, firsts, size);
  *n_groups = 0;
  for (size_t r = 0; r < size; r++) groups[r] = firsts[r] == r ? (*n_groups)++ : groups[firsts[r]];
  free(firsts);
  return LS_OK;
}

ls_status ls_comm_shared_create_group(ls_comm *comm, size_t bytes, const int *groups, ls_shared *out) {
  int members = 0;
  for (int r = 0; r < comm->size; r++) members += groups[r] == groups[comm->rank];
  return create(comm, bytes, members > 1 && bytes > 0, out);
}

void ls_comm_shared_part(const ls_comm *comm, const ls_shared *shared, size_t n, size_t *first,
                         size_t *count) {
  *first = *count = 0;
  if (shared->is_private && comm->rank == 0)
    *count = n;
  else if (!shared->is_private && comm->node_first == 0)
    node_part(comm, n, first, count);
}

void ls_comm_shared_fence(ls_comm *comm) {
  comm_window_fence(comm->world);
}

void ls_comm_shared_broadcast(ls_comm *comm, ls_shared *shared) {
  const bool holds_copy = shared->is_private || comm->node_rank == 0;
  MPI_Comm holders = MPI_COMM_NULL;
  ls_comm_shared_fence(comm);
  COMM_WAIT(MPI_Comm_split(comm->world, holds_copy ? 0 : MPI_UNDEFINED, comm->rank, &holders));
  if (holders != MPI_COMM_NULL) {
    comm_broadcast(holders, shared->data, shared->bytes);
    COMM_WAIT(MPI_Comm_free(&holders));
  }
  ls_comm_shared_fence(comm);
}

void ls_comm_shared_destroy(ls_comm *comm, ls_shared *shared) {
  (void)comm;
  if (shared->window) comm_window_destroy(shared->window);
  free(shared->window ? shared->window : shared->data);
  *shared = (ls_shared){0};
}
