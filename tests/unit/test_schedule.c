/* Tests of schedules: the rates of PyTorch's schedulers, warm-up, and the section of the config. */
#include "fixtures.h"
#include "support.h"

#include "lockstep/optim.h"

/* The schedule of a map, with the length of the runs in the fixtures. */
static ls_schedule schedule_of(const char *map) {
  char *const text = ls_format("schedule: %s", map);
  ls_config *config = config_of(text);
  ls_schedule schedule;
  ls_schedule_configure(config, &schedule);
  check_valid(config);
  (void)ls_schedule_set_length(&schedule, FIXTURE_EPOCH_STEPS, FIXTURE_EPOCHS);
  ls_config_destroy(&config);
  free(text);
  return schedule;
}

static double rate_at(const ls_schedule *schedule, double base, uint64_t step, uint64_t n_reductions) {
  const ls_schedule_time now = {
      .step = step, .epoch = step / FIXTURE_EPOCH_STEPS, .n_reductions = n_reductions};
  return ls_schedule_lr(schedule, base, &now);
}

static void check_rate(const char *what, double got, double want) {
  check_close(what, got, want, 1e-12 * want);
}

static void rates_match_pytorch(void **state) {
  (void)state;
  for (size_t i = 0; i < COUNT(fixture_schedules); i++) {
    const fixture_schedule *const f = &fixture_schedules[i];
    const ls_schedule schedule = schedule_of(f->schedule);
    for (uint64_t step = 0; step < (uint64_t)FIXTURE_EPOCHS * FIXTURE_EPOCH_STEPS; step++)
      check_rate(f->schedule, rate_at(&schedule, f->base, step, 0), f->rates[step]);
  }
}

static void plateaus_match_pytorch(void **state) {
  (void)state;
  for (size_t i = 0; i < COUNT(fixture_plateaus); i++) {
    const fixture_plateau *const f = &fixture_plateaus[i];
    const ls_schedule schedule = schedule_of(f->schedule);
    ls_plateau plateau = {0};
    for (size_t k = 0; k < COUNT(monitored); k++) {
      const double value = f->larger_is_better ? -monitored[k] : monitored[k];
      ls_plateau_update(&schedule, value, f->larger_is_better, &plateau);
      check_rate(f->schedule, rate_at(&schedule, f->base, k, plateau.n_reductions), f->rates[k]);
    }
  }
}

/* With patience 2, the third bad epoch in a row reduces the rate. A reduction and a better epoch restart
 * the count. */
static void patience_counts_bad_epochs(void **state) {
  (void)state;
  const ls_schedule schedule = schedule_of("{type: plateau, patience: 2, factor: 0.5}");
  static const struct {
    double value;
    uint64_t n_reductions;
  } rows[] = {{1, 0}, {1, 0}, {1, 0}, {0.5, 0}, {1, 0}, {1, 0}, {1, 1}, {1, 1}, {1, 1}, {1, 2}};
  ls_plateau plateau = {0};
  for (size_t i = 0; i < COUNT(rows); i++) {
    ls_plateau_update(&schedule, rows[i].value, false, &plateau);
    assert_int_equal(plateau.n_reductions, rows[i].n_reductions);
  }
  check_close("best", plateau.best, 0.5, 0.0);
}

/* Before the first number there is no best: NaN is a bad epoch, and the initial 0 is not a best of 0. */
static void plateau_starts_without_a_best(void **state) {
  (void)state;
  const ls_schedule schedule = schedule_of("{type: plateau}");
  ls_plateau plateau = {0};
  ls_plateau_update(&schedule, NAN, true, &plateau);
  assert_int_equal(plateau.has_best, 0);
  assert_int_equal(plateau.n_bad, 1);
  ls_plateau_update(&schedule, -3.0, true, &plateau);
  assert_int_equal(plateau.has_best, 1);
  assert_int_equal(plateau.n_bad, 0);
  check_close("best", plateau.best, -3.0, 0.0);
}

/* A rate has no memory: in reverse order, and from a copy, it has the same bits. */
static void rates_depend_only_on_the_position(void **state) {
  (void)state;
  for (size_t i = 0; i < COUNT(fixture_schedules); i++) {
    const fixture_schedule *const f = &fixture_schedules[i];
    const ls_schedule schedule = schedule_of(f->schedule);
    double rates[100];
    for (size_t step = 0; step < 100; step++) rates[step] = rate_at(&schedule, f->base, step, step / 9);
    const ls_schedule other = schedule_of(f->schedule);
    for (size_t step = 100; step-- > 0;)
      check_close(f->schedule, rate_at(&other, f->base, step, step / 9), rates[step], 0.0);
  }
}

