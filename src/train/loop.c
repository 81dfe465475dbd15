/* The loop: the start, the steps, and the end of a run. */
#include "internal.h"

#include <limits.h>
#include <string.h>

/* ----------------------------------------------------------------------- the start */

/* Rank 0: opens the run directory for writing. */
static ls_status open_dir(trainer *t) {
  const ls_job *const job = t->setup->job;
  LS_TRY(ls_saver_create(job->model, job->optim, t->progress.n_sums, &t->saves.saver));
  LS_TRY(train_check_space(t));
  LS_TRY(ls_rundir_lock(&t->dir));
  if (t->start.removes_run) LS_TRY(ls_rundir_remove_run(&t->dir));
  return ls_rundir_open(&t->dir, t->config);
}

/* Collective. A run that is resumed from a checkpoint other than its newest saves that state again. */
static ls_status save_start(trainer *t) {
  if (!t->is_resumed || t->saves.step == t->progress.step) return LS_OK;
  if (train_is_finished(t)) return train_save_final(t);
  LS_TRY(train_save_checkpoint(t));
  return train_wait_for_saves(t);
}

/* Rank 0. Removes what is later than the checkpoint of the run, when that is saved: rows only when no later
 * checkpoint can be resumed any more. */
static ls_status go_back(const trainer *t) {
  if (t->start.goes_back) LS_TRY(ls_checkpoint_remove_from(t->dir.checkpoints, t->progress.step + 1));
  LS_TRY(train_reset_rows(t));
  return train_reset_events(t);
}

/* Collective. Prepares the first step. */
static ls_status begin(trainer *t) {
  char log[PATH_MAX];
  LS_TRY(ls_comm_agree(t->comm, t->is_root ? open_dir(t) : LS_OK));
  snprintf(log, sizeof log, "%s/train.log", t->setup->job->train.output);
  ls_comm_set_log(t->comm, log); /* every rank writes the error that ends it to this file */
  LS_TRY(train_report_start(t));
  LS_TRY(ls_comm_agree(t->comm, t->is_root ? train_restore_model(t) : LS_OK));
  LS_TRY(save_start(t));
  LS_TRY(ls_comm_agree(t->comm, t->is_root ? go_back(t) : LS_OK));
  return train_enable_skips(t);
}

/* ----------------------------------------------------------------------- the steps */

static bool is_due(uint64_t every, uint64_t count) {
  return every > 0 && count % every == 0;
}

/* Collective. Saves a checkpoint if the config asks for it or the best epoch so far is not saved yet. It
 * follows the row in metrics.csv, so that no row is missing after a resume; the time of its copy belongs to
 * the next epoch. The last checkpoint is left to train_save_final, as model.h5 may have to precede it. */
static ls_status save_if_due(trainer *t, bool ended_epoch) {
  const ls_checkpoint_config *const config = &t->setup->job->checkpoint;
  const train_timer timer = train_time(t);
  const bool due = train_has_unsaved_best(t) || is_due(config->every_steps, t->progress.step) ||
                   (ended_epoch && is_due(config->every_epochs, t->progress.epoch));
  if (!due || train_is_finished(t) || train_is_paused(t) || t->is_stopping) return LS_OK;
  const ls_status status = train_save_checkpoint(t);
  train_add_total(t, timer);
  return status;
}

/* Collective. Runs steps until the config asks for no more or a rank was asked to stop. */
static ls_status run_steps(trainer *t) {
  const uint64_t n = t->setup->train.view.n;
  train_reset_times(t);
  while (!train_is_finished(t) && !train_is_paused(t) && !t->is_stopping) {
    LS_TRY(train_run_step(t));
    const bool ended_epoch = t->progress.epoch_samples == n;
    if (ended_epoch) LS_TRY(train_end_epoch(t));
    LS_TRY(save_if_due(t, ended_epoch));
  }
  return LS_OK;
}

/* ------------------------------------------------------------------------- the end */

/* Collective. */
static ls_status fail_stopped(trainer *t, const ls_train_options *options) {
  bool is_late = t->deadline.is_near;
  ls_comm_broadcast(t->comm, &is_late, sizeof is_late);
  return ls_fail(
      LS_STOPPED,
      "stopped by %s at step %llu (epoch %llu), saved in %s; to resume, on any number of ranks, run: %s",
      is_late ? "train.max_time" : "a signal", (unsigned long long)t->progress.step,
      (unsigned long long)(t->progress.epoch + 1), t->setup->job->train.output,
      options->command ? options->command : "the same command without --overwrite and --resume");
}

