/* Opens and reads an HDF5 dataset; its length selects the kind of targets, and whether it is matched with a
 * model, whose names are in another order than those of the seeds. */
#include "fuzz.h"
#include "lockstep/data.h"

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
  return 0;
}
