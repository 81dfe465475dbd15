/* Chooses the source format and publishes the dataset. */
#include "internal.h"

/* The first format that fits is used; the last one accepts every file. */
static const import_format *const formats[] = {&import_folder_format, &import_numpy_format,
                                               &import_idx_format, &import_csv_format};

#define N_FORMATS (sizeof formats / sizeof *formats)

ls_status import_reject_table_options(const ls_table_options *o, const char *format) {
  const char *const given[][2] = {{"label", o->label},
                                  {"weight", o->weight},
                                  {"drop", o->drop},
                                  {"columns", o->columns},
                                  {"header", o->header != LS_HEADER_AUTO ? "yes|no" : NULL},
                                  {"targets", o->targets != LS_TARGETS_AUTO ? "classes|numbers" : NULL}};
  for (size_t i = 0; i < sizeof given / sizeof *given; i++)
    if (given[i][1])
      return ls_fail(LS_ERR_CONFIG, "--%s %s: only allowed for CSV; these sources are %s", given[i][0],
                     given[i][1], format);
  return LS_OK;
}

static ls_status check_options(const char *const *sources, size_t n_sources,
                               const ls_import_options *options) {
  const double fraction = options->test_fraction;
  if (n_sources == 0)
    return ls_fail(LS_ERR_CONFIG, "no sources; must be IDX files, one CSV file or one folder");
  if (!(fraction >= 0 && fraction < 1))
    return ls_fail(LS_ERR_CONFIG, "--test-fraction %g: must be at least 0 and below 1", fraction);
  for (size_t i = 0; i < n_sources; i++)
    if (ls_same_file(sources[i], options->output))
      return ls_fail(LS_ERR_CONFIG, "%s: both source and output; choose another output", sources[i]);
  return import_check_replaced(options->output);
}

static ls_status find_format(const char *const *sources, size_t n_sources, const import_format **format) {
  bool found = false;
  for (size_t i = 0; !found && i < N_FORMATS; i++) {
    *format = formats[i];
    if (!formats[i]->recognize) break;
    LS_TRY(formats[i]->recognize(sources, n_sources, &found));
  }
  return LS_OK;
}

/* Options that only NumPy arrays have. */
static ls_status check_numpy_options(const char *path, const ls_numpy_options *o) {
  if (!o->x && !o->y) return LS_OK;
  return ls_fail(LS_ERR_CONFIG, "%s: only allowed for NumPy arrays (.npy, .npz), not for %s",
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
  *summary = (ls_import_summary){.classes = out->n_classes};
  for (size_t i = 0; i < N_SPLITS; i++) {
    size_t features = 0;
    if (!out->splits[i].writer) continue;
    *samples[i] = out->splits[i].n_rows;
    if (ls_array_row_size(&out->splits[i].x, &features)) summary->features = features;
  }
}

ls_status ls_import(const char *const *sources, size_t n_sources, const ls_import_options *options,
                    ls_import_summary *summary) {
  const import_format *format = NULL;
  output out = {.path = options->output};
  *summary = (ls_import_summary){0};
  ls_status status = check_options(sources, n_sources, options);
  if (status == LS_OK) status = find_format(sources, n_sources, &format);
  if (status == LS_OK && !format->is_numpy) status = check_numpy_options(sources[0], &options->numpy);
  if (status == LS_OK && !format->is_folder) status = check_folder_options(sources[0], &options->folder);
  if (status == LS_OK) status = format->convert(sources, n_sources, options, &out);
  if (status == LS_OK) status = import_output_finish(&out);
  if (status == LS_OK) status = ls_store_publish(&out.writer);
  if (status == LS_OK) summarize(&out, summary);
  import_output_destroy(&out);
  return status;
}
