/* The run directory: config.yaml, metrics.csv, train.log, and where models and checkpoints go. */
#include "internal.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

ls_status run_files_create(run_files *files, const char *output) {
  size_t length = strlen(output);
  while (length > 1 && output[length - 1] == '/') length--;
  char folder[PATH_MAX];
  snprintf(folder, sizeof folder, "%.*s", (int)length, output);
  *files = (run_files){.folder = ls_strdup(folder),
                       .checkpoints = ls_format("%s/checkpoints", folder),
                       .config = ls_format("%s/config.yaml", folder),
                       .metrics = ls_format("%s/metrics.csv", folder),
                       .diagnostics = ls_format("%s/diagnostics.csv", folder),
                       .model = ls_format("%s/model.h5", folder),
                       .best = ls_format("%s/checkpoints/best.h5", folder),
                       .log = ls_format("%s/train.log", folder),
                       .lock = ls_format("%s/lock", folder),
                       .kept = length};
  if (files->folder && files->checkpoints && files->config && files->metrics && files->diagnostics &&
      files->model && files->best && files->log && files->lock)
    return LS_OK;
  return ls_fail_memory("the paths of the run", strlen(folder));
}

void run_files_destroy(run_files *files) {
  if (files->log_file) {
    ls_log_tee(NULL);
    fclose(files->log_file);
  }
  run_lock_release(files);
  if (files->folder) train_remove_empty(files->folder, files->kept);
  free(files->folder);
  free(files->checkpoints);
  free(files->config);
  free(files->metrics);
  free(files->diagnostics);
  free(files->model);
  free(files->best);
  free(files->log);
  free(files->lock);
  free(files->lock_text);
  free(files->taken_from);
  *files = (run_files){0};
}

bool run_files_exist(const run_files *files) {
  const char *const own[] = {files->config, files->model, files->checkpoints, files->metrics, files->log};
  bool found = false;
  for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) found = found || train_exists(own[i]);
  return found;
}

static ls_status remove_file(const char *path) {
  return unlink(path) == 0 || errno == ENOENT || errno == ENOTDIR ? LS_OK : train_fail_path(path);
}

void run_files_tidy(const run_files *files) {
  static const char *const own[] = {"model.h5", "config.yaml", "metrics.csv", "diagnostics.csv", "lock"};
  static const char *const saved[] = {".h5"};
  if (!files->is_locked) return;
  ls_store_remove_temporaries(files->folder, own, sizeof own / sizeof own[0]);
  ls_store_remove_temporaries(files->checkpoints, saved, 1);
}

ls_status run_files_remove(const run_files *files) {
  const char *const own[] = {files->best, files->model, files->metrics, files->diagnostics, files->log};
  ls_status status =
      train_exists(files->checkpoints) ? ls_checkpoint_prune(files->checkpoints, 0, 0) : LS_OK;
  for (size_t i = 0; status == LS_OK && i < sizeof own / sizeof own[0]; i++) status = remove_file(own[i]);
  run_files_tidy(files);
  return status;
}

/* The cells of a line, which loses its commas and its end; returns their number. */
static int split_cells(char *line, const char *cells[COLUMNS_MAX]) {
  int n = 0;
  line[strcspn(line, "\r\n")] = '\0';
  for (char *cell = line; cell && n < COLUMNS_MAX; n++) cells[n] = strsep(&cell, ",");
  return n;
}

/* Where each column's value stands in the rows below a header; -1: nowhere. */
static void read_header(char *line, const ls_job *job, int from[COLUMNS_MAX]) {
  const char *cells[COLUMNS_MAX];
  const int n = split_cells(line, cells);
  for (int i = 0; i < train_columns(job); i++) from[i] = -1;
  for (int i = 0; i < n; i++) {
    const int column = train_column_find(job, cells[i]);
    if (column >= 0) from[column] = i;
  }
}

static void copy_row(char *line, const ls_job *job, const int from[COLUMNS_MAX], FILE *out) {
  const char *cells[COLUMNS_MAX];
  const int n = split_cells(line, cells);
  for (int i = 0; i < train_columns(job); i++)
    fprintf(out, "%s%s", i > 0 ? "," : "", from[i] >= 0 && from[i] < n ? cells[from[i]] : "");
  fputc('\n', out);
}

/* Opens what an earlier part of the run has left, for reading; *out is NULL where there is nothing. */
static ls_status open_old(const char *path, FILE **out) {
  *out = fopen(path, "r");
  return *out || errno == ENOENT ? LS_OK : train_fail_path(path);
}

/* Closes it, where all its lines must have been read. */
static ls_status close_old(const char *path, FILE *old) {
  const ls_status status = !old || feof(old) ? LS_OK : train_fail_path(path);
  if (old) fclose(old);
  return status;
}

