/* The columns of metrics.csv: the fixed ones, and one for each of `metrics:`. */
#include "internal.h"

#include <string.h>

int train_columns(const ls_job *job) {
  return COLUMNS + (int)job->measures.n;
}

const char *train_column_name(const ls_job *job, int column) {
  static const char *const names[COLUMNS] = {
      "epoch",          "step",     "lr",           "train_loss",
      "train_accuracy", "val_loss", "val_accuracy", "samples_per_second",
      "seconds"};
  const bool is_regression = job->task == LS_TASK_REGRESSION;
  if (column >= COLUMNS) return job->measures.list[column - COLUMNS].column;
  if (is_regression && column == COLUMN_TRAIN_QUALITY) return "train_r2";
  if (is_regression && column == COLUMN_VAL_QUALITY) return "val_r2";
  return names[column];
}

int train_column_find(const ls_job *job, const char *name) {
  for (int i = 0; i < train_columns(job); i++)
    if (strcmp(train_column_name(job, i), name) == 0) return i;
  return -1;
}

bool train_column_is_maximized(const ls_job *job, int column) {
  if (column >= COLUMNS) return train_measure_is_maximized(&job->measures.list[column - COLUMNS]);
  return column == COLUMN_TRAIN_QUALITY || column == COLUMN_VAL_QUALITY ||
         column == COLUMN_SAMPLES_PER_SECOND;
}
