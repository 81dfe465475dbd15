/* explain: attributions against finite differences of the outputs, importance against its definition, on
 * any number of ranks. */
#include "support.h"

#include <png.h>

#include "../unit/memory_reader.h"
#include "lockstep/config.h"
#include "lockstep/explain.h"

#define N        24 /* samples */
#define FEATURES 5

/* ------------------------------------------------------------------- fixtures */

typedef struct fixture {
  ls_model *model;
  ls_normalizer *normalizer;
  ls_dataset *dataset;
} fixture;

static const char *const smooth = "[{layer: dense, units: 7, activation: tanh}, {layer: dense, units: 6,"
                                  " activation: sigmoid}, {layer: dense, units: 3, activation: %s}]";
static const char *const binary = "[{layer: dense, units: 6, activation: tanh},"
                                  " {layer: dense, units: 1, activation: sigmoid}]";
static const char *const linear = "[{layer: dense, units: 2, bias_init: normal}]";
static const char *const kinked = "[{layer: dense, units: 40, activation: relu}, {layer: dense, units: 40,"
                                  " activation: relu}, {layer: dense, units: 3, activation: softmax}]";

/* Local. A net with initial weights, enlarged to make it nonlinear. */
static ls_model *new_model(const char *layers, const char *last, ls_loss loss) {
  char list[400];
  char text[420];
  ls_config *config = NULL;
  ls_model *model = NULL;
  snprintf(list, sizeof list, layers, last);
  snprintf(text, sizeof text, "model: %s", list);
  ls_status status = ls_config_create(text, "net.yaml", &config);
  if (status == LS_OK) status = ls_model_parse(config, loss, &model);
  if (status == LS_OK) status = ls_config_status(config);
  if (status == LS_OK) status = ls_model_infer_shapes(model, &(ls_shape){1, {FEATURES}});
  if (status == LS_OK) status = ls_model_build(model, 10);
  if (status == LS_OK) {
    ls_model_initialise(model, 3);
    for (size_t i = 0; i < model->n_params; i++) model->params[i] *= 1.5F;
  } else {
    complain(__FILE__, __LINE__, "%s", ls_message());
  }
  ls_config_destroy(&config);
  return model;
}

/* Collective. Data of N samples, with the targets that the loss requires. */
static ls_dataset *new_dataset(const ls_model *model) {
  float x[N * FEATURES];
  float y[N * 3];
  uint8_t classes[N];
  const ls_rng rng = ls_rng_make(5, LS_RNG_CHECK, 0, 0);
  ls_rng_normal(&rng, 0, N * FEATURES, x);
  ls_rng_uniform(&rng, 1, N * 3, y);
  for (size_t i = 0; i < N; i++)
    classes[i] = (uint8_t)(x[i * FEATURES] > 0.3F ? 2 : x[i * FEATURES] > -0.3F);
  const bool has_classes = model->loss == LS_CATEGORICAL_CROSS_ENTROPY;
  const ls_array x_array = {.dtype = LS_F32, .n_dims = 2, .dims = {N, FEATURES}};
  const ls_array y_array = {
      .dtype = has_classes ? LS_U8 : LS_F32, .n_dims = has_classes ? 1 : 2, .dims = {N, model->n_out}};
  ls_store_writer *writer = NULL;
  ls_status status = LS_OK;
  if (rank == 0) {
    status = ls_store_create(in_folder("data.h5"), false, &writer);
    if (status == LS_OK) status = ls_store_write_array(writer, "/x", &x_array, x);
    if (status == LS_OK)
      status = ls_store_write_array(writer, "/y", &y_array, has_classes ? (const void *)classes : y);
    if (status == LS_OK) status = ls_store_publish(&writer);
  }
  ls_dataset *dataset = NULL;
  const ls_dataset_request request = {
      .spec = in_folder("data.h5"),
      .target =
          has_classes ? LS_TARGET_CLASSES : (model->loss == LS_MSE ? LS_TARGET_VALUES : LS_TARGET_LABELS)};
  status = ls_comm_agree(comm, status);
  if (status == LS_OK) status = ls_dataset_open(comm, &request, &dataset);
  if (status == LS_OK) status = ls_dataset_read(comm, dataset, model->n_out);
  if (status != LS_OK) complain(__FILE__, __LINE__, "%s", ls_message());
  return dataset;
}

