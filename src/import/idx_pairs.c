/* Imports IDX files: pairs images with labels by header and name, and copies them in blocks. */
#include "internal.h"

#include <inttypes.h>
#include <string.h>

typedef struct pairs {
  idx_file files[N_SPLITS][2]; /* images, labels */
  output *out;                 /* borrowed */
  label_set set;
  bool is_mapped; /* y has classes in place of the labels, which are not 0, 1, ... K - 1 */
} pairs;

enum { IMAGES, LABELS };
static const char *const roles[] = {"images", "labels"};

#define NAMING "files named t10k* or test* belong to /test, all others to /train"

static const char *name_of(const char *path) {
  const char *const slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

static size_t split_of(const char *path) {
  const char *const name = name_of(path);
  return strncmp(name, "t10k", 4) == 0 || strncmp(name, "test", 4) == 0 ? SPLIT_TEST : SPLIT_TRAIN;
}

/* Opens a file and stores it among the pairs. */
static ls_status add_file(pairs *p, const char *path) {
  idx_file file = {0};
  ls_status status = import_idx_open(&file, path);
  const size_t which = split_of(path);
  const size_t role = file.array.n_dims == 1 ? LABELS : IMAGES;
  idx_file *const place = &p->files[which][role];
  if (status == LS_OK && place->in.gz)
    status = ls_fail(LS_ERR_DATA,
                     "%s and %s: both are %s of %s (%s); rename one, or import them to two datasets",
                     place->in.path, path, roles[role], import_split_names[which], NAMING);
  if (status == LS_OK)
    *place = file;
  else
    import_source_close(&file.in);
  return status;
}

static ls_status check_pair(const idx_file *files, size_t which) {
  for (size_t role = 0; role < 2; role++) {
    if (files[role].in.gz) continue;
    return ls_fail(LS_ERR_DATA, "%s: the %s to these %s of %s are missing; name both files (%s)",
                   files[1 - role].in.path, roles[role], roles[1 - role], import_split_names[which],
                   NAMING);
  }
  const uint64_t images = files[IMAGES].array.dims[0];
  const uint64_t labels = files[LABELS].array.dims[0];
  if (images == labels) return LS_OK;
  return ls_fail(LS_ERR_DATA, "%s has %" PRIu64 " images, but %s has %" PRIu64 " labels",
                 files[IMAGES].in.path, images, files[LABELS].in.path, labels);
}

/* Samples of both splits must have the same shape and type, because one model reads them. */
static ls_status check_same_shape(const idx_file *a, const idx_file *b) {
  char a_text[128];
  char b_text[128];
  bool same = a->array.dtype == b->array.dtype && a->array.n_dims == b->array.n_dims;
  for (unsigned i = 1; same && i < a->array.n_dims; i++) same = a->array.dims[i] == b->array.dims[i];
  if (same) return LS_OK;
  return ls_fail(LS_ERR_DATA, "%s has %s, but %s has %s; samples of both must have the same shape and type",
                 a->in.path, ls_array_describe(&a->array, a_text, sizeof a_text), b->in.path,
                 ls_array_describe(&b->array, b_text, sizeof b_text));
}

static bool is_present(const pairs *p, size_t which) {
  return p->files[which][IMAGES].in.gz || p->files[which][LABELS].in.gz;
}

static ls_status check_files(const pairs *p) {
  for (size_t i = 0; i < N_SPLITS; i++)
    if (is_present(p, i)) LS_TRY(check_pair(p->files[i], i));
  if (!is_present(p, SPLIT_TRAIN) || !is_present(p, SPLIT_TEST)) return LS_OK;
  return check_same_shape(&p->files[SPLIT_TRAIN][IMAGES], &p->files[SPLIT_TEST][IMAGES]);
}

/* ---------------------------------------------------------------------- classes */

static bool is_real(const idx_file *file) {
  return file->array.dtype == LS_F32 || file->array.dtype == LS_F64;
}

/* Adds the labels of a file to the set, and returns to its first label. */
static ls_status add_labels(pairs *p, idx_file *file) {
  double block[IMPORT_LABEL_ROWS];
  const uint64_t n = file->array.dims[0];
  size_t rows = 0;
  for (uint64_t row = 0; row < n; row += rows) {
    rows = ls_size_min(IMPORT_LABEL_ROWS, n - row);
    LS_TRY(import_idx_read(file, row, rows, block));
    LS_TRY(import_labels_add_values(&p->set, block, rows, file->array.dtype, row));
  }
  return import_idx_rewind(file);
}

/* Collects the classes of all label files, unless labels are real numbers. */
static ls_status collect_classes(pairs *p) {
  for (size_t i = 0; i < N_SPLITS; i++)
    if (is_present(p, i) && is_real(&p->files[i][LABELS])) return LS_OK;
  for (size_t i = 0; i < N_SPLITS; i++)
    if (is_present(p, i)) LS_TRY(add_labels(p, &p->files[i][LABELS]));
  LS_TRY(import_labels_finish(&p->set));
  p->is_mapped = import_labels_differ(&p->set, LS_I32);
  return LS_OK;
}

/* Reads the next labels: as stored, or as classes. */
static ls_status read_labels(const pairs *p, idx_file *file, uint64_t first, size_t rows, void *y) {
  double block[IMPORT_LABEL_ROWS];
  if (!p->is_mapped) return import_idx_read(file, first, rows, y);
  for (size_t done = 0; done < rows; done += IMPORT_LABEL_ROWS) {
    const size_t n = ls_size_min(IMPORT_LABEL_ROWS, rows - done);
    LS_TRY(import_idx_read(file, first + done, n, block));
    LS_TRY(import_labels_map_values(&p->set, block, n, file->array.dtype, (int64_t *)y + done));
  }
  return LS_OK;
}

static ls_status begin_pair(pairs *p, size_t which) {
  split *const s = &p->out->splits[which];
  ls_array y = p->files[which][LABELS].array;
  if (p->is_mapped) y.dtype = LS_I64;
  LS_TRY(import_split_begin(p->out, which, &p->files[which][IMAGES].array, &y));
  if (p->set.kind != LABEL_CLASS) return LS_OK;
  return ls_store_write_texts(s->writer, s->y_path, "classes", (const char *const *)p->set.names,
                              p->set.classes);
}

static ls_status copy_pair(pairs *p, size_t which) {
  idx_file *const images = &p->files[which][IMAGES];
  idx_file *const labels = &p->files[which][LABELS];
  split *const s = &p->out->splits[which];
  const uint64_t n = images->array.dims[0];
  size_t rows = 0;
  LS_TRY(begin_pair(p, which));
  for (uint64_t row = 0; row < n; row += rows) {
    void *x = NULL;
    void *y = NULL;
    rows = ls_size_min(import_split_next(s, &x, &y), n - row);
    LS_TRY(import_idx_read(images, row, rows, x));
    LS_TRY(read_labels(p, labels, row, rows, y));
    LS_TRY(import_split_add(s, rows));
  }
  LS_TRY(import_idx_end(images));
  return import_idx_end(labels);
}

static ls_status check_options(const ls_import_options *options) {
  if (options->test_fraction != 0)
    return ls_fail(LS_ERR_CONFIG,
                   "--test-fraction %g: only allowed for CSV; test samples of IDX are in separate files "
                   "(t10k* or test*)",
                   options->test_fraction);
  return import_reject_table_options(&options->table, "IDX, whose labels are in separate files");
}

/* Several files must be IDX. A single file is IDX if it begins with two zero bytes, as text never does, or
 * has a typical name ("train-images-idx3-ubyte"), so that a damaged IDX file is reported as such. */
static ls_status recognize(const char *const *sources, size_t n_sources, bool *yes) {
  unsigned char magic[2] = {0};
  size_t got = 0;
  source in;
  const char *const name = name_of(sources[0]);
  for (size_t i = 0; i < n_sources; i++) LS_TRY(import_check_foreign(sources[i]));
  *yes = n_sources > 1;
  if (*yes) return LS_OK;
  ls_status status = import_source_open(&in, sources[0]);
  if (status == LS_OK) status = import_source_read(&in, magic, sizeof magic, &got);
  import_source_close(&in);
  *yes = (got == sizeof magic && magic[0] == 0 && magic[1] == 0) || strstr(name, "-idx") ||
         strstr(name, ".idx") || strstr(name, "-ubyte");
  return status;
}

static ls_status convert(const char *const *sources, size_t n_sources, const ls_import_options *options,
                         output *out) {
  pairs p = {.out = out};
  ls_status status = check_options(options);
  for (size_t i = 0; status == LS_OK && i < n_sources; i++) status = add_file(&p, sources[i]);
  if (status == LS_OK) status = check_files(&p);
  if (status == LS_OK) status = import_labels_create(&p.set, sources[0], LS_TARGETS_AUTO);
  if (status == LS_OK) status = collect_classes(&p);
  if (status == LS_OK) status = import_output_create(out);
  for (size_t i = 0; status == LS_OK && i < N_SPLITS; i++)
    if (is_present(&p, i)) status = copy_pair(&p, i);
  out->n_classes = p.set.classes;
  for (size_t i = 0; i < N_SPLITS; i++)
    for (size_t role = 0; role < 2; role++) import_source_close(&p.files[i][role].in);
  import_labels_destroy(&p.set);
  return status;
}

const import_format import_idx_format = {.recognize = recognize, .convert = convert};
