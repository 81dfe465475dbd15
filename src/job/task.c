/* The task of a loss, and the targets that it needs. */
#include "lockstep/job.h"

ls_task ls_task_of(ls_loss loss) {
  switch (loss) {
  case LS_CATEGORICAL_CROSS_ENTROPY: return LS_TASK_CLASSES;
  case LS_BINARY_CROSS_ENTROPY: return LS_TASK_LABELS;
  case LS_MSE: break;
  }
  return LS_TASK_REGRESSION;
}

ls_target_kind ls_target_of(ls_loss loss) {
  switch (loss) {
  case LS_CATEGORICAL_CROSS_ENTROPY: return LS_TARGET_CLASSES;
  case LS_BINARY_CROSS_ENTROPY: return LS_TARGET_LABELS;
  case LS_MSE: break;
  }
  return LS_TARGET_VALUES;
}
