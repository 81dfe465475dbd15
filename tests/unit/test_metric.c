/* Tests of metric: sums computed manually, the derived values, and the merging of parts. */
#include "support.h"

#include "metric_fixtures.h"

#include "lockstep/metric.h"

/* Creates a metric; fails the test on error. */
static ls_metric *new_metric(ls_task task, size_t n_outputs, bool is_detailed) {
  ls_metric *metric = NULL;
  assert_int_equal(ls_metric_create(task, n_outputs, is_detailed, &metric), LS_OK);
  assert_non_null(metric);
  return metric;
}

/* --------------------------------------------------------------------- classes */

/* Six samples of three classes with the predictions 0, 1, 0, 2, 2, 0 (the first of equal scores). */
static const float class_z[6][3] = {{2.0F, 1.0F, 0.0F},    {-1.0F, 5.0F, 4.0F}, {0.5F, 0.5F, 0.5F},
                                    {-3.0F, -2.0F, -1.0F}, {0.0F, 1.0F, 1.5F},  {9.0F, 8.0F, 7.0F}};
static const int32_t class_y[6] = {0, 1, 1, 2, 0, 0};

static void add_classes(ls_metric *metric, size_t first, size_t rows, const float *weights, double loss) {
  const ls_targets targets = {.classes = class_y + first, .weights = weights ? weights + first : NULL};
  ls_metric_add(metric, rows, class_z[first], &targets, loss);
}

static void test_classes(void **state) {
  (void)state;
  const double confusion[3][3] = {{2, 0, 1}, {1, 1, 0}, {0, 0, 1}};
  ls_metric *metric = new_metric(LS_TASK_CLASSES, 3, true);
  add_classes(metric, 0, 6, NULL, 3.0);
  assert_int_equal(ls_metric_samples(metric), 6);
  check_close("weight", ls_metric_weight(metric), 6.0, 0.0);
  check_close("loss", ls_metric_loss(metric), 0.5, 0.0);
  check_close("accuracy", ls_metric_quality(metric), 4.0 / 6.0, 1e-15);
  assert_string_equal(ls_metric_quality_name(LS_TASK_CLASSES), "accuracy");
  assert_int_equal(ls_metric_n_classes(metric), 3);
  assert_true(ls_metric_has_confusion(metric));
  for (size_t i = 0; i < 3; i++)
    for (size_t j = 0; j < 3; j++)
      check_close("confusion", ls_metric_confusion(metric, i, j), confusion[i][j], 0.0);
  ls_metric_destroy(&metric);
  assert_null(metric);
}

static void check_class(const ls_metric *metric, size_t index, double precision, double recall,
                        double support) {
  const ls_class_quality q = ls_metric_class(metric, index);
  const double both = precision + recall;
  check_close("precision", q.precision, precision, 1e-15);
  check_close("recall", q.recall, recall, 1e-15);
  check_close("f1", q.f1, both > 0.0 ? 2.0 * precision * recall / both : 0.0, 1e-15);
  check_close("support", q.support, support, 0.0);
}

static void test_class_qualities(void **state) {
  (void)state;
  ls_metric *metric = new_metric(LS_TASK_CLASSES, 3, true);
  add_classes(metric, 0, 6, NULL, 3.0);
  check_class(metric, 0, 2.0 / 3.0, 2.0 / 3.0, 3.0);
  check_class(metric, 1, 1.0, 0.5, 2.0);
  check_class(metric, 2, 0.5, 1.0, 1.0);
  check_close("macro f1", ls_metric_macro(metric).f1, 2.0 / 3.0, 1e-15); /* 2/3 for each class */
  ls_metric_destroy(&metric);
}

/* A class that neither occurs nor is predicted has zeros, which count in the mean, as in scikit-learn. */
static void test_absent_class(void **state) {
  (void)state;
  const float z[2][3] = {{1.0F, 0.0F, 0.0F}, {1.0F, 0.0F, 0.0F}};
  const int32_t y[2] = {0, 1};
  const ls_targets targets = {.classes = y};
  ls_metric *metric = new_metric(LS_TASK_CLASSES, 3, true);
  ls_metric_add(metric, 2, z[0], &targets, 0.0);
  check_class(metric, 0, 0.5, 1.0, 1.0);
  check_class(metric, 1, 0.0, 0.0, 1.0); /* never predicted */
  check_class(metric, 2, 0.0, 0.0, 0.0);
  check_close("macro f1", ls_metric_macro(metric).f1, (2.0 / 3.0) / 3.0, 1e-15);
  ls_metric_destroy(&metric);
}

