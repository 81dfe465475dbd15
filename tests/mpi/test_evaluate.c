/* Evaluation over ranks: metrics of shards equal those of the whole dataset. */
#include "support.h"

#include "../unit/memory_reader.h"
#include "lockstep/job.h"

/* ------------------------------------------------------------- a net and its data */

/* A net that returns its input, so that scores have the same bits for any partition of the rows. */
static ls_model *identity(ls_loss loss, size_t n) {
  const char *const layer = loss == LS_BINARY_CROSS_ENTROPY ? "sigmoid" : "softmax";
  char text[64];
  ls_config *config = NULL;
  ls_model *model = NULL;
  snprintf(text, sizeof text, "model: [{layer: %s}]\n", layer);
  EXPECT(ls_config_create(text, "net.yaml", &config) == LS_OK);
  EXPECT(ls_model_parse(config, loss, &model) == LS_OK && ls_config_status(config) == LS_OK);
  EXPECT(ls_model_infer_shapes(model, &(ls_shape){1, {n}}) == LS_OK);
  EXPECT(ls_model_build(model, 64) == LS_OK);
  ls_config_destroy(&config);
  return model;
}

/* A dataset in the memory of this rank. */
typedef struct memory_dataset {
  ls_dataset dataset;
  memory_reader reader;
  float *x, *y, *w; /* owned */
} memory_dataset;

/* What is special about the scores or the targets. */
typedef enum special { NOTHING, FINE_SCORES, EQUAL_SCORES, A_NAN, ONE_CLASS } special;

static float score_of(float x, special kind) {
  return kind == FINE_SCORES ? 8.0F * x : kind == EQUAL_SCORES ? 1.0F : floorf(16.0F * x) / 4.0F;
}

/* The same samples on all ranks; `free_data` frees them. Scores are coarse by default, so that many are
 * equal. */
static void make_data(memory_dataset *out, ls_target_kind target, size_t n_samples, size_t n,
                      bool has_weights, special kind) {
  const ls_rng rng = ls_rng_make(3, LS_RNG_CHECK, 0, n_samples);
  const bool is_class = target == LS_TARGET_CLASSES;
  const size_t n_targets = is_class ? n_samples : n_samples * n;
  float *const x = ls_calloc(n_samples * n, sizeof *x);
  float *const y = ls_calloc(n_targets, sizeof *y);
  float *const w = ls_calloc(n_samples, sizeof *w);
  ls_rng_uniform(&rng, 0, n_samples * n, x);
  ls_rng_uniform(&rng, 1, n_targets, y);
  ls_rng_uniform(&rng, 2, n_samples, w);
  for (size_t i = 0; i < n_samples * n; i++) x[i] = score_of(x[i], kind);
  if (kind == A_NAN) x[n_samples * n / 2] = NAN;
  for (size_t i = 0; i < n_targets && is_class; i++) ((int32_t *)(void *)y)[i] = (int32_t)(y[i] * (float)n);
  for (size_t i = 0; i < n_targets && !is_class; i++) y[i] = y[i] > 0.6F;
  if (kind == ONE_CLASS) memset(y, 0, n_targets * sizeof *y);
  *out = (memory_dataset){.dataset = {.n_samples = n_samples,
                                      .n_features = n,
                                      .n_outputs = n,
                                      .x_array = {.dtype = LS_F32},
                                      .target = target,
                                      .has_weights = has_weights},
                          .x = x,
                          .y = y,
                          .w = w};
  memory_reader_attach(&out->reader, &out->dataset, x, y, w);
}

static void free_data(memory_dataset *data) {
  free(data->x);
  free(data->y);
  free(data->w);
}

/* -------------------------------------------------------------------- by itself */

/* Local. The AUC of output k of a view, computed from all samples on this rank. */
static double auc_alone(const ls_view *view, ls_loss loss, size_t k) {
  const size_t n = view->dataset->n_outputs;
  ls_metric *metric = NULL;
  ls_auc auc = {0};
  bool has_nan = false;
  EXPECT(ls_metric_create(ls_task_of(loss), n, false, &metric) == LS_OK);
  EXPECT(ls_metric_keep_scores(metric, view->n, 1, view->n) == LS_OK);
  for (size_t i = 0; i < view->n; i++) {
    ls_row row;
    EXPECT(ls_view_fetch(view, i, &row) == LS_OK);
    const ls_targets targets = {.classes = row.class_number, .values = row.values, .weights = &row.weight};
    ls_metric_add(metric, 1, row.x, &targets, 0.0);
  }
  ls_scored *const samples = metric->ranking->samples;
  const size_t count = ls_metric_scores(metric, k, 1);
  for (size_t i = 0; i < count; i++) has_nan = has_nan || isnan(samples[i].score);
  ls_auc_sort(count, samples, samples + view->n);
  ls_auc_add(&auc, count, samples);
  ls_metric_destroy(&metric);
  return has_nan ? (double)NAN : ls_auc_value(&auc);
}

/* ----------------------------------------------------------------------- tests */

static bool same_bits(double a, double b) {
  return (isnan(a) && isnan(b)) || memcmp(&a, &b, sizeof a) == 0;
}

