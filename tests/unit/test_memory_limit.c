/* The memory that a node may use: control groups of version 1 and 2, and Slurm jobs. */
#include "support.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "lockstep/base.h"

static char root[64];

/* Writes a file below the root, with its folders. */
static void put(const char *path, const char *text) {
  char name[256];
  snprintf(name, sizeof name, "%s%s", root, path);
  for (char *slash = strchr(name + strlen(root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
    *slash = '\0';
    mkdir(name, 0700);
    *slash = '/';
  }
  FILE *const file = fopen(name, "w");
  assert_non_null(file);
  fputs(text, file);
  fclose(file);
}

static int create(void **state) {
  (void)state;
  snprintf(root, sizeof root, "/tmp/lockstep-memory-XXXXXX");
  unsetenv("SLURM_MEM_PER_NODE");
  unsetenv("SLURM_MEM_PER_CPU");
  return mkdtemp(root) ? 0 : -1;
}

static int destroy(void **state) {
  (void)state;
  char command[128];
  snprintf(command, sizeof command, "rm -r %s", root);
  return system(command);
}

static void check(size_t bytes, const char *source) {
  const ls_memory limit = ls_memory_limit(root);
  if (bytes) assert_int_equal(limit.bytes, bytes);
  if (!strstr(limit.source, source)) fail_msg("%s instead of %s", limit.source, source);
}

static void without_limits(void **state) {
  (void)state;
  check(0, "machine");
  put("/proc/self/cgroup", "0::/\n");
  put("/sys/fs/cgroup/memory.max", "max\n");
  check(0, "machine");
}

/* The least limit of the group and of those above it counts. */
static void groups_of_version_2(void **state) {
  (void)state;
  put("/proc/self/cgroup", "0::/slurm/job_1/step_0\n");
  put("/sys/fs/cgroup/slurm/job_1/step_0/memory.max", "max\n");
  put("/sys/fs/cgroup/slurm/job_1/memory.max", "5000000\n");
  check(5000000, "control group");
  put("/sys/fs/cgroup/slurm/memory.max", "4000000\n");
  check(4000000, "control group");
}

static void groups_of_version_1(void **state) {
  (void)state;
  put("/proc/self/cgroup", "12:cpu,cpuacct:/a\n4:memory:/user.slice/a\n0::/a\n");
  put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  check(0, "machine");
  put("/sys/fs/cgroup/memory/user.slice/memory.limit_in_bytes", "3000000\n");
  check(3000000, "control group");
}

/* A container does not show its own group; the limit is at the top. */
static void containers(void **state) {
  (void)state;
  put("/proc/self/cgroup", "4:memory:/docker/0123\n");
  put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "2000000\n");
  check(2000000, "control group");
}

static void slurm_jobs(void **state) {
  (void)state;
  setenv("SLURM_MEM_PER_NODE", "0", 1); /* all memory */
  check(0, "machine");
  setenv("SLURM_MEM_PER_NODE", "3", 1);
  check((size_t)3 << 20, "SLURM_MEM_PER_NODE");
  setenv("SLURM_MEM_PER_CPU", "1", 1);
  setenv("SLURM_CPUS_ON_NODE", "2", 1);
  check((size_t)2 << 20, "SLURM_MEM_PER_CPU");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(without_limits, create, destroy),
      cmocka_unit_test_setup_teardown(groups_of_version_2, create, destroy),
      cmocka_unit_test_setup_teardown(groups_of_version_1, create, destroy),
      cmocka_unit_test_setup_teardown(containers, create, destroy),
      cmocka_unit_test_setup_teardown(slurm_jobs, create, destroy),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
