/* How many threads a rank is to run, and whether all those of a node have a core each. */
#include "internal.h"

#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

/* What the other ranks of the node need to know of one. */
typedef struct seat {
  cpu_set_t mask;
  int threads;
  int rank;
} seat;

/* The number that a text begins with, as in OMP_NUM_THREADS=4,2; 0 where that is none. */
static int read_count(const char *text) {
  const long n = text ? strtol(text, NULL, 10) : 0;
  return n > 0 && n <= INT_MAX ? (int)n : 0;
}

static int first_count(const char *const *names) {
  int n = 0;
  for (; n == 0 && *names; names++) n = read_count(getenv(*names));
  return n;
}

/* Collective. A variable of this rank's, which may differ by node in a heterogeneous job; else of rank 0's,
 * as not every launcher hands variables on. */
static int ask(ls_comm *comm, const char *const *names) {
  const int mine = first_count(names);
  int first = mine;
  MPI_Bcast(&first, 1, MPI_INT, 0, comm->world);
  return mine > 0 ? mine : first;
}

/* The cores' worth of time that the container may use; INT_MAX: no limit. */
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

/* Collective over the node. The seats of its ranks, for the caller to free. */
static seat *gather_seats(ls_comm *comm, int threads) {
  seat mine = {.threads = threads, .rank = comm->rank};
  seat *const seats = comm_calloc((size_t)comm->node_size, sizeof *seats);
  CPU_ZERO(&mine.mask);
  if (sched_getaffinity(0, sizeof mine.mask, &mine.mask) != 0) CPU_SET(0, &mine.mask);
  comm_waits(true);
  MPI_Allgather(&mine, sizeof mine, MPI_BYTE, seats, sizeof mine, MPI_BYTE, comm->node);
  comm_waits(false);
  return seats;
}

/* The ranks whose mask is this one's, and what they have together. */
static ls_oversubscription sharers_of(const ls_comm *comm, const seat *seats) {
  const seat *const mine = &seats[comm->node_rank];
  ls_oversubscription sharers = {.cores = CPU_COUNT(&mine->mask)};
  for (int i = 0; i < comm->node_size; i++) {
    const bool shares = CPU_EQUAL(&mine->mask, &seats[i].mask) != 0;
    sharers.ranks += shares;
    sharers.threads += shares ? seats[i].threads : 0;
  }
  LS_ASSERT(sharers.ranks > 0); /* itself at least */
  return sharers;
}

/* All ranks of the node, and what they have together. */
static ls_oversubscription node_of(const ls_comm *comm, const seat *seats) {
  const int limit = quota();
  cpu_set_t all;
  ls_oversubscription node = {.ranks = comm->node_size};
  CPU_ZERO(&all);
  for (int i = 0; i < comm->node_size; i++) {
    CPU_OR(&all, &all, &seats[i].mask);
    node.threads += seats[i].threads;
  }
  node.cores = CPU_COUNT(&all) < limit ? CPU_COUNT(&all) : limit;
  return node;
}

static int at_least_one(int n) {
  return n > 1 ? n : 1;
}

void comm_choose_threads(ls_comm *comm) {
  static const char *const wishes[] = {"OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", NULL};
  static const char *const slurm[] = {"SLURM_CPUS_PER_TASK", NULL};
  seat *const seats = gather_seats(comm, 0);
  const ls_oversubscription sharers = sharers_of(comm, seats);
  const int wish = ask(comm, wishes);
  const int granted = ask(comm, slurm);
  const int by_mask = at_least_one(sharers.cores / sharers.ranks);
  const int by_quota = at_least_one(quota() / comm->node_size);
  const int cores = by_mask < by_quota ? by_mask : by_quota;
  free(seats);
  comm->threads = granted > 0 && granted < cores ? granted : cores;
  if (wish > 0)
    comm->threads = wish;
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
  seat *const seats = gather_seats(comm, threads);
  ls_oversubscription crowd = node_of(comm, seats);
  if (crowd.threads <= crowd.cores) crowd = sharers_of(comm, seats);
  free(seats);
  int first = crowd.threads > crowd.cores ? comm->rank : comm->size;
  int length = 0;
  MPI_Get_processor_name(crowd.host, &length);
  comm_waits(true);
  MPI_Allreduce(MPI_IN_PLACE, &first, 1, MPI_INT, MPI_MIN, comm->world);
  comm_waits(false);
  if (first == comm->size) return false;
  comm_waits(true);
  MPI_Bcast(&crowd, (int)sizeof crowd, MPI_BYTE, first, comm->world);
  comm_waits(false);
  *out = crowd;
  return true;
}

/* ---------------------------------------------------------------- hosts, in words */

#define LINE 1024 /* bytes for a host; what does not fit is cut */

/* Adds "0-3,8" for the numbers, which rise. */
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

/* Adds " | 0-1 | 2-3" for the masks, one where all are the same. */
static void append_binding(char *line, int n, const seat *seats) {
  bool is_one = true;
  for (int i = 1; i < n; i++) is_one = is_one && CPU_EQUAL(&seats[0].mask, &seats[i].mask);
  for (int i = 0; i < (is_one ? 1 : n); i++) {
    ls_append(line, LINE, i > 0 ? " | " : "");
    append_cores(line, &seats[i].mask);
  }
}

/* Collective over the node. Its first rank writes the line. */
static void describe_host(ls_comm *comm, int threads, char line[LINE]) {
  seat *const seats = gather_seats(comm, threads);
  int *const ranks = comm_calloc((size_t)comm->node_size, sizeof *ranks);
  int length = 0;
  if (comm->node_rank == 0) {
    for (int i = 0; i < comm->node_size; i++) ranks[i] = seats[i].rank;
    MPI_Get_processor_name(line, &length);
    ls_append(line, LINE, ": rank%s ", comm->node_size == 1 ? "" : "s");
    append_numbers(line, comm->node_size, ranks);
    const int all = node_of(comm, seats).threads;
    ls_append(line, LINE, ", %d thread%s in all, on cores ", all, all == 1 ? "" : "s");
    append_binding(line, comm->node_size, seats);
  }
  free(ranks);
  free(seats);
}

/* The lines that are not empty, one behind the other, in place. */
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
  comm_waits(true);
  if (status == LS_OK) MPI_Gather(line, LINE, MPI_CHAR, lines, LINE, MPI_CHAR, 0, comm->world);
  comm_waits(false);
  if (status == LS_OK && comm->rank == 0) {
    join_lines(lines, comm->size);
    *out = lines;
  } else {
    free(lines);
  }
  return status;
}