/* Collective. */
static void fixture_create(fixture *t, const char *layers, const char *last, ls_loss loss) {
  const double offset[FEATURES] = {0.2, -0.1, 0.0, 0.3, 0.05};
  const double factor[FEATURES] = {1.5, 0.8, 1.0, 1.2, 2.0};
  *t = (fixture){.model = new_model(layers, last, loss)};
  settle();
  t->dataset = new_dataset(t->model);
  EXPECT(ls_normalizer_create(FEATURES, &t->normalizer) == LS_OK);
  settle();
  ls_normalizer_set(t->normalizer, offset, factor);
}

static void fixture_destroy(fixture *t) {
  ls_dataset_close(comm, &t->dataset);
  ls_normalizer_destroy(&t->normalizer);
  ls_model_destroy(&t->model);
}

/* Collective. */
static ls_explainer *new_explainer(const fixture *t, ls_explain_options o) {
  ls_explainer *e = NULL;
  o.model = t->model;
  o.normalizer = t->normalizer;
  o.dataset = t->dataset;
  o.points = o.points ? o.points : 64;
  o.most = LS_EXPLAIN_POINTS_MOST;
  if (ls_explainer_create(comm, &o, &e) != LS_OK) complain(__FILE__, __LINE__, "%s", ls_message());
  settle();
  return e;
}

/* Local. */
static ls_row row_of(const fixture *t, uint64_t sample) {
  ls_row row;
  ls_dataset_fetch(t->dataset, 1, &sample, &row);
  return row;
}

/* Local. The normalised sample. */
static void input_of(const fixture *t, uint64_t sample, float x[FEATURES]) {
  const float *const row = row_of(t, sample).x;
  for (size_t j = 0; j < FEATURES; j++)
    x[j] = (row[j] - t->normalizer->offset32[j]) * t->normalizer->factor32[j];
}

/* Local. The normalised baseline, in double. */
static void baseline_of(const fixture *t, ls_baseline kind, double x0[FEATURES]) {
  for (size_t j = 0; j < FEATURES; j++) {
    double raw = 0.0;
    for (size_t i = 0; kind == LS_BASELINE_MEAN && i < N; i++)
      raw += (double)((const float *)row_of(t, i).x)[j] / N;
    x0[j] = (raw - t->normalizer->offset[j]) * t->normalizer->factor[j];
  }
}

/* Local. An output of the net at x. */
static double predict_at(const fixture *t, size_t output, const double x[FEATURES]) {
  const size_t lanes[] = {0, 1};
  const ls_pass pass = {.n_lanes = 1, .lanes = lanes};
  float input[FEATURES];
  for (size_t j = 0; j < FEATURES; j++) input[j] = (float)x[j];
  ls_model_forward(t->model, &pass, input);
  const float *const a = ls_model_predict(t->model, 1);
  const bool is_binary = t->model->loss == LS_BINARY_CROSS_ENTROPY && t->model->n_out == 1;
  if (!is_binary) return (double)a[output];
  return output == 1 ? (double)a[0] : 1.0 - (double)a[0];
}

/* -------------------------------------------------------------- integrated gradients */

#define MIDPOINTS 100
#define MOVE      2e-2 /* of an input; large enough that float32 does not round the difference away */

/* Local. The integral for feature j by the midpoint rule over central differences, without backward. */
static double slow_attribution(const fixture *t, size_t output, const float x[FEATURES],
                               const double x0[FEATURES], size_t j) {
  double sum = 0.0;
  for (int k = 0; k < MIDPOINTS; k++) {
    const double a = (k + 0.5) / MIDPOINTS;
    double at[FEATURES];
    for (size_t i = 0; i < FEATURES; i++) at[i] = x0[i] + a * ((double)x[i] - x0[i]);
    at[j] += MOVE;
    const double above = predict_at(t, output, at);
    at[j] -= 2.0 * MOVE;
    sum += (above - predict_at(t, output, at)) / (2.0 * MOVE);
  }
  return ((double)x[j] - x0[j]) * sum / MIDPOINTS;
}

