/* lockstep import. */
#include "internal.h"

#include <string.h>

/* Reads HEIGHTxWIDTH. */
static ls_status read_size(const arguments *a, ls_folder_options *options) {
  const char *const text = app_option(a, "size");
  unsigned height = 0;
  unsigned width = 0;
  int end = 0;
  if (!text) return LS_OK;
  const bool is_read = strlen(text) < 12 && sscanf(text, "%5ux%5u%n", &height, &width, &end) == 2 &&
                       text[end] == '\0' && strspn(text, "0123456789x") == strlen(text);
  if (!is_read || height < 1 || width < 1 || height > 16384 || width > 16384)
    return ls_fail(LS_ERR_CONFIG, "--size %s: must be HEIGHTxWIDTH in pixels, each from 1 to 16384", text);
  options->height = height;
  options->width = width;
  return LS_OK;
}

/* The options of folders. */
static ls_status read_folder_options(const arguments *a, ls_folder_options *options) {
  uint64_t channels = 0;
  uint64_t length = 0;
  LS_TRY(read_size(a, options));
  LS_TRY(app_read_count(a, "channels", 1, 1024, &channels));
  LS_TRY(app_read_count(a, "length", 1, UINT32_MAX, &length));
  options->channels = channels;
  options->length = length;
  options->skip_broken = app_option(a, "skip-broken") != NULL;
  return LS_OK;
}

static void print_split(const char *name, uint64_t samples, const char **separator) {
  if (samples) printf("%s %s %llu samples", *separator, name, (unsigned long long)samples);
  if (samples) *separator = ",";
}

/* Rank 0. */
static ls_status import(const arguments *a) {
  static const char *const targets[] = {"auto", "classes", "numbers", NULL};
  ls_import_options options = {.seed = 1};
  ls_import_summary summary = {0};
  LS_TRY(app_read_output(a, NULL, &options.output));
  LS_TRY(app_read_table(a, &options.table));
  LS_TRY(app_read_choice(a, "targets", targets, &options.table.targets));
  LS_TRY(app_read_number(a, "test-fraction", 0.0, 1.0, &options.test_fraction));
  options.numpy = (ls_numpy_options){.x = app_option(a, "x"), .y = app_option(a, "y")};
  LS_TRY(read_folder_options(a, &options.folder));
  LS_TRY(ls_import(a->positional, a->n_positional, &options, &summary));
  const char *separator = ":";
  printf("%s", options.output);
  print_split("/train", summary.train_samples, &separator);
  print_split("/test", summary.test_samples, &separator);
  print_split("/validation", summary.validation_samples, &separator);
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
    .help = "convert IDX, CSV or NumPy files, or a folder of images or recordings, to an HDF5 dataset",
    .details =
        "Sources are IDX files, gzipped or not, in any order, or one CSV file, with or without a header.\n"
        "IDX images and labels are paired by name: t10k* and test* become /test, all others /train.\n"
        "NumPy arrays (.npz, or .npy files) are paired by name: x, y, x_train, y_test, test_images ...\n"
        "A folder contains PNG, JPEG or WAV files: CLASS/FILE, or train/CLASS/FILE and test/CLASS/FILE.\n"
        "COLUMNS is a list of names, numbers from 1 and ranges, such as age,7,10-12. Labels that are "
        "words,\n"
        "or whole numbers of few different values, become classes; several labels are numbers.",
    .options = {{"output", 'o', "OUT.h5", "dataset to write"},
                OPTIONS_TABLE("CSV: label columns (default: the last of the other columns)"),
                {"targets", 0, "auto|classes|numbers", "CSV, NumPy: whether labels are classes or numbers"},
                {"test-fraction", 0, "F",
                 "CSV, NumPy and folders: fraction of the samples, chosen at random, that goes to /test"},
                {"x", 0, "NAME", "NumPy: array of the samples"},
                {"y", 0, "NAME", "NumPy: array of the targets"},
                {"size", 0, "HxW", "images: height and width to resample to, by linear interpolation"},
                {"channels", 0, "N", "images: 1 (grey) or 3 (RGB); recordings: 1 (mean of the channels)"},
                {"length", 0, "N", "recordings: frames; the end is cut or padded with zeros"},
                {"skip-broken", 0, NULL, "skip damaged files of a folder, with a warning for each"}},
    .run = run};
