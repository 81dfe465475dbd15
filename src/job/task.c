/* The task of a loss, and the targets that it needs. */
#include "lockstep/job.h"

ls_task ls_task_of(ls_loss loss) {
  const ls_activation link = ls_loss_link(loss);
  if (link == LS_SOFTMAX) return LS_TASK_CLASSES;
  return link == LS_SIGMOID ? LS_TASK_LABELS : LS_TASK_REGRESSION;
}

ls_target_kind ls_target_of(ls_loss loss) {
  static const ls_target_kind kinds[] = {[LS_TASK_CLASSES] = LS_TARGET_CLASSES,
                                         [LS_TASK_LABELS] = LS_TARGET_LABELS,
                                         [LS_TASK_REGRESSION] = LS_TARGET_VALUES};
  return kinds[ls_task_of(loss)];
}