static void test_weights(void **state) {
  (void)state;
  const float weights[6] = {1.0F, 0.5F, 2.0F, 0.0F, 0.25F, 4.0F};
  ls_metric *metric = new_metric(LS_TASK_CLASSES, 3, true);
  add_classes(metric, 0, 6, weights, 3.1);
  assert_int_equal(ls_metric_samples(metric), 6);
  check_close("weight", ls_metric_weight(metric), 7.75, 0.0);
  check_close("loss", ls_metric_loss(metric), 3.1 / 7.75, 1e-15);
  check_close("accuracy", ls_metric_quality(metric), 5.5 / 7.75, 1e-15);
  check_close("confusion", ls_metric_confusion(metric, 0, 0), 5.0, 0.0);
  check_close("confusion", ls_metric_confusion(metric, 1, 0), 2.0, 0.0);
  check_close("confusion", ls_metric_confusion(metric, 2, 2), 0.0, 0.0);
  check_class(metric, 0, 5.0 / 7.0, 5.0 / 5.25, 5.25);
  ls_metric_destroy(&metric);
}

/* ---------------------------------------------------------------------- labels */

/* One output is two classes, predicted by z > 0. */
static void test_one_label(void **state) {
  (void)state;
  const float z[6] = {1.0F, -1.0F, 0.0F, 2.0F, -0.5F, 3.0F};
  const float y[6] = {1.0F, 0.0F, 1.0F, 0.0F, 1.0F, 1.0F};
  const ls_targets targets = {.values = y};
  ls_metric *metric = new_metric(LS_TASK_LABELS, 1, true);
  ls_metric_add(metric, 6, z, &targets, 1.5);
  assert_int_equal(ls_metric_n_classes(metric), 2);
  assert_true(ls_metric_has_confusion(metric));
  check_close("accuracy", ls_metric_quality(metric), 0.5, 1e-15);
  check_close("true negatives", ls_metric_confusion(metric, 0, 0), 1.0, 0.0);
  check_close("false positives", ls_metric_confusion(metric, 0, 1), 1.0, 0.0);
  check_close("false negatives", ls_metric_confusion(metric, 1, 0), 2.0, 0.0); /* z = 0 is negative */
  check_close("true positives", ls_metric_confusion(metric, 1, 1), 2.0, 0.0);
  check_class(metric, 0, 1.0 / 3.0, 0.5, 2.0);
  check_class(metric, 1, 2.0 / 3.0, 0.5, 4.0);
  check_close("macro f1", ls_metric_macro(metric).f1, (0.4 + 4.0 / 7.0) / 2.0, 1e-15);
  ls_metric_destroy(&metric);
}

/* Several outputs are independent labels, without a common confusion matrix. */
static void test_many_labels(void **state) {
  (void)state;
  const float z[3][2] = {{1.0F, -1.0F}, {-1.0F, -2.0F}, {2.0F, -3.0F}};
  const float y[3][2] = {{1.0F, 1.0F}, {1.0F, 0.0F}, {1.0F, 0.0F}};
  const float w[3] = {1.0F, 2.0F, 1.0F};
  const ls_targets targets = {.values = y[0], .weights = w};
  ls_metric *metric = new_metric(LS_TASK_LABELS, 2, true);
  ls_metric_add(metric, 3, z[0], &targets, 2.0);
  assert_int_equal(ls_metric_n_classes(metric), 2);
  assert_false(ls_metric_has_confusion(metric));
  /* correct: one of two (weight 1), one of two (weight 2), both (weight 1) */
  check_close("accuracy", ls_metric_quality(metric), (0.5 + 1.0 + 1.0) / 4.0, 1e-15);
  check_class(metric, 0, 1.0, 0.5, 4.0);
  check_class(metric, 1, 0.0, 0.0, 1.0); /* never predicted */
  check_close("macro f1", ls_metric_macro(metric).f1, (2.0 / 3.0) / 2.0, 1e-15);
  ls_metric_destroy(&metric);
}

/* ------------------------------------------------------------------ regression */

#define VALUES 50

/* Targets y around `centre` with two outputs per sample, predictions a and weights w. */
static void make_values(float centre, float *y, float *a, float *w) {
  fill_random(1, (size_t)2 * VALUES, y);
  fill_random(2, (size_t)2 * VALUES, a);
  fill_random(3, VALUES, w);
  for (size_t i = 0; i < (size_t)2 * VALUES; i++) {
    a[i] = centre + y[i] + 0.3F * a[i];
    y[i] = centre + y[i];
  }
  for (size_t i = 0; i < VALUES; i++) w[i] = w[i] * w[i];
}

