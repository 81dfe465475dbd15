/* lockstep predict: writes predictions as HDF5 or CSV. */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct work {
  ls_comm *comm;
  const arguments *arguments;
  const char *output;
  ls_predictor *predictor;
  ls_dataset *dataset;
  char *temporary; /* owned, rank 0: the dataset was imported to this file, which still exists; or NULL */
  ls_batch *batch;
  size_t n_out;
  bool is_regression;
  bool is_binary;     /* one sigmoid output, for two classes */
  bool is_multilabel; /* several sigmoid outputs, each a label of its own */
  size_t rank_rows;   /* consecutive samples of a rank in a chunk: a multiple of LS_EVALUATE_ROWS */
  size_t chunk_rows;  /* those of all ranks */
  float *own;         /* (rank_rows, n_out), owned: predictions of this rank */
  float *chunk;       /* rank 0: (chunk_rows, n_out), owned: predictions of all ranks */
  double *restored;   /* the same in the units of y, owned by rank 0; NULL: targets were not standardised */
  /* Rank 0. One of the two outputs; csv.stream is NULL for HDF5. */
  ls_store_writer *writer;
  ls_text_file csv;
} work;

/* ----------------------------------------------------------------------- CSV in */

/* Whether float32 does not represent all values of the type in which x was stored for training. */
static bool is_wide_type(const char *type) {
  static const char *const wide[] = {"float64", "int32", "uint32", "int64", "uint64", NULL};
  return type && app_ends_with(type, wide);
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
  char *const rows = ls_format("%s.rows", w->output);
  if (rows) ls_store_remove_abandoned(rows);
  *out = rows ? ls_store_temporary(rows) : NULL;
  free(rows);
  if (!*out) return ls_fail_memory("a path", strlen(w->output));
  options.output = *out;
  return ls_import(&path, 1, &options, &summary);
}

static void remove_temporary(work *w) {
  if (w->temporary) unlink(w->temporary);
  free(w->temporary);
  w->temporary = NULL;
}

/* Collective. Opens HDF5 data, or a table after its conversion to a temporary dataset. */
static ls_status open_data(work *w, const arguments *a) {
  const char *const spec = a->positional[1];
  static const char *const tables[] = {".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz", NULL};
  const bool is_table = app_is_root(w->comm) && (app_ends_with(spec, tables) || ls_import_is_text(spec));
  char *imported = NULL;
  ls_status status = LS_OK;
  if (is_table) {
    status = import_table(w, spec, &w->temporary);
    if (status == LS_OK) imported = ls_format("%s:/train", w->temporary); /* the path may have a colon */
    if (status == LS_OK && !imported) status = ls_fail_memory("a path", 0);
  }
  status = ls_comm_agree(w->comm, status);
  if (status == LS_OK)
    status = app_open_data(w->comm, a, w->predictor, imported ? imported : spec, false, &w->dataset);
  if (status == LS_OK && !w->dataset->is_streamed) remove_temporary(w); /* also if the process is killed */
  free(imported);
  return status;
}

/* The predicted class. */
static size_t class_of(const work *w, const float *row) {
  if (w->is_binary) return row[0] > 0.5F;
  size_t best = 0;
  for (size_t k = 1; k < w->n_out; k++)
    if (row[k] > row[best]) best = k;
  return best;
}

/* ---------------------------------------------------------------------- HDF5 out */

static ls_status begin_hdf5(work *w) {
  const ls_modelfile *const saved = w->predictor->saved;
  const uint64_t n = w->dataset->n_samples;
  const ls_array values = {.dtype = w->restored ? LS_F64 : LS_F32, .n_dims = 2, .dims = {n, w->n_out}};
  const ls_array classes = {.dtype = LS_I32, .n_dims = w->is_multilabel ? 2 : 1, .dims = {n, w->n_out}};
  LS_TRY(ls_store_create(w->output, false, &w->writer));
  LS_TRY(ls_store_begin_array(w->writer, w->is_regression ? "/y" : "/probability", &values));
  if (w->is_regression) return LS_OK;
  LS_TRY(ls_store_begin_array(w->writer, "/class", &classes));
  if (!saved->classes) return LS_OK;
  return ls_store_write_texts(w->writer, "/class", "classes", (const char *const *)saved->classes,
                              saved->n_classes);
}

static ls_status append_hdf5(work *w, size_t rows) {
  const size_t columns = w->is_multilabel ? w->n_out : 1;
  if (w->restored) return ls_store_append(w->writer, "/y", rows, w->restored);
  if (w->is_regression) return ls_store_append(w->writer, "/y", rows, w->chunk);
  LS_TRY(ls_store_append(w->writer, "/probability", rows, w->chunk));
  int32_t *const classes = ls_calloc(rows * columns, sizeof *classes);
  if (!classes) return ls_fail_memory("the classes", rows * columns * sizeof *classes);
  for (size_t i = 0; i < rows * columns; i++)
    classes[i] = w->is_multilabel ? w->chunk[i] > 0.5F : (int32_t)class_of(w, w->chunk + i * w->n_out);
  const ls_status status = ls_store_append(w->writer, "/class", rows, classes);
  free(classes);
  return status;
}

/* ----------------------------------------------------------------------- CSV out */

/* Prints the names of the classes from `first` to `last` as one cell, separated by blanks: of those whose
 * value in the row is above 0.5, or of all if row is NULL. A cell in quotes doubles the quotes inside. */
