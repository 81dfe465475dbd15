/* lockstep init. */
#include "lockstep/draft.h"

#include "internal.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The names that the command reads and writes. Owned. */
typedef struct names {
  ls_import_choice data; /* the operand, or the files of a folder */
  char *stem;            /* of the default names */
  char *config, *run;
  char *imported;            /* the dataset that is written first; NULL: the source is one */
  bool is_written;           /* it is */
  ls_import_summary summary; /* of what was imported */
} names;

static void free_names(names *n) {
  ls_import_choice_free(&n->data);
  free(n->stem);
  free(n->config);
  free(n->run);
  free(n->imported);
}

/* ------------------------------------------------------------------------- sources */

static bool is_folder(const char *path) {
  struct stat info;
  return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* Stores the first file that a name stands for. */
static ls_status keep_first(void *context, const char *file) {
  char **const first = context;
  if (!*first) *first = ls_strdup(file);
  return *first ? LS_OK : ls_fail_memory("a path", strlen(file));
}

/* *yes: whether the source is HDF5, which training reads as it is. */
static ls_status is_dataset(const char *source, bool *yes) {
  char *file = NULL;
  char *group = NULL;
  char *first = NULL;
  *yes = false;
  ls_status status = ls_spec_split(source, &file, &group);
  if (status == LS_OK) status = ls_spec_expand(file, keep_first, &first);
  if (status == LS_OK && access(first, R_OK) != 0)
    status = ls_fail(LS_ERR_DATA, "%s: %s", first, strerror(errno));
  if (status == LS_OK && !is_folder(first)) status = ls_import_is_hdf5(first, yes);
  if (status == LS_OK && ls_store_is_sealed(first))
    status = ls_fail(LS_ERR_DATA, "%s: a model or checkpoint; must be a dataset", first);
  free(file);
  free(group);
  free(first);
  return status;
}

/* --------------------------------------------------------------------------- names */

/* The name of a file or folder up to its first dot, without folders and the group; `data` if nothing is
 * left. */
static char *stem_of(const char *name) {
  const char *const colon = strrchr(name, ':');
  size_t n = colon && colon[1] == '/' ? (size_t)(colon - name) : strlen(name);
  while (n > 1 && name[n - 1] == '/') n--;
  size_t first = n;
  while (first > 0 && name[first - 1] != '/') first--;
  const size_t length = ls_size_min(strcspn(name + first, "."), n - first);
  char *const stem = length > 0 ? ls_format("%.*s", (int)length, name + first) : ls_strdup("data");
  for (char *p = stem; p && *p; p++)
    if (strchr("*?:", *p)) *p = '_';
  return stem;
}

/* The default names: STEM.yaml in the working directory, and STEM.h5 beside the config. */
static ls_status choose_names(const arguments *a, bool imports, names *n) {
  const char *const output = app_option(a, "output");
  n->stem = stem_of(a->positional[0]);
  if (!n->stem) return ls_fail_memory("a name", strlen(a->positional[0]));
  n->config = output ? ls_strdup(output) : ls_format("%s.yaml", n->stem);
  if (!n->config) return ls_fail_memory("a name", strlen(n->stem));
  const char *const slash = strrchr(n->config, '/');
  const int folder = slash ? (int)(slash - n->config) + 1 : 0;
  const bool has_name = output && strcmp(output, "-") != 0;
  char *const run = stem_of(has_name ? output : n->stem);
  n->run = run ? ls_format("runs/%s", run) : NULL;
  free(run);
  if (imports) n->imported = ls_format("%.*s%s.h5", folder, n->config, n->stem);
  return n->run && (n->imported || !imports) ? LS_OK : ls_fail_memory("a name", strlen(n->config));
}

static ls_status check_absent(const arguments *a, const char *file, const char *remedy) {
  if (app_option(a, "overwrite")) return LS_OK;
  if (access(file, F_OK) != 0)
    return errno == ENOENT || errno == ENOTDIR ? LS_OK
                                               : ls_fail(LS_ERR_OUTPUT, "%s: %s", file, strerror(errno));
  return ls_fail(LS_ERR_OUTPUT, "%s: exists; %s", file, remedy);
}

/* Existing files are replaced on request only. */
static ls_status check_names(const arguments *a, const names *n) {
  static const char *const endings[] = {".yaml", ".yml", NULL};
  LS_ASSERT(n->config && n->data.source);
  if (strcmp(n->config, "-") == 0) {
    if (!n->imported) return LS_OK;
    return ls_fail(LS_ERR_CONFIG,
                   "-o -: %s is not HDF5 and needs an import first; choose a file, or use lockstep import",
                   n->data.source);
  }
  if (!app_ends_with(n->config, endings))
    return ls_fail(LS_ERR_CONFIG, "-o %s: unknown file type; the name must end with .yaml or .yml, or be -",
                   n->config);
  if (n->imported && ls_same_file(n->imported, n->data.source))
    return ls_fail(LS_ERR_DATA, "%s: is not an HDF5 file, although its name says so", n->data.source);
  LS_TRY(check_absent(a, n->config, "choose another name with -o, or replace it with --overwrite"));
  if (!n->imported) return LS_OK;
  return check_absent(a, n->imported,
                      "run init on it, choose another folder with -o, or import again with --overwrite");
}

/* -------------------------------------------------------------------------- import */

/* Options of an import. */
static ls_status reject_import_options(const arguments *a) {
  static const char *const options[] = {"header",     "label",   "weight",        "drop", "columns",
                                        "categories", "missing", "test-fraction", NULL};
  for (size_t i = 0; options[i]; i++)
    if (app_option(a, options[i]))
      return ls_fail(LS_ERR_CONFIG,
                     "--%s: only allowed for files that are imported, such as CSV; %s is HDF5%s",
                     options[i], a->positional[0],
                     strcmp(options[i], "label") == 0 ? "; name its targets with --y" : "");
  return LS_OK;
}

/* Test and validation data in other tables. */
static void add_parts(const names *n, ls_import_options *options) {
  if (!ls_import_is_text(n->data.source)) return;
  options->validation = n->data.validation;
  if (options->test_fraction == 0.0)
    options->test = n->data.test;
  else if (n->data.test)
    ls_log(LS_LOG_WARNING, "%s: not read, because --test-fraction chooses the test data", n->data.test);
}

static ls_status import(const arguments *a, names *n) {
  static const char *const targets[] = {"auto", "classes", "numbers", NULL};
  ls_import_options options = {.output = n->imported, .seed = 1, .shuffles = is_folder(n->data.source)};
  options.table.fills = true;
  LS_TRY(app_read_table(a, &options.table));
  LS_TRY(app_read_choice(a, "targets", targets, &options.table.targets));
  LS_TRY(app_read_number(a, "test-fraction", 0.0, 1.0, &options.test_fraction));
  add_parts(n, &options);
  options.numpy = (ls_numpy_options){.x = app_option(a, "x"), .y = app_option(a, "y")};
  options.folder = (ls_folder_options){.fits = is_folder(n->data.source),
                                       .needs_classes = is_folder(n->data.source),
                                       .skip_broken = app_option(a, "skip-broken")};
  LS_TRY(ls_import((const char *const[]){n->data.source}, 1, &options, &n->summary));
  n->is_written = true;
  return LS_OK;
}

/* ------------------------------------------------------------------------- command */

/* Rank 0. */
static ls_status prepare(const arguments *a, names *n) {
  bool is_hdf5 = false;
  LS_TRY(ls_import_choose(a->positional[0], &n->data));
  LS_TRY(is_dataset(n->data.source, &is_hdf5));
  LS_TRY(choose_names(a, !is_hdf5, n));
  LS_TRY(check_names(a, n));
  return is_hdf5 ? reject_import_options(a) : import(a, n);
}

static ls_status read_request(const arguments *a, const names *n, ls_draft_request *request) {
  static const char *const kinds[] = {"auto", "table", "series", "images", "volumes", NULL};
  static const char *const targets[] = {"auto", "classes", "numbers", NULL};
  *request = (ls_draft_request){.data = n->imported      ? n->imported
                                        : n->data.source ? n->data.source
                                                         : a->positional[0],
                                .source = n->imported ? n->data.source : NULL,
                                .n_missing = n->summary.n_missing,
                                .missing = app_option(a, "missing") ? app_option(a, "missing") : "mean",
                                .config = n->config,
                                .run = n->run};
  if (!n->imported) request->x = app_option(a, "x");
  if (!n->imported) request->y = app_option(a, "y");
  LS_TRY(app_read_choice(a, "kind", kinds, &request->kind));
  return app_read_choice(a, "targets", targets, &request->targets);
}

/* Prints a path as a word of a shell: in quotes if it has other characters than those of plain names. */
static void print_word(const char *path) {
  static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-+,@%=";
  const char *const prefix = path[0] == '-' ? "./" : ""; /* not an option */
  if (path[strspn(path, plain)] == '\0') {
    printf("%s%s", prefix, path);
    return;
  }
  printf("'%s", prefix);
  for (const char *c = path; *c; c++)
    if (*c == '\'')
      fputs("'\\''", stdout);
    else
      putchar(*c);
  putchar('\'');
}

static void print_imported(const names *n) {
  const uint64_t test = n->summary.test_samples;
  const uint64_t validation = n->summary.validation_samples;
  printf("%s: imported from %s: %" PRIu64 " training", n->imported, n->data.source,
         n->summary.train_samples);
  if (validation) printf(", %" PRIu64 " validation", validation);
  if (test) printf(", %" PRIu64 " test", test);
  puts(test ? " samples"
            : " samples; to see how the model does on new data, hold some out: --test-fraction 0.2");
}

static void print_next(const names *n) {
  LS_ASSERT(n->config && n->data.source);
  if (n->imported) print_imported(n);
  if (strcmp(n->config, "-") == 0) return;
  printf("%s: written; next: lockstep train ", n->config);
  print_word(n->config);
  putchar('\n');
}

/* A failure leaves no imported dataset. Keeps the status. */
static ls_status remove_imported(const names *n, ls_status status) {
  if (status == LS_OK || !n->is_written) return status;
  unlink(n->imported);
  return ls_fail(status, "%s; %s, imported from %s, is removed again", ls_message(), n->imported,
                 n->data.source);
}

static ls_status run(ls_comm *comm, const arguments *a) {
  names n = {0};
  ls_draft_request request = {0};
  ls_status status = read_request(a, &n, &request); /* its errors precede the import */
  if (status == LS_OK) status = app_is_root(comm) ? prepare(a, &n) : LS_OK;
  if (status == LS_OK) status = read_request(a, &n, &request);
  status = ls_comm_agree(comm, status);
  if (status == LS_OK) status = ls_draft_write(comm, &request);
  if (status == LS_OK && app_is_root(comm)) print_next(&n);
  status = remove_imported(&n, status);
  free_names(&n);
  return status;
}

const command app_init = {
    .name = "init",
    .operands = "DATA",
    .help = "write a commented config that fits a dataset",
    .details =
        "DATA is HDF5 (FILE[:GROUP], or a pattern), or what `lockstep import` converts, which is done "
        "first: a CSV\n"
        "file, or a folder of images, recordings, IDX, NumPy or CSV files. The dataset is then written "
        "beside the\n"
        "config. Validation and test data are found as groups (/train, /test), arrays (X_train, X_test) or "
        "files\n"
        "(train.h5, test.h5). The config has loss, layers, normalisation, batch size, epochs and "
        "regularisation for\n"
        "the types, shapes and values of the data, each with its reason. Then: lockstep train CONFIG.yaml",
    .options = {{"output", 'o', "CONFIG.yaml",
                 "config to write (default: DATA.yaml here); -: standard output"},
                {"overwrite", 0, NULL, "replace an existing config, and the imported dataset"},
                {"kind", 0, "auto|table|series|images|volumes", "what the samples are"},
                {"targets", 0, "auto|classes|numbers", "whether y has classes or quantities"},
                {"x", 0, "NAME", "HDF5, NumPy: array of the samples"},
                {"y", 0, "NAME", "HDF5, NumPy: array of the targets, also in another file: FILE:/PATH"},
                OPTIONS_TABLE("CSV: label columns (default: the last of the other columns)"),
                {"skip-broken", 0, NULL, "skip damaged images and recordings, with a warning for each"},
                OPTIONS_IMPORT_TABLE,
                {"test-fraction", 0, "F",
                 "imported data: fraction of the samples, chosen at random, for /test"}},
    .run = run};
