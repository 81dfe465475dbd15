/* Imports an .npz archive, or an .npy file if the input does not begin as an archive. Rejected files must
 * leave no output. */
#include "fuzz.h"
#include "lockstep/import.h"

#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const char *const source = size > 0 && data[0] == 'P' ? "input.npz" : "input.npy";
  const ls_import_options options = {.output = "output.h5", .test_fraction = size % 3 == 0 ? 0.4 : 0.0};
  ls_import_summary summary;
  fuzz_write(source, data, size);
  const ls_status status = ls_import(&source, 1, &options, &summary);
  fuzz_verdict(status, status == LS_ERR_CONFIG ? LS_ERR_CONFIG : LS_ERR_DATA);
  if ((unlink(options.output) == 0) != (status == LS_OK)) abort();
  return 0;
}
