/* sync: all ranks take the same step, for any distribution of the rows of a batch over ranks. */
#include "support.h"

#include <float.h>

#include "lockstep/config.h"
#include "lockstep/data.h"
#include "lockstep/optim.h"
#include "lockstep/sync.h"

#define SUMS 3

/* ------------------------------------------------------------------- fixtures */

static const char *const optimizers[] = {
    "{type: sgd, lr: 0.05}", "{type: momentum, lr: 0.02, momentum: 0.9}", "{type: adam, lr: 0.001}"};

/* For the optimizers of a test: blocks with norms of their own, and the decay of the average. */
static ls_segment blocks[3];
static size_t n_blocks;
static double average;

/* Local. Divides n parameters into three blocks of different lengths; 0: one block of all. */
static void set_blocks(size_t n) {
  const size_t ends[] = {n / 5, n / 5 + n / 2, n};
  n_blocks = n > 0 ? COUNT(blocks) : 0;
  for (size_t b = 0; b < n_blocks; b++)
    blocks[b] = (ls_segment){.offset = b ? ends[b - 1] : 0, .rows = ends[b] - (b ? ends[b - 1] : 0)};
}

/* Local. An optimizer for n parameters. */
static ls_optim *new_optim(const char *options, size_t n) {
  char text[128];
  ls_config *config = NULL;
  ls_optim *optim = NULL;
  snprintf(text, sizeof text, "optimizer: %s", options);
  ls_status status = ls_config_create(text, "sync.yaml", &config);
  if (status == LS_OK) status = ls_optim_parse(config, &optim);
  if (status == LS_OK) status = ls_config_status(config);
  if (status == LS_OK) {
    optim->n_blocks = n_blocks;
    optim->blocks = blocks;
    optim->average = average;
    status = ls_optim_build(optim, n);
  }
  if (status != LS_OK) complain(__FILE__, __LINE__, "%s", ls_message());
  ls_config_destroy(&config);
  return optim;
}

/* Local. The terms of row `row` in step `step`: n for the gradient, SUMS for the metrics. Returns its
 * weight.
 */
static double row_of(uint64_t step, uint64_t row, size_t n, float *gradient, double sums[SUMS]) {
  const ls_rng rng = ls_rng_make(11, LS_RNG_CHECK, 0, step);
  ls_rng_normal(&rng, row, n, gradient);
  const double weight = 0.5 + (double)(row % 3);
  for (size_t i = 0; i < SUMS; i++) sums[i] = (double)(step + 1) * (double)(row + i);
  return weight;
}

/* Local. Adds rows first .. first + rows - 1: the gradient in float, as a model does. Returns their weight.
 */
static double add_rows(uint64_t step, size_t first, size_t rows, size_t n, float *grads, double *sums) {
  double weight = 0.0;
  float *const gradient = ls_calloc(n, sizeof *gradient);
  memset(grads, 0, n * sizeof *grads);
  for (size_t i = 0; i < SUMS; i++) sums[i] = 0.0;
  for (size_t r = 0; gradient && r < rows; r++) {
    double part[SUMS];
    const double w = row_of(step, first + r, n, gradient, part);
    for (size_t i = 0; i < n; i++) grads[i] += (float)w * gradient[i];
    for (size_t i = 0; i < SUMS; i++) sums[i] += part[i];
    weight += w;
  }
  free(gradient);
  return weight;
}

/* Configurations; without shared memory every rank acts as a node. */
static const ls_sync_config configs[] = {{.mode = LS_SYNC_ALLREDUCE, .shared_memory = true},
                                         {.mode = LS_SYNC_OVERLAP, .shared_memory = true},
                                         {.mode = LS_SYNC_SHARDED, .shared_memory = true},
                                         {.mode = LS_SYNC_ALLREDUCE},
                                         {.mode = LS_SYNC_OVERLAP},
                                         {.mode = LS_SYNC_SHARDED},
                                         {.mode = LS_SYNC_ALLREDUCE, .gradient_type = LS_GRADIENT_BF16},
                                         {.mode = LS_SYNC_OVERLAP, .gradient_type = LS_GRADIENT_BF16},
                                         {.mode = LS_SYNC_SHARDED, .gradient_type = LS_GRADIENT_BF16}};

static bool is_half(const ls_sync_config *way) {
  return way->gradient_type == LS_GRADIENT_BF16;
}

