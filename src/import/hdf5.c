/* Imports HDF5 files: their splits follow each other. Types and attributes are kept. */
#include "hdf5_source.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct work {
  const ls_import_options *options; /* borrowed */
  output *out;                      /* borrowed */
  hdf5_source *sources;             /* (n), owned */
  size_t n;
  hdf5_facts first[N_SPLITS]; /* of the first file with the split */
  const char *file[N_SPLITS]; /* its name; NULL: none has it */
  label_set labels;           /* of y, if it has texts */
} work;

/* Whether y of a split has texts, which become class numbers. */
static bool has_texts(const work *w, size_t which) {
  const hdf5_facts *const f = &w->first[which];
  return f->has[ARRAY_Y] && f->arrays[ARRAY_Y].dtype == LS_TEXT;
}

/* Describes the splits of a file, and compares them with those of the first file. */
static ls_status describe_source(work *w, const ls_store *store, hdf5_source *s) {
  LS_TRY(import_hdf5_find(store, &w->options->numpy, s));
  for (size_t i = 0; i < N_SPLITS; i++) {
    hdf5_facts f = {0};
    if (!s->paths[i][ARRAY_X] && !s->paths[i][ARRAY_Y] && !s->paths[i][ARRAY_W]) continue;
    ls_status status = import_hdf5_describe(store, s, i, &f);
    s->rows[i] = f.arrays[ARRAY_X].dims[0];
    if (status == LS_OK) status = ls_store_read_part(store, s->paths[i][ARRAY_X], &s->parts[i]);
    if (status == LS_OK && w->file[i]) status = import_hdf5_compare(&w->first[i], w->file[i], s, i, &f);
    if (status == LS_OK && !w->file[i]) {
      w->file[i] = s->file;
      w->first[i] = f;
      f = (hdf5_facts){0};
    }
    import_hdf5_facts_destroy(&f);
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
  ls_status status = LS_OK;
  if (!parts) return ls_fail_memory("the list of files", w->n * sizeof *parts);
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

/* Adds the texts of y. */
static ls_status collect_labels(work *w, const ls_store *store, hdf5_source *s) {
  w->labels.path = s->file;
  for (size_t i = 0; i < N_SPLITS; i++)
    if (s->rows[i] > 0 && has_texts(w, i))
      LS_TRY(import_hdf5_labels_add(store, s->paths[i][ARRAY_Y], s->rows[i], &w->labels));
  return LS_OK;
}

#define CLASSES_MOST 10000
#define ROWS_FEW     20 /* each of which may have a class of its own */

/* Rejects texts that are quantities or identifiers. */
static ls_status check_texts(const label_set *set) {
  bool are_numbers = true;
  bool are_whole = true;
  for (size_t i = 0; i < set->count; i++) {
    are_numbers = are_numbers && set->entries[i].kind == CELL_NUMBER;
    are_whole = are_whole && floor(set->entries[i].value) == set->entries[i].value;
  }
  if (are_numbers && !are_whole)
    return ls_fail(
        LS_ERR_DATA,
        "%s: the texts of y are real numbers, such as %s, which cannot be classes; store y as an "
        "array of numbers, or name another one with --y",
        set->path, set->entries[set->count - 1].text);
  if (set->classes <= CLASSES_MOST && (set->classes < set->rows || set->rows <= ROWS_FEW)) return LS_OK;
  return ls_fail(
      LS_ERR_DATA,
      "%s: y has %zu different texts in %llu rows, which are too many for classes (at most %d, and "
      "fewer than the rows); name another array with --y",
      set->path, set->classes, (unsigned long long)set->rows, CLASSES_MOST);
}

/* Finds the classes, if y has texts in all splits of all files. */
static ls_status find_classes(work *w) {
  const char *texts = NULL;
  const char *others = NULL;
  for (size_t i = 0; i < N_SPLITS; i++) {
    if (w->first[i].has[ARRAY_Y]) *(has_texts(w, i) ? &texts : &others) = import_split_names[i];
  }
  if (!texts) return LS_OK;
  if (others)
    return ls_fail(LS_ERR_DATA, "%s: y is text in %s, but numbers in %s; all splits must agree",
                   w->sources[0].file, texts, others);
  LS_TRY(import_labels_create(&w->labels, w->sources[0].file, LS_TARGETS_CLASSES));
  for (size_t i = 0; i < w->n; i++) LS_TRY(with_store(w, &w->sources[i], collect_labels));
  LS_TRY(import_labels_finish(&w->labels));
  return check_texts(&w->labels);
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
  const hdf5_facts *const f = &w->first[from];
  split *const s = &w->out->splits[which];
  ls_array arrays[N_ARRAYS];
  const ls_array *begun[N_ARRAYS] = {0};
  for (size_t k = 0; k < N_ARRAYS; k++) {
    arrays[k] = f->arrays[k];
    arrays[k].dims[0] = n;
    if (f->has[k]) begun[k] = &arrays[k];
  }
  if (has_texts(w, from)) arrays[ARRAY_Y] = (ls_array){LS_I64, 1, {n}};
  LS_TRY(import_split_begin(w->out, which, begun));
  if (f->features)
    LS_TRY(import_split_set_texts(s, ARRAY_X, "features", (const char *const *)f->features, f->n_features));
  if (f->rate) import_split_set_number(s, ARRAY_X, "sample_rate", f->rate);
  char **const classes = has_texts(w, from) ? w->labels.names : f->classes;
  const size_t n_classes = has_texts(w, from) ? w->labels.classes : f->n_classes;
  if (!classes) return LS_OK;
  w->out->n_classes = n_classes;
  return import_split_set_texts(s, ARRAY_Y, "classes", (const char *const *)classes, n_classes);
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
    if (k == ARRAY_Y && has_texts(w, which)) {
      LS_TRY(import_hdf5_labels_read(store, s->paths[which][k], first, rows, &w->labels,
                                     (int64_t *)(void *)blocks[k]));
      continue;
    }
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
  if (status == LS_OK) status = find_classes(&w);
  if (status == LS_OK) status = choose_test(&w);
  if (status == LS_OK) status = import_output_create(out);
  if (status == LS_OK) status = begin_splits(&w);
  for (size_t i = 0; status == LS_OK && i < w.n; i++) status = with_store(&w, &w.sources[i], copy_source);
  for (size_t i = 0; i < w.n; i++) import_hdf5_source_destroy(&w.sources[i]);
  for (size_t i = 0; i < N_SPLITS; i++) import_hdf5_facts_destroy(&w.first[i]);
  import_labels_destroy(&w.labels);
  free(w.sources);
  return status;
}

const import_format import_hdf5_format = {.recognize = recognize, .convert = convert, .has_names = true};
