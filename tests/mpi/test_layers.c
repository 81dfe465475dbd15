/* Layers over ranks: for any partition of the rows, batch norm has the same statistics, outputs, gradients
 * and running averages as on one rank with the whole batch; its state is saved and restored. */
#include "support.h"

#include "lockstep/checkpoint.h"

#define INPUTS  5
#define OUTPUTS 3
#define ROWS    23

/* Batch norm at the input, in the middle, and inside residuals with and without a skip. */
static const char *const net =
    "model:\n"
    "  - {layer: batch_norm}\n"
    "  - {layer: dense, units: 8, activation: gelu}\n"
    "  - {layer: batch_norm, momentum: 0.5}\n"
    "  - {layer: residual, layers: [{layer: dense, units: 8}, {layer: batch_norm}, {layer: relu}]}\n"
    "  - {layer: residual, layers: [{layer: dense, units: 3, activation: tanh}, {layer: batch_norm}]}\n";

/* --------------------------------------------------------------------- a rank */

/* A model, and the results of a pass over some of the rows. */
typedef struct worker {
  ls_model *model;
  size_t first, rows; /* of the batch */
  float y[ROWS * OUTPUTS], dx[ROWS * INPUTS];
} worker;

static void worker_create(worker *w, size_t first, size_t rows) {
  ls_config *config = NULL;
  *w = (worker){.first = first, .rows = rows};
  ls_status status = ls_config_create(net, "net.yaml", &config);
  if (status == LS_OK) status = ls_model_parse(config, LS_MSE, &w->model);
  if (status == LS_OK) status = ls_config_status(config);
  if (status == LS_OK) w->model->max_lanes = 2;
  if (status == LS_OK) status = ls_model_infer_shapes(w->model, &(ls_shape){1, {INPUTS}});
  if (status == LS_OK) status = ls_model_build(w->model, ROWS);
  if (status != LS_OK) complain(__FILE__, __LINE__, "%s", ls_message());
  ls_config_destroy(&config);
  settle();
  ls_model_initialise(w->model, 3);
}

static void sum_over_ranks(void *context, double *x, size_t n) {
  ls_comm_sum_f64((ls_comm *)context, x, n);
}

/* Local. Random numbers of a batch, the same on all ranks; each column has its own mean and deviation. */
static void fill_batch(uint64_t key, size_t cols, float *x) {
  const ls_rng rng = ls_rng_make(key, LS_RNG_CHECK, 0, 0);
  ls_rng_normal(&rng, 0, ROWS * cols, x);
  for (size_t i = 0; i < ROWS * cols; i++) x[i] = x[i] * (float)(1 + i % cols) + 10.0F * (float)(i % cols);
}

/* Collective if over_ranks, otherwise local. Forward and backward of L = sum c y over the worker's rows. */
static void run_pass(worker *w, ls_pass_mode mode, uint64_t key, bool over_ranks) {
  const size_t lanes[] = {0, w->rows / 2, w->rows};
  const ls_pass pass = {.n_lanes = 2,
                        .lanes = lanes,
                        .mode = mode,
                        .sum = over_ranks ? sum_over_ranks : NULL,
                        .context = comm};
  float x[ROWS * INPUTS];
  float c[ROWS * OUTPUTS];
  fill_batch(key, INPUTS, x);
  fill_batch(key + 1, OUTPUTS, c);
  const float *const y = ls_model_forward(w->model, &pass, x + w->first * INPUTS);
  memcpy(w->y, y, w->rows * OUTPUTS * sizeof *y);
  memcpy(ls_model_output_gradient(w->model), c + w->first * OUTPUTS, w->rows * OUTPUTS * sizeof *c);
  ls_model_backward(w->model, &pass, w->dx);
  if (over_ranks) ls_comm_sum_f32(comm, w->model->grads, w->model->n_params);
}

/* Local. ||got - want|| <= tolerance ||want||, and at least 1. */
static void expect_norm(const char *what, size_t n, const float *got, const float *want, double tolerance) {
  double difference = 0.0;
  double norm = 0.0;
  for (size_t i = 0; i < n; i++) {
    difference += ((double)got[i] - (double)want[i]) * ((double)got[i] - (double)want[i]);
    norm += (double)want[i] * (double)want[i];
  }
  if (!(sqrt(difference) <= tolerance * fmax(sqrt(norm), 1.0)))
    complain(__FILE__, __LINE__, "%s: differs by %.3g of %.3g", what, sqrt(difference), sqrt(norm));
}

/* ------------------------------------------------------------------- partitions */

/* The first row of a rank: equal parts; all rows on the last rank; one row on the first, none on the
 * second.
 */