/* Collective. Creates a sync, and an optimizer for the parameters that this rank updates. */
static void new_sync(const ls_sync_config *way, const char *options, size_t n, size_t n_sums,
                     ls_sync **sync, ls_optim **optim) {
  EXPECT(ls_sync_create(comm, way, n, n_sums, sync) == LS_OK);
  settle();
  LS_ASSERT(*sync);
  *optim = new_optim(options, 1);
  EXPECT(*optim && ls_optim_build_part(*optim, (*sync)->n_updated, (*sync)->updated) == LS_OK);
  settle();
}

/* Collective. Sets the parameters, which ranks may have in common, to values that are equal on all ranks.
 */
static void set_params(const ls_sync *sync, size_t n, const float *values) {
  memcpy(sync->params, values, n * sizeof *values);
  ls_comm_barrier(comm);
}

/* ||a - b|| / ||b||; 0 for 0 / 0. */
static double distance(size_t n, const float *a, const float *b) {
  double difference = 0.0;
  double norm = 0.0;
  for (size_t i = 0; i < n; i++) {
    difference += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    norm += (double)b[i] * (double)b[i];
  }
  return norm > 0.0 ? sqrt(difference / norm) : sqrt(difference);
}

/* One problem twice: with rows distributed over ranks, and on one rank. */
typedef struct pair {
  size_t n;
  ls_sync *sync;
  ls_optim *optim, *single;
  float *single_grads, *single_params;
  bool is_half; /* ranks exchange bfloat16 */
} pair;

static void pair_create(pair *p, const ls_sync_config *way, const char *options, size_t n) {
  *p = (pair){.n = n, .single = new_optim(options, n), .is_half = is_half(way) && size > 1};
  new_sync(way, options, n, SUMS, &p->sync, &p->optim);
  p->single_grads = ls_calloc(n, sizeof(float));
  p->single_params = ls_calloc(n, sizeof(float));
  EXPECT(p->single_grads && p->single_params);
  settle();
  const ls_rng rng = ls_rng_make(12, LS_RNG_CHECK, 0, 0);
  ls_rng_normal(&rng, 0, n, p->single_params);
  set_params(p->sync, n, p->single_params);
}

static void pair_destroy(pair *p) {
  ls_sync_destroy(comm, &p->sync);
  ls_optim_destroy(&p->optim);
  ls_optim_destroy(&p->single);
  free(p->single_grads);
  free(p->single_params);
}

/* ----------------------------------------------------------------------- steps */

/* Collective. The gradient becomes final in pieces, as in a backward pass. */
static void announce_pieces(pair *p, double weight) {
  ls_sync_begin(p->sync, weight);
  ls_sync_ready(comm, p->sync, p->n / 3);
  ls_sync_ready(comm, p->sync, 0);
  ls_sync_ready(comm, p->sync, p->n - p->n / 4);
}

/* Collective. A step over `rows` rows, distributed and on one rank. */
static void pair_step(pair *p, uint64_t number, size_t rows) {
  double sums[SUMS];
  double single_sums[SUMS];
  const ls_shard shard = ls_shard_of(rows, rank, size);
  ls_step step = {.sums = sums, .lr = p->optim->lr};
  step.weight = add_rows(number, shard.first, shard.rows, p->n, p->sync->grads, sums);
  if (p->sync->mode == LS_SYNC_OVERLAP) announce_pieces(p, step.weight);
  EXPECT(ls_sync_step(comm, p->sync, &step, p->optim) == LS_OK);

  const double weight = add_rows(number, 0, rows, p->n, p->single_grads, single_sums);
  const double norm = sqrt(ls_math_sum_squares(p->n, p->single_grads)) / weight;
  ls_optim_step(p->single, p->single->lr, (float)(1.0 / weight), p->single_grads, p->single_params);
  ls_optim_update_average(p->single, p->single_params);

  EXPECT(step.weight == weight); /* sums of multiples of 1/2 are exact */
  for (size_t i = 0; i < SUMS; i++) EXPECT(sums[i] == single_sums[i]);
  EXPECT_CLOSE(step.grad_norm, norm, p->is_half ? 0.05 : 1e-5 * norm);
  EXPECT(!step.wants_stop);
  EXPECT(p->optim->steps == p->single->steps);
}

/* Collective. Several steps: the same bits on all ranks, and the steps of one rank to rounding.
 */
