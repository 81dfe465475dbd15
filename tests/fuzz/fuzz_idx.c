/* Imports a pair of IDX files. The first two bytes of the input give the length of the image file; the
 * label file follows it. Rejected files must leave no output. */
#include "fuzz.h"
#include "lockstep/import.h"

#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char *const sources[] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte"};
  const ls_import_options options = {.output = "output.h5"};
  ls_import_summary summary;
  if (size < 2) return 0;
  const size_t images = ls_size_min((size_t)data[0] << 8 | data[1], size - 2);
  fuzz_write(sources[0], data + 2, images);
  fuzz_write(sources[1], data + 2 + images, size - 2 - images);
  const ls_status status = ls_import(sources, 2, &options, &summary);
  fuzz_verdict(status, LS_ERR_DATA);
  if ((unlink(options.output) == 0) != (status == LS_OK)) abort();
  return 0;
}
