/* The task of a loss, and the targets that it needs. */
#include "lockstep/job.h"

ls_task ls_task_of(ls_loss loss) {
  if (loss == LS_CATEGORICAL_CROSS_ENTROPY) return LS_TASK_CLASSES;
  return loss == LS_BINARY_CROSS_ENTROPY ? LS_TASK_LABELS : LS_TASK_REGRESSION;
}

ls_target_kind ls_target_of(ls_loss loss) {
  if (loss == LS_CATEGORICAL_CROSS_ENTROPY) return LS_TARGET_CLASSES;
  return loss == LS_BINARY_CROSS_ENTROPY ? LS_TARGET_LABELS : LS_TARGET_VALUES;
}