/* Copies the rows of the first `epochs` epochs, but for one cut short by a kill. Without a header they are
 * taken to have today's columns. */
static ls_status copy_rows(const char *path, const ls_job *job, uint64_t epochs, FILE *out) {
  FILE *old = NULL;
  const ls_status status = open_old(path, &old);
  char *line = NULL;
  size_t size = 0;
  int from[COLUMNS_MAX];
  for (int i = 0; i < COLUMNS_MAX; i++) from[i] = i;
  while (old && getline(&line, &size, old) > 0) {
    const uint64_t epoch = strtoull(line, NULL, 10);
    if (strncmp(line, "epoch,", 6) == 0)
      read_header(line, job, from);
    else if (epoch > 0 && epoch <= epochs && strchr(line, '\n'))
      copy_row(line, job, from, out);
  }
  free(line);
  return status == LS_OK ? close_old(path, old) : status;
}

static ls_status write_text(const char *path, const char *text) {
  ls_text_file file;
  const ls_status status = ls_text_begin(&file, path);
  if (status == LS_OK) fputs(text, file.stream);
  return ls_text_end(&file, status);
}

static ls_status reset_metrics(const run_files *files, const ls_job *job, uint64_t epochs) {
  ls_text_file file;
  ls_status status = ls_text_begin(&file, files->metrics);
  const int n = train_columns(job);
  for (int i = 0; status == LS_OK && i < n; i++)
    fprintf(file.stream, "%s%s", train_column_name(job, i), i + 1 < n ? "," : "\n");
  if (status == LS_OK && epochs > 0) status = copy_rows(files->metrics, job, epochs, file.stream);
  return ls_text_end(&file, status);
}

/* The header, and the lines of the first `epochs` epochs. */
static ls_status reset_diagnostics(const run_files *files, uint64_t epochs) {
  ls_text_file file;
  ls_status status = ls_text_begin(&file, files->diagnostics);
  FILE *old = NULL;
  char *line = NULL;
  size_t size = 0;
  if (status == LS_OK) fputs("epoch,layer,gradient_norm,weight_norm,ratio,saturated,dead\n", file.stream);
  if (status == LS_OK && epochs > 0) status = open_old(files->diagnostics, &old);
  while (status == LS_OK && old && getline(&line, &size, old) > 0) {
    const uint64_t epoch = strtoull(line, NULL, 10); /* 0 for the header */
    if (epoch > 0 && epoch <= epochs && strchr(line, '\n')) fputs(line, file.stream);
  }
  if (status == LS_OK) status = close_old(files->diagnostics, old);
  free(line);
  return ls_text_end(&file, status);
}

ls_status run_files_open_log(run_files *files) {
  if (files->log_file) return LS_OK;
  files->log_file = fopen(files->log, "a");
  if (!files->log_file) return train_fail_path(files->log);
  ls_log_tee(files->log_file);
  if (files->taken_from)
    ls_log(LS_LOG_INFO, "%s: taken over from a run that is dead: %s", files->lock, files->taken_from);
  return LS_OK;
}

ls_status run_files_open(run_files *files, const char *config) {
  files->is_new = !run_files_exist(files);
  ls_status status = train_make_folder(files->checkpoints);
  if (status == LS_OK) run_files_tidy(files);
  if (status == LS_OK) status = run_files_open_log(files);
  if (status == LS_OK) status = write_text(files->config, config);
  return status;
}

ls_status run_files_reset_rows(const run_files *files, const ls_job *job, uint64_t epochs) {
  const ls_status status = reset_metrics(files, job, epochs);
  const bool has_more = job->train.diagnostics || train_exists(files->diagnostics);
  return status == LS_OK && has_more ? reset_diagnostics(files, epochs) : status;
}

ls_status run_files_abandon(const run_files *files, ls_status status) {
  char *const message = ls_strdup(ls_message());
  if (files->is_new && files->is_locked && run_lock_check(files) == LS_OK) {
    run_files_remove(files);
    unlink(files->config);
    rmdir(files->checkpoints);
  }
  if (message) (void)ls_fail(status, "%s", message);
  free(message);
  return status;
}

ls_status run_files_append(const run_files *files, const epoch_row *row) {
  FILE *const file = fopen(files->metrics, "a");
  if (!file) return train_fail_path(files->metrics);
  for (int i = 0; i < row->n; i++) {
    const bool is_count = i == COLUMN_EPOCH || i == COLUMN_STEP;
    if (!isnan(row->values[i])) fprintf(file, is_count ? "%.0f" : "%.9g", row->values[i]);
    fputs(i + 1 < row->n ? "," : "\n", file);
  }
  const bool written = !ferror(file) && fflush(file) == 0 && fsync(fileno(file)) == 0;
  const bool closed = fclose(file) == 0;
  return written && closed ? LS_OK : train_fail_path(files->metrics);
}
