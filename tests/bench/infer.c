/* The time of a call of liblockstep-infer: infer MODEL.h5. Reads lines `ROWS CALLS` and prints, for each,
 * the seconds of a call on average. tests/bench/infer.py compares it with onnxruntime. */
#include "lockstep/infer.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int measure(const ls_infer *model, size_t rows, size_t calls) {
  const size_t n_in = ls_infer_inputs(model);
  ls_infer_workspace *workspace = NULL;
  float *const x = malloc(rows * n_in * sizeof *x);
  float *const y = malloc(rows * ls_infer_outputs(model) * sizeof *y);
  int code = x && y ? ls_infer_workspace_create(model, rows, &workspace) : LS_INFER_MEMORY;
  for (size_t i = 0; code == 0 && i < rows * n_in; i++) x[i] = (float)rand() / (float)RAND_MAX;
  if (code == 0) code = ls_infer_run(model, workspace, rows, x, y);
  const double start = seconds();
  for (size_t i = 0; code == 0 && i < calls; i++) code = ls_infer_run(model, workspace, rows, x, y);
  printf("%.9g\n", (seconds() - start) / (double)calls);
  fflush(stdout);
  free(x);
  free(y);
  ls_infer_workspace_destroy(&workspace);
  return code;
}

int main(int argc, char **argv) {
  ls_infer *model = NULL;
  char message[512];
  size_t rows = 0;
  size_t calls = 0;
  if (argc != 2) return 2;
  int code = ls_infer_open(argv[1], &model, message, sizeof message);
  if (code) fprintf(stderr, "infer: %s\n", message);
  while (code == 0 && scanf("%zu %zu", &rows, &calls) == 2) code = measure(model, rows, calls);
  ls_infer_close(&model);
  return code;
}
