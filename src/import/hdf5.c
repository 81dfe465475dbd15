/* Imports HDF5 files: their splits follow each other. Types and attributes are kept. */
#include "hdf5_source.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* What all files must agree in. */
typedef struct facts {
  bool has[N_ARRAYS];
  ls_array arrays[N_ARRAYS];  /* dims[0]: of this file */
  char **classes, **features; /* owned, each in one block; NULL: none */
  size_t n_classes, n_features;
  uint64_t rate; /* attribute sample_rate; 0: none */
} facts;

typedef struct work {
  const ls_import_options *options; /* borrowed */
  output *out;                      /* borrowed */
  hdf5_source *sources;             /* (n), owned */
  size_t n;
  facts first[N_SPLITS];      /* of the first file with the split */
  const char *file[N_SPLITS]; /* its name; NULL: none has it */
} work;

static void facts_destroy(facts *f) {
  free(f->classes);
  free(f->features);
  *f = (facts){0};
}

/* ------------------------------------------------------------------------ one split */

static ls_status fail_array(const ls_store *store, const char *path, const ls_array *array,
                            const char *rule) {
  char text[128];
  return ls_fail(LS_ERR_DATA, "%s:%s: %s; %s", ls_store_path(store), path,
                 ls_array_describe(array, text, sizeof text), rule);
}

static bool is_one_per_sample(const ls_array *w, uint64_t rows) {
  size_t n = 0;
  return w->dtype != LS_TEXT && w->n_dims > 0 && w->dims[0] == rows && ls_array_row_size(w, &n) && n == 1;
}

static ls_status describe_array(const ls_store *store, const hdf5_source *s, size_t which, size_t array,
                                facts *f) {
  const char *const path = s->paths[which][array];
  ls_array *const a = &f->arrays[array];
  size_t row = 0;
  if (!path) return LS_OK;
  LS_TRY(ls_store_describe(store, path, a));
  const uint64_t rows = f->arrays[ARRAY_X].dims[0];
  if (array == ARRAY_W && !is_one_per_sample(a, rows)) {
    ls_log(LS_LOG_WARNING, "%s:%s: ignored: sample weights are one number per sample", s->file, path);
    return LS_OK;
  }
  f->has[array] = true;
  if (a->dtype == LS_TEXT) return fail_array(store, path, a, "must be numbers");
  if (a->n_dims == 0 || a->dims[0] == 0) return fail_array(store, path, a, "must have at least one row");
  if (!ls_array_row_size(a, &row) || row == 0)
    return fail_array(store, path, a, "must have at least one number per row");
  if (a->dims[0] != rows) return fail_array(store, path, a, "must have as many rows as x");
  return LS_OK;
}

/* The class names: the attribute, or the names of an enumeration. */
static ls_status read_classes(const ls_store *store, const char *path, facts *f) {
  if (ls_store_has_attribute(store, path, "classes") && ls_store_is_text_list(store, path, "classes"))
    return ls_store_read_texts(store, path, "classes", &f->classes, &f->n_classes);
  return ls_store_read_enum(store, path, &f->classes, &f->n_classes);
}

static ls_status read_attributes(const ls_store *store, const hdf5_source *s, size_t which, facts *f) {
  const char *const x = s->paths[which][ARRAY_X];
  if (ls_store_has_attribute(store, x, "features") && ls_store_is_text_list(store, x, "features"))
    LS_TRY(ls_store_read_texts(store, x, "features", &f->features, &f->n_features));
  if (ls_store_has_attribute(store, x, "sample_rate"))
    LS_TRY(ls_store_read_u64(store, x, "sample_rate", &f->rate));
  return f->has[ARRAY_Y] ? read_classes(store, s->paths[which][ARRAY_Y], f) : LS_OK;
}

static ls_status describe_split(const ls_store *store, const hdf5_source *s, size_t which, facts *f) {
  if (!s->paths[which][ARRAY_X]) {
    const char *const y = s->paths[which][ARRAY_Y];
    return ls_fail(LS_ERR_DATA, "%s: %s has no x beside it", s->file, y ? y : s->paths[which][ARRAY_W]);
  }
  for (size_t k = 0; k < N_ARRAYS; k++) LS_TRY(describe_array(store, s, which, k, f));
  return read_attributes(store, s, which, f);
}

