/* Chooses the source format and publishes the dataset. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* The first format that fits is used; the last one accepts every file. */
static const import_format *const formats[] = {&import_folder_format, &import_hdf5_format,
                                               &import_numpy_format, &import_idx_format,
                                               &import_csv_format};

#define N_FORMATS (sizeof formats / sizeof *formats)

ls_status import_reject_table_options(const ls_table_options *o, const char *format) {
  const char *const given[][2] = {{"label", o->label},
                                  {"weight", o->weight},
                                  {"drop", o->drop},
                                  {"columns", o->columns},
                                  {"categories", o->categories},
                                  {"missing", o->missing != LS_MISSING_REJECT ? "mean|NUMBER|drop" : NULL},
                                  {"header", o->header != LS_HEADER_AUTO ? "yes|no" : NULL},
                                  {"targets", o->targets != LS_TARGETS_AUTO ? "classes|numbers" : NULL}};
  for (size_t i = 0; i < sizeof given / sizeof *given; i++)
    if (given[i][1])
      return ls_fail(LS_ERR_CONFIG, "--%s %s: only allowed for CSV; these sources are %s", given[i][0],
                     given[i][1], format);
  return LS_OK;
}

/* ------------------------------------------------------------------------- sources */

/* The sources, after patterns have been replaced by their matches. */
typedef struct listing {
  char **names; /* (n), owned */
  size_t n;
  const char *group; /* of the pattern, or NULL; borrowed */
} listing;

static ls_status add_source(void *context, const char *file) {
  listing *const l = context;
  if ((l->n & (l->n - 1)) == 0) { /* full: 0, 1, 2, 4, ... */
    const size_t wanted = ls_size_max(1, 2 * l->n);
    char **const grown = realloc(l->names, wanted * sizeof *grown);
    if (!grown) return ls_fail_memory("the list of sources", wanted * sizeof *grown);
    l->names = grown;
  }
  char *const name = l->group ? ls_format("%s:%s", file, l->group) : ls_strdup(file);
  if (!name) return ls_fail_memory("a path", strlen(file) + 1);
  l->names[l->n++] = name;
  return LS_OK;
}

static ls_status list_sources(const char *const *sources, size_t n, listing *l) {
  for (size_t i = 0; i < n; i++) {
    char *file = NULL;
    char *group = NULL;
    ls_status status = import_hdf5_split(sources[i], &file, &group);
    l->group = group;
    if (status == LS_OK) status = ls_spec_expand(file, add_source, l);
    free(file);
    free(group);
    LS_TRY(status);
  }
  return LS_OK;
}

