/* The training step allocates nothing: every allocation of Lockstep's own code is counted by the linker's
 * --wrap. */
#include "allocations.h"
#include "train/internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static ls_comm *comm;

/* Steps through an epoch of digits with every change of samples and every kind of layer, its ragged last
 * batch included. */
static void test_step_allocates_nothing(void **state) {
  (void)state;
  const char *const net =
      "model=[{layer: conv2d, filters: 5, kernel_size: 3, padding: same, activation: gelu},"
      "{layer: max_pool, size: 2}, {layer: dropout, spatial: true}, {layer: layer_norm},"
      "{layer: batch_norm}, {layer: residual, activation: relu, layers: [{layer: conv2d,"
      "filters: 6, kernel_size: 3, stride: 2, padding: 1}]}, {layer: avg_pool, size: 2,"
      "padding: same}, {layer: flatten},"
      "{layer: dense, units: 32, activation: tanh}, {layer: dropout, rate: 0.2},"
      "{layer: relu}, {layer: residual, layers: [{layer: dense, units: 16,"
      "activation: gelu}, {layer: batch_norm}]}, {layer: dense, units: 10},"
      "{layer: softmax}]";
  const char *const overrides[] = {
      "train.batch_size=100", "data.validation=0.1", "train.class_weight=balanced",
      "data.augment={shift: 1, flip_horizontal: true, rotate: 9, noise: 0.1, cutout: 2, mixup: 0.2}", net};
  char path[1024];
  snprintf(path, sizeof path, "%s/datasets/digits/digits.yaml", getenv("LOCKSTEP_SOURCE"));
  const ls_job_source source = {.path = path, .overrides = overrides, .n_overrides = 5, .output = "unused"};
  ls_job *job = NULL;
  ls_setup *setup = NULL;
  trainer t;
  assert_int_equal(ls_job_create(comm, &source, &job), LS_OK);
  assert_int_equal(ls_setup_create(comm, job, NULL, &setup), LS_OK);
  assert_int_equal(train_create(&t, comm, setup), LS_OK);
  assert_int_equal(train_choose_mode(&t, LS_SYNC_AUTO), LS_OK);
  ls_model_initialise(job->model, 1);
  assert_true(n_allocations > 0);

  const size_t before = n_allocations;
  while (t.progress.epoch_samples < setup->train.view.n) assert_int_equal(train_run_step(&t), LS_OK);
  assert_int_equal(n_allocations, before);

  train_destroy(&t);
  ls_setup_destroy(comm, &setup);
  ls_job_destroy(&job);
}

int main(int argc, char **argv) {
  if (ls_comm_create(&argc, &argv, &comm) != LS_OK) return 1;
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_step_allocates_nothing)};
  const int failed = cmocka_run_group_tests(tests, NULL, NULL);
  ls_comm_destroy(&comm);
  return failed;
}
