/* Preloaded into sanitized programs: what was loaded stays, so that the search for leaks at the end, and
 * its report, can tell whose code allocated. */
#include <dlfcn.h>

int dlclose(void *handle) {
  (void)handle;
  return 0;
}
