/* The files of a run. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Reads config.yaml. A config that this version cannot read is shown as text only. */
static ls_status read_config(report_run *run) {
  if (!ls_rundir_exists(run->dir.config)) return LS_OK;
  ls_status status = ls_config_load(run->dir.config, &run->config);
  if (status == LS_ERR_CONFIG) return ls_fail(LS_ERR_DATA, "%s", ls_message());
  if (status == LS_OK) status = ls_config_create(run->config, run->dir.config, &run->document);
  if (status == LS_OK) status = ls_job_create_saved(run->config, run->dir.config, &run->job);
  if (status == LS_OK || status == LS_ERR_INTERNAL) return status;
  ls_log(LS_LOG_WARNING, "%s", ls_message());
  return LS_OK;
}

static ls_status find_model(report_run *run) {
  const char *const models[] = {run->dir.model, run->dir.best};
  for (size_t i = 0; i < 2 && !run->model; i++) {
    if (!ls_rundir_exists(models[i])) continue;
    run->model = ls_strdup(models[i]);
    if (!run->model) return ls_fail_memory("a path", strlen(models[i]));
  }
  return LS_OK;
}

ls_status report_run_read(const char *path, report_run *run) {
  *run = (report_run){.path = path};
  LS_TRY(ls_rundir_create(&run->dir, path));
  if (!ls_rundir_exists(path)) return ls_fail(LS_ERR_DATA, "%s: no such run directory", path);
  if (!ls_rundir_has_run(&run->dir))
    return ls_fail(
        LS_ERR_DATA,
        "%s: not a run directory: has none of config.yaml, metrics.csv, train.log and model.h5; name "
        "the directory that `output` names in the config",
        path);
  LS_TRY(report_csv_read(run->dir.metrics, &run->metrics));
  LS_TRY(report_csv_read(run->dir.diagnostics, &run->diagnostics));
  LS_TRY(report_log_read(run->dir.log, &run->log));
  LS_TRY(read_config(run));
  return find_model(run);
}

void report_run_destroy(report_run *run) {
  report_csv_destroy(&run->metrics);
  report_csv_destroy(&run->diagnostics);
  report_log_destroy(&run->log);
  free(run->config);
  ls_config_destroy(&run->document);
  ls_job_destroy(&run->job);
  free(run->model);
  free(run->platform);
  free(run->not_evaluated);
  report_evaluation_destroy(&run->evaluation);
  ls_rundir_destroy(&run->dir);
}

const char *report_run_state(const report_run *run) {
  if (run->log.end) return strncmp(run->log.end, "stopped early", 13) == 0 ? "stopped early" : "finished";
  if (ls_rundir_exists(run->dir.lock)) return "running, or killed";
  if (!run->log.exists) return "unknown";
  return "not finished";
}

int report_run_monitor(const report_run *run) {
  return run->job ? report_csv_find(&run->metrics, run->job->train.monitor) : -1;
}

size_t report_run_best(const report_run *run) {
  const int column = report_run_monitor(run);
  size_t best = SIZE_MAX;
  if (column < 0) return best;
  const bool is_maximized =
      ls_column_is_maximized(run->job, ls_column_find(run->job, run->job->train.monitor));
  for (size_t i = 0; i < run->metrics.n_rows; i++) {
    const double value = report_csv_at(&run->metrics, i, column);
    if (isnan(value)) continue;
    const double least = best == SIZE_MAX ? NAN : report_csv_at(&run->metrics, best, column);
    if (best == SIZE_MAX || (is_maximized ? value > least : value < least)) best = i;
  }
  return best;
}
