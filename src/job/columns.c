/* The columns of metrics.csv: the fixed ones, one for each entry of `metrics:`, and those of train.ema. */
#include "internal.h"

#include <string.h>

int ls_columns_count(const ls_job *job) {
  return LS_COLUMNS_FIXED + (int)job->measures.n + (job->train.ema > 0.0 ? 2 : 0);
}

int ls_columns_average(const ls_job *job) {
  return job->train.ema > 0.0 ? LS_COLUMNS_FIXED + (int)job->measures.n : -1;
}

const char *ls_column_name(const ls_job *job, int column) {
  static const char *const names[LS_COLUMNS_FIXED] = {
      "epoch",          "step",     "lr",           "train_loss",
      "train_accuracy", "val_loss", "val_accuracy", "samples_per_second",
      "seconds"};
  const bool is_regression = job->task == LS_TASK_REGRESSION;
  const int average = ls_columns_average(job);
  if (average >= 0 && column == average) return "val_ema_loss";
  if (average >= 0 && column == average + 1) return is_regression ? "val_ema_r2" : "val_ema_accuracy";
  if (column >= LS_COLUMNS_FIXED) return job->measures.list[column - LS_COLUMNS_FIXED].column;
  if (is_regression && column == LS_COLUMN_TRAIN_QUALITY) return "train_r2";
  if (is_regression && column == LS_COLUMN_VAL_QUALITY) return "val_r2";
  return names[column];
}

int ls_column_find(const ls_job *job, const char *name) {
  for (int i = 0; i < ls_columns_count(job); i++)
    if (strcmp(ls_column_name(job, i), name) == 0) return i;
  return -1;
}

bool ls_column_is_maximized(const ls_job *job, int column) {
  const int average = ls_columns_average(job);
  if (average >= 0 && column >= average) return column > average;
  if (column >= LS_COLUMNS_FIXED)
    return job_measure_is_maximized(&job->measures.list[column - LS_COLUMNS_FIXED]);
  return column == LS_COLUMN_TRAIN_QUALITY || column == LS_COLUMN_VAL_QUALITY ||
         column == LS_COLUMN_SAMPLES_PER_SECOND;
}
