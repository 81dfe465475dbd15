/* Shared memory windows of a node: files in /dev/shm, which lose their names as soon as all ranks have
 * mapped them. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

size_t ls_comm_shared_memory(void) {
  struct statvfs info;
  return statvfs("/dev/shm", &info) == 0 ? info.f_bavail * info.f_frsize : 0;
}

bool comm_shared_memory_has(size_t bytes) {
  return (double)bytes + 1e6 < (double)ls_comm_shared_memory();
}

#define NAME 64 /* bytes of a name */

/* Local, on the first rank of a node. Creates a file under a new name; "": not possible. Returns its
 * descriptor. */
static int create_file(size_t bytes, char name[NAME]) {
  snprintf(name, NAME, "/lockstep-%ld-%llx", (long)getpid(), (unsigned long long)(ls_clock() * 1e9));
  int fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
  if (fd >= 0 && ftruncate(fd, (off_t)bytes) != 0) {
    (void)close(fd);
    (void)shm_unlink(name);
    fd = -1;
  }
  if (fd < 0) name[0] = '\0';
  return fd;
}

/* Local. Maps the file, aligned to huge pages. */
static bool map_file(comm_window *window, size_t bytes) {
  const size_t all = bytes + COMM_HUGE_PAGE;
  unsigned char *const space =
      mmap(NULL, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (space == MAP_FAILED) return false;
  window->space = space;
  window->bytes = all;
  window->data = space + (COMM_HUGE_PAGE - (uintptr_t)space % COMM_HUGE_PAGE) % COMM_HUGE_PAGE;
  return mmap(window->data, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, window->fd, 0) !=
         MAP_FAILED;
}

bool comm_window_create(ls_comm *comm, size_t bytes, comm_window *window) {
  char name[NAME] = "";
  const bool is_first = comm->node_rank == 0;
  *window = (comm_window){.fd = is_first ? create_file(bytes, name) : -1};
  COMM_WAIT(MPI_Bcast(name, NAME, MPI_CHAR, 0, comm->node));
  if (!is_first && name[0]) window->fd = shm_open(name, O_RDWR, 0);
  int is_mapped = window->fd >= 0 && map_file(window, bytes);
  const bool is_refused = !is_mapped && (is_first || name[0]);
  COMM_WAIT(MPI_Allreduce(MPI_IN_PLACE, &is_mapped, 1, MPI_INT, MPI_MIN, comm->node));
  if (is_first && name[0]) (void)shm_unlink(name);
  if (!is_mapped) comm_window_destroy(window);
  window->is_refused = is_refused;
  return is_mapped != 0;
}

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* from Linux 6.1 on; others reject it */
#endif

/* Local. Puts the whole huge pages within a part of a window on huge pages, if the system has any. */
static void collapse(unsigned char *part, size_t bytes) {
  const size_t before = (COMM_HUGE_PAGE - (uintptr_t)part % COMM_HUGE_PAGE) % COMM_HUGE_PAGE;
  if (bytes < before + COMM_HUGE_PAGE) return;
  (void)madvise(part + before, (bytes - before) / COMM_HUGE_PAGE * COMM_HUGE_PAGE, MADV_COLLAPSE);
}

/* Local. Allocates a part of the file. A signal may interrupt the call. A file system that is not in memory
 * may not have it. */
static bool allocate(int fd, size_t first, size_t bytes) {
  int result = 0;
  do result = fallocate(fd, 0, (off_t)first, (off_t)bytes);
  while (result != 0 && errno == EINTR);
  if (result != 0 && (errno == EOPNOTSUPP || errno == ENOSYS))
    result = posix_fallocate(fd, (off_t)first, (off_t)bytes);
  return result == 0;
}

bool comm_window_reserve(const comm_window *window, size_t first, size_t bytes) {
  for (size_t at = 0; at < bytes; at += LS_HEARTBEAT_BYTES) {
    const size_t part = ls_size_min(LS_HEARTBEAT_BYTES, bytes - at);
    collapse(window->data + first + at, part);
    if (!allocate(window->fd, first + at, part)) return false;
    ls_heartbeat();
  }
  return true;
}

void comm_window_fence(MPI_Comm group) {
  atomic_thread_fence(memory_order_seq_cst);
  comm_barrier(group);
  atomic_thread_fence(memory_order_seq_cst);
}

void comm_window_destroy(comm_window *window) {
  if (window->space) (void)munmap(window->space, window->bytes);
  if (window->fd >= 0) (void)close(window->fd);
  *window = (comm_window){.fd = -1};
}
