/* Predicts samples with a model of Lockstep: reads their values as text, and prints a line of outputs for
 * each.
 *
 *   cc predict.c -o predict $(pkg-config --cflags --libs lockstep-infer)
 *   ./predict model.h5 < samples.txt */
#include <lockstep/infer.h>

#include <stdio.h>
#include <stdlib.h>

/* Reads the n values of a sample, and returns how many there were. */
static size_t read_sample(size_t n, float *x) {
  size_t j = 0;
  while (j < n && scanf("%f", &x[j]) == 1) j++;
  return j;
}

/* Predicts all samples of the input. Returns an error code. */
static int predict(const ls_infer *model, ls_infer_workspace *workspace, float *x, float *y) {
  const size_t n_in = ls_infer_inputs(model);
  const size_t n_out = ls_infer_outputs(model);
  size_t n = 0;
  while ((n = read_sample(n_in, x)) == n_in) {
    const int code = ls_infer_run(model, workspace, 1, x, y);
    if (code) {
      fprintf(stderr, "predict: %s\n", ls_infer_message(workspace));
      return code;
    }
    for (size_t k = 0; k < n_out; k++) printf(k + 1 < n_out ? "%.9g " : "%.9g\n", (double)y[k]);
  }
  if (n == 0 && feof(stdin)) return 0;
  fprintf(stderr, "predict: the input is not a list of samples of %zu numbers\n", n_in);
  return LS_INFER_DATA;
}

int main(int argc, char **argv) {
  ls_infer *model = NULL;
  ls_infer_workspace *workspace = NULL;
  char message[512];
  if (argc != 2) {
    fprintf(stderr, "usage: predict MODEL.h5 < SAMPLES\n");
    return 2;
  }
  int code = ls_infer_open(argv[1], &model, message, sizeof message);
  if (code) {
    fprintf(stderr, "predict: %s\n", message);
    return code;
  }
  float *const x = malloc(ls_infer_inputs(model) * sizeof *x);
  float *const y = malloc(ls_infer_outputs(model) * sizeof *y);
  code = x && y ? ls_infer_workspace_create(model, 1, &workspace) : LS_INFER_MEMORY;
  if (code)
    fprintf(stderr, "predict: %s\n", ls_infer_describe(code));
  else
    code = predict(model, workspace, x, y);
  free(x);
  free(y);
  ls_infer_workspace_destroy(&workspace);
  ls_infer_close(&model);
  return code;
}
