/* lockstep import. */
#include "lockstep/import.h"

#include "command.h"

#include <stdlib.h>

static ls_status parse_fraction(const char *text, double *out) {
  char *end = NULL;
  *out = 0.0;
  if (!text) return LS_OK;
  *out = strtod(text, &end);
  if (end != text && *end == '\0' && *out >= 0.0 && *out < 1.0) return LS_OK;
  return ls_fail(LS_ERR_CONFIG, "--test-fraction: %s is not a number from 0 up to but not 1", text);
}

/* Rank 0's work. */
static ls_status import(const arguments *a) {
  ls_import_options options = {.output = argument_of(&command_import, a, "output"),
                               .label = argument_of(&command_import, a, "label"),
                               .seed = 1};
  ls_import_summary summary = {0};
  ls_status status =
      parse_fraction(argument_of(&command_import, a, "test-fraction"), &options.test_fraction);
  if (status == LS_OK && !options.output)
    status = ls_fail(LS_ERR_CONFIG, "-o OUT.h5 is missing; see lockstep import --help");
  if (status == LS_OK) status = ls_import(a->positional, a->n_positional, &options, &summary);
  if (status != LS_OK) return status;
  printf("%s:", options.output);
  if (summary.train_samples) printf(" /train %llu samples", (unsigned long long)summary.train_samples);
  if (summary.test_samples)
    printf("%s /test %llu samples", summary.train_samples ? "," : "",
           (unsigned long long)summary.test_samples);
  printf(" of %llu features", (unsigned long long)summary.features);
  if (summary.classes) printf(", %llu classes", (unsigned long long)summary.classes);
  printf("\n");
  return LS_OK;
}

static ls_status run(ls_comm *comm, const arguments *a) {
  return ls_comm_agree(comm, prints(comm) ? import(a) : LS_OK);
}

const command command_import = {
    .name = "import",
    .operands = "SOURCE...",
    .help = "writes IDX or CSV files to an HDF5 data set",
    .details = "IDX files, gzipped or not, in any order: images and labels are paired by name (train* goes "
               "to /train, t10k*\n"
               "or test* to /test). One CSV file, with or without a header; text labels become classes.",
    .least = 1,
    .most = POSITIONAL_MAX,
    .options = {{.name = "output",
                 .letter = 'o',
                 .takes_value = true,
                 .value_name = "OUT.h5",
                 .help = "the file to write"},
                {.name = "label",
                 .takes_value = true,
                 .value_name = "COLUMN",
                 .help = "CSV: the label's column by name or number from 1 (default: the last)"},
                {.name = "test-fraction",
                 .takes_value = true,
                 .value_name = "F",
                 .help = "CSV: this part of the rows goes to /test"}},
    .run = run};
