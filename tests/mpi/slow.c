/* A slow disk: a library for LD_PRELOAD. While the file $TEST_SLOW exists, each read of a file that is
 * named part-* takes the number of seconds in it. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Whether a descriptor is that of a data file. */
static int is_data(int descriptor) {
  char link[64];
  char path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  const ssize_t n = readlink(link, path, sizeof path - 1);
  path[n > 0 ? n : 0] = '\0';
  return strstr(path, "/part-") != NULL;
}

static void wait_for_disk(int descriptor) {
  const char *const name = getenv("TEST_SLOW");
  FILE *const file = name ? fopen(name, "r") : NULL;
  char text[32] = "";
  if (!file) return;
  const double seconds = fgets(text, sizeof text, file) ? strtod(text, NULL) : 0.0;
  fclose(file);
  const struct timespec time = {.tv_sec = (time_t)seconds,
                                .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
  if (is_data(descriptor)) nanosleep(&time, NULL);
}

/* The symbol is pread64, as files may be large. */
ssize_t pread(int descriptor, void *buffer, size_t bytes, off_t at) {
  ssize_t (*next)(int, void *, size_t, off_t) = NULL;
  *(void **)&next = dlsym(RTLD_NEXT, "pread64");
  wait_for_disk(descriptor);
  return next(descriptor, buffer, bytes, at);
}
