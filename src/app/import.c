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

/* The options of the output. */
static ls_status read_output_options(const arguments *a, ls_import_options *o) {
  static const app_unit sizes[] = {{"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12},
                                   {"kB", 1e3}, {"B", 1.0},  {NULL, 0.0}};
  double bytes = 0.0;
  LS_TRY(app_read_output(a, NULL, &o->output));
  LS_TRY(app_read_quantity(a, "max-file-size", sizes, "2GB", &bytes));
  LS_TRY(app_read_count(a, "seed", 0, (uint64_t)1 << 53, &o->seed));
  LS_TRY(app_read_number(a, "test-fraction", 0.0, 1.0, &o->test_fraction));
  o->max_file_bytes = (uint64_t)bytes;
  LS_TRY(app_read_quantity(a, "memory", sizes, "4GB", &bytes));
  o->memory_bytes = (uint64_t)bytes;
  o->shuffles = app_option(a, "shuffle") != NULL;
  return LS_OK;
}

/* Rank 0. */
static ls_status import(const arguments *a) {
  static const char *const targets[] = {"auto", "classes", "numbers", NULL};
  ls_import_options options = {.seed = 1};
  ls_import_summary summary = {0};
  LS_TRY(read_output_options(a, &options));
  LS_TRY(app_read_table(a, &options.table));
  LS_TRY(app_read_choice(a, "targets", targets, &options.table.targets));
  options.numpy = (ls_numpy_options){.x = app_option(a, "x"), .y = app_option(a, "y")};
  LS_TRY(read_folder_options(a, &options.folder));
  LS_TRY(ls_import(a->positional, a->n_positional, &options, &summary));
  const char *separator = ":";
  printf("%s", options.output);
  if (summary.n_files)
    printf(" in %llu file%s", (unsigned long long)summary.n_files, summary.n_files == 1 ? "" : "s");
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
    .help =
        "convert files of any size, or folders of images or recordings, to an HDF5 dataset; shuffle one",
    .details =
        "Sources are files of one format, or folders. Names may be patterns: 'part-*.csv'. The rows of "
        "several\n"
        "files follow each other. Formats: CSV with or without a header, and IDX, both also gzipped; "
        "NumPy\n"
        "(.npy, .npz); HDF5 (FILE, or FILE:GROUP for one group).\n"
        "IDX images and labels are paired by name: t10k* and test* become /test, all others /train.\n"
        "Arrays of NumPy and HDF5 are found by name: x, y, x_train, y_test, test_images, /train/x ...\n"
        "A folder contains PNG, JPEG or WAV files: CLASS/FILE, or train/CLASS/FILE and test/CLASS/FILE.\n"
        "COLUMNS is a list of names, numbers from 1 and ranges, such as age,7,10-12. Labels that are "
        "words,\n"
        "or whole numbers of few different values, become classes; several labels are numbers. A feature\n"
        "column of words becomes a feature of 0 and 1 for each word: color=blue, color=red ...\n"
        "With --max-file-size, the files are OUT-00001.h5 ..., OUT.test-00001.h5 ..., for data.train: "
        "OUT-*.h5.\n"
        "--shuffle needs free space for a copy of the data in the folder of the output.",
    .options = {{"output", 'o', "OUT.h5", "dataset to write"},
                {"shuffle", 0, NULL, "random order of the rows of each split, for data.window"},
                {"seed", 0, "N", "seed of the random order and of the test samples (default: 1)"},
                {"memory", 0, "SIZE",
                 "memory of the shuffle (default: 151MB); more is faster beyond a TB of data"},
                {"max-file-size", 0, "SIZE",
                 "largest size of a file, such as 2GB; several files are written"},
                OPTIONS_TABLE("CSV: label columns (default: the last of the other columns)"),
                OPTIONS_IMPORT_TABLE,
                {"targets", 0, "auto|classes|numbers", "CSV, NumPy: whether labels are classes or numbers"},
                {"test-fraction", 0, "F",
                 "all but IDX: fraction of the samples, chosen at random, that goes to /test"},
                {"x", 0, "NAME", "NumPy, HDF5: array of the samples"},
                {"y", 0, "NAME", "NumPy, HDF5: array of the targets"},
                {"size", 0, "HxW", "images: height and width to resample to, by linear interpolation"},
                {"channels", 0, "N", "images: 1 (grey) or 3 (RGB); recordings: 1 (mean of the channels)"},
                {"length", 0, "N", "recordings: frames; the end is cut or padded with zeros"},
                {"skip-broken", 0, NULL, "skip damaged files of a folder, with a warning for each"}},
    .run = run};
