/* Tables (CSV): their options, and their import as data of a saved model. */
#include "internal.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ----------------------------------------------------------------------- options */

/* Reads --missing. may_drop: rows may be left out */
static ls_status read_missing(const arguments *a, bool may_drop, ls_table_options *table) {
  const char *const text = app_option(a, "missing");
  if (!text) return LS_OK;
  table->missing = strcmp(text, "mean") == 0   ? LS_MISSING_MEAN
                   : strcmp(text, "drop") == 0 ? LS_MISSING_DROP
                                               : LS_MISSING_NUMBER;
  if (table->missing == LS_MISSING_MEAN || (table->missing == LS_MISSING_DROP && may_drop)) return LS_OK;
  if (ls_config_parse_real(text, &table->missing_number) && fabs(table->missing_number) <= (double)FLT_MAX)
    return LS_OK;
  return ls_fail(LS_ERR_CONFIG, "--missing %s: must be mean%s or a number that fits float32%s", text,
                 may_drop ? ", drop" : "", may_drop ? "" : "; rows cannot be left out here");
}

/* The options that all commands with tables have. */
static ls_status read_columns(const arguments *a, ls_table_options *table) {
  table->label = app_option(a, "label");
  table->weight = app_option(a, "weight");
  table->drop = app_option(a, "drop");
  table->columns = app_option(a, "columns");
  return app_read_choice(a, "header", (const char *const[]){"auto", "yes", "no", NULL}, &table->header);
}

ls_status app_read_table(const arguments *a, ls_table_options *table) {
  table->categories = app_option(a, "categories");
  LS_TRY(read_columns(a, table));
  return read_missing(a, true, table);
}

/* The options of a table for a model. */
static ls_status read_model_table(const arguments *a, const ls_predictor *p, ls_table_options *table) {
  int unknown = 0;
  LS_TRY(read_columns(a, table));
  LS_TRY(app_read_choice(a, "unknown", (const char *const[]){"error", "zero", NULL}, &unknown));
  LS_TRY(read_missing(a, false, table));
  table->accepts_unknown = unknown == 1;
  table->means = p->normalizer->offset;
  if (table->missing != LS_MISSING_MEAN || p->job->data.normalize == LS_NORMALIZE_STANDARDIZE) return LS_OK;
  return ls_fail(
      LS_ERR_CONFIG,
      "--missing mean: %s has no means of its training data, because these were not standardised "
      "(data.normalize); give a number",
      a->positional[0]);
}

/* -------------------------------------------------------------------- the import */

/* Whether float32 does not represent all values of the type in which x was stored for training. */
static bool is_wide_type(const char *type) {
  static const char *const wide[] = {"float64", "int32", "uint32", "int64", "uint64", NULL};
  return type && app_ends_with(type, wide);
}

/* Copies standard input to a file. A process that writes to the pipe slowly is not a hang. LS_ERR_DATA,
 * LS_ERR_OUTPUT. */
static ls_status copy_input(FILE *file, const char *path) {
  char buffer[1 << 16];
  for (;;) {
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    const int ready = poll(&input, 1, 1000);
    ls_heartbeat();
    if (ready == 0 || (ready < 0 && errno == EINTR)) continue;
    const ssize_t n = read(STDIN_FILENO, buffer, sizeof buffer);
    if (n == 0) return LS_OK;
    if (n < 0) return ls_fail(LS_ERR_DATA, "standard input: %s", strerror(errno));
    if (fwrite(buffer, 1, (size_t)n, file) != (size_t)n)
      return ls_fail(LS_ERR_OUTPUT, "%s: %s", path, strerror(errno));
  }
}

#define STDIN_PATH "/dev/stdin" /* also its name in messages */

/* Rank 0. Replaces standard input, which can be read only once, by a copy that can be read again. The copy
 * has no name, so that nothing remains of it. */
static ls_status spool_input(const char *base) {
  char *const name = ls_format("%s.standard-input", base);
  char *const path = name ? ls_store_temporary(name) : NULL;
  free(name);
  if (!path) return ls_fail_memory("a path", 0);
  FILE *const file = fopen(path, "w+");
  if (file) unlink(path);
  ls_status status =
      file ? copy_input(file, path) : ls_fail(LS_ERR_OUTPUT, "%s: %s", path, strerror(errno));
  if (status == LS_OK && (fseek(file, 0, SEEK_SET) != 0 || dup2(fileno(file), STDIN_FILENO) < 0))
    status = ls_fail(LS_ERR_OUTPUT, "%s: %s", path, strerror(errno));
  if (file) fclose(file);
  free(path);
  return status;
}

/* What the labels of a table are, for a model. */
static ls_table_targets targets_of(const ls_predictor *p) {
  if (p->job->task == LS_TASK_REGRESSION) return LS_TARGETS_NUMBERS;
  return p->saved->n_classes > 0 ? LS_TARGETS_CLASSES : LS_TARGETS_AUTO;
}