/* Local. Compares one explanation with finite differences, and checks that it is complete. */
static void check_explanation(const fixture *t, ls_baseline kind, const ls_attribution *a, size_t i) {
  float x[FEATURES];
  double point[FEATURES];
  double x0[FEATURES];
  double total = 0.0;
  input_of(t, a->samples[i], x);
  baseline_of(t, kind, x0);
  for (size_t j = 0; j < FEATURES; j++) point[j] = (double)x[j];
  EXPECT_CLOSE(a->values[i], predict_at(t, a->outputs[i], point), 1e-6);
  EXPECT_CLOSE(a->baseline_values[i], predict_at(t, a->outputs[i], x0), 1e-6);
  for (size_t j = 0; j < FEATURES; j++) {
    const double own = (double)a->attributions[i * FEATURES + j];
    EXPECT_CLOSE(own, slow_attribution(t, a->outputs[i], x, x0, j), 1e-3);
    total += own;
  }
  EXPECT_CLOSE(total, a->values[i] - a->baseline_values[i], 1e-5);
  EXPECT_CLOSE(a->gaps[i], 0.0, 1e-5);
}

static const uint64_t chosen[] = {7, 0, 23, 11, 7};

/* Collective. Checks explanations of a smooth net. */
static void check_smooth(const char *layers, const char *last, ls_loss loss, ls_explain_options o) {
  fixture t;
  fixture_create(&t, layers, last, loss);
  ls_explainer *e = new_explainer(&t, o);
  const ls_attribution *a = NULL;
  EXPECT(ls_explainer_explain(comm, e, chosen, COUNT(chosen), &a) == LS_OK);
  EXPECT(a->n == COUNT(chosen) * e->per_sample);
  EXPECT(same_bytes(a->attributions, a->n * FEATURES * sizeof(float)));
  EXPECT(same_bytes(a->gaps, a->n * sizeof(double)));
  for (size_t i = 0; i < a->n; i++) {
    EXPECT(a->samples[i] == chosen[i / e->per_sample] && a->points[i] == 64);
    EXPECT(!o.has_output || a->outputs[i] == o.output);
    check_explanation(&t, o.baseline, a, i);
  }
  ls_explainer_destroy(&e);
  fixture_destroy(&t);
  settle();
}

static void test_classes(void **state) {
  (void)state;
  for (size_t c = 0; c < 3; c++)
    check_smooth(smooth, "softmax", LS_CATEGORICAL_CROSS_ENTROPY,
                 (ls_explain_options){.has_output = true, .output = c, .baseline = LS_BASELINE_MEAN});
  check_smooth(smooth, "softmax", LS_CATEGORICAL_CROSS_ENTROPY,
               (ls_explain_options){.baseline = LS_BASELINE_ZERO});
}

static void test_labels(void **state) {
  (void)state;
  check_smooth(smooth, "sigmoid", LS_BINARY_CROSS_ENTROPY,
               (ls_explain_options){.baseline = LS_BASELINE_MEAN});
  check_smooth(smooth, "sigmoid", LS_BINARY_CROSS_ENTROPY,
               (ls_explain_options){.has_output = true, .output = 1, .baseline = LS_BASELINE_ZERO});
  for (size_t c = 0; c < 2; c++)
    check_smooth(binary, "", LS_BINARY_CROSS_ENTROPY,
                 (ls_explain_options){.has_output = true, .output = c, .baseline = LS_BASELINE_MEAN});
}

/* Each output of a regression is explained, through the gradient of its last activation. */
static void test_regression(void **state) {
  (void)state;
  check_smooth(smooth, "tanh", LS_MSE, (ls_explain_options){.baseline = LS_BASELINE_ZERO});
}