/* sum w f / sum w over the samples. */
static double weighted_mean(const float *w, const double *f) {
  double sum = 0.0;
  double weight = 0.0;
  for (size_t i = 0; i < VALUES; i++) {
    sum += (double)w[i] * f[i];
    weight += (double)w[i];
  }
  return sum / weight;
}

/* mse, mae and r2 in two passes, as in NumPy and scikit-learn ("uniform_average"). */
static void two_passes(const float *y, const float *a, const float *w, double expected[3]) {
  double f[VALUES];
  expected[0] = expected[1] = expected[2] = 0.0;
  for (size_t k = 0; k < 2; k++) {
    for (size_t i = 0; i < VALUES; i++) f[i] = (double)y[2 * i + k];
    const double mean = weighted_mean(w, f);
    for (size_t i = 0; i < VALUES; i++) f[i] = pow((double)y[2 * i + k] - mean, 2.0);
    const double variance = weighted_mean(w, f);
    for (size_t i = 0; i < VALUES; i++) f[i] = fabs((double)y[2 * i + k] - (double)a[2 * i + k]);
    expected[1] += weighted_mean(w, f) / 2.0;
    for (size_t i = 0; i < VALUES; i++) f[i] = f[i] * f[i];
    expected[0] += weighted_mean(w, f) / 2.0;
    expected[2] += (1.0 - weighted_mean(w, f) / variance) / 2.0;
  }
}

static void check_regression(float centre, bool is_weighted, double tolerance) {
  float y[2 * VALUES];
  float a[2 * VALUES];
  float w[VALUES];
  double expected[3];
  make_values(centre, y, a, w);
  for (size_t i = 0; i < VALUES && !is_weighted; i++) w[i] = 1.0F;
  two_passes(y, a, w, expected);
  ls_metric *metric = new_metric(LS_TASK_REGRESSION, 2, false);
  metric->pivots[0] = y[0];
  metric->pivots[1] = y[1];
  const ls_targets targets = {.values = y, .weights = is_weighted ? w : NULL};
  ls_metric_add(metric, VALUES, a, &targets, 1.0);
  check_close("mse", ls_metric_mse(metric), expected[0], tolerance * expected[0]);
  check_close("mae", ls_metric_mae(metric), expected[1], tolerance * expected[1]);
  check_close("r2", ls_metric_quality(metric), expected[2], tolerance);
  assert_string_equal(ls_metric_quality_name(LS_TASK_REGRESSION), "r2");
  assert_int_equal(ls_metric_n_classes(metric), 0);
  assert_false(ls_metric_has_confusion(metric));
  ls_metric_destroy(&metric);
}

/* A pivot among the targets prevents cancellation far from 0. */
static void test_regression(void **state) {
  (void)state;
  check_regression(0.0F, false, 1e-13);
  check_regression(0.0F, true, 1e-13);
  check_regression(1e5F, true, 1e-11);
  check_regression(-3e6F, false, 1e-11);
}

/* y = 1, 2, 3, 4 and a = 1, 2, 4, 3. */
static void test_known_regression(void **state) {
  (void)state;
  const float y[4] = {1.0F, 2.0F, 3.0F, 4.0F};
  const float a[4] = {1.0F, 2.0F, 4.0F, 3.0F};
  const ls_targets targets = {.values = y};
  ls_metric *metric = new_metric(LS_TASK_REGRESSION, 1, false);
  ls_metric_add(metric, 4, a, &targets, 1.0);
  check_close("mse", ls_metric_mse(metric), 0.5, 0.0);
  check_close("mae", ls_metric_mae(metric), 0.5, 0.0);
  check_close("r2", ls_metric_quality(metric), 1.0 - 2.0 / 5.0, 1e-15);
  check_close("loss", ls_metric_loss(metric), 0.25, 0.0);
  ls_metric_destroy(&metric);
}

/* Units 10 and 1/2 of the outputs. r2 and the loss do not depend on units. */
static void test_units(void **state) {
  (void)state;
  const float y[4] = {1.0F, 8.0F, 2.0F, 4.0F};
  const float a[4] = {1.5F, 8.0F, 2.5F, 6.0F};
  const ls_targets targets = {.values = y};
  ls_metric *metric = new_metric(LS_TASK_REGRESSION, 2, false);
  metric->units[0] = 10.0;
  metric->units[1] = 0.5;
  ls_metric_add(metric, 2, a, &targets, 3.0);
  check_close("mse", ls_metric_mse(metric), (25.0 + 25.0 + 0.0 + 1.0) / 4.0, 1e-13);
  check_close("mae", ls_metric_mae(metric), (5.0 + 5.0 + 0.0 + 1.0) / 4.0, 1e-13);
  check_close("mse of one", ls_metric_output(metric, 1).mse, 0.5, 1e-15);
  check_close("mae of one", ls_metric_output(metric, 0).mae, 5.0, 1e-15);
  check_close("r2", ls_metric_quality(metric), 0.5 * ((1.0 - 0.5 / 0.5) + (1.0 - 4.0 / 8.0)), 1e-13);
  check_close("loss", ls_metric_loss(metric), 1.5, 0.0);
  ls_metric_destroy(&metric);
}