/* -------------------------------------------------------------- comparison of files */

static ls_status compare_arrays(const work *w, const hdf5_source *s, size_t which, const facts *f) {
  const facts *const first = &w->first[which];
  char text[2][128];
  for (size_t k = 0; k < N_ARRAYS; k++) {
    const ls_array *const a = &f->arrays[k];
    const ls_array *const b = &first->arrays[k];
    if (f->has[k] != first->has[k])
      return ls_fail(LS_ERR_DATA, "%s has %s %s/%s, but %s has %s; all files must agree", s->file,
                     f->has[k] ? "an array" : "no", import_split_names[which], import_array_names[k],
                     w->file[which], f->has[k] ? "none" : "one");
    if (!f->has[k] || (a->dtype == b->dtype && a->n_dims == b->n_dims &&
                       memcmp(a->dims + 1, b->dims + 1, (a->n_dims - 1) * sizeof *a->dims) == 0))
      continue;
    return ls_fail(LS_ERR_DATA,
                   "%s:%s is %s, but that of %s is %s; all files must agree in type and shape of a sample",
                   s->file, s->paths[which][k], ls_array_describe(a, text[0], sizeof text[0]),
                   w->file[which], ls_array_describe(b, text[1], sizeof text[1]));
  }
  return LS_OK;
}

static ls_status compare_texts(const work *w, const hdf5_source *s, size_t which, const char *what,
                               char **a, size_t n, char **b, size_t m) {
  size_t i = 0;
  while (i < n && i < m && strcmp(a[i], b[i]) == 0) i++;
  if (i == n && i == m) return LS_OK;
  return ls_fail(LS_ERR_DATA,
                 "%s: `%s` of %s differs from that of %s: name %zu is %s, there %s; all files must agree",
                 s->file, what, import_split_names[which], w->file[which], i, i < n ? a[i] : "absent",
                 i < m ? b[i] : "absent");
}

static ls_status compare(const work *w, const hdf5_source *s, size_t which, const facts *f) {
  const facts *const first = &w->first[which];
  LS_TRY(compare_arrays(w, s, which, f));
  LS_TRY(compare_texts(w, s, which, "classes", f->classes, f->n_classes, first->classes, first->n_classes));
  LS_TRY(compare_texts(w, s, which, "features", f->features, f->n_features, first->features,
                       first->n_features));
  if (f->rate == first->rate) return LS_OK;
  return ls_fail(LS_ERR_DATA, "%s: sample_rate is %" PRIu64 ", but %" PRIu64 " in %s; all files must agree",
                 s->file, f->rate, first->rate, w->file[which]);
}

/* Describes the splits of a file, and compares them with those of the first file. */
static ls_status describe_source(work *w, const ls_store *store, hdf5_source *s) {
  LS_TRY(import_hdf5_find(store, &w->options->numpy, s));
  for (size_t i = 0; i < N_SPLITS; i++) {
    facts f = {0};
    if (!s->paths[i][ARRAY_X] && !s->paths[i][ARRAY_Y] && !s->paths[i][ARRAY_W]) continue;
    ls_status status = describe_split(store, s, i, &f);
    s->rows[i] = f.arrays[ARRAY_X].dims[0];
    if (status == LS_OK) status = ls_store_read_part(store, s->paths[i][ARRAY_X], &s->parts[i]);
    if (status == LS_OK && w->file[i]) status = compare(w, s, i, &f);
    if (status == LS_OK && !w->file[i]) {
      w->file[i] = s->file;
      w->first[i] = f;
      f = (facts){0};
    }
    facts_destroy(&f);
    LS_TRY(status);
  }
  return LS_OK;
}

/* ------------------------------------------------------------------------ the files */

static ls_status with_store(work *w, hdf5_source *s,
                            ls_status (*use)(work *w, const ls_store *store, hdf5_source *s)) {
  ls_store *store = NULL;
  ls_status status = ls_store_open(s->file, &store);
  if (status == LS_OK) status = use(w, store, s);
  ls_store_close(&store);
  return status;
}

