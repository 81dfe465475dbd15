/* Clocks. */
#include "lockstep/base.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

double ls_clock(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

#define STAT_START 22 /* field of /proc/self/stat: start of the process, in clock ticks since boot */

double ls_clock_process(void) {
  char line[1024] = "";
  struct timespec now;
  FILE *const file = fopen("/proc/self/stat", "r");
  if (!file) return -1.0;
  /* Field 2, the name of the program in parentheses, may contain any character. */
  const char *field = fgets(line, sizeof line, file) ? strrchr(line, ')') : NULL;
  fclose(file);
  for (int i = 2; i < STAT_START && field; i++) field = strchr(field + 1, ' ');
  if (!field) return -1.0;
  clock_gettime(CLOCK_BOOTTIME, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec -
         strtod(field, NULL) / (double)sysconf(_SC_CLK_TCK);
}