static void check_steps(const ls_sync_config *way, const char *options, size_t n, size_t rows,
                        uint64_t n_steps, double tolerance) {
  pair p;
  pair_create(&p, way, options, n);
  for (uint64_t step = 0; step < n_steps; step++) pair_step(&p, step, rows + step % 3);
  const double far = distance(n, p.sync->params, p.single_params);
  if (!(far <= tolerance))
    complain(__FILE__, __LINE__, "%s%s%s, %s, %zu parameters, %zu rows: %g from the step of one rank",
             ls_sync_mode_names[way->mode], way->shared_memory ? "" : " by MPI",
             is_half(way) ? " in bfloat16" : "", options, n, rows, far);
  EXPECT(same_bytes(p.sync->params, n * sizeof(float)));
  for (size_t k = 0; k < p.optim->n_slots; k++) {
    memcpy(p.single_grads, p.single->slots[k], n * sizeof(float));
    ls_optim_get_slot(p.optim, k, p.single_grads); /* the part of this rank */
    EXPECT(distance(n, p.single_grads, p.single->slots[k]) <= 10.0 * tolerance);
  }
  if (size == 1) EXPECT(memcmp(p.sync->params, p.single_params, n * sizeof(float)) == 0);
  pair_destroy(&p);
  settle();
}

/* Lengths below the number of ranks, and lengths that MPI splits unevenly. More steps than a trial of
 * copies has. */
static void test_steps_equal_one_rank(void **state) {
  (void)state;
  const size_t lengths[] = {1, 2, 3, 1000, 4099};
  for (size_t w = 0; w < COUNT(configs); w++)
    for (size_t k = 0; k < COUNT(lengths); k++)
      check_steps(&configs[w], optimizers[(w + k) % 3], lengths[k], 13, 16,
                  is_half(&configs[w]) ? 2e-2 : 1e-5);
}

/* The parts of a block are on several ranks, which add its norms. The average is updated with its part. */
static void test_norms_and_averages(void **state) {
  (void)state;
  static const char *const types[] = {"{type: lamb, lr: 0.01}",
                                      "{type: lars, lr: 1, trust_coefficient: 0.01, weight_decay: 0.1}",
                                      "{type: momentum, lr: 0.02}"};
  average = 0.9;
  for (size_t w = 0; w < COUNT(configs); w++)
    for (size_t k = 0; k < COUNT(types); k++) {
      set_blocks(1003);
      check_steps(&configs[w], types[k], 1003, 13, 20, is_half(&configs[w]) ? 2e-2 : 1e-5);
    }
  average = 0.0;
  set_blocks(0);
}

/* Lengths of several buckets. */
static void test_long_gradients(void **state) {
  (void)state;
  const size_t n = ((size_t)1 << 20) + 333; /* the length of a bucket is not a power of two */
  for (size_t w = 0; w < COUNT(configs); w++)
    if (configs[w].mode == LS_SYNC_OVERLAP)
      check_steps(&configs[w], optimizers[0], n, 2, 2, is_half(&configs[w]) ? 1e-3 : 1e-5);
}

/* Collective. The parameters after four steps, in `params`, and the last gradient, summed over all ranks,
 * in `grads`. `at`: the position of the first step in the trial of reading in place and of copies. */
static void run_steps(const ls_sync_config *way, uint64_t at, size_t n, float *params, float *grads) {
  pair p;
  pair_create(&p, way, optimizers[2], n);
  p.sync->trial.step = at;
  for (uint64_t step = 0; step < 4; step++) pair_step(&p, step, 13);
  EXPECT(p.sync->trial.copies == (at > 0 && p.sync->exchange->is_shared));
  memcpy(params, p.sync->params, n * sizeof *params);
  ls_sync_allgather(comm, p.sync);
  memcpy(grads, p.sync->grads, n * sizeof *grads);
  pair_destroy(&p);
}

/* All modes add in the same order, within a node and between nodes, so they give the same bits. */
static void test_modes_agree(void **state) {
  (void)state;
  static float params[3][100000]; /* several buckets in mode overlap */
  static float grads[COUNT(params[0])];
  for (size_t first = 0; first < 6; first += 3) {
    for (size_t w = 0; w < 3; w++) run_steps(&configs[first + w], 0, COUNT(params[w]), params[w], grads);
    EXPECT(memcmp(params[0], params[1], sizeof params[0]) == 0);
    EXPECT(memcmp(params[0], params[2], sizeof params[0]) == 0);
    settle();
  }
}