static void cosine_and_linear_stay_at_min_lr(void **state) {
  (void)state;
  static const char *const maps[] = {"{type: cosine, total_steps: 10, min_lr: 0.03}",
                                     "{type: linear, total_steps: 10, min_lr: 0.03, warmup_steps: 9}"};
  for (size_t i = 0; i < COUNT(maps); i++) {
    const ls_schedule schedule = schedule_of(maps[i]);
    assert_true(rate_at(&schedule, 0.1, 9, 0) > 0.03);
    for (uint64_t step = 10; step < 40; step++)
      check_close(maps[i], rate_at(&schedule, 0.1, step, 0), 0.03, 0.0);
    check_close(maps[i], rate_at(&schedule, 0.1, UINT64_MAX, 0), 0.03, 0.0);
  }
}

/* With a warm-up up to the end or beyond it, an overflowing number of steps, no epochs, or a base of 0,
 * rates are numbers from 0 to the base. */
static void rates_are_finite(void **state) {
  (void)state;
  static const char *const maps[] = {
      "{type: cosine, warmup_epochs: 8}",          "{type: linear, warmup_epochs: 20, total_steps: 30}",
      "{type: cosine, warmup_epochs: 1000000000}", "{type: linear, warmup_steps: 40}",
      "{type: exponential, gamma: 2e-38}",         "{type: plateau, factor: 2e-38}",
      "{type: step, step_size: 1, gamma: 1}",
  };
  static const struct {
    uint64_t steps_per_epoch, epochs;
  } lengths[] = {{5, 8}, {1, 0}, {UINT64_MAX / 2, 3}};
  static const uint64_t times[] = {0, 1, 29, 30, 39, 40, 41, 99, 100, 1000000, UINT64_MAX};
  for (size_t i = 0; i < COUNT(maps) * COUNT(lengths); i++) {
    ls_schedule schedule = schedule_of(maps[i % COUNT(maps)]);
    schedule.total_steps = 0;
    const size_t l = i / COUNT(maps);
    (void)ls_schedule_set_length(&schedule, lengths[l].steps_per_epoch, lengths[l].epochs);
    for (size_t k = 0; k < COUNT(times); k++) {
      const double rate = rate_at(&schedule, 0.1, times[k], times[k]);
      if (!(rate >= 0.0 && rate <= 0.1)) fail_msg("%s: %g", maps[i % COUNT(maps)], rate);
      check_close("of 0", rate_at(&schedule, 0.0, times[k], times[k]), 0.0, 0.0);
    }
  }
}

static void a_given_length_is_kept(void **state) {
  (void)state;
  const ls_schedule given = schedule_of("{type: cosine, total_steps: 7, warmup_steps: 3}");
  assert_int_equal(given.total_steps, 7);
  assert_int_equal(given.warmup_steps, 3);
  const ls_schedule counted = schedule_of("{type: cosine, total_steps: auto, warmup_epochs: 2}");
  assert_int_equal(counted.total_steps, FIXTURE_EPOCHS * FIXTURE_EPOCH_STEPS);
  assert_int_equal(counted.warmup_steps, 2 * FIXTURE_EPOCH_STEPS);
}

/* A section that is absent, empty or without a type is constant, and printed as such. */
static void the_default_is_constant(void **state) {
  (void)state;
  static const char *const texts[] = {"x: 1\n", "schedule:\n", "schedule: {}\n", "schedule: {type: }\n"};
  for (size_t i = 0; i < COUNT(texts); i++) {
    ls_config *config = config_of(texts[i]);
    ls_schedule schedule;
    ls_schedule_configure(config, &schedule);
    check_valid(config);
    assert_string_equal(schedule.type->name, "constant");
    ls_plateau plateau = {0};
    ls_plateau_update(&schedule, NAN, true, &plateau);
    assert_int_equal(plateau.n_bad, 0);
    check_close("rate", rate_at(&schedule, 0.7, 1000, 5), 0.7, 0.0);
    char *printed = NULL;
    assert_int_equal(ls_config_print(config, &printed), LS_OK);
    assert_non_null(strstr(printed, "type: constant"));
    free(printed);
    ls_config_destroy(&config);
  }
}

/* A section printed with its defaults reads back without errors. */
static void printed_config_reads_back(void **state) {
  (void)state;
  for (size_t i = 0; i < COUNT(fixture_schedules); i++) {
    char *const text = ls_format("schedule: %s", fixture_schedules[i].schedule);
    ls_config *config = config_of(text);
    ls_schedule first;
    ls_schedule_configure(config, &first);
    char *printed = NULL;
    assert_int_equal(ls_config_print(config, &printed), LS_OK);
    ls_config *again = config_of(printed);
    ls_schedule second;
    ls_schedule_configure(again, &second);
    check_valid(again);
    assert_memory_equal(&first, &second, sizeof first);
    ls_config_destroy(&config);
    ls_config_destroy(&again);
    free(printed);
    free(text);
  }
}