/* --------------------------------------------------- parts and undefined values */

/* Merged parts of any size have the sums and the values of the whole. */
static void check_parts(ls_task task, size_t n_outputs, const float *outputs, const ls_targets *targets,
                        size_t rows) {
  ls_metric *whole = new_metric(task, n_outputs, task != LS_TASK_REGRESSION);
  ls_metric *sum = new_metric(task, n_outputs, task != LS_TASK_REGRESSION);
  ls_metric *part = new_metric(task, n_outputs, task != LS_TASK_REGRESSION);
  ls_metric_add(whole, rows, outputs, targets, 0.5 * (double)rows);
  for (size_t first = 0, n = 0; first < rows; first += n, n = ls_size_min(n + 1, rows - first)) {
    const ls_targets some = {.classes = targets->classes ? targets->classes + first : NULL,
                             .values = targets->values ? targets->values + first * n_outputs : NULL,
                             .weights = targets->weights ? targets->weights + first : NULL};
    ls_metric_reset(part);
    ls_metric_add(part, n, outputs + first * n_outputs, &some, 0.5 * (double)n);
    ls_metric_merge(sum, part); /* the first part has no rows */
  }
  assert_int_equal(sum->n_sums, whole->n_sums);
  for (size_t i = 0; i < whole->n_sums; i++)
    check_close("sum", sum->sums[i], whole->sums[i], 1e-13 * fabs(whole->sums[i]));
  assert_int_equal(ls_metric_samples(sum), rows);
  check_close("quality", ls_metric_quality(sum), ls_metric_quality(whole), 1e-13);
  check_close("loss", ls_metric_loss(sum), ls_metric_loss(whole), 1e-13);
  ls_metric_destroy(&whole);
  ls_metric_destroy(&sum);
  ls_metric_destroy(&part);
}

static void test_parts_add_up(void **state) {
  (void)state;
  float y[2 * VALUES];
  float a[2 * VALUES];
  float w[VALUES];
  float labels[2 * VALUES];
  const ls_targets classes = {.classes = class_y};
  make_values(0.0F, y, a, w);
  for (size_t i = 0; i < COUNT(labels); i++) labels[i] = y[i] > 0.1F;
  check_parts(LS_TASK_CLASSES, 3, class_z[0], &classes, 6);
  check_parts(LS_TASK_REGRESSION, 2, a, &(ls_targets){.values = y, .weights = w}, VALUES);
  check_parts(LS_TASK_LABELS, 2, a, &(ls_targets){.values = labels, .weights = w}, VALUES);
  check_parts(LS_TASK_LABELS, 1, a, &(ls_targets){.values = labels}, VALUES);
}

static void test_undefined(void **state) {
  (void)state;
  const float y[3] = {2.5F, 2.5F, 2.5F};
  const float a[3] = {2.0F, 2.5F, 3.0F};
  const float no_weight[3] = {0.0F};
  for (int task = LS_TASK_CLASSES; task <= LS_TASK_REGRESSION; task++) {
    ls_metric *metric = new_metric((ls_task)task, 3, false);
    assert_true(isnan(ls_metric_loss(metric))); /* no samples */
    assert_true(isnan(ls_metric_quality(metric)));
    ls_metric_destroy(&metric);
  }
  ls_metric *metric = new_metric(LS_TASK_REGRESSION, 1, false);
  assert_true(isnan(ls_metric_mse(metric)) && isnan(ls_metric_mae(metric)));
  ls_metric_add(metric, 3, a, &(ls_targets){.values = y, .weights = no_weight}, 0.0);
  assert_true(isnan(ls_metric_loss(metric)) && isnan(ls_metric_mse(metric)));
  metric->pivots[0] = y[0];
  ls_metric_reset(metric);
  ls_metric_add(metric, 3, a, &(ls_targets){.values = y}, 0.25);
  assert_true(isnan(ls_metric_quality(metric))); /* constant targets */
  check_close("mse", ls_metric_mse(metric), 0.5 / 3.0, 1e-15);
  ls_metric_destroy(&metric);
}