/* Ranks of a node that exchange copies, and those that read in place, compute the same bits. */
static void test_copies_agree(void **state) {
  (void)state;
  static float params[2][100000];
  static float grads[2][COUNT(params[0])];
  for (size_t w = 0; w < 3; w++) {
    run_steps(&configs[w], 0, COUNT(params[0]), params[0], grads[0]);
    run_steps(&configs[w], 4, COUNT(params[1]), params[1], grads[1]);
    EXPECT(memcmp(params[0], params[1], sizeof params[0]) == 0);
    EXPECT(memcmp(grads[0], grads[1], sizeof grads[0]) == 0);
    settle();
  }
}

/* Rounding errors of bfloat16 are not lost: for constant gradients the mean of many steps is much closer to
 * them than one rounding. */
static void test_error_feedback(void **state) {
  (void)state;
  if (size == 1) skip();
  const ls_sync_config way = {.mode = LS_SYNC_ALLREDUCE, .gradient_type = LS_GRADIENT_BF16};
  const float gradient = 1.00341796875F; /* 1 + 7/2048: far from any number with 8 significant bits */
  ls_sync *sync = NULL;
  ls_optim *optim = NULL;
  new_sync(&way, "{type: sgd, lr: 1}", 1, 0, &sync, &optim);
  for (int i = 0; i < 256; i++) {
    sync->grads[0] = gradient;
    ls_step step = {.weight = 1.0, .lr = 1.0};
    EXPECT(ls_sync_step(comm, sync, &step, optim) == LS_OK);
  }
  EXPECT_CLOSE((double)sync->params[0] / -256.0, (double)gradient, 1e-4);
  ls_optim_destroy(&optim);
  ls_sync_destroy(comm, &sync);
  settle();
}

/* The ranks of a node, in mode sharded all ranks, hold the optimizer's state once. */
static void test_shards(void **state) {
  (void)state;
  const size_t n = 4099;
  for (size_t w = 0; w < COUNT(configs); w++) {
    ls_sync *sync = NULL;
    ls_optim *optim = NULL;
    new_sync(&configs[w], optimizers[2], n, 0, &sync, &optim);
    uint64_t held = optim->n;
    ls_comm_sum_u64(comm, &held, 1);
    const bool is_sharded = configs[w].mode == LS_SYNC_SHARDED;
    const uint64_t n_nodes = (uint64_t)sync->exchange->n_nodes;
    EXPECT(held == n * (is_sharded ? 1 : n_nodes));
    /* On nodes of different sizes, some ranks hold no part. */
    const uint64_t n_holders = (uint64_t)sync->exchange->n_parts * (is_sharded ? n_nodes : 1);
    EXPECT(optim->n <= n / n_holders + 16 * sync->n_updated);
    ls_optim_destroy(&optim);
    ls_sync_destroy(comm, &sync);
  }
  settle();
}

/* With a batch smaller than the number of ranks, some ranks have no rows. */
static void test_ranks_without_rows(void **state) {
  (void)state;
  for (size_t w = 0; w < 6; w++) check_steps(&configs[w], optimizers[w % 3], 1000, 1, 16, 1e-5);
}

/* A step computes w - lr g / weight, for rows on any rank. */
static void test_step_formula(void **state) {
  (void)state;
  ls_sync *sync = NULL;
  ls_optim *optim = NULL;
  new_sync(&configs[2], "{type: sgd, lr: 0.5}", 2, 0, &sync, &optim);
  set_params(sync, 2, (const float[]){1.0F, -1.0F});
  const float *const params = sync->params;
  float *const grads = sync->grads;
  ls_step step = {.lr = optim->lr};
  if (rank == size - 1) { /* the only rank with rows */
    grads[0] = 6.0F;
    grads[1] = -8.0F;
    step.weight = 4.0;
  }
  EXPECT(ls_sync_step(comm, sync, &step, optim) == LS_OK);
  EXPECT(params[0] == 1.0F - 0.5F * 1.5F && params[1] == -1.0F + 0.5F * 2.0F);
  EXPECT(step.weight == 4.0 && step.grad_norm == 2.5);
  EXPECT(sync->seconds >= 0.0);
  ls_optim_destroy(&optim);
  ls_sync_destroy(comm, &sync);
  settle();
}

