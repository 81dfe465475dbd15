/* Steps of a config's net beside the matrix products that they cannot do without.
 *
 *   mpirun -n 2 step CONFIG.yaml [BATCH...]
 *
 * For each global batch, in turn and several times: full training steps (gathering, forward, loss,
 * backward, reduction, update) as `lockstep train` takes them, and on the same ranks and threads nothing
 * but the products of the dense layers: y = x W^T, dW = dy^T x, dx = dy W but for the first layer. Prints
 * samples/s, medians, and the median of the ratios of neighbouring rounds. */
#include "train/internal.h"

#include <stdlib.h>
#include <string.h>

#define ROUNDS  9
#define SECONDS 0.4 /* of each kind in each round */

typedef struct figures {
  double step[ROUNDS], products[ROUNDS], ratio[ROUNDS];
} figures;

static int ascending(const void *a, const void *b) {
  const double x = *(const double *)a;
  const double y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(double *values) {
  qsort(values, ROUNDS, sizeof *values, ascending);
  return values[ROUNDS / 2];
}

/* The products of one step over `rows` rows. Reads and writes the model's own arrays, so that caches are as
 * they are in a step. */
static void multiply(const ls_model *model, size_t rows) {
  for (size_t i = 0; i < model->n_layers; i++) {
    const ls_layer *const layer = model->layers[i];
    if (layer->n_params == 0 || layer->params[0].cols == 0) continue;
    ls_math_product_nt(rows, layer->n_out, layer->n_in, model->activations[i], layer->params[0].value, 0.0F,
                       model->activations[i + 1]);
  }
  for (size_t i = model->n_layers; i-- > 0;) {
    const ls_layer *const layer = model->layers[i];
    if (layer->n_params == 0 || layer->params[0].cols == 0) continue;
    ls_math_product_tn(layer->n_out, layer->n_in, rows, model->deltas[0], model->activations[i], 0.0F,
                       layer->params[0].grad);
    if (i > 0)
      ls_math_product_nn(rows, layer->n_in, layer->n_out, model->deltas[0], layer->params[0].value, 0.0F,
                         model->deltas[1]);
  }
}

/* Collective. Samples/s of the products alone, all ranks at once. */
static double time_products(trainer *t, size_t steps) {
  const ls_shard shard = ls_shard_of(t->setup->batch_size, ls_comm_rank(t->comm), ls_comm_size(t->comm));
  ls_comm_barrier(t->comm);
  const double start = ls_clock();
  for (size_t s = 0; s < steps; s++) multiply(t->setup->job->model, shard.rows);
  ls_comm_barrier(t->comm);
  return (double)(steps * t->setup->batch_size) / (ls_clock() - start);
}

/* Collective. Samples/s of training; 0 where a step failed. */
static double time_steps(trainer *t, size_t steps) {
  const uint64_t n = t->setup->train.view.n;
  ls_order order = ls_order_make(n, 1, t->progress.epoch, true);
  const uint64_t before = t->progress.samples;
  ls_comm_barrier(t->comm);
  const double start = ls_clock();
  for (size_t s = 0; s < steps; s++) {
    if (train_run_step(t, &order) != LS_OK) return 0.0;
    if (t->progress.epoch_samples < n) continue;
    t->progress.epoch_samples = 0;
    order = ls_order_make(n, 1, ++t->progress.epoch, true);
  }
  ls_comm_barrier(t->comm);
  return (double)(t->progress.samples - before) / (ls_clock() - start);
}

/* Collective. How many steps take about SECONDS: the slowest rank's count, the same on all. */
static size_t count_steps(trainer *t) {
  const bool warm = time_steps(t, 20) > 0.0;
  double steps = SECONDS * (warm ? time_steps(t, 20) : 0.0) / (double)t->setup->batch_size;
  ls_comm_broadcast(t->comm, &steps, sizeof steps);
  return steps < 10.0 ? 10 : (size_t)steps;
}

static void report(const trainer *t, figures *f) {
  const double step = median(f->step);
  const double products = median(f->products);
  const double ratio = median(f->ratio);
  ls_log(LS_LOG_INFO,
         "batch %5zu  %d ranks x %d threads  step %8.0f samples/s  products alone %8.0f  ratio %.3f (%.3f "
         "to %.3f)",
         t->setup->batch_size, ls_comm_size(t->comm), t->setup->threads, step, products, ratio, f->ratio[0],
         f->ratio[ROUNDS - 1]);
}

static ls_status measure(ls_comm *comm, ls_setup *setup) {
  trainer t;
  figures f;
  ls_status status = ls_comm_agree(comm, trainer_create(&t, comm, setup));
  if (status == LS_OK) status = train_choose_mode(&t, LS_SYNC_AUTO);
  if (status == LS_OK) {
    ls_model_initialise(setup->job->model, 1);
    const size_t steps = count_steps(&t);
    for (int r = 0; r < ROUNDS; r++) {
      f.products[r] = time_products(&t, steps);
      f.step[r] = time_steps(&t, steps);
      f.ratio[r] = f.step[r] / f.products[r];
    }
    if (f.step[0] > 0.0)
      report(&t, &f);
    else
      status = ls_fail(LS_ERR_NUMERIC, "a step failed: %s", ls_message());
  }
  trainer_destroy(&t);
  return status;
}

static ls_status measure_batch(ls_comm *comm, const char *path, const char *batch) {
  char assignment[64];
  snprintf(assignment, sizeof assignment, "train.batch_size=%s", batch);
  const char *const overrides[] = {assignment};
  const ls_job_source source = {.path = path, .overrides = overrides, .n_overrides = 1, .output = "unused"};
  ls_job *job = NULL;
  ls_setup *setup = NULL;
  ls_status status = ls_job_create(comm, &source, &job);
  if (status == LS_OK) status = ls_setup_create(comm, job, &setup);
  if (status == LS_OK) status = measure(comm, setup);
  ls_setup_destroy(comm, &setup);
  ls_job_destroy(&job);
  return status;
}

int main(int argc, char **argv) {
  static const char *const usual[] = {"32", "128", "512", "1024", "2048"};
  ls_comm *comm = NULL;
  ls_status status = ls_comm_create(&argc, &argv, &comm);
  if (status != LS_OK) return (int)status;
  ls_log_enable(ls_comm_rank(comm) == 0);
  const bool given = argc > 2;
  const size_t n = given ? (size_t)argc - 2 : sizeof usual / sizeof usual[0];
  if (argc < 2) status = ls_fail(LS_ERR_CONFIG, "usage: mpirun -n 2 step CONFIG.yaml [BATCH...]");
  for (size_t i = 0; status == LS_OK && i < n; i++)
    status = measure_batch(comm, argv[1], given ? argv[i + 2] : usual[i]);
  if (status != LS_OK) ls_log(LS_LOG_ERROR, "%s", ls_message());
  ls_comm_destroy(&comm);
  return (int)status;
}
