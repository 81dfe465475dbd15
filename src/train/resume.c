/* The start of a run: a new one, or one that is resumed from a checkpoint. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* -------------------------------------------------------------- choice of the start */

/* Whether a file is in a folder, however their paths are written. */
static bool is_inside(const char *file, const char *folder) {
  char *const path = realpath(file, NULL);
  char *const slash = path ? strrchr(path, '/') : NULL;
  if (slash) *slash = '\0';
  const bool inside = slash && ls_same_file(path, folder);
  free(path);
  return inside;
}

/* The number of times that Slurm has restarted this job. */
static unsigned long count_restarts(void) {
  const char *const text = getenv("SLURM_RESTART_COUNT");
  return text ? strtoul(text, NULL, 10) : 0;
}

/* Rank 0: how the options are to be understood. In a requeued job, what they ask for at the start of a run
 * was done at the first start, unless no checkpoint is left to resume and a FILE names one. */
static ls_train_options interpret(trainer *t, const ls_train_options *options, bool has_steps) {
  const bool is_auto = strcmp(options->resume, "auto") == 0;
  const bool is_file = !is_auto && strcmp(options->resume, "never") != 0;
  ls_train_options result = *options;
  t->start.is_requeued = count_restarts() > 0;
  if (t->start.is_requeued && (options->overwrite || !is_auto) && (has_steps || !is_file)) {
    const char *const what = is_auto              ? "--overwrite is"
                             : options->overwrite ? "--overwrite and --resume are"
                                                  : "--resume is";
    ls_log(LS_LOG_WARNING,
           "%s ignored, as this job was requeued (SLURM_RESTART_COUNT is %lu) and resumes its own run",
           what, count_restarts());
    result.resume = "auto";
    result.overwrite = false;
  }
  t->start.is_auto = strcmp(result.resume, "auto") == 0 && !result.overwrite;
  return result;
}

/* Rank 0: LS_ERR_OUTPUT if the directory has a run that a resume from `file` would replace. `newest`: the
 * newest step there. */
static ls_status check_place(const trainer *t, const char *file, uint64_t step, uint64_t newest,
                             bool is_own) {
  if (newest > step)
    return ls_fail(
        LS_ERR_OUTPUT,
        "%s: the directory has a checkpoint of step %llu, later than step %llu of %s; resume it "
        "without --resume, or add --overwrite to remove the later checkpoints, or choose another "
        "output",
        t->dir.folder, (unsigned long long)newest, (unsigned long long)step, file);
  if (is_own || t->start.is_requeued || !ls_rundir_exists(t->dir.checkpoints)) return LS_OK;
  return ls_fail(
      LS_ERR_OUTPUT,
      "%s: the directory has a run already, and %s is not one of its checkpoints; resume that run "
      "without --resume, or remove it with --overwrite, or choose another output",
      t->dir.folder, file);
}

/* Rank 0: decides what is removed and what is spared in a resume from `file`. */
static ls_status choose_file(trainer *t, const char *file, bool overwrites, uint64_t newest,
                             const ls_modelfile *saved) {
  ls_progress progress = {0};
  const bool is_own = is_inside(file, t->dir.checkpoints);
  LS_TRY(ls_checkpoint_read_progress(saved, &progress));
  if (!overwrites) LS_TRY(check_place(t, file, progress.step, newest, is_own));
  char *const place = ls_checkpoint_path(t->dir.checkpoints, progress.step);
  if (!place) return ls_fail_memory("a path", strlen(file));
  t->start.is_unchanged = ls_same_file(file, place);
  t->start.removes_run = overwrites && !is_own;
  t->start.goes_back = overwrites && is_own;
  if (is_own) t->saves.spared = progress.step;
  free(place);
  return LS_OK;
}

/* Rank 0: the checkpoint to resume, NULL for a new run. */
static ls_status choose_checkpoint(trainer *t, const ls_train_options *given, ls_modelfile **out) {
  uint64_t newest = 0;
  bool has_steps = false;
  *out = NULL;
  LS_TRY(ls_rundir_lock_existing(&t->dir));
  LS_TRY(ls_checkpoint_newest(t->dir.checkpoints, &newest, &has_steps));
  const ls_train_options options = interpret(t, given, has_steps);
  const char *const resume = options.resume;
  const bool has_run = ls_rundir_has_run(&t->dir);
  const bool is_file = strcmp(resume, "auto") != 0 && strcmp(resume, "never") != 0;
  if (has_run && strcmp(resume, "never") == 0 && !options.overwrite)
    return ls_fail(LS_ERR_OUTPUT,
                   "%s: the directory has a run already; resume it with --resume auto, or remove it with "
                   "--overwrite",
                   t->dir.folder);
  t->start.removes_run = options.overwrite;
  if (!is_file && !t->start.is_auto) return LS_OK;
  /* A log that cannot be written is reported only if the run continues: a finished run may be read-only. */
  if (has_run && !options.overwrite) (void)ls_rundir_open_log(&t->dir);
  if (is_file) *out = ls_modelfile_take(options.found, resume);
  if (is_file && !*out) LS_TRY(ls_modelfile_open(resume, out));
  if (!is_file) LS_TRY(ls_checkpoint_find(t->dir.checkpoints, options.found, out));
  if (!*out) return LS_OK;
  LS_TRY(train_check_compatible(t, *out));
  if (is_file) return choose_file(t, resume, options.overwrite, newest, *out);
  t->start.goes_back = !(*out)->is_newest;
  t->start.is_unchanged = (*out)->is_newest;
  return LS_OK;
}

