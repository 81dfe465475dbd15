/* Keeps shared libraries in memory.
 *
 * MPI_Finalize of Open MPI unloads its plugins and the libraries that they use, such as PMIx. A thread of
 * these libraries that has not ended then runs code that is no longer mapped, and the process ends with
 * SIGSEGV after its work is done: about once in 1,000 runs on a busy machine. */
#include "internal.h"

#include <dlfcn.h>
#include <link.h>

#define LIBRARIES 512

typedef struct library_list {
  const char *names[LIBRARIES]; /* borrowed from the loader */
  size_t n;
} library_list;

static int add_name(struct dl_phdr_info *info, size_t size, void *context) {
  library_list *const list = context;
  (void)size;
  if (info->dlpi_name[0] == '/' && list->n < LIBRARIES) list->names[list->n++] = info->dlpi_name;
  return 0;
}

void comm_libraries_keep(void) {
  library_list list = {0};
  dl_iterate_phdr(add_name, &list); /* it holds the loader's lock: dlopen comes after it */
  for (size_t i = 0; i < list.n; i++) (void)dlopen(list.names[i], RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
}
