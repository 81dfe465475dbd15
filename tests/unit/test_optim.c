/* optim: parsing, state, and paths of 100 steps as PyTorch takes them. */
#include "fixtures.h"
#include "support.h"

#include "lockstep/optim.h"

/* An optimizer of its map, built for n parameters. */
static ls_optim *optim_of(const char *map, size_t n) {
  char *const text = ls_format("optimizer: %s", map);
  ls_config *config = config_of(text);
  ls_optim *optim = NULL;
  assert_int_equal(ls_optim_parse(config, &optim), LS_OK);
  check_valid(config);
  assert_int_equal(ls_optim_build(optim, n), LS_OK);
  ls_config_destroy(&config);
  free(text);
  return optim;
}

static void errors_have_a_location(void **state) {
  (void)state;
  static const struct {
    const char *text, *message;
    bool has_type;
  } rows[] = {
      {"x: 1\noptimizer: {lr: 1}\n", "net.yaml:2: optimizer.type: ~ required", false},
      {"x: 1\n", "type", false},
      {"optimizer: 7\n", "net.yaml:1: optimizer:", false},
      {"optimizer:\n  type: adan\n", "net.yaml:2: optimizer.type: ~ adan", false},
      {"optimizer:\n  type: sgd\n  lr: -1\n", "net.yaml:3: optimizer.lr: ~ -1", true},
      {"optimizer:\n  type: sgd\n  momentum: 0.5\n", "net.yaml:3: optimizer.momentum:", true},
      {"optimizer:\n  type: momentum\n  momentum: 1\n", "net.yaml:3: optimizer.momentum: ~ 1", true},
      {"optimizer:\n  type: adam\n  betas: [0.9, 1]\n", "net.yaml:3: optimizer.betas", true},
      {"optimizer:\n  type: adam\n  betas: [0.9]\n", "net.yaml:3: optimizer.betas", true},
      {"optimizer:\n  type: adam\n  eps: 0\n", "net.yaml:3: optimizer.eps: ~ 0", true},
      {"optimizer:\n  type: adagrad\n  eps: 1e-50\n", "net.yaml:3: optimizer.eps: ~ 1e-50", true},
      {"optimizer:\n  type: rmsprop\n  alpha: 1\n", "net.yaml:3: optimizer.alpha: ~ 1", true},
      {"optimizer:\n  type: rmsprop\n  betas: [0, 0]\n", "net.yaml:3: optimizer.betas: ~ unknown key",
       true},
      {"optimizer:\n  type: momentum\n  nesterow: true\n", "nesterov?", true},
      {"optimizer:\n  type: sgd\n  nesterov: true\n", "net.yaml:3: optimizer.nesterov: ~ unknown key",
       true},
      {"optimizer:\n  type: adamw\n  weight_decay: -1\n", "net.yaml:3: optimizer.weight_decay: ~ -1", true},
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    ls_config *config = config_of(rows[i].text);
    ls_optim *optim = NULL;
    assert_int_equal(ls_optim_parse(config, &optim), LS_OK);
    check_error(config, rows[i].message);
    assert_int_equal(optim != NULL, rows[i].has_type);
    ls_optim_destroy(&optim);
    assert_null(optim);
    ls_config_destroy(&config);
  }
}

static void tables_are_complete(void **state) {
  (void)state;
  for (size_t t = 0; ls_optim_types[t]; t++) {
    const ls_optim_type *const type = ls_optim_types[t];
    assert_true(type->name && type->help && type->keys && type->step);
    assert_string_equal(type->keys[0].name, "type");
    assert_true(type->n_slots <= LS_OPTIM_SLOTS_MAX);
    for (size_t k = 0; k < type->n_slots; k++) assert_non_null(type->slot_names[k]);
    for (const ls_key *key = type->keys; key->name; key++) {
      assert_non_null(key->help);
      assert_true(key->offset < type->options_size);
    }
  }
}

static void state_starts_at_zero(void **state) {
  (void)state;
  for (size_t t = 0; ls_optim_types[t]; t++) {
    char *const map = ls_format("{type: %s, lr: 0.25}", ls_optim_types[t]->name);
    ls_optim *optim = optim_of(map, 10);
    assert_int_equal(optim->n, 10);
    assert_int_equal(optim->steps, 0);
    check_close("lr", optim->lr, 0.25, 0.0);
    for (size_t k = 0; k < optim->type->n_slots; k++)
      for (size_t i = 0; i < 10; i++) check_close("slot", (double)optim->slots[k][i], 0.0, 0.0);
    ls_optim_destroy(&optim);
    free(map);
  }
}

