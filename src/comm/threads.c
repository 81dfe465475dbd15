/* The number of threads of a rank, and oversubscribed cores. */
#include "internal.h"

#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

/* The cores and threads of a rank. */
typedef struct affinity {
  cpu_set_t mask;
  int threads;
  int rank;
} affinity;

/* The positive number at the start of a text, as in OMP_NUM_THREADS=4,2; 0 if there is none. */
static int read_count(const char *text) {
  const long n = text ? strtol(text, NULL, 10) : 0;
  return n > 0 && n <= INT_MAX ? (int)n : 0;
}

/* Collective. Reads a count from this rank's environment, which may differ by node in a heterogeneous job;
 * otherwise from that of rank 0, since not every launcher forwards variables. */
static int read_variable(ls_comm *comm, const char *const *names) {
  int mine = 0;
  for (; mine == 0 && *names; names++) mine = read_count(getenv(*names));
  int first = mine;
  MPI_Bcast(&first, 1, MPI_INT, 0, comm->world);
  return mine > 0 ? mine : first;
}

/* The CPU quota of the container in cores; INT_MAX: no limit. */
static int quota(void) {
  char line[64] = "";
  char *rest = line;
  FILE *const file = fopen("/sys/fs/cgroup/cpu.max", "r"); /* "<quota> <period>", or "max <period>" */
  if (!file) return INT_MAX;
  if (!fgets(line, sizeof line, file)) line[0] = '\0';
  fclose(file);
  const long time = strtol(line, &rest, 10);
  const long period = strtol(rest, NULL, 10);
  if (time <= 0 || period <= 0) return INT_MAX;
  return time / period > 1 ? (int)(time / period) : 1;
}

/* Collective over the node. The affinities of its ranks, which the caller frees. */
static affinity *gather_affinities(ls_comm *comm, int threads) {
  affinity mine = {.threads = threads, .rank = comm->rank};
  affinity *const affinities = comm_calloc((size_t)comm->node_size, sizeof *affinities);
  CPU_ZERO(&mine.mask);
  if (sched_getaffinity(0, sizeof mine.mask, &mine.mask) != 0) CPU_SET(0, &mine.mask);
  COMM_WAIT(MPI_Allgather(&mine, sizeof mine, MPI_BYTE, affinities, sizeof mine, MPI_BYTE, comm->node));
  return affinities;
}

/* All ranks of the node, or those with this rank's mask, and their threads and cores. */
static ls_oversubscription group_of(const ls_comm *comm, const affinity *affinities, bool same_mask) {
  const cpu_set_t *const mask = &affinities[comm->node_rank].mask;
  const int limit = same_mask ? INT_MAX : quota();
  cpu_set_t all;
  ls_oversubscription group = {.ranks = 0};
  CPU_ZERO(&all);
  for (int i = 0; i < comm->node_size; i++) {
    if (same_mask && !CPU_EQUAL(mask, &affinities[i].mask)) continue;
    CPU_OR(&all, &all, &affinities[i].mask);
    group.ranks++;
    group.threads += affinities[i].threads;
  }
  LS_ASSERT(group.ranks > 0); /* at least this rank */
  group.cores = CPU_COUNT(&all) < limit ? CPU_COUNT(&all) : limit;
  return group;
}

static int at_least_one(int n) {
  return n > 1 ? n : 1;
}

void comm_choose_threads(ls_comm *comm) {
  static const char *const blas_names[] = {"OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", NULL};
  static const char *const slurm_names[] = {"SLURM_CPUS_PER_TASK", NULL};
  affinity *const affinities = gather_affinities(comm, 0);
  const ls_oversubscription group = group_of(comm, affinities, true);
  const int requested = read_variable(comm, blas_names);
  const int granted = read_variable(comm, slurm_names);
  const int by_mask = at_least_one(group.cores / group.ranks);
  const int by_quota = at_least_one(quota() / comm->node_size);
  const int cores = by_mask < by_quota ? by_mask : by_quota;
  free(affinities);
  comm->threads = granted > 0 && granted < cores ? granted : cores;
  if (requested > 0)
    comm->threads = requested;
  else if (granted > cores)
    comm->cores_missing = granted - cores;
}

int ls_comm_threads(const ls_comm *comm) {
  return comm->threads;
}

int ls_comm_cores_missing(const ls_comm *comm) {
  return comm->cores_missing;
}

bool ls_comm_oversubscribed(ls_comm *comm, int threads, ls_oversubscription *out) {
  affinity *const affinities = gather_affinities(comm, threads);
  ls_oversubscription group = group_of(comm, affinities, false);
  if (group.threads <= group.cores) group = group_of(comm, affinities, true);
  free(affinities);
  int first = group.threads > group.cores ? comm->rank : comm->size;
  int length = 0;
  MPI_Get_processor_name(group.host, &length);
  COMM_WAIT(MPI_Allreduce(MPI_IN_PLACE, &first, 1, MPI_INT, MPI_MIN, comm->world));
  if (first == comm->size) return false;
  COMM_WAIT(MPI_Bcast(&group, (int)sizeof group, MPI_BYTE, first, comm->world));
  *out = group;
  return true;
}

/* -------------------------------------------------------------------- the layout of ranks */

typedef struct place {
  int node; /* its first rank */
  int threads;
} place;

