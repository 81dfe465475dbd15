/* lockstep predict. */
#include "lockstep/import.h"

#include "command.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Where predictions go: one of the two. Rank 0's. */
typedef struct sink {
  ls_store_writer *writer;
  ls_text_file csv; /* its stream is NULL where it is not a table */
  const char *path;
} sink;

typedef struct predictor {
  ls_comm *comm;
  ls_predictor *loaded;
  ls_dataset *dataset;
  ls_batch *batch;
  sink sink;
  float *chunk; /* (chunk_rows, n_out), owned: predictions of all ranks, summed with zeros */
  size_t chunk_rows;
} predictor;

bool ends_with(const char *text, const char *end) {
  const size_t n = strlen(text);
  const size_t m = strlen(end);
  return n >= m && strcmp(text + n - m, end) == 0;
}

static bool is_table(const char *path) {
  static const char *const ends[] = {".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz", NULL};
  for (size_t i = 0; ends[i]; i++)
    if (ends_with(path, ends[i])) return true;
  return false;
}

/* ------------------------------------------------------------------- tables */

/* Rank 0: a table's features into a temporary data set, whose path is *out. */
static ls_status import_table(const ls_predictor *loaded, const char *path, char **out) {
  const char *const folder = getenv("TMPDIR");
  *out = ls_format("%s/lockstep-predict-XXXXXX", folder ? folder : "/tmp");
  if (!*out) return ls_fail_memory("a path", 0);
  const int reserved = mkstemp(*out); /* the data set then takes its place */
  if (reserved < 0) return ls_fail(LS_ERR_OUTPUT, "%s: %s", *out, strerror(errno));
  close(reserved);
  const ls_import_options options = {.output = *out,
                                     .label = "",
                                     .columns = (const char *const *)loaded->saved->features,
                                     .n_columns = loaded->saved->n_features};
  ls_import_summary summary;
  const ls_status status = ls_import(&path, 1, &options, &summary);
  const size_t n_in = loaded->job->model->n_in;
  if (status != LS_OK || summary.features == n_in) return status;
  return ls_fail(LS_ERR_DATA, "%s: it has %llu columns; the model takes %zu features", path,
                 (unsigned long long)summary.features, n_in);
}

/* Collective. The data, from HDF5 or through a temporary data set from a table. */
static ls_status open_data(predictor *p, const char *spec) {
  char *temporary = NULL;
  ls_status status = LS_OK;
  if (is_table(spec)) {
    status = ls_comm_agree(p->comm, prints(p->comm) ? import_table(p->loaded, spec, &temporary) : LS_OK);
    if (status == LS_OK)
      status = open_data_for(p->comm, p->loaded, temporary ? temporary : spec, false, &p->dataset);
  } else {
    status = open_data_for(p->comm, p->loaded, spec, false, &p->dataset);
  }
  if (temporary) unlink(temporary);
  free(temporary);
  return status;
}

/* ------------------------------------------------------------------- output */

static bool is_regression(const predictor *p) {
  return p->loaded->job->task == LS_TASK_REGRESSION;
}

/* One sigmoid output stands for two classes. */
static bool is_binary(const predictor *p) {
  return p->loaded->job->task == LS_TASK_LABELS && p->loaded->job->model->n_out == 1;
}

/* Several sigmoid outputs: each is a label of its own. */
static bool is_multilabel(const predictor *p) {
  return p->loaded->job->task == LS_TASK_LABELS && p->loaded->job->model->n_out > 1;
}

static ls_status fail_csv(const sink *s) {
  return ls_fail(LS_ERR_OUTPUT, "%s: %s", s->path, strerror(errno));
}

static ls_status begin_hdf5(predictor *p) {
  ls_store_writer **const writer = &p->sink.writer;
  const ls_modelfile *const saved = p->loaded->saved;
  const size_t n_out = p->loaded->job->model->n_out;
  const uint64_t n = p->dataset->n_samples;
  const ls_array values = {.dtype = LS_F32, .n_dims = 2, .dims = {n, n_out}};
  const ls_array classes = {.dtype = LS_I32, .n_dims = is_multilabel(p) ? 2 : 1, .dims = {n, n_out}};
  ls_status status = ls_store_create(p->sink.path, false, writer);
  if (status == LS_OK)
    status = ls_store_begin_array(*writer, is_regression(p) ? "/y" : "/probability", &values);
  if (status != LS_OK || is_regression(p)) return status;
  status = ls_store_begin_array(*writer, "/class", &classes);
  if (status == LS_OK && saved->classes)
    status = ls_store_write_texts(*writer, "/class", "classes", (const char *const *)saved->classes,
                                  saved->n_classes);
  return status;
}

static bool needs_quotes(const char *text) {
  return strpbrk(text, ",\"\r\n") != NULL;
}

/* A text inside quotes, which it has twice. */
static void print_quoted(FILE *out, const char *text) {
  for (const char *c = text; *c; c++) fprintf(out, *c == '"' ? "\"\"" : "%c", *c);
}

