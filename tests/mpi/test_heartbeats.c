/* Every loop over samples or parameters sends heartbeats: in each, this rank may work for at most
 * LS_HEARTBEAT_ITEMS iterations, or LS_HEARTBEAT_BYTES bytes, without one. */
#include "support.h"

#include "../unit/memory_reader.h"
#include "lockstep/config.h"
#include "lockstep/data.h"
#include "lockstep/job.h"

#define SAMPLES ((size_t)1 << 20)
#define CLASSES 3

static uint64_t counted;

/* Local. Begins to count. */
static void start_counting(void) {
  counted = ls_heartbeat_count();
}

/* Local. Expects a heartbeat for each LS_HEARTBEAT_ITEMS of the iterations since start_counting. */
static void expect_heartbeats(const char *what, size_t iterations) {
  const uint64_t n = ls_heartbeat_count() - counted;
  if (n < iterations / LS_HEARTBEAT_ITEMS)
    complain(__FILE__, __LINE__, "%s: %llu heartbeats in %zu iterations", what, (unsigned long long)n,
             iterations);
}

/* Collective. The same for iterations that the ranks share. */
static void expect_shared_heartbeats(const char *what, size_t iterations) {
  uint64_t n = ls_heartbeat_count() - counted;
  ls_comm_sum_u64(comm, &n, 1);
  if (n < iterations / LS_HEARTBEAT_ITEMS)
    complain(__FILE__, __LINE__, "%s: %llu heartbeats in %zu iterations", what, (unsigned long long)n,
             iterations);
}

/* ----------------------------------------------------------------------- memory */

static void test_memory(void **state) {
  (void)state;
  const size_t bytes = 4 * LS_HEARTBEAT_BYTES;
  start_counting();
  unsigned char *const block = ls_calloc(bytes, 1);
  EXPECT(ls_heartbeat_count() - counted >= 3);
  settle();
  LS_ASSERT(block);
  start_counting();
  ls_copy(block, block + bytes / 2, bytes / 2);
  EXPECT(ls_heartbeat_count() - counted >= 1);
  start_counting();
  (void)ls_digest_of(block, bytes);
  EXPECT(ls_heartbeat_count() - counted >= 3);
  free(block);
  settle();
}

/* ------------------------------------------------------------------------ samples */

/* A dataset in the memory of this rank. */
static uint8_t *x;
static int32_t *y;
static float *w;
static memory_reader reader;
static ls_dataset dataset = {.n_samples = SAMPLES,
                             .n_features = CLASSES,
                             .n_outputs = CLASSES,
                             .x_array = {.dtype = LS_U8},
                             .target = LS_TARGET_CLASSES,
                             .has_weights = true};

static int create_data(void **state) {
  x = ls_calloc(SAMPLES * CLASSES, 1);
  y = ls_calloc(SAMPLES, sizeof *y);
  w = ls_calloc(SAMPLES, sizeof *w);
  LS_ASSERT(x && y && w);
  for (size_t i = 0; i < SAMPLES; i++) {
    for (size_t k = 0; k < CLASSES; k++) x[i * CLASSES + k] = (uint8_t)(i * (k + 1));
    y[i] = (int32_t)(i % CLASSES);
    w[i] = 1.0F;
  }
  memory_reader_attach(&reader, &dataset, x, y, w);
  LS_ASSERT(ls_blocks_create(1, &(uint64_t){SAMPLES}, &(uint64_t){1024}, 3, &dataset.blocks) == LS_OK);
  return make_folder(state);
}

static int free_data(void **state) {
  free(x);
  free(y);
  free(w);
  ls_blocks_destroy(&dataset.blocks);
  return remove_folder(state);
}

static void test_weights(void **state) {
  (void)state;
  const ls_view view = ls_view_all(&dataset);
  double weights[CLASSES];
  start_counting();
  ls_class_weights_balance(comm, &view, CLASSES, weights);
  expect_shared_heartbeats("class weights", SAMPLES);
  start_counting();
  double sum = 0.0;
  (void)ls_view_weight(comm, &view, weights, &sum);
  expect_shared_heartbeats("sum of weights", SAMPLES);
  settle();
}

/* A large validation split, and the features of the rest. */
static void test_normalizer(void **state) {
  (void)state;
  ls_view train;
  ls_view validation;
  ls_normalizer *normalizer = NULL;
  float *const column = ls_calloc(SAMPLES, sizeof *column);
  EXPECT(ls_normalizer_create(CLASSES, &normalizer) == LS_OK && column);
  settle();
  LS_ASSERT(normalizer && column);
  ls_view_split(&dataset, 0.9, 1, &train, &validation);
  start_counting();
  EXPECT(ls_normalizer_learn(comm, LS_NORMALIZE_STANDARDIZE, false, &train, normalizer) == LS_OK);
  expect_shared_heartbeats("normaliser", SAMPLES);
  start_counting();
  ls_dataset_column(&dataset, normalizer, 0, column);
  expect_heartbeats("column of a feature", SAMPLES);
  ls_normalizer_destroy(&normalizer);
  free(column);
  settle();
}

