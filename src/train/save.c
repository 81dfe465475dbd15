/* Saving: checkpoints, the best one, the model. */
#include "internal.h"

#include <math.h>
#include <string.h>

void train_record_saved(trainer *t, bool is_newest) {
  t->saves.step = is_newest ? t->progress.step : UINT64_MAX;
  t->saves.best_epoch = t->progress.best_epoch;
}

bool train_has_unsaved_best(const trainer *t) {
  return t->progress.best_epoch > 0 && t->progress.best_epoch != t->saves.best_epoch;
}

/* Rank 0. `slots`: the optimizer's state of all parameters; NULL: the optimizer has all of it. */
static ls_snapshot make_snapshot(const trainer *t, const float *slots) {
  const ls_setup *const setup = t->setup;
  const ls_dataset *const data = setup->train.dataset;
  const bool balanced = ls_class_weights_are_learned(setup->job);
  const bool depends_on_mode = !setup->tree && ls_comm_size(t->comm) > 1;
  return (ls_snapshot){.content = {.config = t->config,
                                   .platform = t->platform,
                                   .classes = (const char *const *)data->classes,
                                   .n_classes = data->n_classes,
                                   .features = (const char *const *)data->feature_names,
                                   .n_features = data->n_feature_names,
                                   .x = setup->facts.x,
                                   .stored = ls_dataset_stored_shape(data),
                                   .window = setup->window,
                                   .model = setup->job->model,
                                   .normalizer = setup->normalizer},
                       .optim = setup->job->optim,
                       .slots = slots,
                       .comm_mode = depends_on_mode ? ls_sync_mode_names[t->sync->mode] : NULL,
                       .n_ranks = depends_on_mode ? (uint64_t)ls_comm_size(t->comm) : 0,
                       .class_weights = balanced ? setup->class_weights : NULL,
                       .n_classes = balanced ? setup->n_classes : 0,
                       .progress = &t->progress};
}

/* Collective. If ranks update different parts, gathers the optimizer's state in the saver of rank 0, slot
 * by slot through the memory of the gradient. Returns it; otherwise, and on other ranks, NULL. */
static const float *gather_slots(trainer *t) {
  const ls_optim *const optim = t->setup->job->optim;
  const size_t n = t->setup->job->model->n_params;
  if (!ls_sync_is_divided(t->sync)) return NULL;
  float *const slots = t->is_root ? ls_saver_slots(t->saves.saver) : NULL;
  for (size_t k = 0; k < optim->n_slots; k++) {
    ls_optim_get_slot(optim, k, t->sync->grads);
    ls_sync_allgather(t->comm, t->sync);
    if (t->is_root) ls_copy(slots + k * n, t->sync->grads, n * sizeof *slots);
  }
  return slots;
}

/* Local. A step with a finite gradient may lead beyond float32, which only the next step would notice. */
static ls_status check_finite(const trainer *t) {
  const ls_job *const job = t->setup->job;
  const ls_optim *const optim = job->optim;
  double squares = ls_math_sum_squares(job->model->n_params, job->model->params) +
                   ls_math_sum_squares(job->model->n_state, job->model->state);
  for (size_t k = 0; k < optim->n_slots; k++) squares += ls_math_sum_squares(optim->n, optim->slots[k]);
  if (isfinite(squares)) return LS_OK;
  return ls_fail(
      LS_ERR_NUMERIC,
      "step %llu: parameters, running averages or the optimizer's state are not finite after it; "
      "the learning rate %g is probably too large (`lockstep lr-find` suggests one), or the data "
      "need data.normalize. The last checkpoint is untouched",
      (unsigned long long)t->progress.step, t->last_lr);
}

/* If the ranks held different bits, they would train different models. */
ls_status train_check_state(trainer *t) {
  const ls_model *const model = t->setup->job->model;
  const ls_digest digests[] = {ls_digest_of(model->params, model->n_params * sizeof *model->params),
                               ls_digest_of(model->state, model->n_state * sizeof *model->state)};
  const ls_digest digest = ls_digest_of(digests, sizeof digests);
  if (!ls_comm_all_equal(t->comm, digest.low, digest.high))
    return ls_fail(LS_ERR_INTERNAL, "step %llu: the ranks hold different parameters; they were not saved",
                   (unsigned long long)t->progress.step);
  const ls_status status = t->is_root ? ls_rundir_check_lock(&t->dir) : LS_OK;
  return ls_comm_agree(t->comm, status == LS_OK ? check_finite(t) : status);
}

ls_status train_wait_for_saves(trainer *t) {
  return ls_comm_agree(t->comm, t->is_root ? ls_saver_wait(t->saves.saver) : LS_OK);
}

/* Collective. Publishes the files that have a path in `save`, after the save in progress. */
static ls_status submit(trainer *t, const ls_save *save) {
  LS_TRY(train_check_state(t));
  LS_TRY(train_wait_for_saves(t));
  const float *const slots = gather_slots(t);
  if (t->is_root) {
    const ls_snapshot snapshot = make_snapshot(t, slots);
    ls_saver_submit(t->saves.saver, &snapshot, save);
  }
  train_record_saved(t, true);
  return LS_OK;
}

/* The files to save now, except model.h5. */
static ls_save files_due(const trainer *t) {
  const bool has_step = t->saves.step == t->progress.step;
  return (ls_save){.best = train_has_unsaved_best(t) ? t->dir.best : NULL,
                   .folder = has_step ? NULL : t->dir.checkpoints,
                   .keep = t->setup->job->checkpoint.keep,
                   .spared = t->saves.spared};
}

static void add_models(const trainer *t, ls_save *save) {
  save->model = t->dir.model;
  if (train_has_average(t)) save->average = t->dir.average;
}

ls_status train_save_checkpoint(trainer *t) {
  ls_save save = files_due(t);
  if (t->saves.step == t->progress.step) return LS_OK;
  if (train_has_unsaved_best(t) && t->setup->validation.view.n > 0) add_models(t, &save);
  return submit(t, &save);
}

ls_status train_save_final(trainer *t) {
  const bool has_best = t->setup->validation.view.n > 0 && t->progress.best_epoch > 0;
  ls_save save = files_due(t);
  if (train_has_unsaved_best(t) || !has_best) add_models(t, &save);
  const bool is_due = t->saves.step != t->progress.step || !has_best;
  LS_TRY(is_due ? submit(t, &save) : train_check_state(t));
  return train_wait_for_saves(t);
}
