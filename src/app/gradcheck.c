/* lockstep gradcheck: compares analytic and numeric gradients for each block of parameters. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define TOLERANCE        1e-3 /* relative, along the gradient */
#define RANDOM_TOLERANCE 5e-2 /* along a random direction, where float32 leaves fewer digits */
#define ROWS             64   /* samples */

static ls_status print_table(const ls_gradcheck_row *table, size_t n) {
  size_t n_wrong = 0;
  size_t width = 24;
  for (size_t i = 0; i < n; i++) width = ls_size_max(width, strlen(table[i].path));
  printf("%-*s %14s %14s %12s %12s\n", (int)width, "parameters", "analytic", "numeric", "error", "random");
  for (size_t i = 0; i < n; i++) {
    const bool right = table[i].error <= TOLERANCE && table[i].random_error <= RANDOM_TOLERANCE;
    n_wrong += !right;
    printf("%-*s %14.6g %14.6g %12.2e %12.2e%s\n", (int)width, table[i].path, table[i].analytic,
           table[i].numeric, table[i].error, table[i].random_error, right ? "" : "  differs");
  }
  fflush(stdout);
  if (n_wrong > 0)
    return ls_fail(
        LS_ERR_NUMERIC,
        "%zu of %zu gradients differ by more than %g, or by more than %g along a random direction", n_wrong,
        n, TOLERANCE, RANDOM_TOLERANCE);
  printf("all %zu gradients agree to %g, and to %g along a random direction\n", n, TOLERANCE,
         RANDOM_TOLERANCE);
  return LS_OK;
}

static ls_status check(ls_comm *comm, const arguments *a, ls_setup *setup) {
  (void)a;
  const size_t n = setup->job->model->n_segments;
  ls_gradcheck_row *table = ls_calloc(n, sizeof *table);
  ls_status status = ls_comm_agree(comm, table ? LS_OK : ls_fail_memory("the table", n * sizeof *table));
  if (status == LS_OK) {
    ls_model_initialise(setup->job->model, setup->job->train.seed);
    status = ls_gradcheck(comm, setup, ROWS, table);
  }
  if (status == LS_OK) status = ls_comm_agree(comm, app_is_root(comm) ? print_table(table, n) : LS_OK);
  free(table);
  return status;
}

const command app_gradcheck = {
    .name = "gradcheck",
    .operands = "CONFIG.yaml",
    .help = "compare analytic with numeric gradients of the initial model, block by block",
    .details =
        "For each block of parameters: the derivative of the mean loss of 64 samples along the gradient\n"
        "and along a random direction, by backpropagation and by central differences. Exit code 6 if\n"
        "a block differs.",
    .options = {OPTION_SET},
    .work = check};
