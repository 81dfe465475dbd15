/* Imports NumPy arrays: .npy and .npz files. Pairs x with y by the names of the arrays; several arrays with
 * one role follow each other. */
#include "npy.h"

#include <stdlib.h>
#include <string.h>

enum { X = ARRAY_X, Y = ARRAY_Y, N_ROLES };

/* The arrays that follow each other in one role of a split. */
typedef struct series {
  npy **items; /* (n), in `list`; owned */
  size_t n;
} series;

typedef struct work {
  const ls_import_options *options; /* borrowed */
  output *out;                      /* borrowed */
  npy_list list;
  series roles[N_SPLITS][N_ROLES];
  label_set set;  /* the labels, if y has whole numbers */
  bool is_mapped; /* y has classes in place of the labels */
} work;

/* --------------------------------------------------------------------------- names */

static const char *list_names(const work *w, char text[512]) {
  text[0] = '\0';
  for (size_t i = 0; i < w->list.n && i < 20; i++)
    ls_append(text, 512, "%s%.60s", i ? ", " : "", w->list.arrays[i].name);
  return text;
}

/* Appends an array to its series. Only files have several arrays with one role. */
static ls_status set_role(work *w, npy *a, size_t which, size_t role) {
  series *const s = &w->roles[which][role];
  for (size_t i = 0; i < s->n; i++) {
    if (s->items[i] == a) return LS_OK;
    if (s->items[i]->is_member && strcmp(s->items[i]->file, a->file) == 0)
      return ls_fail(LS_ERR_DATA, "%s and %s: both are %s of %s; choose one with --x or --y",
                     s->items[i]->path, a->path, import_array_names[role], import_split_names[which]);
  }
  if (!s->items) s->items = ls_calloc(w->list.n, sizeof *s->items);
  if (!s->items) return ls_fail_memory("the list of arrays", w->list.n * sizeof *s->items);
  s->items[s->n++] = a;
  return LS_OK;
}

/* The arrays that an option names. */
static ls_status choose(work *w, const char *option, const char *name, size_t role) {
  char list[512];
  bool found = false;
  for (size_t i = 0; i < w->list.n; i++) {
    if (strcmp(w->list.arrays[i].name, name) != 0) continue;
    found = true;
    LS_TRY(set_role(w, &w->list.arrays[i], SPLIT_TRAIN, role));
  }
  if (found) return LS_OK;
  return ls_fail(LS_ERR_DATA, "%s %s: no such array; must be one of: %s", option, name,
                 list_names(w, list));
}

/* Reads the name of an array; those of files may have a number: x_train-0001.npy. */
static bool read_name(const npy *a, size_t *which, size_t *role) {
  char name[64];
  if (strlen(a->name) >= sizeof name) return false;
  snprintf(name, sizeof name, "%s", a->name);
  size_t length = strlen(name);
  while (length > 0 && strchr("0123456789", name[length - 1])) length--;
  const bool is_numbered = !a->is_member && length > 1 && strchr("-_", name[length - 1]);
  if (is_numbered) name[length - 1] = '\0';
  return import_role_read(name, which, role) && *role < N_ROLES;
}

static void warn_ignored(const work *w) {
  for (size_t i = 0; i < w->list.n; i++) {
    size_t which = 0;
    size_t role = 0;
    if (!read_name(&w->list.arrays[i], &which, &role))
      ls_log(LS_LOG_WARNING, "%s: ignored; only arrays such as x, y, x_train and y_test are imported",
             w->list.arrays[i].path);
  }
}

