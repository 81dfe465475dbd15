/* Losses and their gradients: the reference's formulas, PyTorch, differences, extreme values, the config.
 */
#include "support.h"

#include "loss_fixtures.h"

#define LOSS_ROWS 5
#define LOSS_COLS 4

static const int32_t classes[LOSS_ROWS] = {0, 3, 1, 1, 2};
static const float weights[LOSS_ROWS] = {1.0F, 0.5F, 0.0F, 2.0F, 3.0F};

/* Random outputs z and random targets of a loss, weighted or not. */
static ls_targets targets_of(ls_loss loss, bool weighted, float *z, float *values) {
  fill_random(1, (size_t)LOSS_ROWS * LOSS_COLS, z);
  fill_random(2, (size_t)LOSS_ROWS * LOSS_COLS, values);
  for (size_t i = 0; i < (size_t)LOSS_ROWS * LOSS_COLS; i++) {
    z[i] *= 3.0F;
    if (ls_loss_link(loss) == LS_SIGMOID) values[i] = values[i] > 0.0F ? 1.0F : 0.0F;
  }
  return (ls_targets){.classes = ls_loss_link(loss) == LS_SOFTMAX ? classes : NULL,
                      .values = ls_loss_link(loss) == LS_SOFTMAX ? NULL : values,
                      .weights = weighted ? weights : NULL};
}

/* The loss of a row by the formula of the reference, from the activations, in double. */
static double plain_loss(ls_loss loss, const float *z, int32_t class, const float *y) {
  double sum = 0.0;
  double total = 0.0;
  for (size_t k = 0; k < LOSS_COLS; k++) total += exp((double)z[k]);
  for (size_t k = 0; k < LOSS_COLS; k++) {
    const double a = 1.0 / (1.0 + exp(-(double)z[k]));
    const double t = (double)y[k];
    if (loss == LS_CATEGORICAL_CROSS_ENTROPY && (int32_t)k == class) sum -= log(exp((double)z[k]) / total);
    if (loss == LS_BINARY_CROSS_ENTROPY) sum -= t * log(a) + (1.0 - t) * log(1.0 - a);
    const double error = fabs(t - (double)z[k]);
    const double p = loss == LS_FOCAL ? exp((double)z[k]) / total : t * a + (1.0 - t) * (1.0 - a);
    if (loss == LS_MSE) sum += 0.5 * error * error;
    if (loss == LS_MAE) sum += error;
    if (loss == LS_HUBER) sum += error <= 1.0 ? 0.5 * error * error : error - 0.5;
    if (loss == LS_FOCAL_LABELS || (loss == LS_FOCAL && (int32_t)k == class))
      sum -= (1.0 - p) * (1.0 - p) * log(p);
  }
  return sum;
}

static void losses_match_the_reference(void **state) {
  (void)state;
  for (int loss = 0; loss <= LS_FOCAL_LABELS; loss++)
    for (int weighted = 0; weighted < 2; weighted++) {
      float z[LOSS_ROWS * LOSS_COLS];
      float values[LOSS_ROWS * LOSS_COLS];
      const ls_targets targets = targets_of((ls_loss)loss, weighted, z, values);
      double want = 0.0;
      for (size_t i = 0; i < LOSS_ROWS; i++)
        want += (weighted ? (double)weights[i] : 1.0) *
                plain_loss((ls_loss)loss, z + i * LOSS_COLS, classes[i], values + i * LOSS_COLS);
      const double got =
          ls_loss_apply((ls_loss)loss, &loss_options, LOSS_ROWS, LOSS_COLS, z, &targets, NULL);
      check_close(ls_loss_name((ls_loss)loss), got, want, 1e-12 * want);
    }
}

