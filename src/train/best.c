/* best.h5 and model.h5 of a run that is resumed. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

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

/* Rank 0. Makes a model of best.h5, with the parameters of a group. */
static ls_status restore(const trainer *t, const ls_modelfile *best, const char *group, const char *path) {
  LS_TRY(ls_modelfile_copy_model(best, t->setup->job->model, group, t->setup->normalizer, path));
  ls_log(LS_LOG_INFO, "%s: restored from %s", path, t->dir.best);
  return LS_OK;
}

#define AVERAGE "/optimizer/" LS_OPTIM_AVERAGE

/* Rank 0. *is_same: whether model-ema.h5 has the average of best.h5. */
static ls_status compare_average(const trainer *t, const ls_modelfile *best, bool *is_same) {
  const ls_model *const model = t->setup->job->model;
  ls_modelfile *saved = NULL;
  float *const values = ls_calloc(2 * model->n_params, sizeof *values);
  ls_status status = values ? LS_OK : ls_fail_memory("a model file", model->n_params * sizeof *values);
  *is_same = false;
  if (status == LS_OK) status = ls_modelfile_try_open(t->dir.average, &saved);
  if (saved) {
    const ls_segment *const segments = model->segments;
    status = ls_modelfile_read_segments(best, AVERAGE, model->n_segments, segments, values);
    if (status == LS_OK)
      *is_same = ls_modelfile_read_segments(saved, "/model", model->n_segments, segments,
                                            values + model->n_params) == LS_OK &&
                 memcmp(values, values + model->n_params, model->n_params * sizeof *values) == 0;
  }
  ls_modelfile_close(&saved);
  free(values);
  return status;
}

/* Rank 0. Makes model-ema.h5 that of best.h5, which may have been saved without an average. */
static ls_status restore_average(const trainer *t, const ls_modelfile *best) {
  bool is_same = false;
  if (!ls_store_has_attribute(best->store, "/optimizer", LS_OPTIM_AVERAGE)) {
    ls_log(LS_LOG_INFO, "%s: the best epoch so far was before train.ema; there is no average of it",
           t->dir.folder);
    return ls_store_remove(t->dir.average);
  }
  LS_TRY(compare_average(t, best, &is_same));
  return is_same ? LS_OK : restore(t, best, AVERAGE, t->dir.average);
}

ls_status train_restore_model(const trainer *t) {
  ls_modelfile *best = NULL;
  const bool has_best = t->setup->validation.view.n > 0 && t->progress.best_epoch > 0;
  const bool needs_average = has_best && train_has_average(t) && ls_rundir_exists(t->dir.best);
  if (!train_has_average(t)) LS_TRY(ls_store_remove(t->dir.average));
  if (!t->lacks_model && !needs_average) return LS_OK;
  ls_status status = ls_modelfile_open(t->dir.best, &best);
  if (status == LS_OK && t->lacks_model) status = restore(t, best, "/model", t->dir.model);
  if (status == LS_OK && needs_average) status = restore_average(t, best);
  ls_modelfile_close(&best);
  return status;
}