/* An output with constant targets has no r2, and does not count in the mean; one with a NaN does. */
static void test_constant_output(void **state) {
  (void)state;
  const float y[8] = {1.0F, 0.1F, 2.0F, 0.1F, 3.0F, 0.1F, 4.0F, 0.1F};
  float a[8] = {1.0F, 0.3F, 2.0F, 0.1F, 4.0F, 0.2F, 3.0F, 0.0F};
  ls_metric *metric = new_metric(LS_TASK_REGRESSION, 2, false);
  metric->pivots[1] = y[1];
  ls_metric_add(metric, 4, a, &(ls_targets){.values = y}, 1.0);
  check_close("r2", ls_metric_quality(metric), 1.0 - 2.0 / 5.0, 1e-15);
  assert_true(isnan(ls_metric_output(metric, 1).r2));
  double mean = 0.0;
  double std = 0.0;
  ls_metric_targets(metric, 0, &mean, &std);
  check_close("mean", mean, 2.5, 1e-15);
  check_close("standard deviation", std, sqrt(1.25), 1e-15);
  a[0] = NAN;
  ls_metric_add(metric, 4, a, &(ls_targets){.values = y}, 1.0);
  assert_true(isnan(ls_metric_quality(metric)));
  ls_metric_destroy(&metric);
}

/* A reset sets the sums to 0. */
static void test_reset(void **state) {
  (void)state;
  ls_metric *metric = new_metric(LS_TASK_CLASSES, 3, true);
  add_classes(metric, 0, 6, NULL, 3.0);
  ls_metric_reset(metric);
  assert_int_equal(ls_metric_samples(metric), 0);
  for (size_t i = 0; i < metric->n_sums; i++) check_close("sum", metric->sums[i], 0.0, 0.0);
  add_classes(metric, 0, 2, NULL, 1.0);
  check_close("accuracy", ls_metric_quality(metric), 1.0, 0.0);
  ls_metric_destroy(&metric);
}

/* NaN outputs do not cause an access outside the array. */
static void test_nan_outputs(void **state) {
  (void)state;
  const float z[3] = {NAN, NAN, NAN};
  const int32_t y[1] = {2};
  ls_metric *metric = new_metric(LS_TASK_CLASSES, 3, true);
  ls_metric_add(metric, 1, z, &(ls_targets){.classes = y}, (double)NAN);
  assert_true(isnan(ls_metric_loss(metric)));
  assert_int_equal(ls_metric_samples(metric), 1);
  ls_metric_destroy(&metric);
}

/* ------------------------------------------------------------------ scikit-learn */

/* The area of n samples of one output. buffer: (n) */
static double area(size_t n, ls_scored *samples, ls_scored *buffer) {
  ls_auc auc = {0};
  ls_auc_sort(n, samples, buffer);
  ls_auc_add(&auc, n, samples);
  return ls_auc_value(&auc);
}

/* Computes the AUC from the scores of one process, as ls_evaluate does over ranks. */
static void rank_all(ls_metric *metric) {
  ls_ranking *const r = metric->ranking;
  for (size_t k = 0; k < metric->n_outputs; k++) {
    assert_int_equal(ls_metric_scores(metric, k, 1), r->rows);
    r->auc[k] = area(r->rows, r->samples, r->samples + r->capacity);
  }
}

/* A metric with all values of the fixture rows, added in two parts. */
static ls_metric *measured(ls_task task, size_t n_outputs, const float *z, const ls_targets *targets) {
  ls_metric *metric = new_metric(task, n_outputs, true);
  const size_t cut = 23;
  const ls_targets rest = {.classes = targets->classes ? targets->classes + cut : NULL,
                           .values = targets->values ? targets->values + cut * n_outputs : NULL,
                           .weights = targets->weights ? targets->weights + cut : NULL};
  for (size_t i = 0; i < COUNT(fixture_tops) && task == LS_TASK_CLASSES; i++)
    ls_metric_add_top(metric, fixture_tops[i]);
  assert_int_equal(ls_metric_keep_scores(metric, FIXTURE_ROWS, 1, FIXTURE_ROWS), LS_OK);
  ls_metric_add(metric, 5, z, targets, 1.0); /* dropped by the reset */
  ls_metric_reset(metric);
  ls_metric_add(metric, cut, z, targets, 1.0);
  ls_metric_add(metric, FIXTURE_ROWS - cut, z + cut * n_outputs, &rest, 1.0);
  rank_all(metric);
  return metric;
}

static void check_macro(const ls_metric *metric, const double expected[3]) {
  const ls_class_quality macro = ls_metric_macro(metric);
  check_close("macro precision", macro.precision, expected[0], 1e-12);
  check_close("macro recall", macro.recall, expected[1], 1e-12);
  check_close("macro f1", macro.f1, expected[2], 1e-12);
}