/* The predicted class is explained; for one sigmoid output, the more probable class. */
static void test_predicted(void **state) {
  (void)state;
  const char *const nets[] = {"[{layer: dense, units: 3, activation: softmax}]", binary};
  const ls_loss losses[] = {LS_CATEGORICAL_CROSS_ENTROPY, LS_BINARY_CROSS_ENTROPY};
  for (size_t k = 0; k < 2; k++) {
    bool seen[3] = {false, false, false};
    fixture t;
    fixture_create(&t, nets[k], "", losses[k]);
    ls_explainer *e = new_explainer(&t, (ls_explain_options){.baseline = LS_BASELINE_MEAN});
    for (uint64_t sample = 0; sample < N; sample++) {
      const ls_attribution *a = NULL;
      EXPECT(ls_explainer_explain(comm, e, &sample, 1, &a) == LS_OK);
      float x[FEATURES];
      double at[FEATURES];
      input_of(&t, sample, x);
      for (size_t j = 0; j < FEATURES; j++) at[j] = (double)x[j];
      for (size_t c = 0; c < ls_explain_n_outputs(t.model); c++)
        EXPECT(predict_at(&t, c, at) <= a->values[0] + 1e-6);
      seen[a->outputs[0]] = true;
    }
    EXPECT(seen[0] && seen[1]);
    ls_explainer_destroy(&e);
    fixture_destroy(&t);
    settle();
  }
}

/* A linear net: W_ki (x_i - x0_i), for any number of points. */
static void test_linear(void **state) {
  (void)state;
  for (int kind = LS_BASELINE_ZERO; kind <= LS_BASELINE_MEAN; kind++) {
    fixture t;
    double x0[FEATURES];
    fixture_create(&t, linear, "", LS_MSE);
    ls_explainer *e = new_explainer(&t, (ls_explain_options){.baseline = (ls_baseline)kind, .points = 1});
    const ls_attribution *a = NULL;
    EXPECT(ls_explainer_explain(comm, e, chosen, COUNT(chosen), &a) == LS_OK);
    const float *const w = t.model->layers[0]->params[0].value;
    baseline_of(&t, (ls_baseline)kind, x0);
    EXPECT(a->n == 2 * COUNT(chosen));
    for (size_t i = 0; i < a->n; i++) {
      float x[FEATURES];
      input_of(&t, a->samples[i], x);
      EXPECT(a->outputs[i] == i % 2 && a->points[i] == 4);
      for (size_t j = 0; j < FEATURES; j++)
        EXPECT_CLOSE((double)a->attributions[i * FEATURES + j],
                     (double)w[a->outputs[i] * FEATURES + j] * ((double)x[j] - x0[j]), 2e-6);
      EXPECT_CLOSE(a->gaps[i], 0.0, 5e-6);
    }
    ls_explainer_destroy(&e);
    fixture_destroy(&t);
    settle();
  }
}

/* With kinks, the number of points is doubled until the gap is small. */
static void test_kinks(void **state) {
  (void)state;
  uint64_t samples[N];
  uint64_t most = 0;
  fixture t;
  fixture_create(&t, kinked, "", LS_CATEGORICAL_CROSS_ENTROPY);
  ls_explainer *e = new_explainer(&t, (ls_explain_options){.baseline = LS_BASELINE_MEAN, .points = 5});
  for (uint64_t i = 0; i < N; i++) samples[i] = i;
  for (size_t done = 0; done < N; done += 12) { /* the ranks may have different numbers of samples */
    const ls_attribution *a = NULL;
    EXPECT(ls_explainer_explain(comm, e, samples + done, 12, &a) == LS_OK);
    for (size_t i = 0; i < a->n; i++) {
      EXPECT(ls_attribution_is_complete(e, a, i));
      EXPECT(fabs(a->gaps[i]) <= fmax(1e-4, 1e-3 * fabs(a->values[i] - a->baseline_values[i])));
      EXPECT(a->points[i] >= 8 && (a->points[i] & (a->points[i] - 1)) == 0);
      most = a->points[i] > most ? a->points[i] : most;
    }
  }
  EXPECT(most > 8);
  ls_explainer_destroy(&e);
  fixture_destroy(&t);
  settle();
}

/* The explanation of a sample does not depend on the other samples of the call. */
static void test_same_bits_in_any_call(void **state) {
  (void)state;
  float all[COUNT(chosen) * FEATURES];
  fixture t;
  fixture_create(&t, kinked, "", LS_CATEGORICAL_CROSS_ENTROPY);
  ls_explainer *e = new_explainer(&t, (ls_explain_options){.baseline = LS_BASELINE_ZERO});
  const ls_attribution *a = NULL;
  EXPECT(ls_explainer_explain(comm, e, chosen, COUNT(chosen), &a) == LS_OK);
  memcpy(all, a->attributions, sizeof all);
  for (size_t i = 0; i < COUNT(chosen); i++) {
    EXPECT(ls_explainer_explain(comm, e, &chosen[i], 1, &a) == LS_OK);
    EXPECT(a->n == 1 && memcmp(a->attributions, all + i * FEATURES, FEATURES * sizeof(float)) == 0);
  }
  ls_explainer_destroy(&e);
  fixture_destroy(&t);
  settle();
}

