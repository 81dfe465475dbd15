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

/* Number, from 1, of the field of /proc/self/stat with the start of the process in clock ticks since boot.
 */
#define STAT_START 22

/* The text after the second field, the program's name in parentheses, which may contain any character. */
static const char *after_name(const char *line) {
  const char *const end = strrchr(line, ')');
  return end ? end + 1 : "";
}

double ls_clock_process(void) {
  char line[1024] = "";
  struct timespec now;
  FILE *const file = fopen("/proc/self/stat", "r");
  if (!file) return -1.0;
  const char *field = fgets(line, sizeof line, file) ? after_name(line) : "";
  fclose(file);
  for (int i = 3; i < STAT_START && field && *field; i++) field = strchr(field + 1, ' ');
  if (!field || !*field) return -1.0;
  clock_gettime(CLOCK_BOOTTIME, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec -
         strtod(field, NULL) / (double)sysconf(_SC_CLK_TCK);
}