/* If all weights are 0, parameters stay unchanged and nothing is divided by 0. */
static void test_no_weight(void **state) {
  (void)state;
  ls_sync *sync = NULL;
  double sums[SUMS] = {0.0};
  ls_optim *optim = NULL;
  new_sync(&configs[0], optimizers[0], 3, SUMS, &sync, &optim);
  set_params(sync, 3, (const float[]){1.0F, 2.0F, 3.0F});
  const float *const params = sync->params;
  ls_step step = {.sums = sums, .lr = optim->lr};
  EXPECT(ls_sync_step(comm, sync, &step, optim) == LS_OK);
  EXPECT(params[0] == 1.0F && params[1] == 2.0F && params[2] == 3.0F);
  EXPECT(step.weight == 0.0 && step.grad_norm == 0.0);
  ls_optim_destroy(&optim);
  ls_sync_destroy(comm, &sync);
  settle();
}

/* --------------------------------------------------------------------- numeric */

#define N 1000

/* Values that replace those of one rank. */
typedef struct poison {
  size_t where; /* index in the gradient; N: none */
  float value;
  double sum, weight; /* added to the first sum and the weight */
} poison;

/* Collective. If rank `failing` (-1: every rank) has these values, all ranks reject the step, and neither
 * parameters nor optimizer change. */
static void check_poison(const ls_sync_config *way, const char *options, int failing, poison bad) {
  pair p;
  double sums[SUMS];
  pair_create(&p, way, options, N);
  pair_step(&p, 0, 13);
  float *const before = ls_calloc(N, sizeof *before);
  float *const block = ls_calloc(N * p.optim->n_slots, sizeof *block);
  const size_t block_bytes = p.optim->n * p.optim->n_slots * sizeof *block;
  memcpy(before, p.sync->params, N * sizeof *before);
  memcpy(block, p.optim->block, block_bytes);

  const ls_shard shard = ls_shard_of(13, rank, size);
  ls_step step = {.sums = sums, .lr = p.optim->lr};
  step.weight = add_rows(1, shard.first, shard.rows, N, p.sync->grads, sums);
  if (failing < 0 || rank == failing) {
    if (bad.where < N) p.sync->grads[bad.where] = bad.value;
    sums[0] += bad.sum;
    step.weight += bad.weight;
  }
  const ls_status status = ls_sync_step(comm, p.sync, &step, p.optim);
  if (status != LS_ERR_NUMERIC)
    complain(__FILE__, __LINE__, "%s: status %d with [%zu] = %g, sum + %g, weight + %g", options,
             (int)status, bad.where, (double)bad.value, bad.sum, bad.weight);
  EXPECT(status == LS_OK || same_text(ls_message()));
  EXPECT(memcmp(before, p.sync->params, N * sizeof *before) == 0);
  EXPECT(memcmp(block, p.optim->block, block_bytes) == 0);
  EXPECT(p.optim->steps == 1);
  settle();

  pair_step(&p, 1, 13); /* a valid step still works */
  free(before);
  free(block);
  pair_destroy(&p);
  settle();
}

static void test_not_finite_on_one_rank(void **state) {
  (void)state;
  const size_t places[] = {0, 333, 500, N - 1};
  const float values[] = {NAN, INFINITY, -INFINITY};
  for (int failing = 0; failing < size; failing++) {
    for (size_t k = 0; k < COUNT(configs); k++)
      check_poison(&configs[k], optimizers[k % 3], failing,
                   (poison){.where = places[k % COUNT(places)], .value = values[k % 3]});
    check_poison(&configs[2], optimizers[1], failing, (poison){.where = N, .sum = (double)NAN});
    check_poison(&configs[2], optimizers[1], failing, (poison){.where = N, .sum = (double)INFINITY});
    check_poison(&configs[2], optimizers[1], failing, (poison){.where = N, .weight = (double)NAN});
  }
}

/* Collective. A gradient has one infinite element, and rounding errors of the others that are large: the
 * next step contains none of it. */
static void check_nothing_carried(const ls_sync_config *way) {
  pair p;
  double sums[SUMS] = {0.0};
  pair_create(&p, way, optimizers[0], N);
  for (size_t i = 0; i < N; i++) p.sync->grads[i] = 1.2345678e30F;
  p.sync->grads[N / 2] = INFINITY;
  ls_step step = {.weight = 1.0, .sums = sums, .lr = 0.05};
  EXPECT(ls_sync_step(comm, p.sync, &step, p.optim) == LS_ERR_NUMERIC);
  settle();
  pair_step(&p, 0, 13);
  EXPECT(distance(N, p.sync->params, p.single_params) <= 2e-2);
  pair_destroy(&p);
  settle();
}

