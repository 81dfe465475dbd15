/* Opens and reads an HDF5 dataset, and parts of its arrays; its length selects the kind of targets, and
 * whether it is matched with a model, whose names are in another order than those of the seeds. */
#include "fuzz.h"
#include "lockstep/data.h"
#include "lockstep/store.h"

#include <stdlib.h>

#define MOST_BYTES ((size_t)1 << 20)

/* Reads all rows of an array in parts that are not whole chunks. */
static void read_parts(const ls_store *store, const char *path) {
  ls_array array;
  size_t row = 0;
  if (ls_store_describe(store, path, &array) != LS_OK || array.n_dims == 0 || array.dtype == LS_TEXT)
    return;
  if (!ls_array_row_size(&array, &row) || !ls_size_mul(row, ls_dtype_size(array.dtype), &row)) return;
  if (row == 0 || row > MOST_BYTES / 7) return;
  unsigned char *const rows = malloc(7 * row);
  if (!rows) abort();
  for (uint64_t first = 0; first < array.dims[0] && first < 100; first += 7) {
    const size_t n = ls_size_min(7, array.dims[0] - first);
    ls_store_read_ahead(store, path, first, n);
    const ls_status status = ls_store_read_rows(store, path, first, n, rows);
    fuzz_verdict(status, LS_ERR_DATA);
    if (status != LS_OK) break;
  }
  free(rows);
}

static void read_arrays(const char *file) {
  static const char *const paths[] = {"/x", "/y", "/train/x", "/train/y"};
  ls_store *store = NULL;
  if (ls_store_open(file, &store) != LS_OK) return;
  for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) read_parts(store, paths[i]);
  ls_store_close(&store);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const ls_target_kind targets[] = {LS_TARGET_CLASSES, LS_TARGET_VALUES, LS_TARGET_NONE};
  static const char *const features[] = {"d", "b", "a"};
  static const char *const classes[] = {"blue", "red", "green"};
  const ls_facts model = {.owner = "model",
                          .shape = {.n_dims = 1, .dims = {3}},
                          .features = {features, 3},
                          .classes = {classes, 3}};
  const ls_dataset_request request = {
      .spec = "input.h5", .target = targets[size % 3], .model = size % 2 ? &model : NULL};
  ls_dataset *dataset = NULL;
  fuzz_start_comm();
  fuzz_write("input.h5", data, size);
  ls_status status = ls_dataset_open(fuzz_comm, &request, &dataset);
  if (status == LS_OK) status = ls_dataset_read(fuzz_comm, dataset, size % 3 == 0 ? 3 : 0);
  fuzz_verdict(status, LS_ERR_DATA);
  ls_dataset_close(fuzz_comm, &dataset);
  read_arrays("input.h5");
  return 0;
}