/* expected: (n + 1), the mean last */
static void check_aucs(const ls_metric *metric, size_t n, const double *expected) {
  for (size_t k = 0; k < n; k++) check_close("auc", ls_metric_auc(metric, k), expected[k], 1e-12);
  check_close("macro auc", ls_metric_macro_auc(metric), expected[n], 1e-12);
}

static void test_classes_match_scikit_learn(void **state) {
  (void)state;
  for (int weighted = 0; weighted < 2; weighted++) {
    const ls_targets targets = {.classes = six_y, .weights = weighted ? fixture_weights : NULL};
    ls_metric *metric = measured(LS_TASK_CLASSES, 6, six_z, &targets);
    check_aucs(metric, 6, weighted ? six_auc_weighted : six_auc);
    check_macro(metric, weighted ? six_macro_weighted : six_macro);
    for (size_t i = 0; i < COUNT(fixture_tops); i++)
      check_close("top k", ls_metric_top(metric, fixture_tops[i]),
                  (weighted ? six_tops_weighted : six_tops)[i], 1e-12);
    check_close("top 1", ls_metric_top(metric, 1), ls_metric_quality(metric), 0.0);
    ls_metric_destroy(&metric);
  }
}

/* One label of two classes, with many ties. */
static void test_ties_match_scikit_learn(void **state) {
  (void)state;
  for (int weighted = 0; weighted < 2; weighted++) {
    const ls_targets targets = {.values = ties_y, .weights = weighted ? fixture_weights : NULL};
    ls_metric *metric = measured(LS_TASK_LABELS, 1, ties_z, &targets);
    const double both[] = {ties_auc[weighted], ties_auc[weighted], ties_auc[weighted]};
    check_aucs(metric, 2, both);
    check_macro(metric, weighted ? ties_macro_weighted : ties_macro);
    ls_metric_destroy(&metric);
  }
}

static void test_labels_match_scikit_learn(void **state) {
  (void)state;
  for (int weighted = 0; weighted < 2; weighted++) {
    const ls_targets targets = {.values = four_y, .weights = weighted ? fixture_weights : NULL};
    ls_metric *metric = measured(LS_TASK_LABELS, 4, four_z, &targets);
    check_aucs(metric, 4, weighted ? four_auc_weighted : four_auc);
    check_macro(metric, weighted ? four_macro_weighted : four_macro);
    ls_metric_destroy(&metric);
  }
}

static void test_outputs_match_scikit_learn(void **state) {
  (void)state;
  const ls_targets targets = {.values = two_y, .weights = fixture_weights};
  ls_metric *metric = new_metric(LS_TASK_REGRESSION, 2, false);
  ls_metric_add(metric, FIXTURE_ROWS, two_a, &targets, 1.0);
  for (size_t k = 0; k < 2; k++) {
    const ls_output_quality q = ls_metric_output(metric, k);
    check_close("mse", q.mse, two_mse[k], 1e-12);
    check_close("mae", q.mae, two_mae[k], 1e-12);
    check_close("r2", q.r2, two_r2[k], 1e-12);
  }
  ls_metric_destroy(&metric);
}

/* -------------------------------------------------------------- top k, ROC AUC */

/* Of equal scores the smaller index comes first, as for accuracy. */
static void test_top_k_with_ties(void **state) {
  (void)state;
  const float z[4] = {1.0F, 2.0F, 2.0F, 1.0F}; /* in order: 1, 2, 0, 3 */
  const size_t place[4] = {2, 0, 1, 3};
  for (int32_t y = 0; y < 4; y++) {
    ls_metric *metric = new_metric(LS_TASK_CLASSES, 4, y % 2 == 0);
    for (size_t k = 1; k <= 4; k++) ls_metric_add_top(metric, k);
    ls_metric_add_top(metric, 2); /* a repetition */
    assert_int_equal(metric->n_tops, 4);
    ls_metric_add(metric, 1, z, &(ls_targets){.classes = &y}, 0.0);
    for (size_t k = 1; k <= 4; k++)
      check_close("top k", ls_metric_top(metric, k), place[y] < k ? 1.0 : 0.0, 0.0);
    check_close("accuracy", ls_metric_quality(metric), y == 1 ? 1.0 : 0.0, 0.0);
    ls_metric_destroy(&metric);
  }
}