static void report_early_stop(const trainer *t) {
  if (train_is_stopped_early(t))
    ls_log(LS_LOG_INFO, "stopped early: %s has not improved for %llu epochs", t->setup->job->train.monitor,
           (unsigned long long)t->progress.n_stale);
}

/* Collective. Saves the final state and reports why the run ended. */
static ls_status end(trainer *t, const ls_train_options *options) {
  const bool is_finished = train_is_finished(t);
  LS_TRY(train_save_final(t));
  if (!is_finished && train_is_paused(t)) {
    ls_log(LS_LOG_INFO, "paused after epoch %llu, saved in %s", (unsigned long long)t->progress.epoch,
           t->setup->job->train.output);
    return LS_OK;
  }
  if (t->is_stopping && !is_finished) return fail_stopped(t, options);
  report_early_stop(t);
  LS_TRY(train_test(t));
  ls_log(LS_LOG_INFO, "done: %llu epochs, %llu steps; %s/model.h5", (unsigned long long)t->progress.epoch,
         (unsigned long long)t->progress.step, t->setup->job->train.output);
  return LS_OK;
}

/* ----------------------------------------------------------------------- the whole */

/* Collective. */
static ls_status run(trainer *t, const ls_train_options *options) {
  ls_status status = begin(t);
  if (status != LS_OK) return t->is_root ? ls_rundir_abandon(&t->dir, status) : status;
  train_set_deadline(t);
  status = run_steps(t);
  ls_log_bar("");
  return status == LS_OK ? end(t, options) : status;
}

/* Collective. Ranks on different processors round differently, so the bits of a lane would depend on its
 * rank. */
static ls_status check_platforms(trainer *t) {
  const ls_digest digest = ls_digest_of(t->platform, strlen(t->platform));
  if (ls_comm_all_equal(t->comm, digest.low, digest.high)) return LS_OK;
  if (t->setup->tree)
    return ls_fail(LS_ERR_CONFIG,
                   "train.reproducible: the processors of different ranks need different kernels; all "
                   "must use the same, e.g. those of BLAS with OPENBLAS_CORETYPE=Haswell");
  ls_log(LS_LOG_WARNING, "BLAS uses different kernels on the processors of different ranks: repeated runs "
                         "agree to rounding only");
  return LS_OK;
}

/* Collective. */
static ls_status start_and_run(trainer *t, const ls_train_options *options) {
  bool is_complete = false;
  LS_TRY(check_platforms(t));
  LS_TRY(train_start_or_resume(t, options, &is_complete));
  if (!is_complete) return run(t, options);
  if (t->is_root) ls_rundir_remove_temporaries(&t->dir);
  LS_TRY(ls_comm_agree(t->comm, t->is_root ? train_restore_model(t) : LS_OK));
  report_early_stop(t);
  ls_log(LS_LOG_INFO, "%s is finished: %llu epochs, %llu steps; nothing to do", t->setup->job->train.output,
         (unsigned long long)t->progress.epoch, (unsigned long long)t->progress.step);
  return train_test(t);
}

static ls_train_result describe_result(const trainer *t) {
  const ls_progress *const p = &t->progress;
  return (ls_train_result){.is_finished = train_is_finished(t),
                           .epoch = p->epoch,
                           .best_epoch = p->best_epoch,
                           .best_value = p->best_value,
                           .seconds = p->total_seconds + p->epoch_seconds};
}

ls_status ls_train(ls_comm *comm, ls_setup *setup, const ls_train_options *options) {
  trainer t;
  LS_TRY(train_check_memory(comm, setup));
  ls_status status = train_create(&t, comm, setup);
  t.options = options;
  if (status == LS_OK && setup->job->train.diagnostics)
    status = train_diagnostics_create(comm, setup, &t.diagnostics);
  if (status == LS_OK && t.is_root) status = ls_rundir_create(&t.dir, setup->job->train.output);
  status = ls_comm_agree(comm, status);
  if (status == LS_OK) status = start_and_run(&t, options);
  if (options->result) *options->result = describe_result(&t);
  if (status != LS_OK) ls_log_note("%s%s", status == LS_STOPPED ? "" : "error: ", ls_message());
  train_destroy(&t);
  return status;
}