/* Options name the arrays, or their names do. A single array is x. */
static ls_status choose_roles(work *w) {
  const ls_numpy_options *const o = &w->options->numpy;
  const bool is_chosen = o->x || o->y;
  char list[512];
  LS_ASSERT(w->list.arrays);
  if (o->x) LS_TRY(choose(w, "--x", o->x, X));
  if (o->y) LS_TRY(choose(w, "--y", o->y, Y));
  for (size_t i = 0; i < w->list.n && !is_chosen && w->list.n > 1; i++) {
    size_t which = 0;
    size_t role = 0;
    if (!read_name(&w->list.arrays[i], &which, &role)) continue;
    LS_TRY(set_role(w, &w->list.arrays[i], which, role));
  }
  if (w->list.n == 1 && !is_chosen) return set_role(w, &w->list.arrays[0], SPLIT_TRAIN, X);
  bool has_x = false;
  for (size_t i = 0; i < N_SPLITS; i++) has_x = has_x || w->roles[i][X].n > 0;
  if (!has_x)
    return ls_fail(LS_ERR_DATA, "%s: no array is x; name arrays with --x and --y; found: %s",
                   w->list.arrays[0].path, list_names(w, list));
  if (!is_chosen) warn_ignored(w);
  return LS_OK;
}

/* -------------------------------------------------------------------------- shapes */

static ls_status fail_pair(const npy *a, const npy *b, const char *what) {
  char a_text[128];
  char b_text[128];
  return ls_fail(LS_ERR_DATA, "%s has %s, but %s has %s; %s", a->path,
                 ls_array_describe(&a->header.array, a_text, sizeof a_text), b->path,
                 ls_array_describe(&b->header.array, b_text, sizeof b_text), what);
}

static bool same_samples(const npy *a, const npy *b) {
  const ls_array *const x = &a->header.array;
  const ls_array *const y = &b->header.array;
  bool same = x->dtype == y->dtype && x->n_dims == y->n_dims;
  for (unsigned i = 1; same && i < x->n_dims; i++) same = x->dims[i] == y->dims[i];
  return same;
}

/* Compares an array of x and its y with the first of all. */
static ls_status check_pair(const npy *x, const npy *y, const npy *x_first, const npy *y_first) {
  if (y && x->header.array.dims[0] != y->header.array.dims[0])
    return fail_pair(x, y, "must have the same number of rows");
  if (!same_samples(x, x_first)) return fail_pair(x_first, x, "all samples must have one shape and type");
  if (!y != !y_first)
    return ls_fail(LS_ERR_DATA, "%s has no y, but %s has", (y ? x_first : x)->path,
                   (y ? x : x_first)->path);
  if (y && !same_samples(y, y_first))
    return fail_pair(y_first, y, "all targets must have one shape and type");
  return LS_OK;
}

static ls_status check_split(const work *w, size_t which, size_t first) {
  const series *const x = &w->roles[which][X];
  const series *const y = &w->roles[which][Y];
  const series *const y_first = &w->roles[first][Y];
  if (x->n == 0) return ls_fail(LS_ERR_DATA, "%s: has no x beside it", y->items[0]->path);
  if (y->n > 0 && y->n != x->n)
    return ls_fail(LS_ERR_DATA, "%s: %zu arrays of x, but %zu of y; each x needs its y", x->items[0]->path,
                   x->n, y->n);
  for (size_t i = 0; i < x->n; i++)
    LS_TRY(check_pair(x->items[i], y->n ? y->items[i] : NULL, w->roles[first][X].items[0],
                      y_first->n ? y_first->items[0] : NULL));
  return LS_OK;
}

static ls_status check_shapes(const work *w) {
  size_t first = N_SPLITS;
  for (size_t i = 0; i < N_SPLITS; i++) {
    if (w->roles[i][X].n + w->roles[i][Y].n == 0) continue;
    if (first == N_SPLITS) first = i;
    LS_TRY(check_split(w, i, first));
  }
  return LS_OK;
}

static uint64_t rows_of(const series *s) {
  uint64_t n = 0;
  for (size_t i = 0; i < s->n; i++) n += s->items[i]->header.array.dims[0];
  return n;
}

static ls_status choose_test(work *w) {
  const double fraction = w->options->test_fraction;
  const series *const x = &w->roles[SPLIT_TRAIN][X];
  if (fraction == 0.0) return LS_OK;
  if (w->roles[SPLIT_TEST][X].n > 0 || x->n == 0)
    return ls_fail(LS_ERR_CONFIG, "--test-fraction %g: %s already has test samples", fraction,
                   w->list.arrays[0].path);
  return import_choose_test(x->items[0]->path, rows_of(x), fraction, w->out);
}