/* A CSV cell, quoted where it must be. */
static void print_cell(FILE *out, const char *text) {
  const char *const quote = needs_quotes(text) ? "\"" : "";
  fputs(quote, out);
  print_quoted(out, text);
  fputs(quote, out);
}

static ls_status begin_csv(predictor *p) {
  sink *const s = &p->sink;
  const size_t n_out = p->loaded->job->model->n_out;
  const size_t columns = is_binary(p) ? 2 : n_out;
  char text[32];
  const ls_status status = ls_text_begin(&s->csv, s->path);
  if (status != LS_OK) return status;
  FILE *const csv = s->csv.stream;
  if (!is_regression(p)) fputs("class", csv);
  for (size_t k = 0; k < columns; k++) {
    if (k > 0 || !is_regression(p)) putc(',', csv);
    if (is_regression(p))
      fprintf(csv, n_out == 1 ? "y" : "y%zu", k);
    else
      print_cell(csv, class_name(p->loaded->saved, k, text, sizeof text));
  }
  putc('\n', csv);
  return LS_OK;
}

static size_t best_of(const predictor *p, const float *row) {
  if (is_binary(p)) return row[0] > 0.5F;
  size_t best = 0;
  for (size_t k = 1; k < p->loaded->job->model->n_out; k++)
    if (row[k] > row[best]) best = k;
  return best;
}

/* A cell with the labels that hold, separated by blanks. */
static void print_labels(const predictor *p, const float *row) {
  const size_t n_out = p->loaded->job->model->n_out;
  const char *quote = "";
  const char *between = "";
  char text[32];
  for (size_t k = 0; k < n_out; k++)
    if (row[k] > 0.5F && needs_quotes(class_name(p->loaded->saved, k, text, sizeof text))) quote = "\"";
  fputs(quote, p->sink.csv.stream);
  for (size_t k = 0; k < n_out; k++) {
    if (!(row[k] > 0.5F)) continue;
    fputs(between, p->sink.csv.stream);
    print_quoted(p->sink.csv.stream, class_name(p->loaded->saved, k, text, sizeof text));
    between = " ";
  }
  fputs(quote, p->sink.csv.stream);
}

static void print_row(const predictor *p, const float *row) {
  FILE *const csv = p->sink.csv.stream;
  const size_t n_out = p->loaded->job->model->n_out;
  char text[32];
  if (is_multilabel(p))
    print_labels(p, row);
  else if (!is_regression(p))
    print_cell(csv, class_name(p->loaded->saved, best_of(p, row), text, sizeof text));
  if (is_binary(p)) fprintf(csv, ",%.9g", 1.0 - (double)row[0]);
  for (size_t k = 0; k < n_out; k++)
    fprintf(csv, k == 0 && is_regression(p) ? "%.9g" : ",%.9g", (double)row[k]);
  putc('\n', csv);
}

static ls_status append_classes(predictor *p, size_t rows) {
  const size_t n_out = p->loaded->job->model->n_out;
  const size_t columns = is_multilabel(p) ? n_out : 1;
  int32_t *const classes = ls_calloc(rows * columns, sizeof *classes);
  if (!classes) return ls_fail_memory("the classes", rows * columns * sizeof *classes);
  for (size_t i = 0; i < rows; i++)
    for (size_t k = 0; k < columns; k++)
      classes[i * columns + k] =
          is_multilabel(p) ? p->chunk[i * n_out + k] > 0.5F : (int32_t)best_of(p, p->chunk + i * n_out);
  const ls_status status = ls_store_append(p->sink.writer, "/class", rows, classes);
  free(classes);
  return status;
}

/* Rank 0: a chunk of predictions to the output. */
static ls_status append(predictor *p, size_t rows) {
  const size_t n_out = p->loaded->job->model->n_out;
  if (p->sink.csv.stream) {
    for (size_t i = 0; i < rows; i++) print_row(p, p->chunk + i * n_out);
    return ferror(p->sink.csv.stream) ? fail_csv(&p->sink) : LS_OK;
  }
  const ls_status status =
      ls_store_append(p->sink.writer, is_regression(p) ? "/y" : "/probability", rows, p->chunk);
  return status == LS_OK && !is_regression(p) ? append_classes(p, rows) : status;
}

static ls_status finish(sink *s) {
  if (s->writer) return ls_store_publish(&s->writer);
  return ls_text_end(&s->csv, LS_OK);
}

/* After a failure nothing is left behind. */
static void sink_destroy(sink *s) {
  ls_store_discard(&s->writer);
  (void)ls_text_end(&s->csv, LS_ERR_OUTPUT);
}

/* ------------------------------------------------------------------ predicting */