static void test_auc(void **state) {
  (void)state;
  ls_scored *const samples = ls_calloc(2 * SAMPLES, sizeof *samples);
  EXPECT(samples);
  settle();
  LS_ASSERT(samples);
  for (size_t i = 0; i < SAMPLES; i++)
    samples[i] = (ls_scored){0, (float)(i * 7 % 1001), i % 3 ? 1.0F : -1.0F};
  ls_auc auc = {0};
  start_counting();
  ls_auc_sort(SAMPLES, samples, samples + SAMPLES);
  ls_auc_add(&auc, SAMPLES, samples);
  expect_heartbeats("AUC", 9 * SAMPLES); /* four passes, which read the samples twice, and the sum */
  free(samples);
  settle();
}

/* Collective. Rank 0 reads y of a file, (SAMPLES, cols). */
static void check_reading(const char *name, size_t cols, ls_target_kind target) {
  const ls_array of_x = {.dtype = LS_U8, .n_dims = 2, .dims = {SAMPLES, 1}};
  const ls_array of_y = {.dtype = LS_F64, .n_dims = cols > 1 ? 2 : 1, .dims = {SAMPLES, cols}};
  double *const values = ls_calloc(SAMPLES * cols, sizeof *values);
  ls_store_writer *writer = NULL;
  ls_dataset *read = NULL;
  char path[300];
  snprintf(path, sizeof path, "%s", in_folder(name));
  for (size_t i = 0; values && i < SAMPLES; i++) values[i * cols] = 1.0;
  ls_status status = values ? LS_OK : ls_fail_memory("y", SAMPLES);
  if (rank == 0 && status == LS_OK) {
    status = ls_store_create(path, false, &writer);
    if (status == LS_OK) status = ls_store_write_array(writer, "/x", &of_x, x);
    if (status == LS_OK) status = ls_store_write_array(writer, "/y", &of_y, values);
    status = ls_store_end(&writer, status);
  }
  free(values);
  EXPECT(status == LS_OK);
  settle();
  const ls_dataset_request request = {.spec = path, .role = "train", .target = target};
  EXPECT(ls_dataset_open(comm, &request, &read) == LS_OK);
  settle();
  start_counting();
  EXPECT(ls_dataset_read(comm, read, target == LS_TARGET_CLASSES ? CLASSES : cols) == LS_OK);
  if (rank == 0) expect_heartbeats(name, SAMPLES);
  ls_dataset_close(comm, &read);
  settle();
}

static void test_reading(void **state) {
  (void)state;
  check_reading("classes.h5", 1, LS_TARGET_CLASSES);
  check_reading("one-hot.h5", CLASSES, LS_TARGET_CLASSES);
  check_reading("numbers.h5", 2, LS_TARGET_VALUES);
}

/* -------------------------------------------------------------------- parameters */

/* Local. Counts the heartbeats of the first weights and of a step of the optimizer. */
static void check_parameters(const char *text) {
  ls_config *config = NULL;
  ls_model *model = NULL;
  ls_optim *optim = NULL;
  EXPECT(ls_config_create(text, "net.yaml", &config) == LS_OK);
  EXPECT(ls_model_parse(config, LS_MSE, &model) == LS_OK && ls_optim_parse(config, &optim) == LS_OK);
  EXPECT(ls_config_status(config) == LS_OK &&
         ls_model_infer_shapes(model, &(ls_shape){1, {4096}}) == LS_OK);
  EXPECT(ls_model_build(model, 1) == LS_OK && ls_optim_build(optim, model->n_params) == LS_OK);
  ls_config_destroy(&config);
  if (complaint[0]) return;
  start_counting();
  ls_model_initialise(model, 1);
  expect_heartbeats("initial weights", model->n_params);
  start_counting();
  ls_optim_step(optim, 1e-3, 1.0F, model->grads, model->params);
  EXPECT(ls_heartbeat_count() - counted >= model->n_params * sizeof(float) / LS_HEARTBEAT_BYTES);
  ls_model_destroy(&model);
  ls_optim_destroy(&optim);
}

static void test_parameters(void **state) {
  (void)state;
  check_parameters("model: [{layer: dense, units: 4200}]\noptimizer: {type: sgd, lr: 0.1}\n");
  check_parameters(
      "model: [{layer: dense, units: 4200, init: he_uniform}]\noptimizer: {type: adam, lr: 0.1}\n");
  const ls_rng rng = ls_rng_make(1, LS_RNG_CHECK, 0, 0);
  float *const numbers = ls_calloc(SAMPLES, sizeof *numbers);
  EXPECT(numbers);
  start_counting();
  if (numbers) ls_rng_normal(&rng, 0, SAMPLES, numbers);
  expect_heartbeats("normal numbers", SAMPLES);
  start_counting();
  if (numbers) ls_rng_uniform(&rng, 0, SAMPLES, numbers);
  expect_heartbeats("uniform numbers", SAMPLES);
  free(numbers);
  settle();
}

int main(int argc, char **argv) {
  begin(&argc, &argv);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_memory), cmocka_unit_test(test_weights), cmocka_unit_test(test_normalizer),
      cmocka_unit_test(test_auc),    cmocka_unit_test(test_reading), cmocka_unit_test(test_parameters),
  };
  return finish(cmocka_run_group_tests(tests, create_data, free_data));
}