/* Rank 0: the checkpoint to resume. A new run must not replace the file of --init-from. */
static ls_status choose_start(trainer *t, const ls_train_options *options, ls_modelfile **out) {
  const char *const source = options->init_from;
  LS_TRY(choose_checkpoint(t, options, out));
  if (*out || !source) return LS_OK;
  if (!ls_same_file(source, t->dir.model) && !ls_same_file(source, t->dir.average) &&
      !is_inside(source, t->dir.checkpoints))
    return LS_OK;
  return ls_fail(LS_ERR_CONFIG,
                 "--init-from: %s: a new run in %s would replace that file; choose another output, or copy "
                 "the file",
                 source, t->dir.folder);
}

/* Rank 0: the checkpoint that choose_checkpoint will find. */
static ls_status find_resumed(const char *output, const ls_train_options *options, ls_modelfile **out) {
  const bool is_auto = strcmp(options->resume, "auto") == 0;
  const bool is_requeued = count_restarts() > 0;
  if ((is_auto && !options->overwrite) || is_requeued) {
    char *const folder = ls_format("%s/checkpoints", output);
    const ls_status status =
        folder ? ls_checkpoint_try_find(folder, out) : ls_fail_memory("a path", strlen(output));
    free(folder);
    if (status != LS_OK) return status;
  }
  if (is_auto || *out || strcmp(options->resume, "never") == 0) return LS_OK;
  if (ls_modelfile_try_open(options->resume, out) != LS_OK) ls_modelfile_close(out);
  return LS_OK;
}

ls_status ls_train_find_resumed(ls_comm *comm, ls_job *job, const ls_train_options *options,
                                ls_modelfile **out) {
  ls_window_size *const window = &job->data.window;
  *out = NULL;
  const bool is_root = ls_comm_rank(comm) == 0;
  LS_TRY(ls_comm_agree(comm, is_root ? find_resumed(job->train.output, options, out) : LS_OK));
  if (*out && !window->is_given) *window = (ls_window_size){.is_given = true, .samples = (*out)->window};
  ls_comm_broadcast(comm, window, sizeof *window);
  return LS_OK;
}

/* -------------------------------------------------------------------------- state */

/* The fingerprints of the data now. That of all training data is kept if they are not in memory now. */
static void record_data(trainer *t) {
  const ls_dataset *const train = t->setup->train.dataset;
  const ls_dataset *const validation = t->setup->validation.dataset;
  ls_progress *const p = &t->progress;
  if (ls_digest_is_known(train->fingerprint)) p->data = train->fingerprint;
  p->data_selection = train->selection;
  p->blocks = t->setup->window > 0 ? ls_blocks_digest(train->blocks) : (ls_digest){0};
  p->validation = validation ? validation->fingerprint : (ls_digest){0};
  p->validation_selection = validation ? validation->selection : (ls_digest){0};
}

/* Collective. Initial parameters: random, or from another model. */
static ls_status start_new(trainer *t, const ls_train_options *options) {
  const ls_setup *const setup = t->setup;
  if (setup->is_resumed)
    return ls_fail(LS_ERR_MODEL,
                   "%s: the checkpoint that was to be resumed has disappeared; run the command again",
                   setup->job->train.output);
  bool has_source = options->init_from != NULL;
  ls_comm_broadcast(t->comm, &has_source, sizeof has_source);
  train_initialise(t);
  t->progress.seed = setup->job->train.seed;
  if (has_source) LS_TRY(train_init_from(t, options));
  ls_optim_reset_average(setup->job->optim, setup->job->model->params);
  return LS_OK;
}

/* Rank 0: the mode in which gradients were summed on this number of ranks. If it is unknown, any mode if no
 * steps are left, else LS_SYNC_AUTO. */
