/* best.h5 and model.h5 of a run that is resumed. */
#include "internal.h"

ls_status train_ignore_mismatch(ls_status status) {
  return status == LS_ERR_INTERNAL ? status : LS_OK;
}

ls_status train_find_model(const trainer *t, const ls_modelfile *other, bool *found) {
  ls_modelfile *model = NULL;
  const ls_status status = ls_modelfile_try_open(t->dir.model, &model);
  ls_status compared = LS_OK;
  *found = model != NULL;
  if (*found && other) compared = ls_modelfile_same_model(model, other, t->setup->job->model, found);
  ls_modelfile_close(&model);
  return status == LS_OK ? train_ignore_mismatch(compared) : status;
}

/* Without validation, model.h5 has the final weights and exists only when the run has ended. */
ls_status train_find_best(trainer *t, bool *found) {
  ls_modelfile *best = NULL;
  ls_progress progress = {0};
  ls_status status = ls_modelfile_try_open(t->dir.best, &best);
  const bool is_checkpoint = best && best->is_checkpoint;
  if (status == LS_OK && is_checkpoint) status = ls_checkpoint_read_progress(best, &progress);
  *found = status == LS_OK && is_checkpoint && progress.best_epoch == t->progress.best_epoch &&
           progress.best_value == t->progress.best_value;
  bool has_model = true;
  if (*found && t->setup->validation.view.n > 0) status = train_find_model(t, best, &has_model);
  t->lacks_model = !has_model;
  ls_modelfile_close(&best);
  return status;
}

ls_status train_restore_model(const trainer *t) {
  ls_modelfile *best = NULL;
  if (!t->lacks_model) return LS_OK;
  ls_status status = ls_modelfile_open(t->dir.best, &best);
  if (status == LS_OK)
    status = ls_modelfile_copy_model(best, t->setup->job->model, t->setup->normalizer, t->dir.model);
  if (status == LS_OK) ls_log(LS_LOG_INFO, "%s: restored from %s", t->dir.model, t->dir.best);
  ls_modelfile_close(&best);
  return status;
}