/* Losses are sums in double, so that differences for single elements are accurate to six digits. */
static void loss_gradients_match_differences(void **state) {
  (void)state;
  const float h = 0x1p-10F;
  for (int loss = 0; loss <= LS_FOCAL_LABELS; loss++)
    for (int weighted = 0; weighted < 2; weighted++) {
      float z[LOSS_ROWS * LOSS_COLS];
      float values[LOSS_ROWS * LOSS_COLS];
      float dz[LOSS_ROWS * LOSS_COLS];
      const ls_targets targets = targets_of((ls_loss)loss, weighted, z, values);
      const double whole =
          ls_loss_apply((ls_loss)loss, &loss_options, LOSS_ROWS, LOSS_COLS, z, &targets, dz);
      const double again =
          ls_loss_apply((ls_loss)loss, &loss_options, LOSS_ROWS, LOSS_COLS, z, &targets, NULL);
      check_close("without dz", again, whole, 0.0);
      for (size_t i = 0; i < COUNT(z); i++) {
        const float old = z[i];
        z[i] = old + h;
        const double step = (double)z[i];
        const double above =
            ls_loss_apply((ls_loss)loss, &loss_options, LOSS_ROWS, LOSS_COLS, z, &targets, NULL);
        z[i] = old - h;
        const double below =
            ls_loss_apply((ls_loss)loss, &loss_options, LOSS_ROWS, LOSS_COLS, z, &targets, NULL);
        check_close(ls_loss_name((ls_loss)loss), (double)dz[i], (above - below) / (step - (double)z[i]),
                    2e-6);
        z[i] = old;
      }
    }
}

static void losses_match_manual_results(void **state) {
  (void)state;
  const float zero[4] = {0};
  const int32_t class = 2;
  const float bits[4] = {1, 0, 1, 1};
  const float a[2] = {0.5F, 3.0F};
  const float y[2] = {1.0F, 2.0F};
  const ls_targets one = {.classes = &class};
  const ls_targets many = {.values = bits};
  const ls_targets numbers = {.values = y};
  float dz[4];
  check_close("uniform", ls_loss_apply(LS_CATEGORICAL_CROSS_ENTROPY, &loss_options, 1, 4, zero, &one, dz),
              log(4.0), 1e-15);
  check_same("uniform", 4, dz, (const float[]){0.25F, 0.25F, -0.75F, 0.25F});
  check_close("even", ls_loss_apply(LS_BINARY_CROSS_ENTROPY, &loss_options, 1, 4, zero, &many, dz),
              4.0 * log(2.0), 1e-15);
  check_same("even", 4, dz, (const float[]){-0.5F, 0.5F, -0.5F, -0.5F});
  check_close("mse", ls_loss_apply(LS_MSE, &loss_options, 1, 2, a, &numbers, dz), 0.625,
              0.0); /* (1/4 + 1) / 2 */
  check_same("mse", 2, dz, (const float[]){-0.5F, 1.0F});
  check_close("no rows", ls_loss_apply(LS_MSE, &loss_options, 0, 2, a, &numbers, dz), 0.0, 0.0);
}

/* A confident wrong prediction: the loss is the distance of the logits, and the gradient is 1. */
static void losses_are_exact_for_extreme_logits(void **state) {
  (void)state;
  const float z[2] = {1000.0F, -1000.0F};
  const int32_t class = 1;
  const float values[2] = {0.0F, 1.0F};
  const ls_targets one = {.classes = &class};
  const ls_targets both = {.values = values};
  float dz[2];
  check_close("categorical", ls_loss_apply(LS_CATEGORICAL_CROSS_ENTROPY, &loss_options, 1, 2, z, &one, dz),
              2000.0, 0.0);
  check_same("categorical", 2, dz, (const float[]){1.0F, -1.0F});
  check_close("binary", ls_loss_apply(LS_BINARY_CROSS_ENTROPY, &loss_options, 1, 2, z, &both, dz), 2000.0,
              0.0);
  check_same("binary", 2, dz, (const float[]){1.0F, -1.0F});
  check_close("focal", ls_loss_apply(LS_FOCAL, &loss_options, 1, 2, z, &one, dz), 2000.0, 0.0);
  check_same("focal", 2, dz, (const float[]){1.0F, -1.0F});
  check_close("focal of labels", ls_loss_apply(LS_FOCAL_LABELS, &loss_options, 1, 2, z, &both, dz), 2000.0,
              0.0);
  check_same("focal of labels", 2, dz, (const float[]){1.0F, -1.0F});
}

