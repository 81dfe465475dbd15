/* An HDF5 data set: opened and read, for targets of the kind that its length chooses. */
#include "fuzz.h"
#include "lockstep/data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const ls_target_kind targets[] = {LS_TARGET_CLASSES, LS_TARGET_VALUES, LS_TARGET_NONE};
  const ls_dataset_request request = {
      .spec = "input.h5", .target = targets[size % 3], .n_outputs = size % 3 == 0 ? 3 : 0};
  ls_dataset *dataset = NULL;
  fuzz_start_comm();
  fuzz_write("input.h5", data, size);
  fuzz_verdict(ls_dataset_open(fuzz_comm, &request, &dataset), LS_ERR_DATA);
  ls_dataset_close(fuzz_comm, &dataset);
  return 0;
}
