/* lockstep predict: writes predictions as HDF5, CSV or NumPy. */
#include "predictions.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct work {
  ls_comm *comm;
  const arguments *arguments;
  ls_predictor *predictor;
  ls_dataset *dataset;
  char *spooled;   /* owned, rank 0: a copy of standard input, which still exists; or NULL */
  char *temporary; /* owned, rank 0: the dataset was imported to this file, which still exists; or NULL */
  ls_batch *batch;
  size_t n_out;
  size_t rank_rows;   /* consecutive samples of a rank in a chunk: a multiple of LS_EVALUATE_ROWS */
  size_t chunk_rows;  /* those of all ranks */
  float *own;         /* (rank_rows, n_out), owned: predictions of this rank */
  float *chunk;       /* rank 0: (chunk_rows, n_out), owned: predictions of all ranks */
  double *restored;   /* the same in the units of y, owned by rank 0; NULL: targets were not standardised */
  predictions output; /* rank 0, except for path and format */
} work;

/* ----------------------------------------------------------------------- CSV in */

/* Whether float32 does not represent all values of the type in which x was stored for training. */
static bool is_wide_type(const char *type) {
  static const char *const wide[] = {"float64", "int32", "uint32", "int64", "uint64", NULL};
  return type && app_ends_with(type, wide);
}