static void print_classes(const work *w, size_t first, size_t last, const float *row) {
  FILE *const csv = w->csv.stream;
  const char *quote = "";
  const char *between = "";
  char text[32];
  for (size_t k = first; k <= last; k++)
    if ((!row || row[k] > 0.5F) && strpbrk(app_class_name(w->predictor, k, text, sizeof text), ",\"\r\n"))
      quote = "\"";
  fputs(quote, csv);
  for (size_t k = first; k <= last; k++) {
    if (row && !(row[k] > 0.5F)) continue;
    fputs(between, csv);
    for (const char *c = app_class_name(w->predictor, k, text, sizeof text); *c; c++)
      fprintf(csv, *c == '"' ? "\"\"" : "%c", *c);
    between = " ";
  }
  fputs(quote, csv);
}

static ls_status begin_csv(work *w) {
  const size_t columns = w->is_binary ? 2 : w->n_out;
  LS_TRY(ls_text_begin(&w->csv, w->output));
  if (!w->is_regression) fputs("class", w->csv.stream);
  for (size_t k = 0; k < columns; k++) {
    if (k > 0 || !w->is_regression) putc(',', w->csv.stream);
    if (w->is_regression)
      fprintf(w->csv.stream, w->n_out == 1 ? "y" : "y%zu", k);
    else
      print_classes(w, k, k, NULL);
  }
  putc('\n', w->csv.stream);
  return LS_OK;
}

static void print_row(const work *w, const float *row) {
  FILE *const csv = w->csv.stream;
  const size_t class = w->is_regression ? 0 : class_of(w, row);
  if (w->is_multilabel)
    print_classes(w, 0, w->n_out - 1, row);
  else if (!w->is_regression)
    print_classes(w, class, class, NULL);
  if (w->is_binary) fprintf(csv, ",%.9g", 1.0 - (double)row[0]);
  for (size_t k = 0; k < w->n_out; k++)
    fprintf(csv, k == 0 && w->is_regression ? "%.9g" : ",%.9g", (double)row[k]);
  putc('\n', csv);
}

static void print_restored(const work *w, const double *row) {
  for (size_t k = 0; k < w->n_out; k++) fprintf(w->csv.stream, "%s%.15g", k ? "," : "", row[k]);
  putc('\n', w->csv.stream);
}

static ls_status append_csv(work *w, size_t rows) {
  for (size_t i = 0; i < rows; i++)
    if (w->restored)
      print_restored(w, w->restored + i * w->n_out);
    else
      print_row(w, w->chunk + i * w->n_out);
  return ferror(w->csv.stream) ? ls_fail(LS_ERR_OUTPUT, "%s: %s", w->output, strerror(errno)) : LS_OK;
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
    if (app_is_root(w->comm)) status = w->csv.stream ? append_csv(w, rows) : append_hdf5(w, rows);
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
  const ls_task task = w->predictor->job->task;
  w->n_out = w->predictor->job->model->n_out;
  w->is_regression = task == LS_TASK_REGRESSION;
  w->is_binary = task == LS_TASK_LABELS && w->n_out == 1;
  w->is_multilabel = task == LS_TASK_LABELS && w->n_out > 1;
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
  return app_ends_with(w->output, (const char *const[]){".csv", NULL}) ? begin_csv(w) : begin_hdf5(w);
}

static ls_status run(ls_comm *comm, const arguments *a) {
  work w = {.comm = comm, .arguments = a};
  ls_status status = ls_math_threads_set(ls_comm_threads(comm));
  if (status == LS_OK)
    status = app_read_output(a, (const char *const[]){".h5", ".hdf5", ".csv", NULL}, &w.output);
  if (status == LS_OK && app_is_root(comm)) status = app_check_output(a, w.output);
  if (status == LS_OK && app_is_root(comm)) ls_store_remove_abandoned(w.output);
  status = ls_comm_agree(comm, status);
  if (status == LS_OK) status = ls_predictor_create(comm, a->positional[0], &w.predictor);
  if (status == LS_OK) status = open_data(&w, a);
  if (status == LS_OK) status = ls_comm_agree(comm, prepare(&w));
  if (status == LS_OK) status = predict_all(&w);
  if (status == LS_OK && w.writer) status = ls_store_publish(&w.writer);
  status = ls_text_end(&w.csv, status);
  status = ls_comm_agree(comm, status);
  if (status == LS_OK)
    ls_log(LS_LOG_INFO, "%s: predictions for %llu samples", w.output,
           (unsigned long long)w.dataset->n_samples);
  ls_store_discard(&w.writer);
  free(w.own);
  free(w.chunk);
  free(w.restored);
  ls_batch_destroy(&w.batch);
  ls_dataset_close(comm, &w.dataset);
  remove_temporary(&w);
  ls_predictor_destroy(&w.predictor);
  return status;
}

const command app_predict = {
    .name = "predict",
    .operands = "MODEL.h5 DATA[:GROUP]",
    .help = "write a model's predictions for HDF5 or CSV data",
    .details =
        "HDF5 output has /probability (N, K) and /class (N), or /y (N, K) for a regression. CSV output\n"
        "has the header `class,<class names>`; one sigmoid output is written as two classes. CSV data "
        "with\n"
        "a header may have columns that the model does not use; features are found by name.",
    .options = {{"output", 'o', "OUT.h5|OUT.csv", "file to write"},
                OPTION_X,
                OPTION_MEMORY,
                {"y", 0, "NAME", "name of the array of targets, which predictions do not need"},
                OPTIONS_TABLE("CSV: columns to ignore because they are labels")},
    .run = run};
