/* The run directory: config.yaml, metrics.csv, train.log, and where models and checkpoints go. */
#include "internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

ls_status run_files_create(run_files *files, const char *folder) {
  *files = (run_files){.folder = ls_strdup(folder),
                       .checkpoints = ls_format("%s/checkpoints", folder),
                       .config = ls_format("%s/config.yaml", folder),
                       .metrics = ls_format("%s/metrics.csv", folder),
                       .model = ls_format("%s/model.h5", folder),
                       .best = ls_format("%s/checkpoints/best.h5", folder),
                       .log = ls_format("%s/train.log", folder)};
  if (files->folder && files->checkpoints && files->config && files->metrics && files->model &&
      files->best && files->log)
    return LS_OK;
  return ls_fail_memory("the paths of the run", strlen(folder));
}

void run_files_destroy(run_files *files) {
  if (files->log_file) {
    ls_log_tee(NULL);
    fclose(files->log_file);
  }
  free(files->folder);
  free(files->checkpoints);
  free(files->config);
  free(files->metrics);
  free(files->model);
  free(files->best);
  free(files->log);
  *files = (run_files){0};
}

static bool exists(const char *path) {
  return access(path, F_OK) == 0;
}

bool run_files_exist(const run_files *files) {
  return exists(files->config) || exists(files->model) || exists(files->checkpoints);
}

static ls_status fail_path(const char *path) {
  return ls_fail(LS_ERR_OUTPUT, "%s: %s", path, strerror(errno));
}

static ls_status remove_file(const char *path) {
  return unlink(path) == 0 || errno == ENOENT || errno == ENOTDIR ? LS_OK : fail_path(path);
}

ls_status run_files_remove(const run_files *files) {
  const char *const own[] = {files->best, files->model, files->config, files->metrics, files->log};
  ls_status status = exists(files->checkpoints) ? ls_checkpoint_prune(files->checkpoints, 0) : LS_OK;
  for (size_t i = 0; status == LS_OK && i < sizeof own / sizeof own[0]; i++) status = remove_file(own[i]);
  return status;
}

/* mkdir -p. */
static ls_status make_folder(const char *path) {
  char *const copy = ls_strdup(path);
  if (!copy) return ls_fail_memory("a path", strlen(path));
  ls_status status = LS_OK;
  for (char *p = copy + 1; status == LS_OK; p++) {
    if (*p != '/' && *p != '\0') continue;
    const char end = *p;
    *p = '\0';
    if (mkdir(copy, 0777) != 0 && errno != EEXIST)
      status = ls_fail(LS_ERR_OUTPUT, "%s: the folder can't be made: %s", copy, strerror(errno));
    *p = end;
    if (end == '\0') break;
  }
  free(copy);
  return status;
}

static ls_status write_all(FILE *file, const char *path, const char *text) {
  const bool written = fputs(text, file) >= 0 && fflush(file) == 0 && fsync(fileno(file)) == 0;
  return written ? LS_OK : fail_path(path);
}

/* Writes a small text file whole or not at all. */
static ls_status write_text(const char *path, const char *text) {
  char *const temporary = ls_format("%s.tmp-%ld", path, (long)getpid());
  if (!temporary) return ls_fail_memory("a path", strlen(path));
  FILE *const file = fopen(temporary, "w");
  ls_status status = file ? write_all(file, path, text) : fail_path(path);
  if (file && fclose(file) != 0 && status == LS_OK) status = fail_path(path);
  if (status == LS_OK && rename(temporary, path) != 0) status = fail_path(path);
  if (status != LS_OK) unlink(temporary);
  free(temporary);
  return status;
}

const char *column_name(int column, ls_task task) {
  static const char *const names[] = {"epoch",          "step",     "lr",           "train_loss",
                                      "train_accuracy", "val_loss", "val_accuracy", "samples_per_second",
                                      "seconds"};
  if (task == LS_TASK_REGRESSION && column == COLUMN_TRAIN_QUALITY) return "train_r2";
  if (task == LS_TASK_REGRESSION && column == COLUMN_VAL_QUALITY) return "val_r2";
  return names[column];
}

/* The rows of the old metrics.csv that belong to the first `epochs` epochs, after `header`; owned by the
 * caller. */
static char *kept_rows(const char *path, const char *header, uint64_t epochs) {
  char *text = ls_strdup(header);
  FILE *const file = epochs > 0 ? fopen(path, "r") : NULL;
  char *line = NULL;
  size_t size = 0;
  while (file && text && getline(&line, &size, file) > 0) {
    const uint64_t epoch = strtoull(line, NULL, 10); /* 0 for the header */
    if (epoch == 0 || epoch > epochs || !strchr(line, '\n')) continue;
    char *const longer = ls_format("%s%s", text, line);
    free(text);
    text = longer;
  }
  free(line);
  if (file) fclose(file);
  return text;
}

static ls_status reset_metrics(const run_files *files, ls_task task, uint64_t epochs) {
  char header[256] = "";
  for (int i = 0; i < COLUMNS; i++) {
    ls_append(header, sizeof header, "%s%s", column_name(i, task), i + 1 < COLUMNS ? "," : "\n");
  }
  char *const text = kept_rows(files->metrics, header, epochs);
  if (!text) return ls_fail_memory("metrics.csv", 0);
  const ls_status status = write_text(files->metrics, text);
  free(text);
  return status;
}

ls_status run_files_open(run_files *files, const char *config, ls_task task, uint64_t epochs) {
  ls_status status = make_folder(files->checkpoints);
  if (status == LS_OK) status = write_text(files->config, config);
  if (status == LS_OK) status = reset_metrics(files, task, epochs);
  if (status != LS_OK) return status;
  files->log_file = fopen(files->log, "a");
  if (!files->log_file) return fail_path(files->log);
  ls_log_tee(files->log_file);
  return LS_OK;
}

static ls_status write_row(FILE *file, const char *path, const double row[COLUMNS]) {
  char text[512] = "";
  for (int i = 0; i < COLUMNS; i++) {
    const size_t used = strlen(text);
    const bool is_count = i == COLUMN_EPOCH || i == COLUMN_STEP;
    if (!isnan(row[i])) snprintf(text + used, sizeof text - used, is_count ? "%.0f" : "%.9g", row[i]);
    strcat(text, i + 1 < COLUMNS ? "," : "\n");
  }
  return write_all(file, path, text);
}

ls_status run_files_append(const run_files *files, const double row[COLUMNS]) {
  FILE *const file = fopen(files->metrics, "a");
  if (!file) return fail_path(files->metrics);
  ls_status status = write_row(file, files->metrics, row);
  if (fclose(file) != 0 && status == LS_OK) status = fail_path(files->metrics);
  return status;
}