static int compare_texts(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A source that is named twice would have its samples twice. */
static ls_status check_unique(const listing *l) {
  char **const sorted = ls_calloc(l->n, sizeof *sorted);
  if (!sorted) return ls_fail_memory("the list of sources", l->n * sizeof *sorted);
  memcpy(sorted, l->names, l->n * sizeof *sorted);
  qsort(sorted, l->n, sizeof *sorted, compare_texts);
  ls_status status = LS_OK;
  for (size_t i = 1; status == LS_OK && i < l->n; i++)
    if (strcmp(sorted[i - 1], sorted[i]) == 0)
      status = ls_fail(LS_ERR_CONFIG,
                       "%s: named twice among the sources; its samples would be imported twice", sorted[i]);
  free(sorted);
  return status;
}

static ls_status check_sources(const listing *l, const char *path) {
  for (size_t i = 0; i < l->n; i++) {
    char *file = NULL;
    char *group = NULL;
    ls_status status = import_hdf5_split(l->names[i], &file, &group);
    if (status == LS_OK && ls_same_file(file, path))
      status = ls_fail(LS_ERR_CONFIG, "%s: both source and output; choose another output", file);
    free(file);
    free(group);
    LS_TRY(status);
  }
  return check_unique(l);
}

static ls_status check_options(size_t n_sources, const ls_import_options *options) {
  const double fraction = options->test_fraction;
  if (n_sources == 0)
    return ls_fail(LS_ERR_CONFIG, "no sources; must be files (CSV, IDX, NumPy, HDF5), or folders");
  if (!(fraction >= 0 && fraction < 1))
    return ls_fail(LS_ERR_CONFIG, "--test-fraction %g: must be at least 0 and below 1", fraction);
  return LS_OK;
}

/* ------------------------------------------------------------------------- formats */

static ls_status find_format(const char *const *sources, size_t n_sources, const import_format **format) {
  bool found = false;
  for (size_t i = 0; !found && i < N_FORMATS; i++) {
    *format = formats[i];
    if (!formats[i]->recognize) break;
    LS_TRY(formats[i]->recognize(sources, n_sources, &found));
  }
  return LS_OK;
}

/* Options that name arrays. */
static ls_status check_names(const char *path, const ls_numpy_options *o) {
  if (!o->x && !o->y) return LS_OK;
  return ls_fail(LS_ERR_CONFIG, "%s: only allowed for NumPy arrays (.npy, .npz) and HDF5 files, not for %s",
                 o->x ? "--x" : "--y", path);
}

/* Options that only a folder has. */
static ls_status check_folder_options(const char *path, const ls_folder_options *o) {
  const char *const given = o->height        ? "--size"
                            : o->channels    ? "--channels"
                            : o->length      ? "--length"
                            : o->skip_broken ? "--skip-broken"
                                             : NULL;
  if (!given) return LS_OK;
  return ls_fail(LS_ERR_CONFIG, "%s: only allowed for a folder of images or recordings; %s is a file",
                 given, path);
}

static void summarize(const output *out, ls_import_summary *summary) {
  uint64_t *const samples[N_SPLITS] = {&summary->train_samples, &summary->test_samples,
                                       &summary->validation_samples};
  *summary = (ls_import_summary){.classes = out->n_classes, .n_missing = out->n_missing};
  for (size_t i = 0; i < N_SPLITS; i++) {
    size_t features = 0;
    if (!out->splits[i].out) continue;
    *samples[i] = out->splits[i].n_rows;
    summary->n_files += out->max_bytes ? out->splits[i].n_files : 0;
    if (ls_array_row_size(&out->splits[i].arrays[ARRAY_X], &features)) summary->features = features;
  }
}

/* Converts the sources, and gives the output its name. */
static ls_status convert(const listing *l, const ls_import_options *options, output *out) {
  const char *const *const sources = (const char *const *)l->names;
  const import_format *format = NULL;
  LS_TRY(check_sources(l, options->output));
  if (options->max_file_bytes == 0) LS_TRY(import_check_replaced(options->output));
  LS_TRY(find_format(sources, l->n, &format));
  if (!format->has_names) LS_TRY(check_names(sources[0], &options->numpy));
  if (!format->is_folder) LS_TRY(check_folder_options(sources[0], &options->folder));
  LS_TRY(format->convert(sources, l->n, options, out));
  LS_TRY(import_output_finish(out));
  return import_output_publish(out);
}

ls_status ls_import(const char *const *sources, size_t n_sources, const ls_import_options *options,
                    ls_import_summary *summary) {
  output out = {.path = options->output,
                .shuffles = options->shuffles,
                .seed = options->seed,
                .memory_bytes = options->memory_bytes ? options->memory_bytes : LS_IMPORT_MEMORY,
                .max_bytes = options->max_file_bytes};
  listing l = {0};
  *summary = (ls_import_summary){0};
  LS_TRY(check_options(n_sources, options));
  import_cleanup_begin();
  ls_status status = list_sources(sources, n_sources, &l);
  if (status == LS_OK) status = convert(&l, options, &out);
  ls_log_bar("");
  if (status == LS_OK) summarize(&out, summary);
  import_output_destroy(&out);
  import_cleanup_end();
  for (size_t i = 0; i < l.n; i++) free(l.names[i]);
  free(l.names);
  return status;
}
