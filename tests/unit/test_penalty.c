/* Tests of penalties: the section, the value, the gradient against differences, and the proximal step. */
#include "support.h"

#include "lockstep/optim.h"

/* Two matrices with their own penalties, a bias without, a matrix with l1 only; with gaps between them. */
static const ls_segment segments[] = {
    {.path = "0-dense/W", .offset = 1, .rows = 3, .row = {1, {4}}, .l1 = 0.5, .l2 = 0.25},
    {.path = "0-dense/b", .kind = LS_SEGMENT_BIAS, .offset = 14, .rows = 3},
    {.path = "1-dense/W", .offset = 17, .rows = 2, .row = {1, {3}}, .l2 = 0.125},
    {.path = "2-dense/W", .offset = 24, .rows = 1, .row = {1, {5}}, .l1 = 2.0},
};
#define N ((size_t)30)

/* The segment of element i, or NULL. */
static const ls_segment *segment_at(size_t i) {
  for (size_t k = 0; k < COUNT(segments); k++)
    if (i >= segments[k].offset && i < segments[k].offset + ls_segment_count(&segments[k]))
      return &segments[k];
  return NULL;
}

static void value_is_the_sum_of_its_parts(void **state) {
  (void)state;
  float w[N];
  fill_random(1, N, w);
  double want = 0.0;
  for (size_t i = 0; i < N; i++) {
    const ls_segment *const s = segment_at(i);
    if (s) want += s->l1 * fabs((double)w[i]) + s->l2 * (double)w[i] * (double)w[i];
  }
  check_close("value", ls_penalty_value(COUNT(segments), segments, w), want, 1e-12 * want);
  check_close("of nothing", ls_penalty_value(0, NULL, w), 0.0, 0.0);
}

/* The value of the l2 penalty after a step along one parameter. */
static double smooth_value(const float *w, size_t i, float step) {
  ls_segment smooth[COUNT(segments)];
  memcpy(smooth, segments, sizeof smooth);
  for (size_t k = 0; k < COUNT(smooth); k++) smooth[k].l1 = 0.0;
  float moved[N];
  memcpy(moved, w, sizeof moved);
  moved[i] += step;
  return ls_penalty_value(COUNT(smooth), smooth, moved);
}

/* A partition of all elements whose boundaries are inside segments. */
static const ls_range parts[] = {{0, 1}, {1, N / 2}, {1 + N / 2, 0}, {1 + N / 2, N - 1 - N / 2}};

/* Central differences of a parabola are exact for steps that are powers of 2. The gradient is added with
 * the weight. */
static void gradient_matches_the_value(void **state) {
  (void)state;
  const double weight = 48.0;
  float w[N];
  float grads[N];
  float before[N];
  fill_random(2, N, w);
  fill_random(3, N, before);
  memcpy(grads, before, sizeof grads);
  for (size_t k = 0; k < COUNT(parts); k++)
    ls_penalty_add_gradient(COUNT(segments), segments, parts[k], weight, w, grads);
  for (size_t i = 0; i < N; i++) {
    const double slope = (smooth_value(w, i, 0x1p-6F) - smooth_value(w, i, -0x1p-6F)) / 0x1p-5;
    check_close("gradient", (double)grads[i], (double)before[i] + weight * slope, 1e-4);
    if (!segment_at(i) || segment_at(i)->l2 == 0.0) check_same("not penalised", 1, &grads[i], &before[i]);
  }
}

/* w = sign(w) max(|w| - lr l1, 0), in double. */
static double proximal(double w, double by) {
  return copysign(fmax(fabs(w) - by, 0.0), w);
}

static void soft_threshold_is_the_proximal_step(void **state) {
  (void)state;
  const double lr = 0.25;
  float w[N];
  float before[N];
  fill_random(4, N, before);
  memcpy(w, before, sizeof w);
  for (size_t k = 0; k < COUNT(parts); k++)
    ls_penalty_soft_threshold(COUNT(segments), segments, parts[k], lr, w);
  size_t n_zeros = 0;
  for (size_t i = 0; i < N; i++) {
    const ls_segment *const s = segment_at(i);
    const double by = s ? lr * s->l1 : 0.0;
    check_close("threshold", (double)w[i], proximal((double)before[i], by), 1e-7);
    if (fabs((double)before[i]) <= by) assert_true(w[i] == 0.0F);
    if (by == 0.0) check_same("not penalised", 1, &w[i], &before[i]);
    n_zeros += w[i] == 0.0F;
  }
  assert_true(n_zeros > 3);
}

/* The proximal step minimizes l1 |x| + (x - w)^2 / (2 lr): values near it are larger. */
static void the_proximal_step_is_a_minimum(void **state) {
  (void)state;
  const ls_segment one = {.rows = 1, .row = {1, {1}}, .l1 = 0.5};
  const double lr = 0.5;
  for (int k = -20; k <= 20; k++) {
    const double w = k / 16.0;
    float x = (float)w;
    ls_penalty_soft_threshold(1, &one, (ls_range){.count = 1}, lr, &x);
    const double at = (double)x;
    const double least = one.l1 * fabs(at) + (at - w) * (at - w) / (2.0 * lr);
    for (int side = -1; side <= 1; side += 2) {
      const double near = at + 0.01 * side;
      assert_true(one.l1 * fabs(near) + (near - w) * (near - w) / (2.0 * lr) > least);
    }
  }
}

static void the_section_is_read(void **state) {
  (void)state;
  static const struct {
    const char *text;
    double l1, l2;
  } rows[] = {{"x: 1\n", 0, 0},
              {"penalty:\n", 0, 0},
              {"penalty: {l2: 1e-4}\n", 0, 1e-4},
              {"penalty: {l1: 0.5, l2: 2}\n", 0.5, 2}};
  for (size_t i = 0; i < COUNT(rows); i++) {
    ls_config *config = config_of(rows[i].text);
    ls_penalty penalty;
    ls_penalty_configure(config, &penalty);
    check_valid(config);
    check_close("l1", penalty.l1, rows[i].l1, 0.0);
    check_close("l2", penalty.l2, rows[i].l2, 0.0);
    ls_config_destroy(&config);
  }
}

static void errors_have_a_location(void **state) {
  (void)state;
  static const struct {
    const char *text, *message;
  } rows[] = {
      {"penalty:\n  l1: -1\n", "net.yaml:2: penalty.l1: ~ -1"},
      {"penalty:\n  l2: a\n", "net.yaml:2: penalty.l2: ~ a ~ number"},
      {"penalty:\n  l3: 1\n", "net.yaml:2: penalty.l3: ~ unknown key ~ l1?"},
      {"penalty: 0.1\n", "net.yaml:1: penalty: ~ map"},
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    ls_config *config = config_of(rows[i].text);
    ls_penalty penalty;
    ls_penalty_configure(config, &penalty);
    check_error(config, rows[i].message);
    ls_config_destroy(&config);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(value_is_the_sum_of_its_parts),
      cmocka_unit_test(gradient_matches_the_value),
      cmocka_unit_test(soft_threshold_is_the_proximal_step),
      cmocka_unit_test(the_proximal_step_is_a_minimum),
      cmocka_unit_test(the_section_is_read),
      cmocka_unit_test(errors_have_a_location),
  };
  return cmocka_run_group_tests_name("penalty", tests, NULL, NULL);
}
