/* The end of a sweep: the best trial. */
#include "internal.h"
#include "lockstep/store.h"

#include <stdlib.h>
#include <string.h>

/* The config of a trial, with the directory of the sweep for a run of its own. */
static ls_status write_config(const sweep *s, uint64_t trial, const char *path) {
  ls_text_file file;
  ls_job *job = NULL;
  char *text = NULL;
  char *const output = ls_format("%s/best", s->folder);
  ls_status status = output ? LS_OK : ls_fail_memory("a path", strlen(s->folder));
  if (status == LS_OK) status = sweep_job_create(&s->plan, s->base_text, trial, output, &job);
  if (status == LS_OK) status = ls_config_print(job->config, &text);
  if (status == LS_OK) {
    status = ls_text_begin(&file, path);
    if (status == LS_OK) fputs(text, file.stream);
    status = ls_text_end(&file, status);
  }
  free(text);
  ls_job_destroy(&job);
  free(output);
  return status;
}

/* A second name for the model, or on file systems without hard links a copy. */
static ls_status link_model(const char *from, const char *to) {
  ls_text_file file;
  char buffer[1 << 16];
  if (ls_store_link(from, to)) return LS_OK;
  FILE *const in = fopen(from, "rb");
  if (!in) return ls_fail(LS_ERR_OUTPUT, "%s: cannot be opened", from);
  ls_status status = ls_text_begin(&file, to);
  for (size_t n = 1; status == LS_OK && n > 0;) {
    n = fread(buffer, 1, sizeof buffer, in);
    fwrite(buffer, 1, n, file.stream);
    ls_heartbeat();
  }
  if (status == LS_OK && ferror(in)) status = ls_fail(LS_ERR_OUTPUT, "%s: cannot be read", from);
  fclose(in);
  return ls_text_end(&file, status);
}

/* LS_ERR_NUMERIC with the number of trials in each state. */
static ls_status fail_without_best(const sweep *s) {
  uint64_t counts[LS_TRIAL_FAILED + 1] = {0};
  for (uint64_t i = 0; i < s->table.n_trials; i++) counts[sweep_table_last_state(&s->table, i)]++;
  return ls_fail(
      LS_ERR_NUMERIC,
      "no trial has a value of %s: %llu diverged, %llu failed, %llu ended without a value; see %s "
      "and the logs of the trials",
      s->table.monitor, (unsigned long long)counts[LS_TRIAL_DIVERGED],
      (unsigned long long)counts[LS_TRIAL_FAILED], (unsigned long long)counts[LS_TRIAL_DONE],
      s->table_path);
}

static void report_best(const sweep *s, uint64_t trial, size_t rung) {
  const ls_sweep_row *const row = sweep_table_row(&s->table, rung, trial);
  char parameters[2048];
  ls_log(LS_LOG_INFO, "best: trial %llu  %s %.6g  epochs %llu  %s", (unsigned long long)trial,
         s->table.monitor, row->value, (unsigned long long)row->epochs,
         sweep_describe(&s->plan, trial, parameters, sizeof parameters));
  ls_log(LS_LOG_INFO, "done: %s; %s/best.yaml, %s/best.h5", s->table_path, s->folder, s->folder);
}

ls_status sweep_write_best(sweep *s) {
  size_t rung = 0;
  uint64_t *const trials = ls_calloc(s->table.n_trials, sizeof *trials);
  if (!trials) return ls_fail_memory("the ranking of trials", s->table.n_trials * sizeof *trials);
  uint64_t best = 0;
  const bool has_best = sweep_table_best(&s->table, s->is_maximized, trials, &rung, &best);
  free(trials);
  if (!has_best) return fail_without_best(s);
  char *const config = ls_format("%s/best.yaml", s->folder);
  char *const model = ls_format("%s/best.h5", s->folder);
  char *const from = ls_format("%s/trials/%04llu/model.h5", s->folder, (unsigned long long)best);
  ls_status status = config && model && from ? LS_OK : ls_fail_memory("a path", strlen(s->folder));
  if (status == LS_OK) status = ls_rundir_check_lock(&s->dir);
  if (status == LS_OK) status = write_config(s, best, config);
  if (status == LS_OK) status = link_model(from, model);
  if (status == LS_OK) report_best(s, best, rung);
  free(config);
  free(model);
  free(from);
  return status;
}
