/* Imports IDX files: pairs images with labels by header and name, and copies them block by block. */
#include "pairs.h"

#include "dataset.h"
#include "idx.h"
#include "labels.h"

#include <inttypes.h>
#include <string.h>

typedef struct idx_state {
  idx_file files[N_SPLITS][2]; /* images, labels */
  ls_store_writer *writer;
  split splits[N_SPLITS];
  label_set set;
  bool real; /* some labels are no class numbers */
} idx_state;

enum { IMAGES, LABELS };
static const char *const roles[] = {"images", "labels"};

static size_t split_of(const char *path) {
  const char *const slash = strrchr(path, '/');
  const char *const name = slash ? slash + 1 : path;
  return strncmp(name, "t10k", 4) == 0 || strncmp(name, "test", 4) == 0 ? SPLIT_TEST : SPLIT_TRAIN;
}

static ls_status fail_twice(const char *first, const char *second, size_t which, size_t role) {
  return ls_fail(
      LS_ERR_DATA,
      "%s and %s both hold %s for /%s: by their names, t10k* and test* go to /test and all others to "
      "/train; import them into separate files, or rename one",
      first, second, roles[role], import_split_names[which]);
}

/* Opens a file and puts it into its place among the pairs. */
static ls_status place_file(idx_state *state, const char *path) {
  idx_file file = {0};
  ls_status status = import_idx_open(&file, path);
  const size_t which = split_of(path);
  const size_t role = file.array.n_dims == 1 ? LABELS : IMAGES;
  idx_file *const place = &state->files[which][role];
  if (status == LS_OK && place->in.gz) status = fail_twice(place->in.path, path, which, role);
  if (status == LS_OK)
    *place = file;
  else
    import_source_close(&file.in);
  return status;
}

static ls_status check_pair(idx_file *const files, const char *name) {
  for (size_t role = 0; role < 2; role++) {
    if (files[role].in.gz) continue;
    return ls_fail(
        LS_ERR_DATA,
        "%s: there are no %s for these %s of /%s: name both files (by their names, t10k* and test* go to "
        "/test and all others to /train)",
        files[1 - role].in.path, roles[role], roles[1 - role], name);
  }
  const uint64_t images = files[IMAGES].array.dims[0];
  const uint64_t labels = files[LABELS].array.dims[0];
  if (images == labels) return LS_OK;
  return ls_fail(LS_ERR_DATA, "%s has %" PRIu64 " images, but %s has %" PRIu64 " labels",
                 files[IMAGES].in.path, images, files[LABELS].in.path, labels);
}

/* Samples of both splits must be of one shape and type, as one model reads them. */
static ls_status check_alike(const idx_file *a, const idx_file *b) {
  char a_text[128];
  char b_text[128];
  bool alike = a->array.dtype == b->array.dtype && a->array.n_dims == b->array.n_dims;
  for (unsigned i = 1; alike && i < a->array.n_dims; i++) alike = a->array.dims[i] == b->array.dims[i];
  if (alike) return LS_OK;
  return ls_fail(LS_ERR_DATA, "%s has %s, but %s has %s: samples of one data set have one shape and type",
                 a->in.path, ls_array_describe(&a->array, a_text, sizeof a_text), b->in.path,
                 ls_array_describe(&b->array, b_text, sizeof b_text));
}

static bool split_present(const idx_state *state, size_t i) {
  return state->files[i][IMAGES].in.gz || state->files[i][LABELS].in.gz;
}

static ls_status check_files(idx_state *state) {
  ls_status status = LS_OK;
  const bool both = split_present(state, SPLIT_TRAIN) && split_present(state, SPLIT_TEST);
  for (size_t i = 0; status == LS_OK && i < N_SPLITS; i++) {
    if (split_present(state, i)) status = check_pair(state->files[i], import_split_names[i]);
  }
  if (status != LS_OK || !both) return status;
  return check_alike(&state->files[SPLIT_TRAIN][IMAGES], &state->files[SPLIT_TEST][IMAGES]);
}