static void test_nothing_carried(void **state) {
  (void)state;
  for (size_t w = 0; w < COUNT(configs); w++) check_nothing_carried(&configs[w]);
}

/* Finite on each rank, but infinite in the sum. */
static void test_sum_overflows(void **state) {
  (void)state;
  if (size == 1) skip();
  for (size_t w = 0; w < COUNT(configs); w++)
    check_poison(&configs[w], optimizers[0], -1, (poison){.where = 7, .value = FLT_MAX});
}

/* Collective. A step with this gradient and weight on every rank. */
static ls_status step_with(float gradient, double weight, float params[2]) {
  ls_sync *sync = NULL;
  ls_optim *optim = NULL;
  new_sync(&configs[0], optimizers[0], 2, 0, &sync, &optim);
  set_params(sync, 2, params);
  ls_step step = {.weight = weight, .lr = optim->lr};
  sync->grads[0] = gradient;
  const ls_status status = ls_sync_step(comm, sync, &step, optim);
  memcpy(params, sync->params, 2 * sizeof *params);
  ls_optim_destroy(&optim);
  ls_sync_destroy(comm, &sync);
  return status;
}

/* The mean passed to the optimizer must be finite too, which fails for tiny weights.
 */
static void test_mean_not_finite(void **state) {
  (void)state;
  float params[2] = {1.0F, 2.0F};
  EXPECT(step_with(NAN, 0.0, params) == LS_ERR_NUMERIC);
  EXPECT(step_with(INFINITY, 0.0, params) == LS_ERR_NUMERIC);
  EXPECT(step_with(1.0F, 1e-42, params) == LS_ERR_NUMERIC);  /* 1 / weight exceeds float */
  EXPECT(step_with(1e20F, 1e-25, params) == LS_ERR_NUMERIC); /* the product exceeds float */
  EXPECT(params[0] == 1.0F && params[1] == 2.0F);
  EXPECT(step_with(1e-20F, 1e-20, params) == LS_OK);
  EXPECT_CLOSE((double)params[0], 0.95, 1e-6);
  settle();
}

/* ------------------------------------------------------------------------ stop */

static void test_stop_request(void **state) {
  (void)state;
  pair p;
  double sums[SUMS] = {0.0};
  pair_create(&p, &configs[2], optimizers[0], 10);
  for (int who = 0; who < size; who++) {
    ls_step step = {.weight = 1.0, .sums = sums, .wants_stop = rank == who, .lr = p.optim->lr};
    EXPECT(ls_sync_step(comm, p.sync, &step, p.optim) == LS_OK);
    EXPECT(step.wants_stop);
    step = (ls_step){.weight = 1.0, .sums = sums};
    EXPECT(ls_sync_step(comm, p.sync, &step, p.optim) == LS_OK);
    EXPECT(!step.wants_stop);
    settle();
  }
  pair_destroy(&p);
}

/* ------------------------------------------------------------------------ a tree */

#define TREE_PARAMS 37

/* Lane l's gradient, (TREE_PARAMS). */
static void fill_lane(size_t lane, float *grads) {
  const ls_rng rng = ls_rng_make(8, LS_RNG_CHECK, 2, 0);
  ls_rng_normal(&rng, lane, TREE_PARAMS, grads);
}

/* Two lanes on any number of ranks, with penalty and clipping, give the step of one rank. The last rank,
 * which has no lane on three or more ranks, requests a stop. */
