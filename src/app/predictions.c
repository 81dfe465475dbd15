/* The output of `predict`. */
#include "predictions.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const format_names[] = {
    [PREDICTIONS_H5] = "h5", [PREDICTIONS_CSV] = "csv", [PREDICTIONS_NPY] = "npy", NULL};

static bool is_stdout(const predictions *p) {
  return strcmp(p->path, "-") == 0;
}

ls_status app_predictions_read(const arguments *a, predictions *out) {
  static const char *const endings[] = {".h5", ".hdf5", ".csv", ".npy", NULL};
  const bool has_format = app_option(a, "format") != NULL;
  const char *const path = app_option(a, "output");
  const bool is_named = path && strcmp(path, "-") != 0;
  LS_TRY(app_read_output(a, is_named && !has_format ? endings : NULL, &out->path));
  out->format = PREDICTIONS_H5;
  if (!is_named || app_ends_with(path, &endings[2])) out->format = PREDICTIONS_CSV;
  if (is_named && app_ends_with(path, &endings[3])) out->format = PREDICTIONS_NPY;
  LS_TRY(app_read_choice(a, "format", format_names, &out->format));
  if (is_named || out->format == PREDICTIONS_CSV) return LS_OK;
  return ls_fail(LS_ERR_CONFIG, "--format %s: only csv can be written to standard output; name a file",
                 format_names[out->format]);
}

void app_predictions_claim_stdout(predictions *p) {
  ls_log_spare_stdout();
  p->stream = stdout;
}

/* The predicted class. */
static size_t class_of(const predictions *p, const float *row) {
  if (p->is_binary) return row[0] > 0.5F;
  size_t best = 0;
  for (size_t k = 1; k < p->n_out; k++)
    if (row[k] > row[best]) best = k;
  return best;
}

/* Local. Opens the text file, unless the stream is standard output. */
static ls_status open_stream(predictions *p) {
  if (p->stream) return LS_OK;
  LS_TRY(ls_text_begin(&p->file, p->path));
  p->stream = p->file.stream;
  return LS_OK;
}

static ls_status check_stream(const predictions *p) {
  if (!ferror(p->stream)) return LS_OK;
  return ls_fail(LS_ERR_OUTPUT, "%s: %s", is_stdout(p) ? "standard output" : p->path, strerror(errno));
}

/* -------------------------------------------------------------------------- HDF5 */

static ls_status begin_hdf5(predictions *p) {
  const ls_modelfile *const saved = p->predictor->saved;
  const uint64_t n = p->n_samples;
  const ls_array values = {.dtype = p->is_restored ? LS_F64 : LS_F32, .n_dims = 2, .dims = {n, p->n_out}};
  const ls_array classes = {.dtype = LS_I32, .n_dims = p->is_multilabel ? 2 : 1, .dims = {n, p->n_out}};
  LS_TRY(ls_store_create(p->path, false, &p->writer));
  LS_TRY(ls_store_begin_array(p->writer, p->is_regression ? "/y" : "/probability", &values));
  if (p->is_regression) return LS_OK;
  LS_TRY(ls_store_begin_array(p->writer, "/class", &classes));
  if (!saved->classes) return LS_OK;
  return ls_store_write_texts(p->writer, "/class", "classes", (const char *const *)saved->classes,
                              saved->n_classes);
}

static ls_status append_classes(predictions *p, size_t rows, const float *values) {
  const size_t columns = p->is_multilabel ? p->n_out : 1;
  int32_t *const classes = ls_calloc(rows * columns, sizeof *classes);
  if (!classes) return ls_fail_memory("the classes", rows * columns * sizeof *classes);
  for (size_t i = 0; i < rows * columns; i++)
    classes[i] = p->is_multilabel ? values[i] > 0.5F : (int32_t)class_of(p, values + i * p->n_out);
  const ls_status status = ls_store_append(p->writer, "/class", rows, classes);
  free(classes);
  return status;
}

static ls_status append_hdf5(predictions *p, size_t rows, const float *values, const double *restored) {
  if (p->is_restored) return ls_store_append(p->writer, "/y", rows, restored);
  if (p->is_regression) return ls_store_append(p->writer, "/y", rows, values);
  LS_TRY(ls_store_append(p->writer, "/probability", rows, values));
  return append_classes(p, rows, values);
}

/* --------------------------------------------------------------------------- CSV */

/* Prints the names of the classes from `first` to `last` as one cell, separated by blanks: of those whose
 * value in the row is above 0.5, or of all if row is NULL. A cell in quotes doubles the quotes inside. */
static void print_classes(const predictions *p, size_t first, size_t last, const float *row) {
  FILE *const csv = p->stream;
  const char *quote = "";
  const char *between = "";
  char text[32];
  for (size_t k = first; k <= last; k++)
    if ((!row || row[k] > 0.5F) && strpbrk(app_class_name(p->predictor, k, text, sizeof text), ",\"\r\n"))
      quote = "\"";
  fputs(quote, csv);
  for (size_t k = first; k <= last; k++) {
    if (row && !(row[k] > 0.5F)) continue;
    fputs(between, csv);
    for (const char *c = app_class_name(p->predictor, k, text, sizeof text); *c; c++)
      fprintf(csv, *c == '"' ? "\"\"" : "%c", *c);
    between = " ";
  }
  fputs(quote, csv);
}

