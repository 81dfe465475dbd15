/* lockstep predict: writes predictions as HDF5, CSV or NumPy. */
#include "predictions.h"

#include <stdlib.h>
#include <string.h>

typedef struct work {
  ls_comm *comm;
  const arguments *arguments;
  ls_predictor *predictor;
  app_data data;
  const ls_dataset *dataset; /* of data */
  ls_batch *batch;
  size_t n_out;
  size_t rank_rows;   /* consecutive samples of a rank in a chunk: a multiple of LS_EVALUATE_ROWS */
  size_t chunk_rows;  /* those of all ranks */
  float *own;         /* (rank_rows, n_out), owned: predictions of this rank */
  float *chunk;       /* rank 0: (chunk_rows, n_out), owned: predictions of all ranks */
  double *restored;   /* the same in the units of y, owned by rank 0; NULL: targets were not standardised */
  predictions output; /* rank 0, except for path and format */
} work;

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
  LS_ASSERT(status != LS_OK || w.output.path);
  const bool is_stream = status == LS_OK && strcmp(w.output.path, "-") == 0;
  if (status == LS_OK)
    status = app_open_data(comm, a, w.predictor, is_stream ? NULL : w.output.path, false, &w.data);
  w.dataset = w.data.dataset;
  if (status == LS_OK) status = ls_comm_agree(comm, prepare(&w));
  if (status == LS_OK) status = predict_all(&w);
  if (app_is_root(comm)) status = app_predictions_end(&w.output, status);
  status = ls_comm_agree(comm, status);
  if (status == LS_OK)
    ls_log(LS_LOG_INFO, "%s: predictions for %llu sample%s",
           strcmp(w.output.path, "-") == 0 ? "standard output" : w.output.path,
           (unsigned long long)w.dataset->n_samples, w.dataset->n_samples == 1 ? "" : "s");
  free(w.own);
  free(w.chunk);
  free(w.restored);
  ls_batch_destroy(&w.batch);
  app_close_data(comm, &w.data);
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
                OPTIONS_TABLE("CSV: columns to ignore because they are labels"),
                OPTIONS_MODEL_TABLE},
    .run = run};
