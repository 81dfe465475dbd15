/* The loop: epochs, and the end of a run. */
#include "internal.h"

#include <limits.h>
#include <math.h>
#include <string.h>

static double speed(const trainer *t, double seconds) {
  return (double)t->setup->train.view.n / seconds;
}

/* Collective. The row of the epoch that just ended. Its time is rank 0's for all, as it may decide what is
 * best. */
static void make_row(trainer *t, epoch_row *out) {
  const ls_setup *const setup = t->setup;
  double *const row = out->values;
  out->n = ls_columns_count(setup->job);
  for (int i = LS_COLUMNS_FIXED; i < out->n; i++) row[i] = NAN;
  row[LS_COLUMN_EPOCH] = (double)t->progress.epoch;
  row[LS_COLUMN_STEP] = (double)t->progress.step;
  row[LS_COLUMN_LR] = t->last_lr;
  row[LS_COLUMN_TRAIN_LOSS] = ls_metric_loss(t->epoch_metric);
  row[LS_COLUMN_TRAIN_QUALITY] = ls_metric_quality(t->epoch_metric);
  row[LS_COLUMN_VAL_LOSS] = row[LS_COLUMN_VAL_QUALITY] = NAN;
  row[LS_COLUMN_SECONDS] = t->progress.epoch_seconds;
  row[LS_COLUMN_SAMPLES_PER_SECOND] = speed(t, t->progress.epoch_seconds);
  if (setup->validation.view.n > 0) {
    ls_evaluate(t->comm, setup->tree, setup->job->model, setup->normalizer, &setup->validation.view,
                setup->validation.batch, t->validation_metric);
    row[LS_COLUMN_VAL_LOSS] = ls_metric_loss(t->validation_metric);
    row[LS_COLUMN_VAL_QUALITY] = ls_metric_quality(t->validation_metric);
    ls_measures_values(&setup->job->measures, t->validation_metric, row + LS_COLUMNS_FIXED);
  }
  ls_comm_broadcast(t->comm, out, sizeof *out);
}

/* Local, and the same on all ranks. */
static ls_status check_validation(const trainer *t, const epoch_row *row) {
  const bool is_measured = t->setup->validation.view.n > 0 && ls_metric_weight(t->validation_metric) > 0.0;
  if (!is_measured || isfinite(row->values[LS_COLUMN_VAL_LOSS])) return LS_OK;
  return ls_fail(LS_ERR_NUMERIC,
                 "epoch %.0f: the validation loss is not finite; the last checkpoint is untouched",
                 row->values[LS_COLUMN_EPOCH]);
}

/* Local, and the same on all ranks. The best epoch so far is to be saved. */
static void mark_best(trainer *t, const epoch_row *row) {
  t->is_new_best = train_is_best(t, row);
  if (!t->is_new_best) return;
  t->progress.best_epoch = t->progress.epoch;
  t->progress.best_value = row->values[train_monitored(t)];
}

/* Rank 0: appends a row; a NaN leaves its column empty. */
static ls_status append_row(const char *path, const epoch_row *row) {
  FILE *file = NULL;
  const ls_status status = ls_rundir_begin_rows(path, &file);
  for (int i = 0; status == LS_OK && i < row->n; i++) {
    const bool is_count = i == LS_COLUMN_EPOCH || i == LS_COLUMN_STEP;
    if (!isnan(row->values[i])) fprintf(file, is_count ? "%.0f" : "%.9g", row->values[i]);
    fputs(i + 1 < row->n ? "," : "\n", file);
  }
  return status == LS_OK ? ls_rundir_end_rows(path, file) : status;
}

/* Collective. After the last step of an epoch: evaluation, whether it is the best, metrics.csv. */
static ls_status end_epoch(trainer *t) {
  epoch_row row = {0};
  ls_progress *const progress = &t->progress;
  ls_status status = train_check_state(t);
  if (status != LS_OK) return status;
  progress->epoch++;
  progress->epoch_samples = 0;
  progress->total_seconds += progress->epoch_seconds;
  make_row(t, &row);
  ls_metric_reset(t->epoch_metric);
  progress->epoch_seconds = 0.0;
  status = check_validation(t, &row);
  if (status != LS_OK) return status;
  train_update_monitor(t, &row);
  mark_best(t, &row);
  train_report_epoch(t, &row);
  status = train_diagnose(t);
  if (status != LS_OK) return status;
  t->times = (times){.communication = t->sync->seconds};
  return ls_comm_agree(t->comm, t->is_root ? append_row(t->files.metrics, &row) : LS_OK);
}

static bool is_due(uint64_t every, uint64_t count) {
  return every > 0 && count % every == 0;
}