/* This rank's rows of a chunk that begins at `first`, put at their place in it. */
static void predict_shard(predictor *p, uint64_t first, size_t rows) {
  ls_model *const model = p->loaded->job->model;
  const ls_shard shard = ls_shard_of(rows, ls_comm_rank(p->comm), ls_comm_size(p->comm));
  const size_t lanes[] = {0, shard.rows};
  const ls_pass pass = {.n_lanes = 1, .lanes = lanes};
  memset(p->chunk, 0, p->chunk_rows * model->n_out * sizeof *p->chunk);
  for (size_t i = 0; i < shard.rows; i++) p->batch->samples[i] = first + shard.first + i;
  ls_batch_gather(p->batch, p->dataset, p->loaded->normalizer, shard.rows);
  ls_model_forward(model, &pass, p->batch->x);
  float *const mine = p->chunk + shard.first * model->n_out;
  memcpy(mine, ls_model_predict(model, shard.rows), shard.rows * model->n_out * sizeof *mine);
  ls_normalizer_restore_targets(p->loaded->normalizer, shard.rows, mine);
}

/* Collective. Chunk by chunk, so that memory does not grow with the data. */
static ls_status predict_all(predictor *p) {
  const size_t n_out = p->loaded->job->model->n_out;
  ls_status status = LS_OK;
  for (uint64_t first = 0; status == LS_OK && first < p->dataset->n_samples; first += p->chunk_rows) {
    const size_t rows = ls_size_min(p->chunk_rows, p->dataset->n_samples - first);
    predict_shard(p, first, rows);
    ls_comm_sum_f32(p->comm, p->chunk, rows * n_out); /* one rank has each number, the others 0 */
    status = ls_comm_agree(p->comm, prints(p->comm) ? append(p, rows) : LS_OK);
  }
  return status;
}

/* Local. Room, and the output begun on rank 0. */
static ls_status prepare(predictor *p, const char *output) {
  p->chunk_rows = (size_t)LS_EVALUATE_ROWS * (size_t)ls_comm_size(p->comm);
  p->chunk = ls_calloc(p->chunk_rows * p->loaded->job->model->n_out, sizeof *p->chunk);
  if (!p->chunk) return ls_fail_memory("predictions", p->chunk_rows * sizeof *p->chunk);
  ls_status status = ls_batch_create(p->dataset, LS_EVALUATE_ROWS, &p->batch);
  p->sink.path = output;
  if (status != LS_OK || !prints(p->comm)) return status;
  return ends_with(output, ".csv") ? begin_csv(p) : begin_hdf5(p);
}

static ls_status check_output(const char *output) {
  if (!output)
    return ls_fail(LS_ERR_CONFIG, "-o OUT.h5 or -o OUT.csv is missing; see lockstep predict --help");
  if (ends_with(output, ".csv") || ends_with(output, ".h5") || ends_with(output, ".hdf5")) return LS_OK;
  return ls_fail(LS_ERR_CONFIG, "-o %s: the name must end with .h5, .hdf5 or .csv", output);
}

ls_status check_inputs(const char *output, const char *model, const char *data) {
  char *file = NULL;
  char *group = NULL;
  ls_status status = ls_spec_split(data, &file, &group);
  if (status == LS_OK && (ls_same_file(output, model) || ls_same_file(output, file)))
    status = ls_fail(LS_ERR_CONFIG, "-o %s is the model or the data themselves; give another name", output);
  free(file);
  free(group);
  return status;
}

static ls_status run(ls_comm *comm, const arguments *a) {
  const char *const output = argument_of(&command_predict, a, "output");
  predictor p = {.comm = comm};
  ls_math_threads_set(ls_comm_threads(comm));
  ls_status status = ls_comm_agree(comm, check_output(output));
  if (status == LS_OK)
    status = ls_comm_agree(comm,
                           prints(comm) ? check_inputs(output, a->positional[0], a->positional[1]) : LS_OK);
  if (status == LS_OK) status = ls_predictor_create(comm, a->positional[0], &p.loaded);
  if (status == LS_OK) status = open_data(&p, a->positional[1]);
  if (status == LS_OK) status = ls_comm_agree(comm, prepare(&p, output));
  if (status == LS_OK) status = predict_all(&p);
  if (status == LS_OK) status = ls_comm_agree(comm, prints(comm) ? finish(&p.sink) : LS_OK);
  if (status == LS_OK)
    ls_log(LS_LOG_INFO, "%s: predictions for %llu samples", output,
           (unsigned long long)p.dataset->n_samples);
  sink_destroy(&p.sink);
  free(p.chunk);
  ls_batch_destroy(&p.batch);
  ls_dataset_close(comm, &p.dataset);
  ls_predictor_destroy(&p.loaded);
  return status;
}

const command command_predict = {.name = "predict",
                                 .operands = "MODEL.h5 DATA[:GROUP]",
                                 .help = "writes a model's predictions for HDF5 or CSV data",
                                 .details = "HDF5 output has /probability (N, K) and /class (N), for "
                                            "regression /y (N, K). CSV output has a header\n"
                                            "`class,<class names>`; one sigmoid output is written as two "
                                            "classes. A CSV with a header may have more\n"
                                            "columns than the model takes: they are found by name.",
                                 .least = 2,
                                 .most = 2,
                                 .options = {{.name = "output",
                                              .letter = 'o',
                                              .takes_value = true,
                                              .value_name = "OUT.h5|OUT.csv",
                                              .help = "the file to write"}},
                                 .run = run};
