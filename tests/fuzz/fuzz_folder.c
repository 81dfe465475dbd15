/* Imports a folder with one image or recording, whose first byte selects the type, with options that depend
 * on its length. Rejected files must leave no output. */
#include "fuzz.h"
#include "lockstep/import.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const char *const source = "folder";
  const uint8_t first = size > 0 ? data[0] : 0;
  const char *const name = first == 0x89   ? "folder/class/1.png"
                           : first == 0xff ? "folder/class/1.jpg"
                                           : "folder/class/1.wav";
  const bool is_audio = first != 0x89 && first != 0xff;
  ls_import_options options = {.output = "output.h5"};
  ls_import_summary summary;
  if (size % 3 != 0 && is_audio) options.folder.length = 50;
  if (size % 3 != 0 && !is_audio) options.folder.height = 5, options.folder.width = size % 7 + 1;
  if (size % 4 == 0) options.folder.channels = 1;
  options.folder.skip_broken = size % 5 == 0;
  mkdir("folder", 0700);
  mkdir("folder/class", 0700);
  fuzz_write(name, data, size);
  const ls_status status = ls_import(&source, 1, &options, &summary);
  fuzz_verdict(status, LS_ERR_DATA);
  if (remove(name) != 0 || (unlink(options.output) == 0) != (status == LS_OK)) abort();
  return 0;
}