/* Collective. A checkpoint where the config asks for one, or the best epoch so far is to be saved. It
 * follows the row of metrics.csv, so that none is missing, and the time of its copy is the next epoch's.
 * The last one is save_final's, as model.h5 may have to go before it. */
static ls_status save_if_due(trainer *t, bool ended_epoch) {
  const ls_checkpoint_config *const config = &t->setup->job->checkpoint;
  const double start = ls_clock();
  const bool due = t->is_new_best || is_due(config->every_steps, t->progress.step) ||
                   (ended_epoch && is_due(config->every_epochs, t->progress.epoch));
  if (!due || train_is_finished(t) || t->wants_stop) return LS_OK;
  const ls_status status = train_save_checkpoint(t);
  train_count_time(t, start);
  return status;
}

/* Collective. Steps until the config asks for no more, or a signal asks to stop. */
static ls_status run_steps(trainer *t) {
  const ls_setup *const setup = t->setup;
  const uint64_t n = setup->train.view.n;
  ls_order_begin(setup->order, t->progress.epoch);
  t->times.communication = t->sync->seconds;
  while (!train_is_finished(t) && !t->wants_stop) {
    ls_status status = train_run_step(t);
    const bool ended_epoch = t->progress.epoch_samples == n;
    if (status == LS_OK && ended_epoch) status = end_epoch(t);
    if (status == LS_OK) status = save_if_due(t, ended_epoch);
    if (status != LS_OK) return status;
    if (ended_epoch) ls_order_begin(setup->order, t->progress.epoch);
  }
  return LS_OK;
}

static void report_test(const trainer *t) {
  const ls_job *const job = t->setup->job;
  const ls_metric *const metric = t->validation_metric;
  double values[LS_MEASURES_MAX];
  char more[48 * LS_MEASURES_MAX] = "";
  ls_measures_values(&job->measures, metric, values);
  ls_measures_describe(&job->measures, values, false, more, sizeof more);
  ls_log(LS_LOG_INFO, "test: loss %.4f  %s %.4f%s  (%s)", ls_metric_loss(metric),
         ls_metric_quality_name(job->task), ls_metric_quality(metric), more, t->files.model);
}

/* Collective. The test data, with model.h5. */
static ls_status test_model(trainer *t) {
  ls_setup *const setup = t->setup;
  ls_modelfile *saved = NULL;
  if (setup->test.view.n == 0) return LS_OK;
  ls_status status = ls_comm_agree(t->comm, t->is_root ? ls_modelfile_open(t->files.model, &saved) : LS_OK);
  if (status == LS_OK)
    status = ls_checkpoint_restore(t->comm, saved, setup->job->model, setup->normalizer, NULL, NULL);
  if (status == LS_OK) {
    ls_evaluate(t->comm, setup->tree, setup->job->model, setup->normalizer, &setup->test.view,
                setup->test.batch, t->validation_metric);
    report_test(t);
  }
  ls_modelfile_close(&saved);
  return status;
}

/* Collective. Saves where the run stands and says why it ended. */
static ls_status end_run(trainer *t) {
  const bool stopped = t->wants_stop && !train_is_finished(t);
  ls_status status = train_save_final(t);
  if (status != LS_OK) return status;
  ls_comm_broadcast(t->comm, &t->is_late, sizeof t->is_late);
  if (stopped)
    return ls_fail(LS_STOPPED,
                   "stopped by %s at step %llu (epoch %llu), saved in %s; run the same command again "
                   "to go on",
                   t->is_late ? "train.max_time" : "a signal", (unsigned long long)t->progress.step,
                   (unsigned long long)(t->progress.epoch + 1), t->setup->job->train.output);
  if (train_is_stopped_early(t))
    ls_log(LS_LOG_INFO, "stopped early: %s was no better for %llu epochs", t->setup->job->train.monitor,
           (unsigned long long)t->progress.n_stale);
  status = test_model(t);
  if (status == LS_OK)
    ls_log(LS_LOG_INFO, "done: %llu epochs, %llu steps; %s/model.h5", (unsigned long long)t->progress.epoch,
           (unsigned long long)t->progress.step, t->setup->job->train.output);
  return status;
}

/* Rank 0: the folder, from here on. */
static ls_status open_files(trainer *t, const ls_train_options *options) {
  const ls_job *const job = t->setup->job;
  ls_status status = ls_saver_create(job->model, job->optim, t->progress.n_sums, &t->saver);
  if (status == LS_OK) status = train_check_room(t, options->overwrite);
  if (status == LS_OK) status = ls_rundir_lock(&t->files);
  if (status == LS_OK && options->overwrite) status = ls_rundir_remove_run(&t->files);
  if (status == LS_OK) status = ls_rundir_open(&t->files, t->config);
  return status;
}