static void too_large_state_is_rejected(void **state) {
  (void)state;
  ls_config *config = config_of("optimizer: {type: adam}");
  ls_optim *optim = NULL;
  assert_int_equal(ls_optim_parse(config, &optim), LS_OK);
  assert_int_equal(ls_optim_build(optim, SIZE_MAX / 4), LS_ERR_INTERNAL);
  assert_non_null(strstr(ls_message(), "out of memory"));
  ls_optim_destroy(&optim);
  ls_config_destroy(&config);
}

/* Compares parameters up to rounding, relative to the larger of final and initial magnitude. */
static void check_params(const char *what, const float *got, const float *want) {
  for (size_t i = 0; i < FIXTURE_PARAMS; i++) {
    const double size = fmax(fabs((double)want[i]), fabs((double)path_start[i]));
    check_close(what, (double)got[i], (double)want[i], 1e-5 * size);
  }
}

/* The schedule of a map; NULL: constant. */
static ls_schedule schedule_of(const char *map) {
  char *const text = ls_format("schedule: %s", map ? map : "{type: constant}");
  ls_config *config = config_of(text);
  ls_schedule schedule;
  ls_schedule_configure(config, &schedule);
  check_valid(config);
  ls_config_destroy(&config);
  free(text);
  return schedule;
}

/* Passes the gradients divided by `scale`, as sums over a batch are. */
static void check_path(const fixture_path *path, float scale) {
  ls_optim *optim = optim_of(path->optimizer, FIXTURE_PARAMS);
  const ls_schedule schedule = schedule_of(path->schedule);
  float params[FIXTURE_PARAMS];
  memcpy(params, path_start, sizeof params);
  size_t recorded = 0;
  for (size_t step = 1; step <= FIXTURE_STEPS; step++) {
    float grads[FIXTURE_PARAMS];
    for (size_t i = 0; i < FIXTURE_PARAMS; i++)
      grads[i] = path_gradients[(step - 1) * FIXTURE_PARAMS + i] / scale;
    const ls_schedule_time now = {.step = step - 1};
    const double lr = ls_schedule_lr(&schedule, optim->lr, &now);
    ls_optim_step(optim, lr, scale, grads, params);
    assert_int_equal(optim->steps, step);
    if (recorded == COUNT(path_steps) || step != path_steps[recorded]) continue;
    check_params(path->optimizer, params, path->params + recorded * FIXTURE_PARAMS);
    recorded++;
  }
  assert_int_equal(recorded, COUNT(path_steps));
  ls_optim_destroy(&optim);
}

static void paths_match_pytorch(void **state) {
  (void)state;
  for (size_t i = 0; i < COUNT(fixture_paths); i++) {
    check_path(&fixture_paths[i], 1.0F);
    check_path(&fixture_paths[i], 0x1p-7F);
  }
}

static void every_type_has_a_path(void **state) {
  (void)state;
  for (size_t t = 0; ls_optim_types[t]; t++) {
    char *const key = ls_format("type: %s", ls_optim_types[t]->name);
    bool found = false;
    for (size_t i = 0; i < COUNT(fixture_paths); i++)
      found = found || strstr(fixture_paths[i].optimizer, key);
    if (!found) fail_msg("type %s: no path; add one to make_fixtures.py", ls_optim_types[t]->name);
    free(key);
  }
}

/* With zero gradients and no decay, parameters do not change. */
static void zero_gradients_change_nothing(void **state) {
  (void)state;
  for (size_t t = 0; ls_optim_types[t]; t++) {
    char *const map = ls_format("{type: %s, weight_decay: 0}", ls_optim_types[t]->name);
    ls_optim *optim = optim_of(map, 3);
    const float zero[3] = {0};
    float params[3] = {1.0F, -2.0F, 0.0F};
    for (int step = 0; step < 3; step++) ls_optim_step(optim, optim->lr, 1.0F, zero, params);
    check_same(map, 3, params, (const float[]){1.0F, -2.0F, 0.0F});
    ls_optim_destroy(&optim);
    free(map);
  }
}

