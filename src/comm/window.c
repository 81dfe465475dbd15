/* Shared memory windows of a node. */
#include "internal.h"

#include <sys/statvfs.h>

size_t ls_comm_shared_memory(void) {
  struct statvfs info;
  return statvfs("/dev/shm", &info) == 0 ? info.f_bavail * info.f_frsize : 0;
}

bool comm_shared_memory_has(size_t bytes) {
  return (double)bytes + 1e6 < (double)ls_comm_shared_memory();
}

void *comm_window_allocate(ls_comm *comm, size_t bytes, MPI_Win *window) {
  void *data = NULL;
  MPI_Aint size = comm->node_rank == 0 ? (MPI_Aint)(bytes + LS_ALIGNMENT) : 0;
  int unit = 1;
  COMM_WAIT(MPI_Win_allocate_shared(size, 1, MPI_INFO_NULL, comm->node, &data, window));
  MPI_Win_shared_query(*window, 0, &size, &unit, &data);
  MPI_Win_lock_all(MPI_MODE_NOCHECK, *window);
  return (char *)data + (LS_ALIGNMENT - (uintptr_t)data % LS_ALIGNMENT) % LS_ALIGNMENT;
}

void comm_window_fence(MPI_Comm group, MPI_Win window) {
  if (window != MPI_WIN_NULL) MPI_Win_sync(window);
  comm_barrier(group);
  if (window != MPI_WIN_NULL) MPI_Win_sync(window);
}

void comm_window_free(MPI_Win *window) {
  comm_set_waiting(true);
  MPI_Win_unlock_all(*window);
  MPI_Win_free(window);
  comm_set_waiting(false);
}