/* Local, on each rank: the log is where it leaves its last words. */
static void set_log(const trainer *t) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/train.log", t->setup->job->train.output);
  ls_comm_set_log(t->comm, path);
}

/* Collective. Where a run goes on from a checkpoint that is not its newest as it stands, it becomes that.
 */
static ls_status save_start(trainer *t) {
  if (!t->goes_on || t->saved_step == t->progress.step) return LS_OK;
  if (train_is_finished(t)) return train_save_final(t);
  const ls_status status = train_save_checkpoint(t);
  return status == LS_OK ? train_settle_saves(t) : status;
}

/* Rank 0: the rows of the finished epochs. */
static ls_status reset_rows(const trainer *t) {
  const ls_job *const job = t->setup->job;
  const char *names[LS_COLUMNS_MAX];
  const int n = ls_columns_count(job);
  for (int i = 0; i < n; i++) names[i] = ls_column_name(job, i);
  const ls_status status = ls_rundir_reset_metrics(&t->files, names, (size_t)n, t->progress.epoch);
  const bool has_more = job->train.diagnostics || ls_rundir_has_diagnostics(&t->files);
  return status == LS_OK && has_more ? ls_rundir_reset_diagnostics(&t->files, t->progress.epoch) : status;
}

/* Collective. What comes before the first step. Rows that are later than the checkpoint are dropped once no
 * other one can be gone on from. */
static ls_status begin(trainer *t, const ls_train_options *options) {
  ls_status status = ls_comm_agree(t->comm, t->is_root ? open_files(t, options) : LS_OK);
  if (status != LS_OK) return status;
  set_log(t);
  status = train_report_start(t);
  t->started = ls_clock();
  t->started_samples = t->progress.samples;
  if (status == LS_OK) status = ls_comm_agree(t->comm, t->is_root ? train_remake_model(t) : LS_OK);
  if (status == LS_OK) status = save_start(t);
  if (status == LS_OK) status = ls_comm_agree(t->comm, t->is_root ? reset_rows(t) : LS_OK);
  return status == LS_OK ? train_allow_skips(t) : status;
}

/* Collective. The steps that are left, and the end. */
static ls_status run(trainer *t, const ls_train_options *options) {
  ls_status status = begin(t, options);
  if (status != LS_OK) return t->is_root ? ls_rundir_abandon(&t->files, status) : status;
  train_set_deadline(t);
  status = run_steps(t);
  ls_log_bar("");
  return status == LS_OK ? end_run(t) : status;
}

/* Collective. Ranks on unlike processors round otherwise, and a lane's bits then depend on who holds it. */
static ls_status check_platforms(trainer *t) {
  const ls_digest digest = ls_digest_of(t->platform, strlen(t->platform));
  if (ls_comm_all_equal(t->comm, digest.low, digest.high)) return LS_OK;
  if (t->setup->tree)
    return ls_fail(LS_ERR_CONFIG, "train.reproducible: the ranks run on processors for which BLAS has "
                                  "other kernels: give all of them "
                                  "the same, e.g. by OPENBLAS_CORETYPE=Haswell");
  ls_log(LS_LOG_WARNING,
         "the ranks run on processors for which BLAS has other kernels: a run repeats to rounding only");
  return LS_OK;
}

/* Collective. */
static ls_status start_and_run(trainer *t, const ls_train_options *options) {
  bool is_complete = false;
  ls_status status = check_platforms(t);
  if (status == LS_OK) status = train_start_or_resume(t, options, &is_complete);
  if (status != LS_OK) return status;
  if (is_complete) {
    if (t->is_root) ls_rundir_remove_temporaries(&t->files);
    ls_log(LS_LOG_INFO, "%s is finished: %llu epochs, %llu steps; nothing to do",
           t->setup->job->train.output, (unsigned long long)t->progress.epoch,
           (unsigned long long)t->progress.step);
    return test_model(t);
  }
  return run(t, options);
}

ls_status ls_train(ls_comm *comm, ls_setup *setup, const ls_train_options *options) {
  trainer t;
  ls_status status = trainer_create(&t, comm, setup);
  if (status == LS_OK && setup->job->train.diagnostics) status = diagnostics_create(setup, &t.diagnostics);
  if (status == LS_OK && t.is_root) status = ls_rundir_create(&t.files, setup->job->train.output);
  status = ls_comm_agree(comm, status);
  if (status == LS_OK) status = start_and_run(&t, options);
  if (status != LS_OK) ls_log_note("%s%s", status == LS_STOPPED ? "" : "error: ", ls_message());
  trainer_destroy(&t);
  return status;
}