static void test_step_by_tree(void **state) {
  (void)state;
  ls_sync *sync = NULL;
  ls_comm_tree *tree = NULL;
  ls_optim *optim = NULL;
  const ls_segment all = {.kind = LS_SEGMENT_WEIGHT, .rows = TREE_PARAMS, .l2 = 0.01};
  new_sync(&configs[3], "{type: sgd, lr: 0.5}", TREE_PARAMS, 1, &sync, &optim);
  EXPECT(ls_comm_tree_create(comm, 2, &tree) == LS_OK);
  settle();
  LS_ASSERT(tree);
  sync->tree = tree;
  sync->clip_norm = 0.25;
  sync->n_penalised = 1;
  sync->penalised = &all;
  float lanes[2][TREE_PARAMS];
  float initial[TREE_PARAMS];
  const float *const params = sync->params;
  float *const grads = sync->grads;
  double sums[1] = {0.0};
  ls_step step = {.sums = sums, .lr = 0.5, .wants_stop = rank == size - 1};
  for (size_t l = 0; l < 2; l++) fill_lane(l, lanes[l]);
  fill_lane(2, initial);
  set_params(sync, TREE_PARAMS, initial);
  for (size_t l = tree->first; l < tree->first + tree->count; l++) {
    for (size_t k = 0; k < TREE_PARAMS; k++) grads[k] += lanes[l][k];
    step.weight += 2.0 + (double)l;
    sums[0] += 10.0 + (double)l;
  }
  double wanted[TREE_PARAMS];
  double squares = 0.0;
  for (size_t k = 0; k < TREE_PARAMS; k++) {
    wanted[k] = ((double)lanes[0][k] + (double)lanes[1][k]) / 5.0 + 2.0 * 0.01 * (double)params[k];
    squares += wanted[k] * wanted[k];
  }
  const double scale = 0.25 / (sqrt(squares) + 1e-6);
  for (size_t k = 0; k < TREE_PARAMS; k++) wanted[k] = (double)params[k] - 0.5 * scale * wanted[k];
  EXPECT(ls_sync_step(comm, sync, &step, optim) == LS_OK);
  EXPECT(step.weight == 5.0 && sums[0] == 21.0 && step.wants_stop && scale < 1.0);
  EXPECT_CLOSE(step.grad_norm, sqrt(squares), 1e-5);
  for (size_t k = 0; k < TREE_PARAMS; k++) EXPECT_CLOSE((double)params[k], wanted[k], 1e-5);
  EXPECT(same_bytes(params, sizeof initial));
  ls_comm_tree_destroy(&tree);
  ls_optim_destroy(&optim);
  ls_sync_destroy(comm, &sync);
  settle();
}

/* Batches are reduced one by one and added; ls_sync_step uses the sum unchanged. */
static void test_reduced_batches(void **state) {
  (void)state;
  ls_sync *sync = NULL;
  ls_comm_tree *tree = NULL;
  ls_optim *optim = NULL;
  new_sync(&configs[3], "{type: sgd, lr: 1}", 1, 0, &sync, &optim);
  EXPECT(ls_comm_tree_create(comm, 4, &tree) == LS_OK);
  settle();
  LS_ASSERT(tree);
  sync->tree = tree;
  set_params(sync, 1, (const float[]){10.0F});
  const float *const params = sync->params;
  float *const total = sync->grads;
  double weight = 0.0;
  for (int batch = 0; batch < 3; batch++) {
    float grads[1] = {(float)tree->count};
    ls_step part = {.weight = (double)tree->count};
    ls_sync_reduce(comm, sync, &part, 1, grads);
    EXPECT(grads[0] == 4.0F && part.weight == 4.0);
    total[0] += grads[0];
    weight += part.weight;
  }
  ls_step step = {.weight = weight, .lr = 1.0, .is_reduced = true};
  EXPECT(ls_sync_step(comm, sync, &step, optim) == LS_OK);
  EXPECT(params[0] == 9.0F && step.weight == 12.0 && !step.wants_stop);
  ls_comm_tree_destroy(&tree);
  ls_optim_destroy(&optim);
  ls_sync_destroy(comm, &sync);
  settle();
}

int main(int argc, char **argv) {
  begin(&argc, &argv);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_steps_equal_one_rank),
      cmocka_unit_test(test_norms_and_averages),
      cmocka_unit_test(test_long_gradients),
      cmocka_unit_test(test_modes_agree),
      cmocka_unit_test(test_copies_agree),
      cmocka_unit_test(test_error_feedback),
      cmocka_unit_test(test_shards),
      cmocka_unit_test(test_ranks_without_rows),
      cmocka_unit_test(test_step_by_tree),
      cmocka_unit_test(test_reduced_batches),
      cmocka_unit_test(test_step_formula),
      cmocka_unit_test(test_no_weight),
      cmocka_unit_test(test_not_finite_on_one_rank),
      cmocka_unit_test(test_nothing_carried),
      cmocka_unit_test(test_sum_overflows),
      cmocka_unit_test(test_mean_not_finite),
      cmocka_unit_test(test_stop_request),
  };
  return finish(cmocka_run_group_tests(tests, NULL, NULL));
}