/* ---------------------------------------------------------------------- importance */

#define REPEATS 3
#define SEED    17

/* Local. The number of correct samples of N with feature j permuted, and the mean loss. */
static void slow_measure(const fixture *t, size_t j, const ls_permutation *p, double *accuracy,
                         double *loss) {
  *accuracy = 0.0;
  *loss = 0.0;
  for (uint64_t i = 0; i < N; i++) {
    float own[FEATURES];
    float other[FEATURES];
    double at[FEATURES];
    const int32_t y = *row_of(t, i).class_number;
    input_of(t, i, own);
    input_of(t, ls_permutation_at(p, i), other);
    for (size_t k = 0; k < FEATURES; k++) at[k] = (double)(k == j ? other[k] : own[k]);
    size_t best = 0;
    for (size_t c = 1; c < 3; c++)
      if (predict_at(t, c, at) > predict_at(t, best, at)) best = c;
    *accuracy += (best == (size_t)y) / (double)N;
    *loss -= log(predict_at(t, (size_t)y, at)) / N;
  }
}

/* Local. A row by its definition: the score minus the score after permutation, over the repeats. */
static void check_row(const fixture *t, const ls_importance *m, const ls_importance_row *row) {
  double drops[REPEATS];
  double drop = 0.0;
  double rise = 0.0;
  double spread = 0.0;
  for (size_t r = 0; r < REPEATS; r++) {
    double loss = 0.0;
    const ls_rng rng = ls_rng_make(SEED, LS_RNG_EXPLAIN, (uint32_t)row->feature, r);
    const ls_permutation p = ls_permutation_make(rng, N);
    slow_measure(t, row->feature, &p, &drops[r], &loss);
    drops[r] = m->quality - drops[r];
    drop += drops[r] / REPEATS;
    rise += (loss - m->loss) / REPEATS;
  }
  for (size_t r = 0; r < REPEATS; r++) spread += (drops[r] - drop) * (drops[r] - drop) / REPEATS;
  EXPECT_CLOSE(row->drop, drop, 1e-12);
  EXPECT_CLOSE(row->drop_std, sqrt(spread), 1e-9);
  EXPECT_CLOSE(row->rise, rise, 1e-5);
}

/* Local. A net that uses feature 0 alone, which determines the classes by two thresholds. */
static void use_one_feature(ls_model *model) {
  ls_layer *const first = model->layers[0];
  ls_layer *const last = model->layers[1];
  memset(model->params, 0, model->n_params * sizeof(float));
  first->params[0].value[0] = 1.0F;     /* the feature, normalised: (x - 0.2) 1.5 */
  last->params[0].value[0 * 2] = -6.0F; /* class 0 below -0.3, class 2 above 0.3 */
  last->params[0].value[2 * 2] = 6.0F;
  last->params[1].value[0] = 6.0F * (-0.3F - 0.2F) * 1.5F;
  last->params[1].value[2] = -6.0F * (0.3F - 0.2F) * 1.5F;
}

static void test_importance(void **state) {
  (void)state;
  fixture t;
  ls_importance *m = NULL;
  fixture_create(&t, "[{layer: dense, units: 2}, {layer: dense, units: 3, activation: softmax}]", "",
                 LS_CATEGORICAL_CROSS_ENTROPY);
  use_one_feature(t.model);
  const ls_explain_options o = {.model = t.model, .normalizer = t.normalizer, .dataset = t.dataset};
  EXPECT(ls_importance_create(comm, &o, SEED, REPEATS, &m) == LS_OK);
  settle();
  EXPECT(m->n == FEATURES && m->samples == N && m->repeats == REPEATS && m->quality == 1.0);
  EXPECT(m->rows[0].feature == 0 && m->rows[0].drop > 0.3 && m->rows[0].rise > 0.3);
  for (size_t i = 0; i < m->n; i++) check_row(&t, m, &m->rows[i]);
  for (size_t i = 1; i < m->n; i++) /* exactly */
    EXPECT(m->rows[i].drop == 0.0 && m->rows[i].drop_std == 0.0 && m->rows[i].rise == 0.0);
  for (size_t i = 2; i < m->n; i++) EXPECT(m->rows[i].feature > m->rows[i - 1].feature);
  ls_importance_destroy(&m);
  fixture_destroy(&t);
  settle();
}