static ls_sync_mode find_mode(const trainer *t, const ls_modelfile *saved) {
  ls_progress p = {0};
  if (saved && ls_checkpoint_read_progress(saved, &p) != LS_OK)
    return LS_SYNC_ALLREDUCE; /* ls_checkpoint_restore reports the error */
  const ls_train_config *const train = &t->setup->job->train;
  const bool is_at_end = p.epoch >= train->epochs || (train->has_max_steps && p.step >= train->max_steps);
  if (saved && saved->comm_mode && saved->n_ranks == (uint64_t)ls_comm_size(t->comm))
    for (int mode = 0; ls_sync_mode_names[mode]; mode++)
      if (strcmp(ls_sync_mode_names[mode], saved->comm_mode) == 0) return (ls_sync_mode)mode;
  return is_at_end ? LS_SYNC_ALLREDUCE : LS_SYNC_AUTO;
}

/* Collective. `saved`: on rank 0 the checkpoint to resume, or NULL. */
static ls_status set_state(trainer *t, const ls_train_options *options, const ls_modelfile *saved) {
  const ls_setup *const setup = t->setup;
  ls_job *const job = setup->job;
  bool is_resumed = saved != NULL;
  ls_comm_broadcast(t->comm, &is_resumed, sizeof is_resumed);
  LS_TRY(train_choose_mode(t, find_mode(t, saved)));
  t->is_resumed = is_resumed;
  if (!is_resumed) return start_new(t, options);
  return ls_checkpoint_restore(t->comm, saved, job->model, setup->normalizer, job->optim, &t->progress);
}

/* ------------------------------------------------------------------------ the best */

/* Rank 0: whether a run whose checkpoint says that it is finished has its model.h5: with the final state,
 * or with the best epoch by the same measure. If best.h5 is lost, the model.h5 that exists must do. */
static ls_status check_complete(const trainer *t, const ls_modelfile *saved, bool is_same, bool *complete) {
  const bool has_best = t->setup->validation.view.n > 0 && t->progress.best_epoch > 0;
  *complete = false;
  if (!train_is_finished(t) || t->lacks_model || (has_best && !is_same)) return LS_OK;
  return train_find_model(t, has_best ? NULL : saved, complete);
}

/* Rank 0: no best.h5 of the best epoch was found. */
static void forget_best(trainer *t) {
  ls_log(LS_LOG_WARNING,
         "%s: no best.h5 matches this checkpoint and train.monitor; the best epoch is chosen from the "
         "remaining epochs",
         t->dir.folder);
  t->progress.best_epoch = 0;
}

/* Rank 0: decides whether the run is complete, and whether its best epoch is known. *is_newest: the state
 * need not be saved again. */
static ls_status examine(trainer *t, const ls_train_options *options, const ls_modelfile *saved,
                         bool *is_complete, bool *is_newest) {
  const uint64_t best_epoch = t->progress.best_epoch;
  bool is_same = false;
  bool found = false;
  LS_TRY(train_compare_monitor(t, saved, &is_same));
  if (is_same)
    LS_TRY(train_find_best(t, &found));
  else
    train_reset_monitor(t);
  if (train_is_finished(t)) LS_TRY(train_check_finished(t, saved, is_same));
  if (t->start.is_auto) LS_TRY(check_complete(t, saved, is_same, is_complete));
  if (options->init_from)
    ls_log(LS_LOG_INFO, "--init-from %s is ignored, as %s has a checkpoint", options->init_from,
           t->dir.folder);
  if (!*is_complete && !found && best_epoch > 0) forget_best(t);
  if (!*is_complete)
    ls_log(LS_LOG_INFO, "resuming from %s: epoch %llu, step %llu", ls_store_path(saved->store),
           (unsigned long long)(t->progress.epoch + 1), (unsigned long long)t->progress.step);
  train_log_changes(t, saved);
  /* --resume FILE leaves FILE as it is; a resume from it finds the same best epoch as this one. */
  const bool has_same_best = t->progress.best_epoch == best_epoch || !t->start.is_auto;
  *is_newest = t->start.is_unchanged && has_same_best;
  return LS_OK;
}

/* Collective. Sends rank 0's decisions to all ranks. */
static void broadcast_decisions(trainer *t, bool *is_complete, bool *is_newest) {
  double *const sums = t->progress.sums;
  ls_comm_broadcast(t->comm, &t->progress, sizeof t->progress);
  t->progress.sums = sums;
  ls_comm_broadcast(t->comm, is_complete, sizeof *is_complete);
  ls_comm_broadcast(t->comm, is_newest, sizeof *is_newest);
}

ls_status train_start_or_resume(trainer *t, const ls_train_options *options, bool *is_complete) {
  ls_modelfile *saved = NULL;
  bool is_newest = false;
  ls_status status = ls_comm_agree(t->comm, t->is_root ? choose_start(t, options, &saved) : LS_OK);
  if (status == LS_OK) status = set_state(t, options, saved);
  if (status == LS_OK)
    status = ls_comm_agree(t->comm, saved ? examine(t, options, saved, is_complete, &is_newest) : LS_OK);
  broadcast_decisions(t, is_complete, &is_newest);
  train_record_saved(t, is_newest);
  record_data(t);
  ls_modelfile_close(&saved);
  return status;
}