/* A confident correct prediction has no loss and no gradient; log(1) / 0 does not occur. */
static void focal_losses_vanish_at_the_target(void **state) {
  (void)state;
  const ls_loss_options options[] = {{.gamma = 2.0}, {.gamma = 0.5}, {.gamma = 0.0}};
  const float z[2] = {1000.0F, -1000.0F};
  const int32_t class = 0;
  const float values[2] = {1.0F, 0.0F};
  const ls_targets targets = {.classes = &class, .values = values};
  const float zero[2] = {0};
  for (size_t i = 0; i < COUNT(options); i++)
    for (int loss = LS_FOCAL; loss <= LS_FOCAL_LABELS; loss++) {
      float dz[2];
      check_close("loss", ls_loss_apply((ls_loss)loss, &options[i], 1, 2, z, &targets, dz), 0.0, 0.0);
      for (size_t k = 0; k < 2; k++) check_close("dz", (double)dz[k], (double)zero[k], 0.0);
    }
}

/* The loss of a mixed class is the weighted mean of the losses of its two classes; so is the gradient. */
static void mixed_classes_are_weighted_means(void **state) {
  (void)state;
  const ls_loss_options options = {.label_smoothing = 0.2, .gamma = 2.0};
  const int32_t partners[LOSS_ROWS] = {2, 3, 0, 0, 1};
  const float shares[LOSS_ROWS] = {0.5F, 0.75F, 1.0F, 0.625F, 0.875F};
  float z[LOSS_ROWS * LOSS_COLS];
  float values[LOSS_ROWS * LOSS_COLS];
  for (int loss = LS_CATEGORICAL_CROSS_ENTROPY; loss <= LS_FOCAL; loss += LS_FOCAL)
    for (size_t i = 0; i < LOSS_ROWS; i++) {
      float dz[3][LOSS_COLS];
      (void)targets_of((ls_loss)loss, false, z, values);
      const ls_targets mixed = {.classes = classes + i, .partners = partners + i, .shares = shares + i};
      const ls_targets first = {.classes = classes + i};
      const ls_targets second = {.classes = partners + i};
      const float *const row = z + i * LOSS_COLS;
      const double share = (double)shares[i];
      const double got = ls_loss_apply((ls_loss)loss, &options, 1, LOSS_COLS, row, &mixed, dz[0]);
      const double want =
          share * ls_loss_apply((ls_loss)loss, &options, 1, LOSS_COLS, row, &first, dz[1]) +
          (1.0 - share) * ls_loss_apply((ls_loss)loss, &options, 1, LOSS_COLS, row, &second, dz[2]);
      check_close("mixed", got, want, 1e-12 * want);
      for (size_t k = 0; k < LOSS_COLS; k++)
        check_close("dz", (double)dz[0][k], share * (double)dz[1][k] + (1.0 - share) * (double)dz[2][k],
                    2e-7);
    }
}

static void losses_match_pytorch(void **state) {
  (void)state;
  for (size_t i = 0; i < COUNT(loss_fixtures); i++) {
    const struct loss_fixture *const f = &loss_fixtures[i];
    const ls_targets targets = {.classes = f->classes, .values = f->values, .weights = loss_weights};
    float dz[LOSS_FIXTURE_ROWS * LOSS_FIXTURE_COLS];
    const double got =
        ls_loss_apply(f->loss, &f->options, LOSS_FIXTURE_ROWS, LOSS_FIXTURE_COLS, loss_z, &targets, dz);
    check_close(ls_loss_name(f->loss), got, f->total, 1e-10 * f->total);
    for (size_t k = 0; k < COUNT(dz); k++) check_close("dz", (double)dz[k], (double)f->dz[k], 2e-6);
  }
}