static ls_status list_sources(work *w, const char *const *sources, size_t n) {
  w->sources = ls_calloc(n, sizeof *w->sources);
  if (!w->sources) return ls_fail_memory("the list of files", n * sizeof *w->sources);
  while (w->n < n) {
    hdf5_source *const s = &w->sources[w->n];
    import_progress("reading headers", w->n, n, "files");
    LS_TRY(import_hdf5_split(sources[w->n++], &s->file, &s->group));
    LS_TRY(with_store(w, s, describe_source));
  }
  if (w->sources[0].ignored)
    ls_log(LS_LOG_WARNING, "%s:%s: ignored, as are other arrays that are not x, y or w", w->sources[0].file,
           w->sources[0].ignored);
  return LS_OK;
}

/* Warns if the files are parts of a larger dataset, and one is missing. */
static ls_status check_parts(const work *w) {
  ls_part *const parts = ls_calloc(w->n, sizeof *parts);
  ls_status status = parts ? LS_OK : ls_fail_memory("the list of files", w->n * sizeof *parts);
  for (size_t which = 0; status == LS_OK && which < N_SPLITS; which++) {
    size_t n = 0;
    for (size_t i = 0; i < w->n; i++) {
      if (w->sources[i].parts[which].number == 0) continue;
      parts[n] = w->sources[i].parts[which];
      parts[n++].file = w->sources[i].file;
    }
    status = ls_parts_check(parts, n);
  }
  free(parts);
  return status;
}

static uint64_t rows_of(const work *w, size_t which) {
  uint64_t n = 0;
  for (size_t i = 0; i < w->n; i++) n += w->sources[i].rows[which];
  return n;
}

static ls_status choose_test(const work *w) {
  const double fraction = w->options->test_fraction;
  if (fraction == 0.0) return LS_OK;
  if (w->file[SPLIT_TEST] || !w->file[SPLIT_TRAIN])
    return ls_fail(LS_ERR_CONFIG, "--test-fraction %g: %s already has test samples", fraction,
                   w->sources[0].file);
  return import_choose_test(w->file[SPLIT_TRAIN], rows_of(w, SPLIT_TRAIN), fraction, w->out);
}

/* ------------------------------------------------------------------------- copying */

/* Begins a split with the arrays and attributes of split `from` of the files. */
static ls_status begin_split(const work *w, size_t which, size_t from, uint64_t n) {
  const facts *const f = &w->first[from];
  split *const s = &w->out->splits[which];
  ls_array arrays[N_ARRAYS];
  const ls_array *begun[N_ARRAYS] = {0};
  for (size_t k = 0; k < N_ARRAYS; k++) {
    arrays[k] = f->arrays[k];
    arrays[k].dims[0] = n;
    if (f->has[k]) begun[k] = &arrays[k];
  }
  LS_TRY(import_split_begin(w->out, which, begun));
  if (f->features)
    LS_TRY(import_split_set_texts(s, ARRAY_X, "features", (const char *const *)f->features, f->n_features));
  if (f->rate) import_split_set_number(s, ARRAY_X, "sample_rate", f->rate);
  if (!f->classes) return LS_OK;
  w->out->n_classes = f->n_classes;
  return import_split_set_texts(s, ARRAY_Y, "classes", (const char *const *)f->classes, f->n_classes);
}

static ls_status begin_splits(const work *w) {
  for (size_t i = 0; i < N_SPLITS; i++) {
    const uint64_t n_test = i == SPLIT_TRAIN ? w->out->n_test : 0;
    if (!w->file[i]) continue;
    LS_TRY(begin_split(w, i, i, rows_of(w, i) - n_test));
    if (n_test > 0) LS_TRY(begin_split(w, SPLIT_TEST, i, n_test));
  }
  return LS_OK;
}

/* Reads rows of the arrays into blocks. */
static ls_status read_block(const work *w, const ls_store *store, const hdf5_source *s, size_t which,
                            uint64_t first, size_t rows, unsigned char *const blocks[N_ARRAYS]) {
  char path[1024];
  for (size_t k = 0; k < N_ARRAYS; k++) {
    const ls_array *const a = &w->first[which].arrays[k];
    size_t row = 0;
    if (!blocks[k]) continue;
    LS_TRY(ls_store_read_rows(store, s->paths[which][k], first, rows, blocks[k]));
    LS_ASSERT(ls_array_row_size(a, &row));
    snprintf(path, sizeof path, "%s:%s", s->file, s->paths[which][k]);
    LS_TRY(import_check_finite(path, a->dtype, row, first, rows, blocks[k]));
  }
  return LS_OK;
}