static size_t first_row(int partition, int of) {
  const size_t at = (size_t)of;
  const size_t n = (size_t)size;
  if (of == 0 || of == size) return of == 0 ? 0 : ROWS;
  switch (partition) {
  case 0: return ROWS * at / n;
  case 1: return 0;
  default: return at == 1 || at == 2 ? 1 : 1 + (ROWS - 1) * (at - 2) / (n - 2);
  }
}

/* Collective. Compares three passes, each of which updates the running averages, with those of one rank. */
static void check_partition(int partition, ls_pass_mode mode) {
  worker whole;
  worker mine;
  const size_t first = first_row(partition, rank);
  worker_create(&whole, 0, ROWS);
  worker_create(&mine, first, first_row(partition, rank + 1) - first);
  for (uint64_t step = 0; step < 3; step++) {
    run_pass(&whole, mode, 10 * step, false);
    run_pass(&mine, mode, 10 * step, true);
    expect_norm("y", mine.rows * OUTPUTS, mine.y, whole.y + first * OUTPUTS, 2e-6);
    expect_norm("dx", mine.rows * INPUTS, mine.dx, whole.dx + first * INPUTS, 1e-5);
    expect_norm("gradients", whole.model->n_params, mine.model->grads, whole.model->grads, 1e-5);
    expect_norm("state", whole.model->n_state, mine.model->state, whole.model->state, 1e-6);
  }
  EXPECT(same_bytes(mine.model->state, mine.model->n_state * sizeof(float)));
  EXPECT(mode == LS_TRAIN || mine.model->state[0] == 0.0F);
  ls_model_destroy(&whole.model);
  ls_model_destroy(&mine.model);
  settle();
}

static void test_ranks_divide_a_batch(void **state) {
  (void)state;
  for (int partition = 0; partition < 3; partition++) {
    check_partition(partition, LS_TRAIN);
    check_partition(partition, LS_PROBE);
    check_partition(partition, LS_PREDICT);
  }
}

/* -------------------------------------------------------------------- the state */

/* Collective. All ranks restore what rank 0 wrote; files that differ only in the state are not the same
 * model.
 */
static void test_state_is_saved(void **state) {
  (void)state;
  worker written;
  worker restored;
  ls_normalizer *normalizer = NULL;
  worker_create(&written, 0, ROWS);
  worker_create(&restored, 0, ROWS);
  run_pass(&written, LS_TRAIN, 7, false);
  EXPECT(ls_normalizer_create(INPUTS, &normalizer) == LS_OK);
  settle();
  const ls_modelfile_content content = {
      .config = "seed: 1\n", .model = written.model, .normalizer = normalizer};
  ls_modelfile *saved = NULL;
  ls_modelfile *other = NULL;
  if (rank == 0) {
    EXPECT(ls_modelfile_write(in_folder("a.h5"), &content) == LS_OK);
    const float kept = written.model->state[3];
    written.model->state[3] += 1.0F;
    EXPECT(ls_modelfile_write(in_folder("b.h5"), &content) == LS_OK);
    written.model->state[3] = kept;
    EXPECT(ls_modelfile_open(in_folder("a.h5"), &saved) == LS_OK &&
           ls_modelfile_open(in_folder("b.h5"), &other) == LS_OK);
  }
  settle();
  if (rank == 0) {
    bool same = false;
    EXPECT(ls_modelfile_same_model(saved, saved, written.model, &same) == LS_OK && same);
    EXPECT(ls_modelfile_same_model(saved, other, written.model, &same) == LS_OK && !same);
    EXPECT(ls_store_kind_of(saved->store, "/model/3-residual/1-batch_norm/running_var") == LS_STORE_ARRAY);
  }
  EXPECT(ls_checkpoint_restore(comm, other, restored.model, normalizer, NULL, NULL) == LS_OK);
  EXPECT(restored.model->state[3] != written.model->state[3]);
  EXPECT(ls_checkpoint_restore(comm, saved, restored.model, normalizer, NULL, NULL) == LS_OK);
  EXPECT(memcmp(restored.model->state, written.model->state, written.model->n_state * sizeof(float)) == 0);
  EXPECT(memcmp(restored.model->params, written.model->params, written.model->n_params * sizeof(float)) ==
         0);
  ls_modelfile_close(&saved);
  ls_modelfile_close(&other);
  ls_normalizer_destroy(&normalizer);
  ls_model_destroy(&written.model);
  ls_model_destroy(&restored.model);
  settle();
}

int main(int argc, char **argv) {
  begin(&argc, &argv);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_ranks_divide_a_batch),
      cmocka_unit_test(test_state_is_saved),
  };
  return finish(cmocka_run_group_tests(tests, make_folder, remove_folder));
}
