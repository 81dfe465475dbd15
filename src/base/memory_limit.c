/* The memory that the processes of a node may use together. */
#include "lockstep/base.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GROUPS "/sys/fs/cgroup"

static void apply(ls_memory *limit, size_t bytes, const char *source) {
  if (bytes < limit->bytes) *limit = (ls_memory){.bytes = bytes, .source = source};
}

/* The number in the first line of a file; SIZE_MAX if there is none, as in "max". */
static size_t read_number(const char *path) {
  char line[64] = "";
  char *end = line;
  FILE *const file = fopen(path, "r");
  if (!file) return SIZE_MAX;
  if (!fgets(line, sizeof line, file)) line[0] = '\0';
  fclose(file);
  const unsigned long long number = strtoull(line, &end, 10);
  return end == line ? SIZE_MAX : number;
}

/* Applies the limits of a control group and of those above it. A container may not show its own group, but
 * then has its limits at the top. */
static void apply_groups(ls_memory *limit, const char *root, const char *folder, char *group,
                         const char *name) {
  char path[PATH_MAX];
  for (;;) {
    snprintf(path, sizeof path, "%s%s%s/%s", root, folder, group, name);
    apply(limit, read_number(path), "limit of the control group");
    char *const slash = strrchr(group, '/');
    if (!slash) return;
    *slash = '\0';
  }
}

/* Applies the limits of the control groups of this process, "0::GROUP" or "N:CONTROLLERS:GROUP". */
static void apply_control_groups(ls_memory *limit, const char *root) {
  char path[PATH_MAX];
  char line[PATH_MAX];
  snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
  FILE *const file = fopen(path, "r");
  while (file && fgets(line, sizeof line, file)) {
    line[strcspn(line, "\n")] = '\0';
    char *const controllers = strchr(line, ':');
    char *const group = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!group) continue;
    *group = '\0';
    if (strcmp(controllers + 1, "") == 0) apply_groups(limit, root, GROUPS, group + 1, "memory.max");
    if (strstr(controllers + 1, "memory"))
      apply_groups(limit, root, GROUPS "/memory", group + 1, "memory.limit_in_bytes");
  }
  if (file) fclose(file);
}

/* A positive number of a variable; 0 if there is none. */
static size_t variable(const char *name) {
  const char *const text = getenv(name);
  const long long number = text ? strtoll(text, NULL, 10) : 0;
  return number > 0 ? (size_t)number : 0;
}

/* Applies the memory that Slurm has allocated to the job on this node, in MiB. */
static void apply_job(ls_memory *limit) {
  size_t bytes = 0;
  const size_t per_node = variable("SLURM_MEM_PER_NODE");
  const size_t per_core = variable("SLURM_MEM_PER_CPU");
  const size_t cores = variable("SLURM_CPUS_ON_NODE");
  if (per_node > 0 && ls_size_mul(per_node, (size_t)1 << 20, &bytes))
    apply(limit, bytes, "SLURM_MEM_PER_NODE");
  if (per_core > 0 && cores > 0 && ls_size_mul(per_core, cores, &bytes) &&
      ls_size_mul(bytes, (size_t)1 << 20, &bytes))
    apply(limit, bytes, "SLURM_MEM_PER_CPU");
}

ls_memory ls_memory_limit(const char *root) {
  const long pages = sysconf(_SC_PHYS_PAGES);
  const long page = sysconf(_SC_PAGESIZE);
  size_t bytes = 0;
  ls_memory limit = {.bytes = SIZE_MAX, .source = "unknown"};
  if (pages > 0 && page > 0 && ls_size_mul((size_t)pages, (size_t)page, &bytes))
    apply(&limit, bytes, "memory of the machine");
  apply_control_groups(&limit, root);
  apply_job(&limit);
  return limit;
}
