/* The state of a run, from its files. */
#include "internal.h"

#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define LATEST 3 /* epochs whose mean is the speed */

/* The position in the newest valid checkpoint; *stale: epochs without improvement. */
static ls_status read_checkpoint(const report_run *run, ls_run_state *s, uint64_t *stale) {
  ls_modelfile *saved = NULL;
  ls_progress p = {0};
  uint64_t newest = 0;
  if (!ls_rundir_exists(run->dir.checkpoints)) return LS_OK;
  LS_TRY(ls_checkpoint_newest(run->dir.checkpoints, &newest, &s->has_checkpoints));
  ls_status status = ls_checkpoint_try_find(run->dir.checkpoints, &saved);
  if (status == LS_OK && saved) status = ls_checkpoint_read_progress(saved, &p);
  s->can_resume = saved != NULL;
  ls_modelfile_close(&saved);
  s->epoch = p.epoch;
  s->step = p.step;
  *stale = p.n_stale;
  return status;
}

/* Whether a checkpoint at this position needs no more steps; without checkpoints, what the log says. */
static bool is_finished(const report_run *run, const ls_run_state *s, uint64_t stale) {
  const ls_train_config *const train = run->job ? &run->job->train : NULL;
  if (!s->has_checkpoints && s->has_model && run->log.end) return true;
  if (!s->can_resume || !s->has_model || !train) return false;
  return s->epoch >= train->epochs || (train->has_max_steps && s->step >= train->max_steps) ||
         (train->patience > 0 && stale >= train->patience);
}

/* A value of a row as a count; 0 if it is not one. */
static uint64_t count_at(const report_csv *csv, size_t row, const char *column) {
  const double value = report_csv_at(csv, row, report_csv_find(csv, column));
  return value > 0.0 && value < 1e18 ? (uint64_t)value : 0;
}

/* The rows may be later than the newest checkpoint. */
static void read_rows(const report_run *run, ls_run_state *s) {
  const report_csv *const csv = &run->metrics;
  const size_t n = csv->n_rows;
  const size_t best = report_run_best(run);
  double sum = 0.0;
  size_t k = 0;
  if (n == 0) return;
  if (count_at(csv, n - 1, "epoch") > s->epoch) s->epoch = count_at(csv, n - 1, "epoch");
  if (count_at(csv, n - 1, "step") > s->step) s->step = count_at(csv, n - 1, "step");
  for (; k < LATEST && k < n; k++) sum += report_csv_at(csv, n - 1 - k, report_csv_find(csv, "seconds"));
  s->per_epoch = isfinite(sum) ? sum / (double)k : 0.0;
  const double speed = report_csv_at(csv, n - 1, report_csv_find(csv, "samples_per_second"));
  s->samples_per_second = isfinite(speed) ? speed : 0.0;
  if (best == SIZE_MAX) return;
  s->best_epoch = count_at(csv, best, "epoch");
  s->best = report_csv_at(csv, best, report_run_monitor(run));
}

/* The monitor, and the planned numbers of epochs and steps. Every epoch has as many steps as those before.
 */
static void read_plan(const report_run *run, ls_run_state *s) {
  const report_csv *const csv = &run->metrics;
  if (!run->job) return;
  const ls_train_config *const train = &run->job->train;
  s->epochs = train->epochs;
  snprintf(s->monitor, sizeof s->monitor, "%s", train->monitor);
  const uint64_t epoch = csv->n_rows > 0 ? count_at(csv, csv->n_rows - 1, "epoch") : 0;
  if (epoch > 0) s->steps = count_at(csv, csv->n_rows - 1, "step") / epoch * s->epochs;
  if (train->has_max_steps && (s->steps == 0 || train->max_steps < s->steps)) s->steps = train->max_steps;
}

/* The time until the end, at the speed of the latest epochs; a run has trained since its latest row. */
static void estimate(const report_run *run, ls_run_state *s) {
  struct stat info;
  struct timespec now = {0};
  s->left = NAN;
  if (s->phase == LS_RUN_FINISHED || s->per_epoch <= 0.0 || s->epoch == 0 || s->steps == 0) return;
  const report_csv *const csv = &run->metrics;
  const double per_step = s->per_epoch * (double)count_at(csv, csv->n_rows - 1, "epoch") /
                          (double)count_at(csv, csv->n_rows - 1, "step");
  const double done =
      (double)(s->phase == LS_RUN_STOPPED ? s->step : count_at(csv, csv->n_rows - 1, "step"));
  s->left = ((double)s->steps - done) * per_step;
  if (s->phase != LS_RUN_STOPPED && stat(run->dir.metrics, &info) == 0 &&
      clock_gettime(CLOCK_REALTIME, &now) == 0)
    s->left -= fmin(fmax(0.0, (double)(now.tv_sec - info.st_mtim.tv_sec)), s->per_epoch);
  s->left = isfinite(s->left) ? fmax(0.0, s->left) : NAN;
}

static ls_status read_state(const report_run *run, ls_run_state *s) {
  uint64_t stale = 0;
  const ls_lock_state lock = ls_rundir_lock_state(&run->dir, s->owner, sizeof s->owner);
  s->has_model = ls_rundir_exists(run->dir.model);
  LS_TRY(read_checkpoint(run, s, &stale));
  const bool has_ended = is_finished(run, s, stale);
  read_rows(run, s);
  read_plan(run, s);
  s->phase = lock == LS_LOCK_HELD      ? LS_RUN_RUNNING
             : lock == LS_LOCK_UNKNOWN ? LS_RUN_UNKNOWN
             : has_ended               ? LS_RUN_FINISHED
                                       : LS_RUN_STOPPED;
  estimate(run, s);
  return LS_OK;
}

ls_status ls_run_state_read(const char *folder, ls_run_state *out) {
  report_run run;
  *out = (ls_run_state){.left = NAN};
  ls_status status = report_run_read(folder, &run);
  if (status == LS_OK) status = read_state(&run, out);
  report_run_destroy(&run);
  return status;
}
