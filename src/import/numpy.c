/* Imports NumPy arrays: .npy files, or an .npz file. Pairs x with y by the names of the arrays. */
#include "npy.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { X, Y, N_ROLES };

typedef struct work {
  const ls_import_options *options; /* borrowed */
  output *out;                      /* borrowed */
  npy_list list;
  npy *roles[N_SPLITS][N_ROLES]; /* in `list`; NULL: absent */
  label_set set;                 /* the labels, if y has whole numbers */
  bool is_mapped;                /* y has classes in place of the labels */
  uint64_t n_test;               /* rows of train that go to /test */
  ls_permutation order;          /* a row that it maps below n_test is one of them */
} work;

/* --------------------------------------------------------------------------- names */

/* Finds one of a list of words, as a whole or beside an underscore. Returns what remains of the name. */
static bool take_word(char *name, const char *const *words, size_t *which) {
  const size_t length = strlen(name);
  for (size_t i = 0; words[i]; i++) {
    const size_t n = strlen(words[i]);
    if (n > length) continue;
    const bool is_first = strncasecmp(name, words[i], n) == 0 && (name[n] == '_' || name[n] == '\0');
    const char *const last = name + length - n;
    const bool is_last = strcasecmp(last, words[i]) == 0 && (last == name || last[-1] == '_');
    if (!is_first && !is_last) continue;
    if (is_last)
      name[length == n ? 0 : length - n - 1] = '\0';
    else
      memmove(name, name + n + 1, length - n);
    *which = i;
    return true;
  }
  return false;
}

/* Splits a name such as `x`, `y_train` or `test_images` into split and role. False if it has another form.
 */
static bool read_name(const char *name, size_t *which, size_t *role) {
  static const char *const splits[] = {"train", "test", "val", "valid", "validation", NULL};
  static const char *const roles[] = {"x",     "data",   "images", "features", "inputs", "y",
                                      "label", "labels", "target", "targets",  NULL};
  char rest[64];
  size_t word = 0;
  if (strlen(name) >= sizeof rest) return false;
  snprintf(rest, sizeof rest, "%s", name);
  *which = SPLIT_TRAIN;
  if (take_word(rest, splits, &word)) *which = ls_size_min(word, SPLIT_VALIDATION);
  if (!take_word(rest, roles, &word) || rest[0] != '\0') return false;
  *role = word < 5 ? X : Y;
  return true;
}

static const char *list_names(const work *w, char text[512]) {
  text[0] = '\0';
  for (size_t i = 0; i < w->list.n && i < 20; i++)
    ls_append(text, 512, "%s%.60s", i ? ", " : "", w->list.arrays[i].name);
  return text;
}

static ls_status set_role(work *w, npy *a, size_t which, size_t role) {
  npy **const place = &w->roles[which][role];
  if (*place && *place != a)
    return ls_fail(LS_ERR_DATA, "%s and %s: both are %s of %s; choose one with --x or --y", (*place)->path,
                   a->path, role == X ? "x" : "y", import_split_names[which]);
  *place = a;
  return LS_OK;
}

/* The array that an option names. */
static ls_status choose(work *w, const char *option, const char *name, size_t role) {
  char list[512];
  for (size_t i = 0; i < w->list.n; i++)
    if (strcmp(w->list.arrays[i].name, name) == 0)
      return set_role(w, &w->list.arrays[i], SPLIT_TRAIN, role);
  return ls_fail(LS_ERR_DATA, "%s %s: no such array; must be one of: %s", option, name,
                 list_names(w, list));
}

