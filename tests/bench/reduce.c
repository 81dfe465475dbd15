/* Measures the modes that combine the gradients of all ranks into one step.
 *
 *   mpirun -n 2 reduce [PARAMETERS...]
 *
 * For each number of parameters, alternately and several times: the step of adam in each mode, through
 * shared memory and through MPI. The lower limit is a copy, divided among the ranks, of as much memory as
 * the update reads and writes (gradient, state and parameters). Prints medians over the rounds in
 * milliseconds, and the ratio of the limit to the step. */
#include "lockstep/config.h"
#include "lockstep/sync.h"

#include "measure.h"

#include <stdlib.h>
#include <string.h>

#define ROUNDS  15
#define ARRAYS  4    /* that the update reads or writes */
#define SECONDS 0.02 /* per mode and round */

typedef struct way {
  const char *name;
  ls_sync_config config;
} way;

static const way ways[] = {
    {"allreduce", {.mode = LS_SYNC_ALLREDUCE, .shared_memory = true}},
    {"overlap", {.mode = LS_SYNC_OVERLAP, .shared_memory = true}},
    {"sharded", {.mode = LS_SYNC_SHARDED, .shared_memory = true}},
    {"allreduce by MPI", {.mode = LS_SYNC_ALLREDUCE}},
    {"overlap by MPI", {.mode = LS_SYNC_OVERLAP}},
    {"sharded by MPI", {.mode = LS_SYNC_SHARDED}},
    {"allreduce by MPI, bfloat16", {.mode = LS_SYNC_ALLREDUCE, .gradient_type = LS_GRADIENT_BF16}},
};

#define WAYS (sizeof ways / sizeof ways[0])

typedef struct bench {
  ls_comm *comm;
  size_t n;
  float *copies; /* (ARRAYS, n) */
  ls_sync *syncs[WAYS];
  ls_optim *optims[WAYS];
} bench;

static ls_status create_optim(const ls_sync *sync, ls_optim **out) {
  ls_config *config = NULL;
  ls_status status = ls_config_create("optimizer: {type: adam, lr: 0.001}", "reduce", &config);
  if (status == LS_OK) status = ls_optim_parse(config, out);
  if (status == LS_OK) status = ls_optim_build_part(*out, sync->n_updated, sync->updated);
  ls_config_destroy(&config);
  return status;
}

/* Collective. */
static ls_status create(bench *b) {
  b->copies = ls_calloc(b->n, ARRAYS * sizeof *b->copies);
  ls_status status = b->copies ? LS_OK : ls_fail_memory("arrays", b->n);
  status = ls_comm_agree(b->comm, status);
  for (size_t w = 0; status == LS_OK && w < WAYS; w++) {
    status = ls_sync_create(b->comm, &ways[w].config, b->n, 0, &b->syncs[w]);
    if (status == LS_OK) status = ls_comm_agree(b->comm, create_optim(b->syncs[w], &b->optims[w]));
  }
  return status;
}

static void destroy(bench *b) {
  for (size_t w = 0; w < WAYS; w++) {
    ls_sync_destroy(b->comm, &b->syncs[w]);
    ls_optim_destroy(&b->optims[w]);
  }
  free(b->copies);
}

/* Collective. Time of a step on this rank in seconds. The gradient is 0, because any other would
 * accumulate. */
static double time_steps(bench *b, size_t w, size_t steps) {
  ls_comm_barrier(b->comm);
  const double start = ls_clock();
  for (size_t i = 0; i < steps; i++) {
    ls_step step = {.weight = 1.0, .lr = 1e-9};
    if (ls_sync_step(b->comm, b->syncs[w], &step, b->optims[w]) != LS_OK) return 0.0;
  }
  return (ls_clock() - start) / (double)steps;
}

/* Collective. Time in seconds of a copy of this rank's part of ARRAYS arrays. */
static double time_copies(bench *b, size_t steps) {
  const size_t share = ARRAYS * b->n / (size_t)ls_comm_size(b->comm);
  ls_comm_barrier(b->comm);
  const double start = ls_clock();
  for (size_t i = 0; i < steps; i++) memmove(b->copies, b->copies + share / 2, share / 2 * sizeof(float));
  return 2.0 * (ls_clock() - start) / (double)steps;
}

/* Collective. */
static void measure(bench *b) {
  double times[WAYS + 1][ROUNDS];
  double steps = 0.0;
  (void)time_steps(b, 0, 2);
  steps = SECONDS / time_steps(b, 0, 2);
  ls_comm_broadcast(b->comm, &steps, sizeof steps);
  const size_t count = steps < 3.0 ? 3 : (size_t)steps;
  for (int r = 0; r < ROUNDS; r++) {
    for (size_t w = 0; w < WAYS; w++) times[w][r] = time_steps(b, w, count);
    times[WAYS][r] = time_copies(b, count);
  }
  const double limit = median(ROUNDS, times[WAYS]);
  for (size_t w = 0; w < WAYS; w++) {
    const double seconds = median(ROUNDS, times[w]);
    ls_log(LS_LOG_INFO, "%9zu  %-28s %9.3f ms  limit %8.3f ms  %5.1f %%", b->n, ways[w].name, seconds * 1e3,
           limit * 1e3, 100.0 * limit / seconds);
  }
}

int main(int argc, char **argv) {
  static const char *const usual[] = {"101770", "669706", "5824522"};
  bench b = {0};
  ls_status status = ls_comm_create(&argc, &argv, &b.comm);
  if (status != LS_OK) return (int)status;
  ls_log_enable(ls_comm_rank(b.comm) == 0);
  const size_t n = argc > 1 ? (size_t)argc - 1 : sizeof usual / sizeof usual[0];
  for (size_t i = 0; status == LS_OK && i < n; i++) {
    b = (bench){.comm = b.comm, .n = strtoul(argc > 1 ? argv[i + 1] : usual[i], NULL, 10)};
    status = b.n > 0 ? create(&b) : ls_fail(LS_ERR_CONFIG, "usage: mpirun -n 2 reduce [PARAMETERS...]");
    if (status == LS_OK) measure(&b);
    destroy(&b);
  }
  if (status != LS_OK) ls_log(LS_LOG_ERROR, "%s", ls_message());
  ls_comm_destroy(&b.comm);
  return (int)status;
}