/* Whether the nodes have consecutive ranks, the same number each, and all ranks `threads` threads. */
static bool is_regular(int size, int n_nodes, const place *places) {
  const int each = size / n_nodes;
  for (int r = 0; r < size; r++)
    if (places[r].node != r / each * each || places[r].threads != places[0].threads) return false;
  return size % n_nodes == 0;
}

ls_status ls_comm_layout(ls_comm *comm, int threads, char *text, size_t bytes) {
  const place mine = {.node = comm->node_first, .threads = threads};
  place *const places = ls_calloc((size_t)comm->size, sizeof *places);
  LS_TRY(ls_comm_agree(comm, places ? LS_OK : ls_fail_memory("the layout of ranks", 0)));
  COMM_WAIT(MPI_Allgather(&mine, sizeof mine, MPI_BYTE, places, sizeof mine, MPI_BYTE, comm->world));
  int n_nodes = 0;
  uint32_t mark = 2166136261U; /* FNV-1a */
  for (int r = 0; r < comm->size; r++) {
    n_nodes += places[r].node == r;
    mark = (mark ^ (uint32_t)places[r].node) * 16777619U;
    mark = (mark ^ (uint32_t)places[r].threads) * 16777619U;
  }
  LS_ASSERT(n_nodes > 0); /* rank 0 is the first of its node */
  snprintf(text, bytes, "%d rank%s on %d node%s, ", comm->size, comm->size == 1 ? "" : "s", n_nodes,
           n_nodes == 1 ? "" : "s");
  if (is_regular(comm->size, n_nodes, places))
    ls_append(text, bytes, "%d thread%s each", threads, threads == 1 ? "" : "s");
  else
    ls_append(text, bytes, "layout %08x", mark);
  free(places);
  return LS_OK;
}

/* ---------------------------------------------------------------- description of hosts */

#define LINE 1024 /* bytes per host; longer lines are truncated */

/* Appends ascending numbers in the form "0-3,8". */
static void append_numbers(char *line, int n, const int *numbers) {
  for (int i = 0, last = 0; i < n; i = last + 1) {
    last = i;
    while (last + 1 < n && numbers[last + 1] == numbers[last] + 1) last++;
    ls_append(line, LINE, i > 0 ? ",%d" : "%d", numbers[i]);
    if (last > i) ls_append(line, LINE, "-%d", numbers[last]);
  }
}

static void append_cores(char *line, const cpu_set_t *mask) {
  int cores[CPU_SETSIZE];
  int n = 0;
  for (int i = 0; i < CPU_SETSIZE; i++)
    if (CPU_ISSET((size_t)i, mask)) cores[n++] = i;
  append_numbers(line, n, cores);
}

/* Appends the masks in the form "0-1 | 2-3", or one if all are equal. */
static void append_binding(char *line, int n, const affinity *affinities) {
  bool is_one = true;
  for (int i = 1; i < n; i++) is_one = is_one && CPU_EQUAL(&affinities[0].mask, &affinities[i].mask);
  for (int i = 0; i < (is_one ? 1 : n); i++) {
    ls_append(line, LINE, i > 0 ? " | " : "");
    append_cores(line, &affinities[i].mask);
  }
}

/* Collective over the node. Its first rank writes the line. */
static void describe_host(ls_comm *comm, int threads, char line[LINE]) {
  affinity *const affinities = gather_affinities(comm, threads);
  int *const ranks = comm_calloc((size_t)comm->node_size, sizeof *ranks);
  int length = 0;
  if (comm->node_rank == 0) {
    for (int i = 0; i < comm->node_size; i++) ranks[i] = affinities[i].rank;
    MPI_Get_processor_name(line, &length);
    ls_append(line, LINE, ": rank%s ", comm->node_size == 1 ? "" : "s");
    append_numbers(line, comm->node_size, ranks);
    const int all = group_of(comm, affinities, false).threads;
    ls_append(line, LINE, ", %d thread%s in all, on cores ", all, all == 1 ? "" : "s");
    append_binding(line, comm->node_size, affinities);
  }
  free(ranks);
  free(affinities);
}

/* Joins the lines that are not empty, in place. */
static void join_lines(char *lines, int n) {
  size_t used = 0;
  for (int i = 0; i < n; i++) {
    const size_t length = strlen(lines + (size_t)i * LINE);
    if (length == 0) continue;
    memmove(lines + used, lines + (size_t)i * LINE, length);
    used += length;
    lines[used++] = '\n';
  }
  lines[used] = '\0';
}

ls_status ls_comm_hosts(ls_comm *comm, int threads, char **out) {
  char line[LINE] = "";
  const size_t bytes = comm->rank == 0 ? (size_t)comm->size * LINE + 1 : 1;
  char *const lines = ls_calloc(bytes, 1);
  *out = NULL;
  describe_host(comm, threads, line);
  const ls_status status = ls_comm_agree(comm, lines ? LS_OK : ls_fail_memory("the list of hosts", bytes));
  if (status == LS_OK) COMM_WAIT(MPI_Gather(line, LINE, MPI_CHAR, lines, LINE, MPI_CHAR, 0, comm->world));
  if (status == LS_OK && comm->rank == 0) {
    join_lines(lines, comm->size);
    *out = lines;
  } else {
    free(lines);
  }
  return status;
}