/* Copies a split of a file, whose first row is row `before` of the split of all files. */
static ls_status copy_rows(const work *w, const ls_store *store, const hdf5_source *s, size_t which,
                           uint64_t before, unsigned char *const blocks[N_ARRAYS]) {
  const size_t capacity = w->out->splits[which].capacity;
  size_t rows = 0;
  for (uint64_t row = 0; row < s->rows[which]; row += rows) {
    rows = ls_size_min(capacity, s->rows[which] - row);
    LS_TRY(read_block(w, store, s, which, row, rows, blocks));
    LS_TRY(import_output_add(w->out, which, before + row, rows, blocks));
  }
  return LS_OK;
}

static ls_status copy_split(const work *w, const ls_store *store, const hdf5_source *s, size_t which) {
  const split *const to = &w->out->splits[which];
  unsigned char *blocks[N_ARRAYS] = {0};
  uint64_t before = 0;
  ls_status status = LS_OK;
  for (const hdf5_source *other = w->sources; other < s; other++) before += other->rows[which];
  for (size_t k = 0; k < N_ARRAYS; k++) {
    if (to->has[k]) blocks[k] = ls_calloc(to->capacity, to->sizes[k]);
    if (to->has[k] && !blocks[k])
      status = ls_fail_memory("a block of samples", to->capacity * to->sizes[k]);
  }
  if (status == LS_OK) status = copy_rows(w, store, s, which, before, blocks);
  for (size_t k = 0; k < N_ARRAYS; k++) free(blocks[k]);
  return status;
}

/* The file may have changed since it was described; ls_store_read_rows then fails, or its shape differs. */
static ls_status copy_source(work *w, const ls_store *store, hdf5_source *s) {
  for (size_t i = 0; i < N_SPLITS; i++) {
    for (size_t k = 0; k < N_ARRAYS; k++) {
      ls_array now;
      if (s->rows[i] == 0 || !w->first[i].has[k]) continue;
      LS_TRY(ls_store_describe(store, s->paths[i][k], &now));
      const ls_array *const a = &w->first[i].arrays[k];
      if (now.dtype != a->dtype || now.n_dims != a->n_dims || now.dims[0] != s->rows[i] ||
          memcmp(now.dims + 1, a->dims + 1, (a->n_dims - 1) * sizeof *a->dims) != 0)
        return ls_fail(LS_ERR_DATA, "%s: changed during the import; import it again", s->file);
    }
    if (s->rows[i] > 0) LS_TRY(copy_split(w, store, s, i));
  }
  return LS_OK;
}

/* ------------------------------------------------------------------------ the format */

static ls_status recognize(const char *const *sources, size_t n_sources, bool *yes) {
  for (size_t i = 0; i < n_sources && !*yes; i++) {
    char *file = NULL;
    char *group = NULL;
    ls_status status = import_hdf5_split(sources[i], &file, &group);
    if (status == LS_OK) status = ls_import_is_hdf5(file, yes);
    if (status == LS_OK && group && !*yes)
      status = ls_fail(LS_ERR_CONFIG, "%s: %s is not an HDF5 file; only HDF5 files have groups", sources[i],
                       file);
    free(file);
    free(group);
    LS_TRY(status);
  }
  return LS_OK;
}

static ls_status convert(const char *const *sources, size_t n_sources, const ls_import_options *options,
                         output *out) {
  work w = {.options = options, .out = out};
  LS_TRY(import_reject_table_options(&options->table, "HDF5 files"));
  ls_status status = list_sources(&w, sources, n_sources);
  if (status == LS_OK) status = check_parts(&w);
  if (status == LS_OK) status = choose_test(&w);
  if (status == LS_OK) status = import_output_create(out);
  if (status == LS_OK) status = begin_splits(&w);
  for (size_t i = 0; status == LS_OK && i < w.n; i++) status = with_store(&w, &w.sources[i], copy_source);
  for (size_t i = 0; i < w.n; i++) import_hdf5_source_destroy(&w.sources[i]);
  for (size_t i = 0; i < N_SPLITS; i++) facts_destroy(&w.first[i]);
  free(w.sources);
  return status;
}

const import_format import_hdf5_format = {.recognize = recognize, .convert = convert, .has_names = true};