/* Notes the classes among some labels. */
static ls_status note_labels(idx_state *state, const idx_file *file, const void *data, uint64_t first,
                             size_t rows) {
  char text[32];
  ls_status status = LS_OK;
  if (file->array.dtype == LS_F32 || file->array.dtype == LS_F64) state->real = true;
  for (size_t i = 0; status == LS_OK && !state->real && i < rows; i++) {
    snprintf(text, sizeof text, "%.0f", import_idx_element(data, i, file->array.dtype));
    status = import_labels_add(&state->set, text, first + i);
  }
  return status;
}

static ls_status copy_pair(idx_state *state, size_t which) {
  idx_file *const images = &state->files[which][IMAGES];
  idx_file *const labels = &state->files[which][LABELS];
  split *const s = &state->splits[which];
  const uint64_t n = images->array.dims[0];
  ls_status status =
      import_split_create(s, state->writer, import_split_names[which], &images->array, &labels->array);
  for (uint64_t row = 0; status == LS_OK && row < n;) {
    const size_t rows = ls_size_min(import_split_room(s), n - row);
    status = import_idx_read(images, row, rows, import_split_x(s));
    if (status == LS_OK) status = import_idx_read(labels, row, rows, import_split_y(s));
    if (status == LS_OK) status = note_labels(state, labels, import_split_y(s), row, rows);
    if (status == LS_OK) status = import_split_take(s, rows);
    row += rows;
  }
  if (status == LS_OK) status = import_split_finish(s);
  if (status == LS_OK) status = import_idx_end(images);
  if (status == LS_OK) status = import_idx_end(labels);
  return status;
}

static void summarize(const idx_state *state, ls_import_summary *summary) {
  const bool classes = !state->real && state->set.kind == LABEL_CLASS_NUMBER;
  *summary = (ls_import_summary){.classes = classes ? state->set.classes : 0};
  for (size_t i = 0; i < N_SPLITS; i++) {
    if (!split_present(state, i)) continue;
    *(i == SPLIT_TRAIN ? &summary->train_samples : &summary->test_samples) =
        state->files[i][IMAGES].array.dims[0];
    summary->features = state->files[i][IMAGES].row;
  }
}

static ls_status check_options(const ls_import_options *options) {
  if (options->test_fraction != 0) {
    return ls_fail(LS_ERR_CONFIG,
                   "a test fraction (%g) applies to CSV: IDX files bring their own test samples "
                   "(t10k* or test*)",
                   options->test_fraction);
  }
  if (!options->label) return LS_OK;
  return ls_fail(LS_ERR_CONFIG,
                 "a label column ('%s') applies to CSV: IDX files keep their labels in a file of their own",
                 options->label);
}

static void destroy(idx_state *state) {
  if (state->writer) ls_store_discard(&state->writer);
  for (size_t i = 0; i < N_SPLITS; i++) {
    import_split_destroy(&state->splits[i]);
    for (size_t role = 0; role < 2; role++) import_source_close(&state->files[i][role].in);
  }
  import_labels_destroy(&state->set);
}

ls_status import_pairs(const char *const *sources, size_t n_sources, const ls_import_options *options,
                       ls_import_summary *summary) {
  idx_state state = {0};
  ls_status status = check_options(options);
  for (size_t i = 0; status == LS_OK && i < n_sources; i++) status = place_file(&state, sources[i]);
  if (status == LS_OK) status = check_files(&state);
  if (status == LS_OK) status = import_labels_create(&state.set, sources[0]);
  if (status == LS_OK) status = ls_store_create(options->output, false, &state.writer);
  for (size_t i = 0; status == LS_OK && i < N_SPLITS; i++) {
    if (split_present(&state, i)) status = copy_pair(&state, i);
  }
  if (status == LS_OK) status = import_labels_finish(&state.set);
  if (status == LS_OK) status = ls_store_publish(&state.writer);
  if (status == LS_OK) summarize(&state, summary);
  destroy(&state);
  return status;
}
