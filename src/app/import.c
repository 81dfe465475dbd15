/* lockstep import. */
#include "lockstep/import.h"

#include "internal.h"

/* Rank 0. */
static ls_status import(const arguments *a) {
  ls_import_options options = {.label = app_option(a, "label"), .seed = 1};
  ls_import_summary summary = {0};
  LS_TRY(app_read_output(a, NULL, &options.output));
  LS_TRY(app_read_number(a, "test-fraction", 0.0, 1.0, &options.test_fraction));
  LS_TRY(ls_import(a->positional, a->n_positional, &options, &summary));
  printf("%s:", options.output);
  if (summary.train_samples) printf(" /train %llu samples", (unsigned long long)summary.train_samples);
  if (summary.train_samples && summary.test_samples) printf(",");
  if (summary.test_samples) printf(" /test %llu samples", (unsigned long long)summary.test_samples);
  printf(" of %llu features", (unsigned long long)summary.features);
  if (summary.classes) printf(", %llu classes", (unsigned long long)summary.classes);
  printf("\n");
  return LS_OK;
}

static ls_status run(ls_comm *comm, const arguments *a) {
  return ls_comm_agree(comm, app_is_root(comm) ? import(a) : LS_OK);
}

const command app_import = {
    .name = "import",
    .operands = "SOURCE...",
    .help = "convert IDX files or a CSV file to an HDF5 dataset",
    .details =
        "Sources are IDX files, gzipped or not, in any order, or one CSV file, with or without a header.\n"
        "IDX images and labels are paired by name: t10k* and test* become /test, all others /train.\n"
        "Text labels of a CSV file become class names.",
    .options = {{"output", 'o', "OUT.h5", "dataset to write"},
                {"label", 0, "COLUMN", "CSV: label column, by name or number from 1 (default: the last)"},
                {"test-fraction", 0, "F",
                 "CSV: fraction of the rows, chosen at random, that goes to /test"}},
    .run = run};
