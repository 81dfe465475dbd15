/* Ending all ranks. */
#include "internal.h"

#include <stdlib.h>
#include <unistd.h>

void comm_abort(void) {
  /* Only the first thread may call MPI. The launcher ends the other ranks after _exit. */
  if (gettid() != getpid()) _exit(LS_ERR_INTERNAL);
  MPI_Abort(MPI_COMM_WORLD, LS_ERR_INTERNAL);
}

_Noreturn void comm_fail(const char *message) {
  ls_log_fatal("%s", message);
  comm_abort();
  exit(LS_ERR_INTERNAL);
}

void *comm_calloc(size_t count, size_t size) {
  void *const memory = ls_calloc(count, size);
  if (!memory) comm_fail("out of memory while starting the ranks");
  return memory;
}