/* A NaN score is never among the top k. */
static void test_top_k_of_nan(void **state) {
  (void)state;
  const float z[2][3] = {{NAN, 1.0F, 2.0F}, {0.0F, NAN, -1.0F}};
  const int32_t y[2] = {0, 0};
  ls_metric *metric = new_metric(LS_TASK_CLASSES, 3, false);
  ls_metric_add_top(metric, 1);
  ls_metric_add_top(metric, 2);
  assert_true(isnan(ls_metric_top(metric, 1))); /* no samples */
  ls_metric_add(metric, 2, z[0], &(ls_targets){.classes = y}, 0.0);
  check_close("top 1", ls_metric_top(metric, 1), 0.0, 0.0);
  check_close("top 2", ls_metric_top(metric, 2), 0.5, 0.0);
  ls_metric_destroy(&metric);
}

/* Scores differ even where float32 probabilities are equal near 0 or 1. For two classes they have opposite
 * signs. A constant added to all z has no effect. */
static void test_scores_do_not_saturate(void **state) {
  (void)state;
  const float z[4][2] = {{30.0F, 0.0F}, {31.0F, 0.0F}, {2000.0F, 0.0F}, {128.0F, 98.0F}};
  const int32_t y[4] = {0, 0, 0, 0};
  ls_metric *metric = new_metric(LS_TASK_CLASSES, 2, false);
  assert_int_equal(ls_metric_keep_scores(metric, 5, 1, 5), LS_OK);
  ls_metric_add(metric, 4, z[0], &(ls_targets){.classes = y}, 0.0);
  const float *const scores = metric->ranking->scores;
  const double want[4] = {30.0, 31.0, 2000.0, 30.0};
  for (size_t i = 0; i < 4; i++) {
    check_close("log-odds", (double)scores[i], want[i], 0.0);
    check_close("second class", (double)scores[5 + i], -want[i], 0.0);
  }
  ls_metric_destroy(&metric);
}

/* Scores equal log p / (1 - p) of the softmax probabilities by definition. */
static void test_scores_are_log_odds(void **state) {
  (void)state;
  float z[5];
  const int32_t y = 0;
  ls_metric *metric = new_metric(LS_TASK_CLASSES, 5, false);
  assert_int_equal(ls_metric_keep_scores(metric, 1, 1, 1), LS_OK);
  for (uint64_t round = 0; round < 20; round++) {
    fill_random(round, 5, z);
    for (size_t j = 0; j < 5; j++) z[j] *= 5.0F;
    ls_metric_reset(metric);
    ls_metric_add(metric, 1, z, &(ls_targets){.classes = &y}, 0.0);
    for (size_t k = 0; k < 5; k++) {
      double others = 0.0;
      for (size_t j = 0; j < 5; j++) others += j == k ? 0.0 : exp((double)z[j]);
      const double want = (double)z[k] - log(others);
      check_close("log-odds", (double)metric->ranking->scores[k], want, 1e-6 * fmax(fabs(want), 1.0));
    }
  }
  ls_metric_destroy(&metric);
}

static double auc_of(size_t n, const float *scores, const float *weights) {
  ls_scored samples[16];
  for (size_t i = 0; i < n; i++) samples[i] = (ls_scored){0, scores[i], weights[i]};
  return area(n, samples, samples + n);
}

/* Known areas, with infinite, denormal and equal scores. */
static void test_known_auc(void **state) {
  (void)state;
  const float scores[] = {0.5F, -INFINITY, 3e38F, -0.0F, 0.0F, -1e-40F, INFINITY};
  check_close("order", auc_of(4, scores, (float[]){1, -1, 1, -1}), 1.0, 0.0);
  check_close("reverse", auc_of(4, scores, (float[]){-1, 1, -1, 1}), 0.0, 0.0);
  check_close("one tie", auc_of(2, scores + 3, (float[]){1, -1}), 0.5, 0.0);
  check_close("below 0", auc_of(2, scores + 4, (float[]){1, -1}), 1.0, 0.0);
  check_close("infinite", auc_of(2, scores + 5, (float[]){-2, 1}), 1.0, 0.0);
  /* 0.5 (weight 2) and -inf (1) against 0 (3) and 0 (1): 2 * 4 of 3 * 4 pairs are in order */
  check_close("weights", auc_of(5, scores, (float[]){2, 1, 0, -3, -1}), 8.0 / 12.0, 1e-15);
}

