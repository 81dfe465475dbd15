/* The columns of metrics.csv: the fixed ones, and one for each entry of `metrics:`. */
#include "internal.h"

#include <string.h>

int ls_columns_count(const ls_job *job) {
  return LS_COLUMNS_FIXED + (int)job->measures.n;
}

const char *ls_column_name(const ls_job *job, int column) {
  static const char *const names[LS_COLUMNS_FIXED] = {
      "epoch",          "step",     "lr",           "train_loss",
      "train_accuracy", "val_loss", "val_accuracy", "samples_per_second",
      "seconds"};
  const bool is_regression = job->task == LS_TASK_REGRESSION;
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
  if (column >= LS_COLUMNS_FIXED)
    return job_measure_is_maximized(&job->measures.list[column - LS_COLUMNS_FIXED]);
  return column == LS_COLUMN_TRAIN_QUALITY || column == LS_COLUMN_VAL_QUALITY ||
         column == LS_COLUMN_SAMPLES_PER_SECOND;
}
