/* Imports a CSV file with options that depend on its length. A rejected file must leave no output. A file
 * that begins with zero bytes is an IDX file, which does not allow these options. */
#include "fuzz.h"
#include "lockstep/import.h"

#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char *const labels[] = {NULL, "1", "kind", "2,b"};
  static const char *const names[] = {"b", "a", "c=red", "c="};
  const char *const source = "input.csv";
  const ls_table_options table = {.header = (int)(size / 4 % 3),
                                  .targets = (int)(size / 12 % 3),
                                  .label = labels[size % 4],
                                  .weight = size % 7 == 0 ? "3" : NULL,
                                  .drop = size % 11 == 0 ? "1,4-5" : NULL,
                                  .columns = size % 13 == 0 ? "2-3,a" : NULL,
                                  .categories = size % 17 == 0 ? "1-2,c" : NULL,
                                  .missing = (int)(size / 36 % 4),
                                  .missing_number = 1.5,
                                  .is_unlabelled = size % 3 == 1,
                                  .accepts_unknown = size % 2 == 0,
                                  .names = size % 5 == 0 ? names : NULL,
                                  .n_names = size % 5 == 0 ? 2 + size % 3 : 0};
  const ls_import_options options = {
      .output = "output.h5", .table = table, .test_fraction = size % 3 == 0 ? 0.4 : 0.0};
  ls_import_summary summary;
  fuzz_write(source, data, size);
  const ls_status status = ls_import(&source, 1, &options, &summary);
  fuzz_verdict(status, status == LS_ERR_CONFIG ? LS_ERR_CONFIG : LS_ERR_DATA);
  if ((unlink(options.output) == 0) != (status == LS_OK)) abort();
  return 0;
}