/* One side is empty or has no weight. */
static void test_undefined_auc(void **state) {
  (void)state;
  const float scores[] = {1.0F, 2.0F};
  const float y[] = {1.0F, 1.0F, 0.0F, 1.0F};
  assert_true(isnan(auc_of(0, scores, scores)));
  assert_true(isnan(auc_of(2, scores, (float[]){1, 1})));
  assert_true(isnan(auc_of(2, scores, (float[]){-1, -1})));
  assert_true(isnan(auc_of(2, scores, (float[]){1, -0.0F})));
  ls_metric *metric = new_metric(LS_TASK_LABELS, 2, false);
  assert_int_equal(ls_metric_keep_scores(metric, 2, 2, 4), LS_OK);
  assert_true(isnan(ls_metric_macro_auc(metric)));
  ls_metric_add(metric, 2, (float[]){1.0F, 2.0F, 3.0F, 4.0F}, &(ls_targets){.values = y}, 0.0);
  rank_all(metric);
  check_close("label 0", ls_metric_auc(metric, 0), 0.0, 0.0);
  assert_true(isnan(ls_metric_auc(metric, 1)));
  check_close("the mean ignores it", ls_metric_macro_auc(metric), 0.0, 0.0);
  ls_metric_destroy(&metric);
}

/* Many samples, which need all digits of the sort, against the count over all pairs. */
static void test_auc_of_many(void **state) {
  (void)state;
  enum { N = 3000 };
  float *const x = new_floats((size_t)2 * N);
  ls_scored *const samples = ls_calloc((size_t)2 * N, sizeof *samples);
  assert_non_null(samples);
  fill_random(9, (size_t)2 * N, x);
  double right = 0.0;
  double all = 0.0;
  for (size_t i = 0; i < N; i++) samples[i] = (ls_scored){0, ldexpf(x[i], (int)(i % 40) - 20), x[N + i]};
  for (size_t i = 0; i < N; i++)
    for (size_t j = 0; j < N; j++) {
      if (!(samples[i].weight > 0.0F && samples[j].weight < 0.0F)) continue;
      const double pair = -(double)samples[i].weight * (double)samples[j].weight;
      all += pair;
      right += samples[i].score > samples[j].score ? pair : 0.0;
    }
  check_close("auc", area(N, samples, samples + N), right / all, 1e-12);
  free(samples);
  free(x);
}

/* The scores of several outputs are sorted together. Sums that continue after any sample, also between
 * equal scores, have the same bits. */
static void test_auc_in_parts(void **state) {
  (void)state;
  enum { N = 60 };
  float x[N];
  ls_scored samples[2 * N];
  fill_random(4, N, x);
  for (size_t i = 0; i < N; i++)
    samples[i] = (ls_scored){i % 3 == 0 ? 2049 : 1, roundf(2.0F * x[(i + 7) % N]), i % 4 ? x[i] : 3.0F};
  ls_auc_sort(N, samples, samples + N);
  for (size_t i = 1; i < N; i++) assert_true(ls_auc_key(&samples[i - 1]) <= ls_auc_key(&samples[i]));
  assert_int_equal(samples[2 * N / 3 - 1].output, 1);
  assert_int_equal(samples[2 * N / 3].output, 2049);
  ls_auc whole = {0};
  ls_auc_add(&whole, 2 * N / 3, samples);
  for (size_t cut = 0; cut <= 2 * N / 3; cut++) {
    ls_auc parts = {0};
    ls_auc_add(&parts, cut, samples);
    ls_auc_add(&parts, 2 * N / 3 - cut, samples + cut);
    check_close("auc", ls_auc_value(&parts), ls_auc_value(&whole), 0.0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_auc_in_parts),
      cmocka_unit_test(test_classes),
      cmocka_unit_test(test_class_qualities),
      cmocka_unit_test(test_absent_class),
      cmocka_unit_test(test_weights),
      cmocka_unit_test(test_one_label),
      cmocka_unit_test(test_many_labels),
      cmocka_unit_test(test_regression),
      cmocka_unit_test(test_known_regression),
      cmocka_unit_test(test_units),
      cmocka_unit_test(test_parts_add_up),
      cmocka_unit_test(test_undefined),
      cmocka_unit_test(test_constant_output),
      cmocka_unit_test(test_reset),
      cmocka_unit_test(test_nan_outputs),
      cmocka_unit_test(test_classes_match_scikit_learn),
      cmocka_unit_test(test_ties_match_scikit_learn),
      cmocka_unit_test(test_labels_match_scikit_learn),
      cmocka_unit_test(test_outputs_match_scikit_learn),
      cmocka_unit_test(test_top_k_with_ties),
      cmocka_unit_test(test_top_k_of_nan),
      cmocka_unit_test(test_scores_do_not_saturate),
      cmocka_unit_test(test_scores_are_log_odds),
      cmocka_unit_test(test_known_auc),
      cmocka_unit_test(test_undefined_auc),
      cmocka_unit_test(test_auc_of_many),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