static void warn_ignored(const work *w) {
  for (size_t i = 0; i < w->list.n; i++) {
    const npy *const a = &w->list.arrays[i];
    bool found = false;
    for (size_t k = 0; k < N_SPLITS; k++) found = found || w->roles[k][X] == a || w->roles[k][Y] == a;
    if (!found)
      ls_log(LS_LOG_WARNING, "%s: ignored; only arrays such as x, y, x_train and y_test are imported",
             a->path);
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
    if (!read_name(w->list.arrays[i].name, &which, &role)) continue;
    LS_TRY(set_role(w, &w->list.arrays[i], which, role));
  }
  if (w->list.n == 1 && !is_chosen) w->roles[SPLIT_TRAIN][X] = &w->list.arrays[0];
  bool has_x = false;
  for (size_t i = 0; i < N_SPLITS; i++) has_x = has_x || w->roles[i][X];
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

/* Compares the arrays of a split with each other and with those of the first split. */
static ls_status check_split(const work *w, size_t which, size_t first) {
  npy *const x = w->roles[which][X];
  npy *const y = w->roles[which][Y];
  const npy *const x_first = w->roles[first][X];
  const npy *const y_first = w->roles[first][Y];
  if (!x) return ls_fail(LS_ERR_DATA, "%s: has no x beside it", y->path);
  if (y && x->header.array.dims[0] != y->header.array.dims[0])
    return fail_pair(x, y, "must have the same number of rows");
  if (!same_samples(x, x_first))
    return fail_pair(x_first, x, "samples of all splits must have one shape and type");
  if (!y != !y_first)
    return ls_fail(LS_ERR_DATA, "%s has no y, but %s has", (y ? x_first : x)->path,
                   (y ? x : x_first)->path);
  if (y && !same_samples(y, y_first))
    return fail_pair(y_first, y, "targets of all splits must have one shape and type");
  return LS_OK;
}

static ls_status check_shapes(const work *w) {
  size_t first = N_SPLITS;
  for (size_t i = 0; i < N_SPLITS; i++) {
    if (!w->roles[i][X] && !w->roles[i][Y]) continue;
    if (first == N_SPLITS) first = i;
    LS_TRY(check_split(w, i, first));
  }
  return LS_OK;
}

static ls_status choose_test(work *w) {
  const double fraction = w->options->test_fraction;
  const npy *const x = w->roles[SPLIT_TRAIN][X];
  if (fraction == 0.0) return LS_OK;
  if (w->roles[SPLIT_TEST][X] || !x)
    return ls_fail(LS_ERR_CONFIG, "--test-fraction %g: %s already has test samples", fraction,
                   w->list.arrays[0].path);
  return import_choose_test(x->path, x->header.array.dims[0], w->options, &w->n_test, &w->order);
}

/* -------------------------------------------------------------------------- classes */

/* Adds the labels of an array to the set, and returns to the first one. *whole becomes false at a number
 * that is not whole. */
static ls_status add_labels(work *w, npy *y, bool *whole) {
  double block[IMPORT_LABEL_ROWS];
  const ls_dtype dtype = y->header.array.dtype;
  const uint64_t n = y->header.array.dims[0];
  size_t rows = 0;
  for (uint64_t row = 0; row < n && *whole; row += rows) {
    rows = ls_size_min(IMPORT_LABEL_ROWS, n - row);
    LS_TRY(import_npy_read(y, row, rows, block));
    *whole = import_labels_are_whole(block, rows, dtype);
    if (*whole) LS_TRY(import_labels_add_values(&w->set, block, rows, dtype, row));
  }
  return import_npy_rewind(y);
}

/* Collects the classes of all splits, unless y has several columns or real numbers. */
static ls_status collect_classes(work *w) {
  const int targets = w->options->table.targets;
  const npy *y = NULL;
  bool whole = targets != LS_TARGETS_NUMBERS;
  for (size_t i = 0; i < N_SPLITS; i++) {
    npy *const labels = w->roles[i][Y];
    if (!labels) continue;
    y = labels;
    whole = whole && y->row == 1;
    if (whole) LS_TRY(add_labels(w, labels, &whole));
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
  double block[IMPORT_LABEL_ROWS];
  if (!w->is_mapped) return import_npy_read(y, first, rows, out);
  for (size_t done = 0; done < rows; done += IMPORT_LABEL_ROWS) {
    const size_t n = ls_size_min(IMPORT_LABEL_ROWS, rows - done);
    LS_TRY(import_npy_read(y, first + done, n, block));
    LS_TRY(import_labels_map_values(&w->set, block, n, y->header.array.dtype, (int64_t *)out + done));
  }
  return LS_OK;
}

/* -------------------------------------------------------------------------- copying */

static ls_status begin_split(const work *w, size_t which, const npy *x, const npy *y, uint64_t n) {
  ls_array x_array = x->header.array;
  ls_array y_array = y ? y->header.array : x_array;
  x_array.dims[0] = y_array.dims[0] = n;
  while (y_array.n_dims > 1 && y_array.dims[y_array.n_dims - 1] == 1)
    y_array.n_dims--; /* (N, 1) becomes (N) */
  if (w->is_mapped) y_array.dtype = LS_I64;
  if (n == 0) return LS_OK;
  LS_TRY(import_split_begin(w->out, which, &x_array, y ? &y_array : NULL));
  if (w->set.kind != LABEL_CLASS) return LS_OK;
  return ls_store_write_texts(w->out->writer, w->out->splits[which].y_path, "classes",
                              (const char *const *)w->set.names, w->set.classes);
}

/* Moves rows from a block to their splits. */
static ls_status add_rows(work *w, size_t which, uint64_t first, size_t rows, const char *x,
                          const char *y) {
  const bool is_divided = which == SPLIT_TRAIN && w->n_test > 0;
  LS_ASSERT(x && y);
  for (size_t i = 0; i < rows; i++) {
    const bool is_test = is_divided && ls_permutation_at(&w->order, first + i) < w->n_test;
    split *const s = &w->out->splits[is_test ? SPLIT_TEST : which];
    void *x_row = NULL;
    void *y_row = NULL;
    import_split_next(s, &x_row, &y_row);
    memcpy(x_row, x + i * s->x_size, s->x_size);
    if (s->has_y) memcpy(y_row, y + i * s->y_size, s->y_size);
    LS_TRY(import_split_add(s, 1));
  }
  return LS_OK;
}

static ls_status copy_blocks(work *w, size_t which, size_t block, char *x_block, char *y_block) {
  npy *const x = w->roles[which][X];
  npy *const y = w->roles[which][Y];
  const uint64_t n = x->header.array.dims[0];
  size_t rows = 0;
  for (uint64_t row = 0; row < n; row += rows) {
    rows = ls_size_min(block, n - row);
    LS_TRY(import_npy_read(x, row, rows, x_block));
    if (y) LS_TRY(read_targets(w, y, row, rows, y_block));
    LS_TRY(add_rows(w, which, row, rows, x_block, y_block));
  }
  LS_TRY(import_npy_end(x));
  return y ? import_npy_end(y) : LS_OK;
}

static ls_status copy_split(work *w, size_t which) {
  const npy *const x = w->roles[which][X];
  const npy *const y = w->roles[which][Y];
  const bool is_divided = which == SPLIT_TRAIN && w->n_test > 0;
  const split *const s = &w->out->splits[which];
  const uint64_t n_test = is_divided ? w->n_test : 0;
  LS_TRY(begin_split(w, which, x, y, x->header.array.dims[0] - n_test));
  if (is_divided) LS_TRY(begin_split(w, SPLIT_TEST, x, y, n_test));
  LS_ASSERT(s->writer);
  char *const x_block = ls_calloc(s->capacity, s->x_size);
  char *const y_block = ls_calloc(s->capacity, s->y_size);
  ls_status status = LS_OK;
  if (!x_block || !y_block) status = ls_fail_memory("a block of samples", s->capacity * s->x_size);
  if (status == LS_OK) status = copy_blocks(w, which, s->capacity, x_block, y_block);
  free(x_block);
  free(y_block);
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
  if (status == LS_OK) status = import_npy_list(sources, n_sources, &w.list);
  if (status == LS_OK) status = choose_roles(&w);
  if (status == LS_OK) status = check_shapes(&w);
  if (status == LS_OK) status = choose_test(&w);
  if (status == LS_OK) status = collect_classes(&w);
  if (status == LS_OK) status = import_output_create(out);
  for (size_t i = 0; status == LS_OK && i < N_SPLITS; i++)
    if (w.roles[i][X]) status = copy_split(&w, i);
  out->n_classes = w.set.classes;
  import_labels_destroy(&w.set);
  import_npy_list_destroy(&w.list);
  return status;
}

const import_format import_numpy_format = {.recognize = recognize, .convert = convert, .is_numpy = true};
