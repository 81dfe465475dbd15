/* The end of an epoch, and evaluation on the test data. */
#include "internal.h"

#include <math.h>

/* Collective. Fills t->evaluation from a split. */
static ls_status evaluate(trainer *t, const ls_split *split) {
  const ls_setup *const setup = t->setup;
  return ls_evaluate(t->comm, setup->tree, setup->job->model, setup->normalizer, &split->view, split->batch,
                     t->evaluation);
}

/* ---------------------------------------------------------------------------- rows */

/* Collective. Fills the columns of the averaged weights, if there are any. */
static ls_status evaluate_average(trainer *t, double *row) {
  const int column = ls_columns_average(t->setup->job);
  if (column < 0) return LS_OK;
  train_use_average(t);
  const ls_status status = evaluate(t, &t->setup->validation);
  train_use_weights(t);
  row[column] = ls_metric_loss(t->evaluation);
  row[column + 1] = ls_metric_quality(t->evaluation);
  return status;
}

/* Collective. The row of the epoch that just ended. All ranks get rank 0's times, as the monitor may use
 * them. */
static ls_status make_row(trainer *t, train_row *out) {
  const ls_setup *const setup = t->setup;
  double *const row = out->values;
  out->n = ls_columns_count(setup->job);
  for (int i = 0; i < out->n; i++) row[i] = NAN;
  row[LS_COLUMN_EPOCH] = (double)t->progress.epoch;
  row[LS_COLUMN_STEP] = (double)t->progress.step;
  row[LS_COLUMN_LR] = t->last_lr;
  row[LS_COLUMN_TRAIN_LOSS] = ls_metric_loss(t->metric);
  row[LS_COLUMN_TRAIN_QUALITY] = ls_metric_quality(t->metric);
  row[LS_COLUMN_SECONDS] = t->progress.epoch_seconds;
  row[LS_COLUMN_SAMPLES_PER_SECOND] = (double)setup->train.view.n / t->progress.epoch_seconds;
  if (setup->validation.view.n > 0) {
    LS_TRY(evaluate_average(t, row));
    LS_TRY(evaluate(t, &setup->validation));
    row[LS_COLUMN_VAL_LOSS] = ls_metric_loss(t->evaluation);
    row[LS_COLUMN_VAL_QUALITY] = ls_metric_quality(t->evaluation);
    ls_measures_values(&setup->job->measures, t->evaluation, row + LS_COLUMNS_FIXED);
  }
  ls_comm_broadcast(t->comm, out, sizeof *out);
  return LS_OK;
}

/* Rank 0: appends a row; a NaN leaves its column empty. */
static ls_status append_row(const ls_rundir *dir, const train_row *row) {
  FILE *file = NULL;
  const ls_status status = ls_rundir_begin_rows(dir, dir->metrics, &file);
  for (int i = 0; status == LS_OK && i < row->n; i++) {
    const bool is_count = i == LS_COLUMN_EPOCH || i == LS_COLUMN_STEP;
    if (!isnan(row->values[i])) fprintf(file, is_count ? "%.0f" : "%.9g", row->values[i]);
    fputs(i + 1 < row->n ? "," : "\n", file);
  }
  return status == LS_OK ? ls_rundir_end_rows(dir->metrics, file) : status;
}

/* Rank 0. */
static ls_status write_row(const trainer *t, const train_row *row) {
  LS_TRY(append_row(&t->dir, row));
  return train_write_events(t, row);
}

ls_status train_reset_rows(const trainer *t) {
  static const char *const diagnostics[] = {"epoch", "layer",     "gradient_norm", "weight_norm",
                                            "ratio", "saturated", "dead"};
  const size_t n_diagnostics = sizeof diagnostics / sizeof diagnostics[0];
  const ls_job *const job = t->setup->job;
  const char *names[LS_COLUMNS_MAX];
  const int n = ls_columns_count(job);
  for (int i = 0; i < n; i++) names[i] = ls_column_name(job, i);
  LS_TRY(ls_rundir_reset_rows(t->dir.metrics, names, (size_t)n, t->progress.epoch));
  if (!job->train.diagnostics && !ls_rundir_exists(t->dir.diagnostics)) return LS_OK;
  return ls_rundir_reset_rows(t->dir.diagnostics, diagnostics, n_diagnostics, t->progress.epoch);
}

