/* Memory of which each node holds one copy. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

bool comm_shared_memory_has(size_t bytes) {
  struct statvfs info;
  if (statvfs("/dev/shm", &info) != 0) return false;
  const double room = (double)info.f_bavail * (double)info.f_frsize;
  return (double)bytes + 1e6 < room;
}

/* Collective over the node: what its first rank finds goes for all its ranks. */
static bool node_can_share(ls_comm *comm, size_t bytes) {
  int can = comm->node_size > 1 && bytes > 0 && (comm->node_rank != 0 || comm_shared_memory_has(bytes));
  comm_waits(true);
  MPI_Bcast(&can, 1, MPI_INT, 0, comm->node);
  comm_waits(false);
  return can != 0;
}

/* Where a rank's part of n begins that the node's ranks share out; the first ones have one more. */
static size_t part_begin(const ls_comm *comm, size_t n, int node_rank) {
  const size_t r = (size_t)node_rank;
  const size_t size = (size_t)comm->node_size;
  return n / size * r + ls_size_min(n % size, r);
}

static void node_part(const ls_comm *comm, size_t n, size_t *first, size_t *count) {
  *first = part_begin(comm, n, comm->node_rank);
  *count = part_begin(comm, n, comm->node_rank + 1) - *first;
}

/* Collective over the node. Each rank zeroes a part, which takes the room now, so that the next check sees
 * it gone. */
static void zero_window(ls_comm *comm, void *data, size_t bytes, MPI_Win window) {
  size_t first = 0;
  size_t count = 0;
  node_part(comm, bytes, &first, &count);
  for (size_t at = 0; at < count; at += LS_HEARTBEAT_BYTES) {
    memset((unsigned char *)data + first + at, 0, ls_size_min(LS_HEARTBEAT_BYTES, count - at));
    ls_heartbeat();
  }
  comm_window_fence(comm->node, window);
}

void *comm_window_allocate(ls_comm *comm, size_t bytes, MPI_Win *window) {
  void *data = NULL;
  MPI_Aint size = comm->node_rank == 0 ? (MPI_Aint)bytes : 0;
  int unit = 1;
  comm_waits(true);
  MPI_Win_allocate_shared(size, 1, MPI_INFO_NULL, comm->node, &data, window);
  comm_waits(false);
  MPI_Win_shared_query(*window, 0, &size, &unit, &data);
  MPI_Win_lock_all(MPI_MODE_NOCHECK, *window);
  return data;
}

void comm_window_fence(MPI_Comm group, MPI_Win window) {
  comm_waits(true);
  if (window != MPI_WIN_NULL) MPI_Win_sync(window);
  MPI_Barrier(group);
  if (window != MPI_WIN_NULL) MPI_Win_sync(window);
  comm_waits(false);
}

void comm_window_free(MPI_Win *window) {
  comm_waits(true);
  MPI_Win_unlock_all(*window);
  MPI_Win_free(window);
  comm_waits(false);
}

ls_status ls_comm_shared_create(ls_comm *comm, size_t bytes, ls_shared *out) {
  const bool share = node_can_share(comm, bytes);
  *out = (ls_shared){.bytes = bytes, .is_private = !share};
  MPI_Win *window = NULL;
  if (share)
    window = malloc(sizeof *window);
  else
    out->data = ls_calloc(bytes, 1);
  const bool failed = share ? !window : !out->data;
  ls_status status = ls_comm_agree(comm, failed ? ls_fail_memory("the data set", bytes) : LS_OK);
  if (status != LS_OK) {
    free(window);
    free(out->data);
    *out = (ls_shared){0};
    return status;
  }
  if (share) {
    out->data = comm_window_allocate(comm, bytes, window);
    zero_window(comm, out->data, bytes, *window);
    out->window = window;
  }
  uint64_t copies = !share && comm->node_size > 1 && bytes > 0;
  ls_comm_sum_u64(comm, &copies, 1);
  if (copies > 0)
    ls_log(
        LS_LOG_WARNING,
        "/dev/shm is too small for %.1f MB of data: %llu ranks hold a private copy each (enlarge /dev/shm "
        "to share one per node)",
        (double)bytes / 1e6, (unsigned long long)copies);
  return LS_OK;
}

void ls_comm_shared_part(const ls_comm *comm, const ls_shared *shared, size_t n, size_t *first,
                         size_t *count) {
  *first = *count = 0;
  if (shared->is_private && comm->rank == 0)
    *count = n;
  else if (!shared->is_private && comm->is_first_node)
    node_part(comm, n, first, count);
}

void ls_comm_shared_destroy(ls_comm *comm, ls_shared *shared) {
  (void)comm;
  if (shared->window) {
    MPI_Win *const window = shared->window;
    comm_window_free(window);
    free(window);
  } else {
    free(shared->data);
  }
  *shared = (ls_shared){0};
}