/* A net that uses all features, in the order of their importance. */
static void test_importance_order(void **state) {
  (void)state;
  fixture t;
  ls_importance *m = NULL;
  fixture_create(&t, smooth, "softmax", LS_CATEGORICAL_CROSS_ENTROPY);
  const ls_explain_options o = {.model = t.model, .normalizer = t.normalizer, .dataset = t.dataset};
  EXPECT(ls_importance_create(comm, &o, SEED, REPEATS, &m) == LS_OK);
  settle();
  for (size_t i = 0; i < m->n; i++) check_row(&t, m, &m->rows[i]);
  for (size_t i = 1; i < m->n; i++) EXPECT(m->rows[i].drop <= m->rows[i - 1].drop);
  ls_importance_destroy(&m);
  fixture_destroy(&t);
  settle();
}

/* For a regression, R^2 drops. Here the net equals the target and uses one feature, so R^2 drops from 1 by
 * 2 (1 - c), where c is the correlation of the column with the permuted column. */
static void test_importance_of_regression(void **state) {
  (void)state;
  fixture t;
  ls_importance *m = NULL;
  fixture_create(&t, "[{layer: dense, units: 1}]", "", LS_MSE);
  memset(t.model->params, 0, t.model->n_params * sizeof(float));
  t.model->layers[0]->params[0].value[2] = 1.0F; /* the feature that is not normalised */
  float y[N];
  memory_reader reader;
  ls_reader *const resident = t.dataset->reader;
  for (size_t i = 0; i < N; i++) y[i] = ((const float *)row_of(&t, i).x)[2];
  memory_reader_attach(&reader, t.dataset, row_of(&t, 0).x, y, NULL);
  const ls_explain_options o = {.model = t.model, .normalizer = t.normalizer, .dataset = t.dataset};
  EXPECT(ls_importance_create(comm, &o, SEED, 1, &m) == LS_OK);
  settle();
  const ls_rng rng = ls_rng_make(SEED, LS_RNG_EXPLAIN, 2, 0);
  const ls_permutation p = ls_permutation_make(rng, N);
  double mean = 0.0;
  double both = 0.0;
  double square = 0.0;
  for (size_t i = 0; i < N; i++) mean += (double)y[i] / N;
  for (size_t i = 0; i < N; i++) {
    both += ((double)y[i] - mean) * ((double)y[ls_permutation_at(&p, i)] - mean);
    square += ((double)y[i] - mean) * ((double)y[i] - mean);
  }
  EXPECT_CLOSE(m->quality, 1.0, 1e-12);
  EXPECT(m->rows[0].feature == 2);
  EXPECT_CLOSE(m->rows[0].drop, 2.0 * (1.0 - both / square), 1e-6);
  EXPECT(m->rows[1].drop == 0.0 && m->rows[1].rise == 0.0);
  ls_importance_destroy(&m);
  t.dataset->reader = resident;
  fixture_destroy(&t);
  settle();
}

/* ------------------------------------------------------------------------ pictures */

static void test_shapes(void **state) {
  (void)state;
  static const struct {
    ls_array x;
    bool is_picture;
    size_t height, width, channels;
  } rows[] = {
      {{LS_U8, 3, {9, 28, 30}}, true, 28, 30, 1},    {{LS_U8, 4, {9, 28, 30, 3}}, true, 28, 30, 3},
      {{LS_U8, 4, {9, 28, 30, 1}}, true, 28, 30, 1}, {{LS_F32, 2, {9, 784}}, true, 28, 28, 1},
      {{LS_F32, 2, {9, 64}}, true, 8, 8, 1},         {{LS_F32, 2, {9, 4}}, false, 0, 0, 0},
      {{LS_F32, 2, {9, 65}}, false, 0, 0, 0},        {{LS_U8, 4, {9, 3, 28, 30}}, false, 0, 0, 0},
      {{LS_F32, 1, {64}}, false, 0, 0, 0},           {{LS_F32, 5, {9, 8, 8, 8, 3}}, false, 0, 0, 0}};
  for (size_t i = 0; i < COUNT(rows); i++) {
    ls_picture p;
    EXPECT(ls_picture_of(&rows[i].x, &p) == rows[i].is_picture);
    if (rows[i].is_picture)
      EXPECT(p.height == rows[i].height && p.width == rows[i].width && p.channels == rows[i].channels);
  }
  settle();
}

