/* Measures the costs of one rank: passes by number of rows, update, memory, network. */
#include "lockstep/plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS        7
#define ROUND_SECONDS 0.01 /* least duration of a round */
#define DISK_SECONDS  1.0
#define ALL_SECONDS   4.0               /* after which no further number of rows is measured */
#define MEMORY_LEAST  ((size_t)1 << 16) /* floats to sum and copy */
#define MEMORY_MOST   ((size_t)1 << 22)

typedef struct bench {
  ls_comm *comm;
  ls_setup *setup;
  ls_metric *metric;
  uint64_t position;           /* of the next sample in the first epoch */
  ls_status status;            /* of reading */
  size_t sums;                 /* reductions requested by layers in the last pass */
  double pass, update, square; /* seconds so far */
} bench;

/* ------------------------------------------------------------------- statistics */

static int ascending(const void *a, const void *b) {
  const double x = *(const double *)a;
  const double y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Collective. The medians of n kinds of rounds on the slowest rank, for which a step waits.
 * slots: (size, n), a workspace */
static void summarise(ls_comm *comm, size_t n, double rounds[][ROUNDS], double *slots, double *seconds) {
  const size_t size = (size_t)ls_comm_size(comm);
  memset(slots, 0, size * n * sizeof *slots);
  for (size_t i = 0; i < n; i++) {
    qsort(rounds[i], ROUNDS, sizeof *rounds[i], ascending);
    slots[(size_t)ls_comm_rank(comm) * n + i] = seconds[i] = rounds[i][ROUNDS / 2];
  }
  ls_comm_sum_f64(comm, slots, size * n);
  for (size_t k = 0; k < size * n; k++) seconds[k % n] = fmax(seconds[k % n], slots[k]);
}

/* ----------------------------------------------------------------------- a step */

/* Counts a layer's sum over ranks instead of computing it: the measured batch is on this rank alone. */
static void count_sum(void *context, double *x, size_t n) {
  (void)x;
  (void)n;
  ((bench *)context)->sums++;
}

static void gather(bench *b, size_t rows) {
  const ls_setup *const setup = b->setup;
  const ls_status status = ls_feed_gather_alone(setup->feed, b->position, rows);
  if (b->status == LS_OK) b->status = status;
  b->position = (b->position + rows) % setup->train.view.n;
}

static void forward_backward(bench *b, const ls_partition *partition) {
  const ls_batch *const batch = b->setup->train.batch;
  const ls_targets targets = ls_batch_targets(batch);
  const ls_objective loss = {.targets = &targets, .metric = b->metric, .needs_gradient = true};
  const ls_pass pass = {.n_lanes = partition->n_lanes,
                        .lanes = partition->lanes,
                        .mode = LS_TRAIN,
                        .sum = count_sum,
                        .context = b,
                        .seed = b->setup->job->train.seed,
                        .samples = batch->samples};
  b->sums = 0;
  ls_metric_reset(b->metric);
  ls_forward_backward(b->setup->job->model, &pass, batch->x, &loss);
}

/* Runs an update with learning rate 0, which leaves the parameters unchanged. */
static void update(bench *b) {
  ls_job *const job = b->setup->job;
  ls_model *const model = job->model;
  const ls_range all = {.count = model->n_params};
  ls_penalty_add_gradient(model->n_segments, model->segments, all, 1.0, model->params, model->grads);
  ls_optim_step(job->optim, 0.0, 1.0F, model->grads, model->params);
  ls_penalty_soft_threshold(model->n_segments, model->segments, all, 0.0, model->params);
}

static void run_step(bench *b, const ls_partition *partition) {
  const ls_model *const model = b->setup->job->model;
  const double start = ls_clock();
  gather(b, partition->lanes[partition->n_lanes]);
  forward_backward(b, partition);
  const double passed = ls_clock();
  const volatile double squares = ls_math_sum_squares(model->n_params, model->grads);
  (void)squares;
  const double squared = ls_clock();
  update(b);
  b->update += ls_clock() - squared;
  b->square += squared - passed;
  b->pass += passed - start;
}

/* ----------------------------------------------------------------------- passes */

enum { PASS, UPDATE, SQUARE, KINDS };

/* Collective. The number of steps in a round, measured by rank 0 with warm caches. */
static size_t count_steps(bench *b, const ls_partition *partition) {
  run_step(b, partition);
  const double start = ls_clock();
  run_step(b, partition);
  double count = ceil(ROUND_SECONDS / fmax(ls_clock() - start, 1e-7));
  ls_comm_broadcast(b->comm, &count, sizeof count);
  return (size_t)fmax(count, 1.0);
}

/* Collective. Measures the parts of a step on all ranks at the same time. */
static void measure_rows(bench *b, const ls_partition *partition, double *slots, double seconds[KINDS]) {
  double rounds[KINDS][ROUNDS];
  const size_t steps = count_steps(b, partition);
  for (int r = 0; r < ROUNDS; r++) {
    b->pass = b->update = b->square = 0.0;
    ls_comm_barrier(b->comm);
    for (size_t i = 0; i < steps; i++) run_step(b, partition);
    rounds[PASS][r] = b->pass / (double)steps;
    rounds[UPDATE][r] = b->update / (double)steps;
    rounds[SQUARE][r] = b->square / (double)steps;
  }
  summarise(b->comm, KINDS, rounds, slots, seconds);
}

/* Makes a partition of `units` lanes of lane_rows rows or, if lane_rows is 0, of one lane of `units` rows.
 */
static void make_partition(size_t units, size_t lane_rows, ls_partition *partition) {
  *partition = (ls_partition){.n_lanes = lane_rows ? units : 1};
  if (!lane_rows) partition->lanes[1] = units;
  for (size_t l = 0; l < units && lane_rows; l++) partition->lanes[l + 1] = (l + 1) * lane_rows;
}

/* Collective. Measures 1, 2, 4 ... units (rows or lanes) up to the whole batch, as long as time remains. */
static void measure_passes(bench *b, double *slots, ls_plan_costs *costs) {
  const ls_setup *const setup = b->setup;
  const ls_model *const model = setup->job->model;
  const uint64_t lanes = setup->job->train.reproducible ? setup->job->train.lanes : 0;
  const size_t lane_rows = lanes ? ls_shard_most(setup->batch_size, (int)lanes) : 0;
  const size_t capacity = ls_size_min(model->max_rows, lane_rows ? lanes * lane_rows : setup->batch_size);
  const size_t most = ls_size_max(lane_rows ? capacity / lane_rows : capacity, 1);
  const double start = ls_clock();
  const double n = (double)ls_size_max(model->n_params, 1);
  bool has_more = true;
  for (size_t units = 1; has_more; units = ls_size_min(2 * units, most)) {
    ls_partition partition;
    double seconds[KINDS];
    make_partition(units, lane_rows, &partition);
    measure_rows(b, &partition, slots, seconds);
    costs->rows[costs->n_points] = partition.lanes[partition.n_lanes];
    costs->seconds[costs->n_points++] = seconds[PASS];
    costs->update += seconds[UPDATE] / n;
    costs->square += seconds[SQUARE] / n;
    has_more = units < most && ls_clock() - start < ALL_SECONDS;
    ls_comm_broadcast(b->comm, &has_more, sizeof has_more);
  }
  /* Fewer rows cannot take longer, except in a disturbed measurement. */
  for (size_t i = costs->n_points - 1; i-- > 0;)
    costs->seconds[i] = fmin(costs->seconds[i], costs->seconds[i + 1]);
  costs->update /= (double)costs->n_points;
  costs->square /= (double)costs->n_points;
  costs->sums = (double)b->sums;
}

/* ----------------------------------------------------------------------- memory */

/* Collective. One round: sums this rank's part of the vectors of all ranks, and copies the other parts.
 * all: (ranks, n); own: (n) */
static void use_memory(ls_comm *comm, float *all, size_t n, float *own, double *sum, double *copy) {
  const size_t size = (size_t)ls_comm_size(comm);
  const size_t rank = (size_t)ls_comm_rank(comm);
  const size_t part = n / size;
  for (size_t i = 0; i < n; i++) all[rank * n + i] = 1.0F; /* in this core's cache, as after backward */
  ls_comm_barrier(comm);
  const double start = ls_clock();
  for (size_t k = 0; k < size; k++) ls_math_add_scaled(part, 1.0F, all + k * n + rank * part, own);
  const double added = ls_clock();
  for (size_t k = 0; k < size; k++) memcpy(own + k * part, all + k * n + k * part, part * sizeof *own);
  *copy = (ls_clock() - added) / (double)(size * part * sizeof(float));
  *sum = (added - start) / (double)(size * part * sizeof(float));
  ls_comm_barrier(comm);
}

/* Collective. Measures the seconds to sum and to copy a byte. */
static ls_status measure_memory(ls_comm *comm, size_t n_params, double *slots, ls_plan_costs *costs) {
  const size_t size = (size_t)ls_comm_size(comm);
  const size_t most = ls_size_max(MEMORY_MOST / size, MEMORY_LEAST);
  const size_t n = ls_size_min(ls_size_max(n_params, MEMORY_LEAST), most) / size * size;
  double rounds[2][ROUNDS];
  ls_shared all = {0};
  float *own = ls_calloc(n, sizeof *own);
  ls_status status = ls_comm_agree(comm, own ? LS_OK : ls_fail_memory("measuring memory", n * sizeof *own));
  if (status == LS_OK) status = ls_comm_shared_create(comm, size * n * sizeof(float), &all);
  for (int r = -1; status == LS_OK && r < ROUNDS; r++) /* one round to warm up */
    use_memory(comm, all.data, n, own, &rounds[0][r < 0 ? 0 : r], &rounds[1][r < 0 ? 0 : r]);
  if (status == LS_OK) {
    double seconds[2];
    summarise(comm, 2, rounds, slots, seconds);
    costs->sum = seconds[0];
    costs->copy = seconds[1];
  }
  ls_comm_shared_destroy(comm, &all);
  free(own);
  return status;
}

/* ---------------------------------------------------------------------- network */

#define NETWORK_LEAST ((size_t)1 << 18) /* floats, the size of a typical gradient */
#define FEW           8
#define LARGE_SUMS    2 /* per round, after one barrier */
#define SMALL_SUMS    8
#define WARM_UP       2 /* rounds during which TCP adapts to the link */

/* Collective. The seconds of a sum of a large vector, x (n), and of a sum of a few numbers. */
static void time_sums(ls_comm *comm, float *x, size_t n, double *large, double *small) {
  double few[FEW] = {0};
  ls_comm_barrier(comm);
  const double start = ls_clock();
  for (int i = 0; i < LARGE_SUMS; i++) ls_comm_tree_sum_f32(comm, NULL, x, n);
  *large = (ls_clock() - start) / LARGE_SUMS;
  ls_comm_barrier(comm);
  const double next = ls_clock();
  for (int i = 0; i < SMALL_SUMS; i++) ls_comm_tree_sum_f64(comm, NULL, few, FEW);
  *small = (ls_clock() - next) / SMALL_SUMS;
}

/* Collective. Measures sums over the nodes and derives the rate and latency of the links. */
static ls_status measure_network(ls_comm *comm, size_t n_params, double *slots, ls_plan_costs *costs) {
  const size_t n = ls_size_min(ls_size_max(n_params, NETWORK_LEAST), MEMORY_MOST);
  double rounds[2][ROUNDS];
  float *x = ls_calloc(n, sizeof *x);
  const ls_status status =
      ls_comm_agree(comm, x ? LS_OK : ls_fail_memory("measuring the network", n * sizeof *x));
  for (int r = -WARM_UP; status == LS_OK && r < ROUNDS; r++)
    time_sums(comm, x, n, &rounds[0][r < 0 ? 0 : r], &rounds[1][r < 0 ? 0 : r]);
  free(x);
  if (status != LS_OK) return status;
  double seconds[2];
  ls_plan_link link = {.gamma = costs->sum};
  summarise(comm, 2, rounds, slots, seconds);
  ls_plan_fit_link((uint64_t)ls_comm_size(comm), (double)(n * sizeof(float)), seconds[1], seconds[0],
                   &link);
  costs->latency = link.alpha;
  costs->bandwidth = 1.0 / (link.beta * LS_PLAN_LINK_SHARE);
  return LS_OK;
}

/* ------------------------------------------------------------------ resident memory */

void ls_plan_resident(double *private_bytes, double *shared_bytes) {
  unsigned long long size = 0;
  unsigned long long resident = 0;
  unsigned long long shared = 0;
  const double page = (double)sysconf(_SC_PAGESIZE);
  FILE *const file = fopen("/proc/self/statm", "r");
  *private_bytes = *shared_bytes = 0.0;
  if (file && fscanf(file, "%llu %llu %llu", &size, &resident, &shared) == 3) {
    *private_bytes = (double)(resident - shared) * page;
    *shared_bytes = (double)shared * page;
  }
  if (file) fclose(file);
}

/* Adds the buffers that BLAS, HDF5 and MPI have allocated since start-up to the private memory. */
static void update_resident(const ls_setup *setup, ls_plan_costs *costs) {
  const ls_job *const job = setup->job;
  double now = 0.0;
  double shared = 0.0;
  ls_plan_resident(&now, &shared);
  const size_t known = job->model->arena.capacity + setup->train.batch->arena.capacity +
                       ls_optim_n_slots(job->optim) * job->optim->n * sizeof(float) +
                       ls_setup_data_bytes(setup, true);
  costs->private_bytes = fmax(costs->private_bytes, now - (double)known);
}

/* ------------------------------------------------------------------------- the disk */

/* Collective. */
static ls_status measure_disk(ls_comm *comm, const ls_dataset *d, ls_plan_costs *costs) {
  if (!d->is_streamed) return LS_OK;
  LS_TRY(ls_dataset_measure_rate(comm, d, DISK_SECONDS, &costs->disk));
  costs->disk /= costs->nodes;
  return LS_OK;
}

/* ------------------------------------------------------------- the measurement */

/* Collective. */
static ls_status measure(bench *b, double *slots, ls_plan_costs *costs) {
  ls_model *const model = b->setup->job->model;
  const double start = ls_clock();
  const clock_t processor_start = clock();
  ls_model_initialise(model, b->setup->job->train.seed);
  measure_passes(b, slots, costs);
  LS_TRY(ls_comm_agree(b->comm, b->status));
  const double used = (double)(clock() - processor_start) / CLOCKS_PER_SEC;
  costs->share = fmin(used / (ls_clock() - start), 1.0);
  update_resident(b->setup, costs);
  LS_TRY(measure_memory(b->comm, model->n_params, slots, costs));
  LS_TRY(measure_disk(b->comm, b->setup->train.dataset, costs));
  return costs->nodes == 1 ? LS_OK : measure_network(b->comm, model->n_params, slots, costs);
}

ls_status ls_plan_measure(ls_comm *comm, ls_setup *setup, ls_plan_costs *costs) {
  const ls_job *const job = setup->job;
  const double start = ls_clock();
  bench b = {.comm = comm,
             .setup = setup,
             .position = setup->train.view.n / (uint64_t)ls_comm_size(comm) * (uint64_t)ls_comm_rank(comm)};
  costs->nodes = ls_comm_size(comm) / ls_comm_node_size(comm);
  costs->ranks = ls_comm_node_size(comm);
  costs->threads = setup->threads;
  double *slots = ls_calloc((size_t)ls_comm_size(comm), KINDS * sizeof *slots);
  ls_status status = slots ? LS_OK : ls_fail_memory("the measurement", 0);
  if (status == LS_OK) status = ls_metric_create(job->task, job->model->n_out, false, &b.metric);
  if (status == LS_OK) status = ls_evaluate_set_scale(setup->normalizer, setup->train.dataset, 0, b.metric);
  if (status == LS_OK) status = ls_optim_build(job->optim, job->model->n_params);
  status = ls_comm_agree(comm, status);
  if (status == LS_OK) status = ls_feed_gather(comm, setup->feed, 0, 0, setup->batch_size);
  if (status == LS_OK) status = measure(&b, slots, costs);
  ls_metric_destroy(&b.metric);
  free(slots);
  costs->elapsed = ls_clock() - start;
  return status;
}