/* -------------------------------------------------------------------------- classes */

static ls_status read_values(void *file, uint64_t first, size_t rows, void *out) {
  return import_npy_read(file, first, rows, out);
}

static label_source labels_of(npy *y) {
  return (label_source){.read = read_values, .file = y, .dtype = y->header.array.dtype};
}

/* Adds the labels of an array to the set. *whole becomes false at a number that is not whole. */
static ls_status add_labels(work *w, npy *y, bool *whole) {
  const label_source labels = labels_of(y);
  w->set.path = y->path;
  LS_TRY(import_npy_start(y));
  LS_TRY(import_labels_add_all(&w->set, &labels, y->header.array.dims[0], whole));
  import_npy_stop(y);
  return LS_OK;
}

/* Collects the classes of all splits, unless y has several columns or real numbers. */
static ls_status collect_classes(work *w) {
  const int targets = w->options->table.targets;
  const npy *y = NULL;
  bool whole = targets != LS_TARGETS_NUMBERS;
  for (size_t i = 0; i < N_SPLITS; i++) {
    const series *const labels = &w->roles[i][Y];
    for (size_t k = 0; k < labels->n; k++) {
      y = labels->items[k];
      whole = whole && y->row == 1;
      if (whole) LS_TRY(add_labels(w, labels->items[k], &whole));
    }
  }
  if (!whole && targets == LS_TARGETS_CLASSES)
    return ls_fail(LS_ERR_DATA, "%s: --targets classes: must be one whole number for each sample",
                   y ? y->path : w->list.arrays[0].path);
  if (!y || !whole) return LS_OK;
  LS_TRY(import_labels_finish(&w->set));
  w->is_mapped = import_labels_differ(&w->set, y->header.array.dtype);
  return LS_OK;
}

/* Reads the next targets: as stored, or as classes. */
static ls_status read_targets(const work *w, npy *y, uint64_t first, size_t rows, void *out) {
  const label_source labels = labels_of(y);
  if (!w->is_mapped) return import_npy_read(y, first, rows, out);
  return import_labels_map_all(&w->set, &labels, first, rows, out);
}

/* -------------------------------------------------------------------------- copying */

static ls_status begin_split(const work *w, size_t which, size_t from, uint64_t n) {
  const series *const y = &w->roles[from][Y];
  ls_array x_array = w->roles[from][X].items[0]->header.array;
  ls_array y_array = y->n ? y->items[0]->header.array : x_array;
  x_array.dims[0] = y_array.dims[0] = n;
  while (y_array.n_dims > 1 && y_array.dims[y_array.n_dims - 1] == 1)
    y_array.n_dims--; /* (N, 1) becomes (N) */
  if (w->is_mapped) y_array.dtype = LS_I64;
  if (n == 0) return LS_OK;
  LS_TRY(import_split_begin(w->out, which,
                            (const ls_array *const[N_ARRAYS]){&x_array, y->n ? &y_array : NULL}));
  if (w->set.kind != LABEL_CLASS) return LS_OK;
  return import_split_set_texts(&w->out->splits[which], ARRAY_Y, "classes",
                                (const char *const *)w->set.names, w->set.classes);
}

static ls_status begin_splits(const work *w) {
  for (size_t i = 0; i < N_SPLITS; i++) {
    const uint64_t n_test = i == SPLIT_TRAIN ? w->out->n_test : 0;
    if (w->roles[i][X].n == 0) continue;
    LS_TRY(begin_split(w, i, i, rows_of(&w->roles[i][X]) - n_test));
    LS_TRY(n_test ? begin_split(w, SPLIT_TEST, i, n_test) : LS_OK);
  }
  return LS_OK;
}

