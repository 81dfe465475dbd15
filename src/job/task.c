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

bool ls_job_same_loss(const ls_job *a, const ls_job *b) {
  const ls_loss_options *const x = &a->model->loss_options;
  const ls_loss_options *const y = &b->model->loss_options;
  return a->train.loss == b->train.loss && x->label_smoothing == y->label_smoothing &&
         x->delta == y->delta && x->gamma == y->gamma && x->alpha == y->alpha;
}