/* Local. The centre of an enlarged pixel in the left (0) or right (1) half. */
static const uint8_t *colour_at(const uint8_t *pixels, size_t width, size_t scale, size_t side, size_t row,
                                size_t column, size_t half) {
  const size_t y = 9 + row * scale + scale / 2;
  const size_t x = 9 + half * (side * scale + 10) + column * scale + scale / 2;
  return pixels + 3 * (y * width + x);
}

static bool is_colour(const uint8_t *got, int red, int green, int blue) {
  return abs(got[0] - red) <= 1 && abs(got[1] - green) <= 1 && abs(got[2] - blue) <= 1;
}

/* Local; rank 0. Colours as stored in the file. */
static void check_picture(void) {
  const ls_picture p = {.height = 2, .width = 2, .channels = 3};
  const float image[12] = {-1.0F, 3.0F, 1.0F, 3.0F, 3.0F, 3.0F, -1.0F, -1.0F, -1.0F, 1.0F, 1.0F, 1.0F};
  const float shares[12] = {0.1F, 0.2F, 0.5F, -0.4F, 0.0F, 0.0F, 0.3F, -0.3F, 0.0F, 0.0F, -0.2F, 0.0F};
  const ls_status status = ls_picture_write(in_folder("p.png"), &p, image, shares);
  if (status != LS_OK) complain(__FILE__, __LINE__, "%s", ls_message());
  png_image png = {.version = PNG_IMAGE_VERSION};
  EXPECT(png_image_begin_read_from_file(&png, in_folder("p.png")));
  png.format = PNG_FORMAT_RGB;
  EXPECT(png.width == 2 * 202 + 3 * 8 && png.height == 202 + 2 * 8);
  uint8_t *const pixels = ls_calloc(PNG_IMAGE_SIZE(png), 1);
  EXPECT(pixels && png_image_finish_read(&png, NULL, pixels, 0, NULL));
  if (complaint[0] == '\0') {
    const int want[2][4][3] = {{{0, 255, 128}, {255, 255, 255}, {0, 0, 0}, {128, 128, 128}},
                               {{255, 0, 0}, {128, 128, 255}, {255, 255, 255}, {191, 191, 255}}};
    for (size_t half = 0; half < 2; half++)
      for (size_t k = 0; k < 4; k++) {
        const uint8_t *const c = colour_at(pixels, png.width, 100, 2, k / 2, k % 2, half);
        if (!is_colour(c, want[half][k][0], want[half][k][1], want[half][k][2]))
          complain(__FILE__, __LINE__, "half %zu, pixel %zu is %d %d %d", half, k, c[0], c[1], c[2]);
      }
  }
  free(pixels);
  EXPECT(ls_picture_write(in_folder("none/p.png"), &p, image, shares) == LS_ERR_OUTPUT);
  EXPECT_PART(ls_message(), "none/p.png");
}

static void test_picture(void **state) {
  (void)state;
  if (rank == 0) check_picture();
  settle();
}

int main(int argc, char **argv) {
  begin(&argc, &argv);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_classes),
      cmocka_unit_test(test_labels),
      cmocka_unit_test(test_regression),
      cmocka_unit_test(test_predicted),
      cmocka_unit_test(test_linear),
      cmocka_unit_test(test_kinks),
      cmocka_unit_test(test_same_bits_in_any_call),
      cmocka_unit_test(test_importance),
      cmocka_unit_test(test_importance_order),
      cmocka_unit_test(test_importance_of_regression),
      cmocka_unit_test(test_shapes),
      cmocka_unit_test(test_picture),
  };
  return finish(cmocka_run_group_tests(tests, make_folder, remove_folder));
}