/* ----------------------------------------------------------------------- the epoch */

/* Local, with the same result on all ranks. */
static ls_status check_validation(const trainer *t, const train_row *row) {
  const bool is_measured = t->setup->validation.view.n > 0 && ls_metric_weight(t->evaluation) > 0.0;
  if (!is_measured || isfinite(row->values[LS_COLUMN_VAL_LOSS])) return LS_OK;
  return ls_fail(LS_ERR_NUMERIC,
                 "epoch %.0f: the validation loss is not finite; the last checkpoint is untouched",
                 row->values[LS_COLUMN_EPOCH]);
}

/* Collective. The log proves that each block is read once. */
static void report_reading(trainer *t) {
  const uint64_t epoch = t->progress.epoch; /* after the one that ended */
  ls_reading reading;
  if (ls_feed_reading(t->comm, t->setup->feed, epoch - 1, &reading))
    ls_log_note("epoch %llu: read %llu blocks of the training data, of which an epoch has %llu, and waited "
                "%.2f s for them",
                (unsigned long long)epoch, (unsigned long long)reading.blocks,
                (unsigned long long)ls_view_n_blocks(&t->setup->train.view), reading.waited);
}

ls_status train_end_epoch(trainer *t) {
  train_row row = {0};
  LS_TRY(train_check_state(t));
  t->progress.epoch++;
  t->progress.epoch_samples = 0;
  LS_TRY(make_row(t, &row));
  train_warn_targets(t);
  ls_metric_reset(t->metric);
  t->progress.total_seconds += t->progress.epoch_seconds;
  t->progress.epoch_seconds = 0.0;
  LS_TRY(check_validation(t, &row));
  train_update_monitor(t, &row);
  train_report_epoch(t, &row);
  report_reading(t);
  ls_setup_report_cache(t->comm, t->setup);
  LS_TRY(train_diagnose(t));
  train_reset_times(t);
  return ls_comm_agree(t->comm, t->is_root ? write_row(t, &row) : LS_OK);
}

/* ------------------------------------------------------------------------ test data */

static void report_test(const trainer *t, const char *model, bool is_average) {
  const ls_job *const job = t->setup->job;
  double values[LS_MEASURES_MAX];
  char more[48 * LS_MEASURES_MAX] = "";
  ls_measures_values(&job->measures, t->evaluation, values);
  ls_measures_describe(&job->measures, values, false, more, sizeof more);
  ls_log(LS_LOG_INFO, "test%s: loss %.4f  %s %.4f%s  (%s)", is_average ? " of the averaged weights" : "",
         ls_metric_loss(t->evaluation), ls_metric_quality_name(job->task), ls_metric_quality(t->evaluation),
         more, model);
}

/* Collective. Evaluates a saved model on the test data.  path: on rank 0 */
static ls_status test_model(trainer *t, const char *path, bool is_average) {
  const ls_setup *const setup = t->setup;
  ls_modelfile *saved = NULL;
  ls_status status = ls_comm_agree(t->comm, t->is_root ? ls_modelfile_open(path, &saved) : LS_OK);
  if (status == LS_OK)
    status = ls_checkpoint_restore(t->comm, saved, setup->job->model, setup->normalizer, NULL, NULL);
  ls_modelfile_close(&saved);
  LS_TRY(status);
  LS_TRY(evaluate(t, &setup->test));
  report_test(t, path, is_average);
  return LS_OK;
}

ls_status train_test(trainer *t) {
  if (t->setup->test.view.n == 0) return LS_OK;
  LS_TRY(test_model(t, t->dir.model, false));
  bool has_average = t->is_root && train_has_average(t) && ls_rundir_exists(t->dir.average);
  ls_comm_broadcast(t->comm, &has_average,
                    sizeof has_average); /* false: train.ema came after the best epoch */
  return has_average ? test_model(t, t->dir.average, true) : LS_OK;
}