/* Rank 0. Where temporary files are written: beside the output, or in the working directory. */
static const char *base_of(const work *w) {
  LS_ASSERT(w->output.path);
  return strcmp(w->output.path, "-") == 0 ? "lockstep-predict" : w->output.path;
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

/* Rank 0. Copies standard input, which can be read only once, to a temporary file at *out. */
static ls_status spool_input(const work *w, char **out) {
  char *const name = ls_format("%s.standard-input", base_of(w));
  *out = name ? ls_store_temporary(name) : NULL;
  free(name);
  if (!*out) return ls_fail_memory("a path", 0);
  FILE *const file = fopen(*out, "w");
  if (!file) return ls_fail(LS_ERR_OUTPUT, "%s: %s", *out, strerror(errno));
  const ls_status status = copy_input(file, *out);
  if (fclose(file) == 0 || status != LS_OK) return status;
  return ls_fail(LS_ERR_OUTPUT, "%s: %s", *out, strerror(errno));
}

/* Rank 0. Converts the features of a table to a temporary dataset at *out, beside the output, where other
 * nodes can read it. A process that was killed while it read such a dataset left it there. */
static ls_status import_table(const work *w, const char *path, char **out) {
  LS_ASSERT(w->predictor);
  const ls_modelfile *const saved = w->predictor->saved;
  ls_import_summary summary = {0};
  ls_import_options options = {.table = {.is_unlabelled = true,
                                         .n_required = w->predictor->job->model->n_in,
                                         .names = (const char *const *)saved->features,
                                         .n_names = saved->n_features,
                                         .is_wide = is_wide_type(saved->x.type)}};
  LS_TRY(app_read_table(w->arguments, &options.table));
  char *const rows = ls_format("%s.rows", base_of(w));
  if (rows && strcmp(w->output.path, "-") != 0) ls_store_remove_abandoned(rows); /* else of other jobs */
  *out = rows ? ls_store_temporary(rows) : NULL;
  free(rows);
  if (!*out) return ls_fail_memory("a path", 0);
  options.output = *out;
  return ls_import(&path, 1, &options, &summary);
}

static void remove_file(char **path) {
  if (*path) unlink(*path);
  free(*path);
  *path = NULL;
}

/* Collective. Opens HDF5 data, or a table after its conversion to a temporary dataset. */
static ls_status open_data(work *w, const arguments *a) {
  const char *spec = a->positional[1];
  const bool is_stdin = app_is_root(w->comm) && strcmp(spec, "-") == 0;
  static const char *const tables[] = {".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz", NULL};
  char *imported = NULL;
  ls_status status = is_stdin ? spool_input(w, &w->spooled) : LS_OK;
  if (w->spooled) spec = w->spooled;
  if (status == LS_OK && app_is_root(w->comm) &&
      (is_stdin || app_ends_with(spec, tables) || ls_import_is_text(spec))) {
    status = import_table(w, spec, &w->temporary);
    remove_file(&w->spooled);
    if (status == LS_OK) imported = ls_format("%s:/train", w->temporary); /* the path may have a colon */
    if (status == LS_OK && !imported) status = ls_fail_memory("a path", 0);
  }
  status = ls_comm_agree(w->comm, status);
  if (status == LS_OK)
    status =
        app_open_data(w->comm, a, w->predictor, imported ? imported : a->positional[1], false, &w->dataset);
  if (status == LS_OK && !w->dataset->is_streamed)
    remove_file(&w->temporary); /* also if the process is killed */
  free(imported);
  return status;
}

/* ------------------------------------------------------------------ the command */

/* Local. Predicts samples from `first` on, at most LS_EVALUATE_ROWS, into `out`. */
static ls_status predict_rows(const work *w, uint64_t first, size_t rows, float *out) {
  ls_model *const model = w->predictor->job->model;
  const size_t lanes[] = {0, rows};
  const ls_pass pass = {.n_lanes = 1, .lanes = lanes};
  for (size_t i = 0; i < rows; i++) w->batch->samples[i] = first + i;
  LS_TRY(ls_batch_gather(w->batch, w->dataset, w->predictor->normalizer, rows));
  ls_model_forward(model, &pass, w->batch->x);
  memcpy(out, ls_model_predict(model, rows), rows * w->n_out * sizeof *out);
  return LS_OK;
}

/* Collective. Predicts the chunk that begins at sample `first`; rank 0 receives the predictions of all
 * ranks. */
static ls_status predict_chunk(work *w, uint64_t first, size_t rows) {
  const ls_shard shard = ls_shard_of(rows, ls_comm_rank(w->comm), ls_comm_size(w->comm));
  ls_status status = LS_OK;
  for (size_t done = 0; status == LS_OK && done < shard.rows; done += LS_EVALUATE_ROWS)
    status = predict_rows(w, first + shard.first + done, ls_size_min(LS_EVALUATE_ROWS, shard.rows - done),
                          w->own + done * w->n_out);
  LS_TRY(ls_comm_agree(w->comm, status));
  ls_comm_gather_f32(w->comm, w->own, shard.rows * w->n_out, 0, w->chunk);
  return LS_OK;
}

/* The samples of the chunk that begins at `first`. The last ones are divided into smaller chunks, of one
 * pass on each rank, so that the samples of each pass, which its bits may depend on, are the same in memory
 * and in files. */
static size_t count_rows(const work *w, uint64_t first) {
  const uint64_t rest = w->dataset->n_samples - first;
  if (rest >= w->chunk_rows) return w->chunk_rows;
  return ls_size_min((uint64_t)LS_EVALUATE_ROWS * (uint64_t)ls_comm_size(w->comm), rest);
}

/* Collective. Predicts in chunks, so that memory does not grow with the data. */
static ls_status predict_all(work *w) {
  size_t rows = 0;
  for (uint64_t first = 0; first < w->dataset->n_samples; first += rows) {
    ls_status status = LS_OK;
    rows = count_rows(w, first);
    LS_TRY(predict_chunk(w, first, rows));
    if (w->restored) ls_normalizer_restore_targets(w->predictor->normalizer, rows, w->chunk, w->restored);
    if (app_is_root(w->comm)) status = app_predictions_append(&w->output, rows, w->chunk, w->restored);
    LS_TRY(ls_comm_agree(w->comm, status));
  }
  return LS_OK;
}

#define RANK_BYTES  ((size_t)4 << 20)  /* x of the samples of a rank in a chunk, and their predictions */
#define CHUNK_BYTES ((size_t)64 << 20) /* the predictions of a chunk */

/* Samples of a rank in a chunk. Each rank reads and decodes many consecutive samples in files. */
static size_t count_rank_rows(const work *w) {
  LS_ASSERT(w->n_out > 0);
  const size_t out_bytes = w->n_out * sizeof(float);
  const size_t most = ls_size_min(RANK_BYTES, CHUNK_BYTES / (size_t)ls_comm_size(w->comm));
  const size_t rows = ls_size_min(RANK_BYTES / ls_dataset_row_bytes(w->dataset), most / out_bytes);
  if (!w->dataset->is_streamed) return LS_EVALUATE_ROWS;
  return ls_size_max(rows / LS_EVALUATE_ROWS, 1) * LS_EVALUATE_ROWS;
}

/* Local. Allocates memory and, on rank 0, begins the output. */
static ls_status prepare(work *w) {
  w->n_out = w->predictor->job->model->n_out;
  w->rank_rows = count_rank_rows(w);
  w->chunk_rows = w->rank_rows * (size_t)ls_comm_size(w->comm);
  LS_TRY(ls_batch_create(w->dataset, LS_EVALUATE_ROWS, &w->batch));
  w->own = ls_calloc(w->rank_rows * w->n_out, sizeof *w->own);
  if (!w->own) return ls_fail_memory("the predictions", w->rank_rows * w->n_out * sizeof *w->own);
  if (!app_is_root(w->comm)) return LS_OK;
  w->chunk = ls_calloc(w->chunk_rows * w->n_out, sizeof *w->chunk);
  if (!w->chunk) return ls_fail_memory("the predictions", w->chunk_rows * w->n_out * sizeof *w->chunk);
  if (w->predictor->normalizer->targets) {
    w->restored = ls_calloc(w->chunk_rows * w->n_out, sizeof *w->restored);
    if (!w->restored)
      return ls_fail_memory("the predictions", w->chunk_rows * w->n_out * sizeof *w->restored);
  }
  w->output.predictor = w->predictor;
  w->output.n_samples = w->dataset->n_samples;
  return app_predictions_begin(&w->output);
}

/* Rank 0. Checks the output before anything is read. */
static ls_status claim_output(const arguments *a, predictions *output) {
  if (strcmp(output->path, "-") == 0) {
    app_predictions_claim_stdout(output);
    return LS_OK;
  }
  LS_TRY(app_check_output(a, output->path));
  ls_store_remove_abandoned(output->path);
  return LS_OK;
}

static ls_status run(ls_comm *comm, const arguments *a) {
  work w = {.comm = comm, .arguments = a};
  ls_status status = ls_math_threads_set(ls_comm_threads(comm));
  if (status == LS_OK) status = app_predictions_read(a, &w.output);
  if (status == LS_OK && app_is_root(comm)) status = claim_output(a, &w.output);
  status = ls_comm_agree(comm, status);
  if (status == LS_OK) status = ls_predictor_create(comm, a->positional[0], &w.predictor);
  if (status == LS_OK) status = open_data(&w, a);
  if (status == LS_OK) status = ls_comm_agree(comm, prepare(&w));
  if (status == LS_OK) status = predict_all(&w);
  if (app_is_root(comm)) status = app_predictions_end(&w.output, status);
  status = ls_comm_agree(comm, status);
  if (status == LS_OK)
    ls_log(LS_LOG_INFO, "%s: predictions for %llu samples",
           strcmp(w.output.path, "-") == 0 ? "standard output" : w.output.path,
           (unsigned long long)w.dataset->n_samples);
  free(w.own);
  free(w.chunk);
  free(w.restored);
  ls_batch_destroy(&w.batch);
  ls_dataset_close(comm, &w.dataset);
  remove_file(&w.temporary);
  remove_file(&w.spooled);
  ls_predictor_destroy(&w.predictor);
  return status;
}

const command app_predict = {
    .name = "predict",
    .operands = "MODEL.h5 DATA[:GROUP]",
    .help = "write a model's predictions for HDF5 or CSV data",
    .details =
        "HDF5 output has /probability (N, K) and /class (N), or /y (N, K) for a regression. CSV output\n"
        "has the header `class,<class names>`; one sigmoid output is written as two classes. NumPy output\n"
        "is the array (N, K) of the probabilities or numbers. CSV data with a header may have columns "
        "that\n"
        "the model does not use; features are found by name. DATA `-` is CSV from standard input, and\n"
        "`-o -` CSV on standard output, where nothing else is then written.",
    .options = {{"output", 'o', "OUT.h5|OUT.csv|OUT.npy|-", "file to write, or - for standard output"},
                {"format", 0, "h5|csv|npy", "format of the output (default: by the ending of its name)"},
                OPTION_X,
                OPTION_MEMORY,
                {"y", 0, "NAME", "name of the array of targets, which predictions do not need"},
                OPTIONS_TABLE("CSV: columns to ignore because they are labels")},
    .run = run};