/* Collective. The AUC of the scores of all ranks has the same bits as on one rank. */
static void check_auc(ls_loss loss, size_t n_samples, size_t n, double fraction, bool has_weights,
                      special kind) {
  memory_dataset data;
  size_t n_undefined = 0;
  make_data(&data, ls_target_of(loss), n_samples, n, has_weights, kind);
  ls_model *model = identity(loss, n);
  ls_normalizer *normalizer = NULL;
  ls_batch *batch = NULL;
  ls_metric *metric = NULL;
  ls_view rest;
  ls_view view = ls_view_all(&data.dataset);
  if (fraction > 0.0) ls_view_split(&data.dataset, fraction, 5, &rest, &view);
  EXPECT(ls_normalizer_create(n, &normalizer) == LS_OK &&
         ls_batch_create(&data.dataset, 64, &batch) == LS_OK);
  EXPECT(ls_metric_create(ls_task_of(loss), n, true, &metric) == LS_OK);
  EXPECT(ls_evaluate_keep_scores(comm, NULL, n_samples, metric) ==
         LS_OK); /* capacity for more than the view */
  settle();
  for (int again = 0; again < 2; again++)
    EXPECT(ls_evaluate(comm, NULL, model, normalizer, &view, batch, metric) == LS_OK);
  for (size_t k = 0; k < n; k++) {
    const double alone = auc_alone(&view, loss, k);
    if (!same_bits(metric->ranking->auc[k], alone))
      complain(__FILE__, __LINE__, "%zu samples, output %zu: AUC %.17g, alone %.17g", n_samples, k,
               metric->ranking->auc[k], alone);
    n_undefined += isnan(alone) ? 1 : 0;
    EXPECT(n_samples < 100 || isnan(alone) || (alone > 0.2 && alone < 0.8));
    EXPECT(kind != EQUAL_SCORES || n_samples < 100 || alone == 0.5);
  }
  EXPECT(n_samples < 100 || (kind == A_NAN || kind == ONE_CLASS ? n_undefined > 0 : n_undefined == 0));
  EXPECT(ls_metric_samples(metric) == view.n);
  EXPECT(same_bytes(metric->ranking->auc, n * sizeof(double)));
  EXPECT(metric->ranking->capacity * (size_t)size <= metric->ranking->most * (n_samples + (size_t)size));
  ls_metric_destroy(&metric);
  ls_batch_destroy(&batch);
  ls_normalizer_destroy(&normalizer);
  ls_model_destroy(&model);
  free_data(&data);
  settle();
}

static void test_auc_of_classes(void **state) {
  (void)state;
  check_auc(LS_CATEGORICAL_CROSS_ENTROPY, 701, 4, 0.0, false, NOTHING);
  check_auc(LS_CATEGORICAL_CROSS_ENTROPY, 701, 2, 0.0, true, NOTHING);
  check_auc(LS_CATEGORICAL_CROSS_ENTROPY, 999, 5, 0.6, true, NOTHING); /* in the order of a permutation */
}

static void test_auc_of_labels(void **state) {
  (void)state;
  check_auc(LS_BINARY_CROSS_ENTROPY, 700, 1, 0.0, true, NOTHING);
  check_auc(LS_BINARY_CROSS_ENTROPY, 701, 3, 0.5, true, NOTHING);
}

/* Equal scores may span all ranks; different ones are all in place. */
static void test_auc_of_special_data(void **state) {
  (void)state;
  check_auc(LS_BINARY_CROSS_ENTROPY, 503, 2, 0.0, false, EQUAL_SCORES);
  check_auc(LS_BINARY_CROSS_ENTROPY, 503, 2, 0.0, true, FINE_SCORES);
  check_auc(LS_CATEGORICAL_CROSS_ENTROPY, 503, 3, 0.0, true, FINE_SCORES);
  check_auc(LS_BINARY_CROSS_ENTROPY, 503, 2, 0.0, true, A_NAN);
  check_auc(LS_CATEGORICAL_CROSS_ENTROPY, 503, 3, 0.0, false, ONE_CLASS);
}

/* More outputs than are ranked together. */
static void test_auc_of_many_outputs(void **state) {
  (void)state;
  check_auc(LS_BINARY_CROSS_ENTROPY, 2, 4100, 0.0, false, NOTHING);
  check_auc(LS_BINARY_CROSS_ENTROPY, 150, 7, 0.0, true, FINE_SCORES);
}

/* Fewer samples than ranks; with one there is no AUC. */
static void test_ranks_without_samples(void **state) {
  (void)state;
  for (size_t n = 1; n <= 5; n++) {
    check_auc(LS_CATEGORICAL_CROSS_ENTROPY, n, 3, 0.0, false, NOTHING);
    check_auc(LS_BINARY_CROSS_ENTROPY, n, 2, 0.0, true, NOTHING);
  }
}

int main(int argc, char **argv) {
  begin(&argc, &argv);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_auc_of_classes),        cmocka_unit_test(test_auc_of_labels),
      cmocka_unit_test(test_auc_of_special_data),   cmocka_unit_test(test_auc_of_many_outputs),
      cmocka_unit_test(test_ranks_without_samples),
  };
  return finish(cmocka_run_group_tests(tests, NULL, NULL));
}