static void errors_have_a_location(void **state) {
  (void)state;
  static const struct {
    const char *text, *message;
  } rows[] = {
      {"schedule: 7\n", "net.yaml:1: schedule: ~ map"},
      {"schedule:\n  type: cosin\n", "net.yaml:2: schedule.type: ~ cosin ~ cosine?"},
      {"schedule:\n  type: [cosine]\n", "net.yaml:2: schedule.type: ~ list"},
      {"schedule:\n  type: step\n", "schedule.step_size: ~ required"},
      {"schedule: {type: step, step_size: 0}\n", "schedule.step_size: ~ 0"},
      {"schedule: {type: step, step_size: 1.5}\n", "schedule.step_size: ~ 1.5 ~ integer"},
      {"schedule: {type: step, step_size: 1, gamma: 0}\n", "schedule.gamma: ~ 0"},
      {"schedule: {type: exponential, gamma: 1.01}\n", "schedule.gamma: ~ 1.01"},
      {"schedule: {type: exponential, step_size: 1}\n", "schedule.step_size: ~ unknown key"},
      {"schedule: {type: cosine, gama: 0.5}\n", "schedule.gama: ~ unknown key"},
      {"schedule: {type: cosine, min_lr: -1}\n", "schedule.min_lr: ~ -1"},
      {"schedule: {type: cosine, min_lr: .nan}\n", "schedule.min_lr:"},
      {"schedule: {type: cosine, total_steps: 0}\n", "schedule.total_steps: ~ 0"},
      {"schedule: {type: plateau, factor: 1}\n", "schedule.factor: ~ 1"},
      {"schedule: {type: plateau, patience: -1}\n", "schedule.patience: ~ -1"},
      {"schedule: {type: plateau, patienc: 1}\n", "patience?"},
      {"schedule: {type: constant, min_lr: 0}\n", "schedule.min_lr: ~ unknown key"},
      {"schedule:\n  warmup_steps: 3\n  warmup_epochs: 3\n",
       "net.yaml:3: schedule.warmup_epochs: ~ warmup_steps"},
      {"schedule:\n  type: linear\n  total_steps: 9\n  warmup_steps: 9\n",
       "net.yaml:3: schedule.total_steps: ~ 9"},
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    ls_config *config = config_of(rows[i].text);
    ls_schedule schedule;
    ls_schedule_configure(config, &schedule);
    check_error(config, rows[i].message);
    assert_non_null(schedule.type);
    ls_config_destroy(&config);
  }
}

static void tables_are_complete(void **state) {
  (void)state;
  for (size_t t = 0; ls_schedule_types[t].name; t++) {
    const ls_schedule_type *const type = &ls_schedule_types[t];
    assert_true(type->help && type->keys && type->lr);
    assert_string_equal(type->keys[0].name, "type");
    for (const ls_key *key = type->keys; key->name; key++) assert_non_null(key->help);
  }
}

/* Every type has a recorded run of PyTorch. */
static void every_type_has_a_fixture(void **state) {
  (void)state;
  for (size_t t = 0; ls_schedule_types[t].name; t++) {
    char *const key = ls_format("type: %s", ls_schedule_types[t].name);
    bool found = false;
    for (size_t i = 0; i < COUNT(fixture_schedules); i++)
      found = found || strstr(fixture_schedules[i].schedule, key);
    for (size_t i = 0; i < COUNT(fixture_plateaus); i++)
      found = found || strstr(fixture_plateaus[i].schedule, key);
    if (!found) fail_msg("type %s: no run; add one to make_fixtures.py", ls_schedule_types[t].name);
    free(key);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(rates_match_pytorch),
      cmocka_unit_test(plateaus_match_pytorch),
      cmocka_unit_test(patience_counts_bad_epochs),
      cmocka_unit_test(plateau_starts_without_a_best),
      cmocka_unit_test(rates_depend_only_on_the_position),
      cmocka_unit_test(cosine_and_linear_stay_at_min_lr),
      cmocka_unit_test(rates_are_finite),
      cmocka_unit_test(a_given_length_is_kept),
      cmocka_unit_test(the_default_is_constant),
      cmocka_unit_test(printed_config_reads_back),
      cmocka_unit_test(errors_have_a_location),
      cmocka_unit_test(tables_are_complete),
      cmocka_unit_test(every_type_has_a_fixture),
  };
  return cmocka_run_group_tests_name("schedule", tests, NULL, NULL);
}