/* The first step of adam has the size of the learning rate for any gradient: here 1e4 and 1e-4. */
static void first_step_of_adam_is_the_rate(void **state) {
  (void)state;
  ls_optim *optim = optim_of("{type: adam, lr: 0.125}", 2);
  const float grads[2] = {1e4F, -1e-4F};
  float params[2] = {0};
  ls_optim_step(optim, optim->lr, 1.0F, grads, params);
  check_close("large", (double)params[0], -0.125, 1e-7);
  check_close("small", (double)params[1], 0.125 * 1e-4 / (1e-4 + 1e-8), 1e-7);
  ls_optim_destroy(&optim);
}

/* Two steps of decay alone. adamw: w (1 - 0.5 * 0.25)^2; the others add the decay to the gradient. */
static void decay_acts_without_gradients(void **state) {
  (void)state;
  for (size_t t = 0; ls_optim_types[t]; t++) {
    char *const map = ls_format("{type: %s, lr: 0.5, weight_decay: 0.25}", ls_optim_types[t]->name);
    ls_optim *optim = optim_of(map, 3);
    const float zero[3] = {0};
    float params[3] = {1.0F, -2.0F, 0.0F};
    for (int step = 0; step < 2; step++) ls_optim_step(optim, 0.5, 1.0F, zero, params);
    assert_true(params[0] < 1.0F && params[1] > -2.0F && params[2] == 0.0F);
    if (strcmp(optim->type->name, "adamw") == 0)
      check_same(map, 3, params, (const float[]){0.765625F, -1.53125F, 0.0F});
    ls_optim_destroy(&optim);
    free(map);
  }
}

/* A run resumed from its number of steps and its slots, as stored in a checkpoint, has the same bits. */
static void state_is_steps_and_slots(void **state) {
  (void)state;
  for (size_t i = 0; i < COUNT(fixture_paths); i++) {
    ls_optim *whole = optim_of(fixture_paths[i].optimizer, FIXTURE_PARAMS);
    ls_optim *rest = optim_of(fixture_paths[i].optimizer, FIXTURE_PARAMS);
    float params[FIXTURE_PARAMS];
    float resumed[FIXTURE_PARAMS];
    memcpy(params, path_start, sizeof params);
    for (size_t step = 0; step < 10; step++) {
      const float *const grads = path_gradients + step * FIXTURE_PARAMS;
      if (step == 4) {
        memcpy(resumed, params, sizeof resumed);
        rest->steps = whole->steps;
        for (size_t k = 0; k < rest->type->n_slots; k++)
          memcpy(rest->slots[k], whole->slots[k], sizeof params);
      }
      ls_optim_step(whole, 0.01, 1.0F, grads, params);
      if (step >= 4) ls_optim_step(rest, 0.01, 1.0F, grads, resumed);
    }
    check_same(fixture_paths[i].optimizer, FIXTURE_PARAMS, resumed, params);
    ls_optim_destroy(&whole);
    ls_optim_destroy(&rest);
  }
}

/* The minimum of eps is not 0 in float. */
static void minimum_eps_gives_finite_parameters(void **state) {
  (void)state;
  static const char *const names[] = {"adagrad", "rmsprop", "adam", "adamw"};
  for (size_t t = 0; t < COUNT(names); t++) {
    char *const map = ls_format("{type: %s, eps: 1e-37}", names[t]);
    ls_optim *optim = optim_of(map, 2);
    float params[2] = {1.0F, 1.0F};
    ls_optim_step(optim, 0.01, 1.0F, (const float[]){0.0F, 1.0F}, params);
    assert_true(isfinite(params[0]) && isfinite(params[1]));
    ls_optim_destroy(&optim);
    free(map);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(errors_have_a_location),
      cmocka_unit_test(tables_are_complete),
      cmocka_unit_test(state_starts_at_zero),
      cmocka_unit_test(too_large_state_is_rejected),
      cmocka_unit_test(paths_match_pytorch),
      cmocka_unit_test(every_type_has_a_path),
      cmocka_unit_test(zero_gradients_change_nothing),
      cmocka_unit_test(first_step_of_adam_is_the_rate),
      cmocka_unit_test(decay_acts_without_gradients),
      cmocka_unit_test(state_is_steps_and_slots),
      cmocka_unit_test(minimum_eps_gives_finite_parameters),
  };
  return cmocka_run_group_tests_name("optim", tests, NULL, NULL);
}
