/* Imports IDX files: pairs images with labels by header and name, and copies them in blocks. */
#include "internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { IMAGES = ARRAY_X, LABELS = ARRAY_Y, N_ROLES };
static const char *const roles[] = {"images", "labels"};

/* The files that follow each other in one role of a split. */
typedef struct series {
  idx_file *files; /* (n), owned */
  size_t n;
} series;

typedef struct pairs {
  series roles[N_SPLITS][N_ROLES];
  output *out; /* borrowed */
  label_set set;
  bool is_mapped; /* y has classes in place of the labels, which are not 0, 1, ... K - 1 */
} pairs;

#define NAMING "files named t10k* or test* belong to /test, all others to /train"

static const char *name_of(const char *path) {
  const char *const slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

static size_t split_of(const char *path) {
  const char *const name = name_of(path);
  return strncmp(name, "t10k", 4) == 0 || strncmp(name, "test", 4) == 0 ? SPLIT_TEST : SPLIT_TRAIN;
}

/* Reads the header of a file and stores it among the pairs. */
static ls_status add_file(pairs *p, const char *path) {
  idx_file file = {.path = path};
  const ls_status status = import_idx_start(&file);
  import_idx_stop(&file);
  LS_TRY(status);
  series *const s = &p->roles[split_of(path)][file.array.n_dims == 1 ? LABELS : IMAGES];
  if ((s->n & (s->n - 1)) == 0) { /* full: 0, 1, 2, 4, ... */
    const size_t wanted = ls_size_max(1, 2 * s->n);
    idx_file *const grown = realloc(s->files, wanted * sizeof *grown);
    if (!grown) return ls_fail_memory("the list of files", wanted * sizeof *grown);
    s->files = grown;
  }
  s->files[s->n++] = file;
  return LS_OK;
}

/* Samples must have the same shape and type, because one model reads them. */
static ls_status check_same_shape(const idx_file *a, const idx_file *b) {
  char a_text[128];
  char b_text[128];
  bool same = a->array.dtype == b->array.dtype && a->array.n_dims == b->array.n_dims;
  for (unsigned i = 1; same && i < a->array.n_dims; i++) same = a->array.dims[i] == b->array.dims[i];
  if (same) return LS_OK;
  return ls_fail(LS_ERR_DATA, "%s has %s, but %s has %s; samples of both must have the same shape and type",
                 a->path, ls_array_describe(&a->array, a_text, sizeof a_text), b->path,
                 ls_array_describe(&b->array, b_text, sizeof b_text));
}

/* Images and labels are paired in the order in which they are named. first: the first images of all */
static ls_status check_split(const pairs *p, size_t which, const idx_file *first) {
  const series *const images = &p->roles[which][IMAGES];
  const series *const labels = &p->roles[which][LABELS];
  if (images->n == 0 || labels->n == 0) {
    const series *const given = images->n ? images : labels;
    const bool is_single = given->n == 1;
    return ls_fail(LS_ERR_DATA, "%s%s%s: the %s to these %s of %s are missing; name both files (%s)",
                   given->files[0].path, is_single ? "" : " and ", is_single ? "" : given->files[1].path,
                   roles[images->n > 0], roles[images->n == 0], import_split_names[which], NAMING);
  }
  if (images->n != labels->n)
    return ls_fail(LS_ERR_DATA,
                   "%s has %zu files of images, such as %s, but %zu of labels, such as %s (%s)",
                   import_split_names[which], images->n, images->files[0].path, labels->n,
                   labels->files[0].path, NAMING);
  for (size_t i = 0; i < images->n; i++) {
    const idx_file *const x = &images->files[i];
    const idx_file *const y = &labels->files[i];
    if (x->array.dims[0] != y->array.dims[0])
      return ls_fail(LS_ERR_DATA, "%s has %" PRIu64 " images, but %s has %" PRIu64 " labels", x->path,
                     x->array.dims[0], y->path, y->array.dims[0]);
    LS_TRY(check_same_shape(first, x));
    if (y->array.dtype != p->roles[which][LABELS].files[0].array.dtype)
      return check_same_shape(&p->roles[which][LABELS].files[0], y);
  }
  return LS_OK;
}

static bool is_present(const pairs *p, size_t which) {
  return p->roles[which][IMAGES].n + p->roles[which][LABELS].n > 0;
}

static ls_status check_files(const pairs *p) {
  const idx_file *first = NULL;
  for (size_t i = 0; i < N_SPLITS; i++) {
    if (!is_present(p, i)) continue;
    if (!first && p->roles[i][IMAGES].n > 0) first = &p->roles[i][IMAGES].files[0];
    LS_TRY(check_split(p, i, first));
  }
  return LS_OK;
}

/* ---------------------------------------------------------------------- classes */

static bool is_real(const idx_file *file) {
  return file->array.dtype == LS_F32 || file->array.dtype == LS_F64;
}

static ls_status read_values(void *file, uint64_t first, size_t rows, void *out) {
  return import_idx_read(file, first, rows, out);
}

static label_source labels_of(idx_file *file) {
  return (label_source){.read = read_values, .file = file, .dtype = file->array.dtype};
}

/* Adds the labels of a file to the set. */
static ls_status add_labels(pairs *p, idx_file *file) {
  const label_source labels = labels_of(file);
  bool is_whole = true;
  p->set.path = file->path;
  ls_status status = import_idx_start(file);
  if (status == LS_OK) status = import_labels_add_all(&p->set, &labels, file->array.dims[0], &is_whole);
  import_idx_stop(file);
  return status;
}

/* Collects the classes of all label files, unless labels are real numbers. */
static ls_status collect_classes(pairs *p) {
  for (size_t i = 0; i < N_SPLITS; i++)
    if (is_present(p, i) && is_real(&p->roles[i][LABELS].files[0])) return LS_OK;
  for (size_t i = 0; i < N_SPLITS; i++)
    for (size_t k = 0; k < p->roles[i][LABELS].n; k++) LS_TRY(add_labels(p, &p->roles[i][LABELS].files[k]));
  LS_TRY(import_labels_finish(&p->set));
  p->is_mapped = import_labels_differ(&p->set, LS_I32);
  return LS_OK;
}

/* Reads the next labels: as stored, or as classes. */
static ls_status read_labels(const pairs *p, idx_file *file, uint64_t first, size_t rows, void *y) {
  const label_source labels = labels_of(file);
  if (!p->is_mapped) return import_idx_read(file, first, rows, y);
  return import_labels_map_all(&p->set, &labels, first, rows, y);
}

static ls_status begin_split(pairs *p, size_t which) {
  const series *const images = &p->roles[which][IMAGES];
  ls_array x = images->files[0].array;
  ls_array y = p->roles[which][LABELS].files[0].array;
  x.dims[0] = 0;
  for (size_t i = 0; i < images->n; i++) x.dims[0] += images->files[i].array.dims[0];
  y.dims[0] = x.dims[0];
  if (p->is_mapped) y.dtype = LS_I64;
  LS_TRY(import_split_begin(p->out, which, (const ls_array *const[N_ARRAYS]){&x, &y}));
  if (p->set.kind != LABEL_CLASS) return LS_OK;
  return import_split_set_texts(&p->out->splits[which], ARRAY_Y, "classes",
                                (const char *const *)p->set.names, p->set.classes);
}

static ls_status copy_rows(pairs *p, split *s, idx_file *images, idx_file *labels) {
  const uint64_t n = images->array.dims[0];
  size_t rows = 0;
  for (uint64_t row = 0; row < n; row += rows) {
    void *to[N_ARRAYS];
    rows = ls_size_min(import_split_next(s, to), n - row);
    LS_TRY(import_idx_read(images, row, rows, to[IMAGES]));
    LS_TRY(read_labels(p, labels, row, rows, to[LABELS]));
    LS_TRY(import_split_add(s, rows));
  }
  LS_TRY(import_idx_end(images));
  return import_idx_end(labels);
}

static ls_status copy_pair(pairs *p, size_t which, size_t i) {
  idx_file *const images = &p->roles[which][IMAGES].files[i];
  idx_file *const labels = &p->roles[which][LABELS].files[i];
  ls_status status = import_idx_start(images);
  if (status == LS_OK) status = import_idx_start(labels);
  if (status == LS_OK) status = copy_rows(p, &p->out->splits[which], images, labels);
  import_idx_stop(images);
  import_idx_stop(labels);
  return status;
}

static ls_status copy_split(pairs *p, size_t which) {
  for (size_t i = 0; i < p->roles[which][IMAGES].n; i++) LS_TRY(copy_pair(p, which, i));
  return LS_OK;
}

static ls_status check_options(const ls_import_options *options) {
  if (options->test_fraction != 0)
    return ls_fail(LS_ERR_CONFIG,
                   "--test-fraction %g: only allowed for CSV; test samples of IDX are in separate files "
                   "(t10k* or test*)",
                   options->test_fraction);
  return import_reject_table_options(&options->table, "IDX, whose labels are in separate files");
}

static bool has_name(const char *path) {
  const char *const name = name_of(path);
  return strstr(name, "-idx") || strstr(name, ".idx") || strstr(name, "-ubyte");
}

/* A file is IDX if it begins with two zero bytes, as text never does, or has a typical name
 * ("train-images-idx3-ubyte"), so that a damaged IDX file is reported as such. */
static ls_status recognize(const char *const *sources, size_t n_sources, bool *yes) {
  for (size_t i = 0; i < n_sources && !*yes; i++) {
    unsigned char magic[2] = {0};
    size_t got = 0;
    source in;
    ls_status status = import_source_open(&in, sources[i]);
    if (status == LS_OK) status = import_source_read(&in, magic, sizeof magic, &got);
    import_source_close(&in);
    LS_TRY(status);
    *yes = (got == sizeof magic && magic[0] == 0 && magic[1] == 0) || has_name(sources[i]);
  }
  return LS_OK;
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
    if (is_present(&p, i)) status = begin_split(&p, i);
  for (size_t i = 0; status == LS_OK && i < N_SPLITS; i++) status = copy_split(&p, i);
  out->n_classes = p.set.classes;
  for (size_t i = 0; i < N_SPLITS; i++)
    for (size_t role = 0; role < N_ROLES; role++) free(p.roles[i][role].files);
  import_labels_destroy(&p.set);
  return status;
}

const import_format import_idx_format = {.recognize = recognize, .convert = convert};
