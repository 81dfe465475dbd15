/* Opens and reads an HDF5 dataset; its length selects the kind of targets. */
#include "fuzz.h"
#include "lockstep/data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const ls_target_kind targets[] = {LS_TARGET_CLASSES, LS_TARGET_VALUES, LS_TARGET_NONE};
  const ls_dataset_request request = {.spec = "input.h5", .target = targets[size % 3]};
  ls_dataset *dataset = NULL;
  fuzz_start_comm();
  fuzz_write("input.h5", data, size);
  ls_status status = ls_dataset_open(fuzz_comm, &request, &dataset);
  if (status == LS_OK) status = ls_dataset_read(fuzz_comm, dataset, size % 3 == 0 ? 3 : 0);
  fuzz_verdict(status, LS_ERR_DATA);
  ls_dataset_close(fuzz_comm, &dataset);
  return 0;
}