static void the_config_selects_the_loss(void **state) {
  (void)state;
  static const struct {
    const char *text;
    ls_loss loss;
    ls_loss_options options;
  } rows[] = {
      {"loss: mse", LS_MSE, {.delta = 0.0}},
      {"loss: huber", LS_HUBER, {.delta = 1.0}},
      {"loss: {type: huber, delta: 0.25}", LS_HUBER, {.delta = 0.25}},
      {"loss: focal", LS_FOCAL, {.gamma = 2.0}},
      {"loss: {type: focal, gamma: 0, alpha: 0.25}", LS_FOCAL, {.alpha = 0.25}},
      {"loss: {type: binary_cross_entropy, label_smoothing: 0.1}",
       LS_BINARY_CROSS_ENTROPY,
       {.label_smoothing = 0.1}},
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    ls_config *config = config_of(rows[i].text);
    ls_loss loss = LS_LOSSES;
    ls_loss_options options = {.delta = -1.0};
    ls_loss_configure(config, &loss, &options);
    check_valid(config);
    assert_int_equal(loss, rows[i].loss);
    assert_memory_equal(&options, &rows[i].options, sizeof options);
    ls_config_destroy(&config);
  }
}

static void bad_losses_are_rejected(void **state) {
  (void)state;
  static const char *const rows[][2] = {
      {"seed: 1\n", "net.yaml:1: loss: ~ required"},
      {"loss: hubber\n", "net.yaml:1: loss: hubber: ~ huber?"},
      {"loss: [mse]\n", "net.yaml:1: loss: ~ list"},
      {"loss: {delta: 1}\n", "net.yaml:1: loss.type: ~ required"},
      {"loss: {type: huber, delta: 0}\n", "net.yaml:1: loss.delta: 0: ~ out of range"},
      {"loss: {type: mse, delta: 1}\n", "net.yaml:1: loss.delta: ~ unknown key"},
      {"loss: {type: focal, label_smoothing: 0.1}\n", "net.yaml:1: loss.label_smoothing: ~ unknown key"},
      {"loss: {type: categorical_cross_entropy, label_smoothing: 1}\n",
       "net.yaml:1: loss.label_smoothing: 1: ~ out of range"},
      {"loss: {type: focal, gamma: -1}\n", "net.yaml:1: loss.gamma: -1: ~ out of range"},
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    ls_config *config = config_of(rows[i][0]);
    ls_loss loss = LS_MSE;
    ls_loss_options options = {0};
    ls_loss_configure(config, &loss, &options);
    check_error(config, rows[i][1]);
    ls_config_destroy(&config);
  }
}

static void losses_propagate_nan(void **state) {
  (void)state;
  const int32_t class = 0;
  const float values[3] = {1, 0, 1};
  for (int loss = 0; loss <= LS_FOCAL_LABELS; loss++)
    for (size_t at = 0; at < 3; at++) {
      float z[3] = {1, 2, 3};
      z[at] = NAN;
      const ls_targets targets = {.classes = &class, .values = values};
      assert_true(isnan(ls_loss_apply((ls_loss)loss, &loss_options, 1, 3, z, &targets, NULL)));
    }
}

static void losses_have_their_links(void **state) {
  (void)state;
  assert_int_equal(ls_loss_link(LS_CATEGORICAL_CROSS_ENTROPY), LS_SOFTMAX);
  assert_int_equal(ls_loss_link(LS_BINARY_CROSS_ENTROPY), LS_SIGMOID);
  assert_int_equal(ls_loss_link(LS_MSE), LS_LINEAR);
  assert_int_equal(ls_loss_link(LS_MAE), LS_LINEAR);
  assert_int_equal(ls_loss_link(LS_HUBER), LS_LINEAR);
  assert_int_equal(ls_loss_link(LS_FOCAL), LS_SOFTMAX);
  assert_int_equal(ls_loss_link(LS_FOCAL_LABELS), LS_SIGMOID);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(losses_match_the_reference),
      cmocka_unit_test(loss_gradients_match_differences),
      cmocka_unit_test(losses_match_manual_results),
      cmocka_unit_test(losses_are_exact_for_extreme_logits),
      cmocka_unit_test(losses_propagate_nan),
      cmocka_unit_test(losses_have_their_links),
      cmocka_unit_test(focal_losses_vanish_at_the_target),
      cmocka_unit_test(mixed_classes_are_weighted_means),
      cmocka_unit_test(losses_match_pytorch),
      cmocka_unit_test(the_config_selects_the_loss),
      cmocka_unit_test(bad_losses_are_rejected),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