static ls_status begin_csv(predictions *p) {
  const size_t columns = p->is_binary ? 2 : p->n_out;
  LS_TRY(open_stream(p));
  if (!p->is_regression) fputs("class", p->stream);
  for (size_t k = 0; k < columns; k++) {
    if (k > 0 || !p->is_regression) putc(',', p->stream);
    if (p->is_regression)
      fprintf(p->stream, p->n_out == 1 ? "y" : "y%zu", k);
    else
      print_classes(p, k, k, NULL);
  }
  putc('\n', p->stream);
  return LS_OK;
}

static void print_row(const predictions *p, const float *row) {
  FILE *const csv = p->stream;
  const size_t class = p->is_regression ? 0 : class_of(p, row);
  if (p->is_multilabel)
    print_classes(p, 0, p->n_out - 1, row);
  else if (!p->is_regression)
    print_classes(p, class, class, NULL);
  if (p->is_binary) fprintf(csv, ",%.9g", 1.0 - (double)row[0]);
  for (size_t k = 0; k < p->n_out; k++)
    fprintf(csv, k == 0 && p->is_regression ? "%.9g" : ",%.9g", (double)row[k]);
  putc('\n', csv);
}

static void print_restored(const predictions *p, const double *row) {
  for (size_t k = 0; k < p->n_out; k++) fprintf(p->stream, "%s%.15g", k ? "," : "", row[k]);
  putc('\n', p->stream);
}

static ls_status append_csv(predictions *p, size_t rows, const float *values, const double *restored) {
  for (size_t i = 0; i < rows; i++)
    if (p->is_restored)
      print_restored(p, restored + i * p->n_out);
    else
      print_row(p, values + i * p->n_out);
  return check_stream(p);
}

/* ------------------------------------------------------------------------- NumPy */

#define NPY_START 10 /* bytes before the header's text: magic word, version, length */
#define NPY_ALIGN 64 /* of the values */

/* The header of version 1.0 of the format (numpy.lib.format). */
static ls_status begin_npy(predictions *p) {
  char text[2 * NPY_ALIGN] = "";
  ls_append(text, sizeof text, "{'descr': '<f%d', 'fortran_order': False, 'shape': (%llu, %zu), }",
            p->is_restored ? 8 : 4, (unsigned long long)p->n_samples, p->n_out);
  const size_t used = NPY_START + strlen(text) + 1;
  const size_t length = (used + NPY_ALIGN - 1) / NPY_ALIGN * NPY_ALIGN - NPY_START;
  LS_TRY(open_stream(p));
  fwrite("\x93NUMPY\x01\x00", 1, 8, p->stream);
  putc((int)(length & 0xFF), p->stream);
  putc((int)(length >> 8), p->stream);
  fprintf(p->stream, "%-*s\n", (int)length - 1, text);
  return check_stream(p);
}

static ls_status append_npy(predictions *p, size_t rows, const float *values, const double *restored) {
  if (p->is_restored)
    fwrite(restored, sizeof *restored, rows * p->n_out, p->stream);
  else
    fwrite(values, sizeof *values, rows * p->n_out, p->stream);
  return check_stream(p);
}

/* ------------------------------------------------------------------- all formats */

ls_status app_predictions_begin(predictions *p) {
  const ls_task task = p->predictor->job->task;
  p->n_out = p->predictor->job->model->n_out;
  p->is_regression = task == LS_TASK_REGRESSION;
  p->is_binary = task == LS_TASK_LABELS && p->n_out == 1;
  p->is_multilabel = task == LS_TASK_LABELS && p->n_out > 1;
  p->is_restored = p->predictor->normalizer->targets != NULL;
  switch (p->format) {
  case PREDICTIONS_CSV: return begin_csv(p);
  case PREDICTIONS_NPY: return begin_npy(p);
  default: return begin_hdf5(p);
  }
}

ls_status app_predictions_append(predictions *p, size_t rows, const float *values, const double *restored) {
  switch (p->format) {
  case PREDICTIONS_CSV: return append_csv(p, rows, values, restored);
  case PREDICTIONS_NPY: return append_npy(p, rows, values, restored);
  default: return append_hdf5(p, rows, values, restored);
  }
}

ls_status app_predictions_end(predictions *p, ls_status status) {
  if (status == LS_OK && p->writer) status = ls_store_publish(&p->writer);
  ls_store_discard(&p->writer);
  if (p->stream && p->stream != p->file.stream) {
    const bool is_written = fflush(p->stream) == 0 && !ferror(p->stream);
    if (!is_written && status == LS_OK)
      status = ls_fail(LS_ERR_OUTPUT, "standard output: %s", strerror(errno));
  }
  p->stream = NULL;
  return ls_text_end(&p->file, status);
}