/* Copies an array of x and its y (or NULL), whose first row is row `first` of the split. */
static ls_status copy_blocks(work *w, size_t which, uint64_t first, npy *x, npy *y,
                             unsigned char *const blocks[N_ARRAYS]) {
  const uint64_t n = x->header.array.dims[0];
  size_t rows = 0;
  for (uint64_t row = 0; row < n; row += rows) {
    rows = ls_size_min(w->out->splits[which].capacity, n - row);
    LS_TRY(import_npy_read(x, row, rows, blocks[X]));
    if (y) LS_TRY(read_targets(w, y, row, rows, blocks[Y]));
    LS_TRY(import_output_add(w->out, which, first + row, rows, blocks));
  }
  LS_TRY(import_npy_end(x));
  return y ? import_npy_end(y) : LS_OK;
}

static ls_status copy_pair(work *w, size_t which, uint64_t first, npy *x, npy *y,
                           unsigned char *const blocks[N_ARRAYS]) {
  ls_status status = import_npy_start(x);
  if (status == LS_OK && y) status = import_npy_start(y);
  if (status == LS_OK) status = copy_blocks(w, which, first, x, y, blocks);
  import_npy_stop(x);
  if (y) import_npy_stop(y);
  return status;
}

static ls_status copy_split(work *w, size_t which) {
  const split *const s = &w->out->splits[which];
  const series *const x = &w->roles[which][X];
  const series *const y = &w->roles[which][Y];
  unsigned char *const blocks[N_ARRAYS] = {ls_calloc(s->capacity, s->sizes[X]),
                                           ls_calloc(s->capacity, s->sizes[Y])};
  ls_status status = LS_OK;
  uint64_t first = 0;
  if (!blocks[X] || !blocks[Y]) status = ls_fail_memory("a block of samples", s->capacity * s->sizes[X]);
  for (size_t i = 0; status == LS_OK && i < x->n; i++) {
    status = copy_pair(w, which, first, x->items[i], y->n ? y->items[i] : NULL, blocks);
    first += x->items[i]->header.array.dims[0];
  }
  free(blocks[X]);
  free(blocks[Y]);
  return status;
}

/* -------------------------------------------------------------------------- the format */

/* By name, or by the first bytes. */
static ls_status recognize(const char *const *sources, size_t n_sources, bool *yes) {
  static const char *const endings[] = {".npy", ".npz", ".npy.gz"};
  char magic[6] = {0};
  size_t got = 0;
  source in;
  for (size_t i = 0; i < n_sources; i++)
    for (size_t k = 0; k < sizeof endings / sizeof *endings; k++)
      if (import_npy_ends_with(sources[i], endings[k])) *yes = true;
  if (*yes) return LS_OK;
  ls_status status = import_source_open(&in, sources[0]);
  if (status == LS_OK) status = import_source_read(&in, magic, sizeof magic, &got);
  import_source_close(&in);
  *yes = memcmp(magic, "\x93NUMPY", sizeof magic) == 0;
  return status;
}

static ls_status convert(const char *const *sources, size_t n_sources, const ls_import_options *options,
                         output *out) {
  work w = {.options = options, .out = out};
  ls_status status = LS_OK;
  ls_table_options table = options->table;
  table.targets = LS_TARGETS_AUTO; /* also allowed here */
  LS_TRY(import_reject_table_options(&table, "NumPy arrays; name theirs with --x and --y"));
  status = import_labels_create(&w.set, sources[0], options->table.targets);
  if (status == LS_OK) status = import_npy_list(sources, n_sources, out->path, &w.list);
  if (status == LS_OK) status = choose_roles(&w);
  if (status == LS_OK) status = check_shapes(&w);
  if (status == LS_OK) status = choose_test(&w);
  if (status == LS_OK) status = collect_classes(&w);
  if (status == LS_OK) status = import_output_create(out);
  if (status == LS_OK) status = begin_splits(&w);
  for (size_t i = 0; status == LS_OK && i < N_SPLITS; i++)
    if (w.roles[i][X].n > 0) status = copy_split(&w, i);
  out->n_classes = w.set.classes;
  for (size_t i = 0; i < N_SPLITS; i++)
    for (size_t role = 0; role < N_ROLES; role++) free(w.roles[i][role].items);
  import_labels_destroy(&w.set);
  import_npy_list_destroy(&w.list);
  return status;
}

const import_format import_numpy_format = {.recognize = recognize, .convert = convert, .has_names = true};