/* Rank 0. Converts a table to a temporary dataset at *out, which the caller removes and frees, where other
 * nodes can read it. A process that was killed while it read such a dataset left it there. */
static ls_status import_table(const arguments *a, const ls_predictor *p, const char *path,
                              const char *output, bool with_targets, char **out) {
  const ls_modelfile *const saved = p->saved;
  ls_import_summary summary = {0};
  ls_import_options options = {.table = {.is_unlabelled = !with_targets,
                                         .targets = targets_of(p),
                                         .n_required = p->job->model->n_in,
                                         .names = (const char *const *)saved->features,
                                         .n_names = saved->n_features,
                                         .classes = (const char *const *)saved->classes,
                                         .n_classes = saved->n_classes,
                                         .is_wide = is_wide_type(saved->x.type)}};
  LS_TRY(read_model_table(a, p, &options.table));
  char *const rows =
      output ? ls_format("%s.rows", output) : ls_format("lockstep-%s.rows", a->command->name);
  if (rows && output) ls_store_remove_abandoned(rows); /* else of other jobs */
  *out = rows ? ls_store_temporary(rows) : NULL;
  free(rows);
  if (!*out) return ls_fail_memory("a path", 0);
  options.output = *out;
  return ls_import(&path, 1, &options, &summary);
}

static ls_status reject_table_options(const arguments *a) {
  static const char *const options[] = {"header",  "label",   "weight",  "drop",
                                        "columns", "missing", "unknown", NULL};
  for (size_t i = 0; options[i]; i++)
    if (app_option(a, options[i]))
      return ls_fail(LS_ERR_CONFIG, "--%s: only allowed for CSV; %s is HDF5", options[i], a->positional[1]);
  return LS_OK;
}

static void remove_file(char **path) {
  if (*path) unlink(*path);
  free(*path);
  *path = NULL;
}

/* Rank 0. Imports a table from standard input. */
static ls_status import_input(const arguments *a, const ls_predictor *p, const char *output,
                              bool with_targets, char **out) {
  char *const base = output ? ls_strdup(output) : ls_format("lockstep-%s", a->command->name);
  ls_status status = base ? spool_input(base) : ls_fail_memory("a path", 0);
  bool is_hdf5 = false;
  free(base);
  if (status == LS_OK) status = ls_import_is_hdf5(STDIN_PATH, &is_hdf5);
  if (status == LS_OK && is_hdf5)
    status =
        ls_fail(LS_ERR_DATA, STDIN_PATH ": HDF5; standard input must be CSV; give the name of the file");
  return status == LS_OK ? import_table(a, p, STDIN_PATH, output, with_targets, out) : status;
}

/* Rank 0. Imports the data if they are a table. */
static ls_status import_data(const arguments *a, const ls_predictor *p, const char *output,
                             bool with_targets, char **out) {
  static const char *const tables[] = {".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz", NULL};
  const char *const spec = a->positional[1];
  if (strcmp(spec, "-") == 0) return import_input(a, p, output, with_targets, out);
  if (!app_ends_with(spec, tables) && !ls_import_is_text(spec)) return reject_table_options(a);
  return import_table(a, p, spec, output, with_targets, out);
}

ls_status app_open_data(ls_comm *comm, const arguments *a, const ls_predictor *predictor,
                        const char *output, bool with_targets, app_data *out) {
  int memory = LS_MEMORY_AUTO;
  char *imported = NULL;
  ls_status status = app_read_choice(a, "memory", app_memory_names, &memory);
  if (status == LS_OK && app_is_root(comm))
    status = import_data(a, predictor, output, with_targets, &out->temporary);
  if (status == LS_OK && out->temporary) {
    imported = ls_format("%s:/train", out->temporary); /* the path may have a colon */
    if (!imported) status = ls_fail_memory("a path", 0);
  }
  status = ls_comm_agree(comm, status);
  const ls_predictor_data data = {.spec = imported ? imported : a->positional[1],
                                  .name = a->positional[1],
                                  .role = "test",
                                  .x = app_option_if_any(a, "x"),
                                  .y = app_option_if_any(a, "y"),
                                  .memory = (ls_data_memory)memory,
                                  .with_targets = with_targets};
  if (status == LS_OK) status = ls_predictor_open_data(comm, predictor, &data, &out->dataset);
  if (status == LS_OK && !out->dataset->is_streamed)
    remove_file(&out->temporary); /* also if the process is killed */
  free(imported);
  return status;
}

void app_close_data(ls_comm *comm, app_data *data) {
  ls_dataset_close(comm, &data->dataset);
  remove_file(&data->temporary);
}
