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

/* Rank 0. Makes a model of best.h5, with its averaged weights as parameters if is_average and it has any.
 */
static ls_status restore(const trainer *t, const char *path, bool is_average) {
  ls_modelfile *best = NULL;
  ls_status status = ls_modelfile_open(t->dir.best, &best);
  const char *const group = is_average ? "/optimizer/" LS_OPTIM_AVERAGE : "/model";
  const bool has_group =
      status == LS_OK &&
      (!is_average || ls_store_has_attribute(best->store, "/optimizer", LS_OPTIM_AVERAGE));
  if (has_group)
    status = ls_modelfile_copy_model(best, t->setup->job->model, group, t->setup->normalizer, path);
  if (has_group && status == LS_OK) ls_log(LS_LOG_INFO, "%s: restored from %s", path, t->dir.best);
  ls_modelfile_close(&best);
  return status;
}

ls_status train_restore_model(const trainer *t) {
  const bool has_best = t->setup->validation.view.n > 0 && t->progress.best_epoch > 0;
  const bool lacks_average = train_has_average(t) && !ls_rundir_exists(t->dir.average);
  if (t->lacks_model) LS_TRY(restore(t, t->dir.model, false));
  return has_best && lacks_average && ls_rundir_exists(t->dir.best) ? restore(t, t->dir.average, true)
                                                                    : LS_OK;
}
