/* The page about a sweep. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------- reading */

/* The first rung that lacks results; the number of rungs if none does. */
static size_t find_missing(const report_sweep *sweep) {
  size_t rung = 0;
  while (rung < sweep->results.rungs.n && report_rung_missing(sweep, rung) == 0) rung++;
  return rung;
}

static char *describe_state(const report_sweep *sweep, ls_lock_state lock, const char *owner) {
  const size_t rung = find_missing(sweep);
  if (rung == sweep->results.rungs.n) return ls_strdup("finished");
  const char *const state = lock == LS_LOCK_HELD      ? "running"
                            : lock == LS_LOCK_UNKNOWN ? "running, or killed"
                                                      : "not finished; the same command resumes it";
  char *const where = sweep->results.rungs.n > 1 ? ls_format(" of rung %zu", rung) : ls_strdup("");
  char *const text =
      where ? ls_format("%s: %zu results%s are missing%s%s%s", state, report_rung_missing(sweep, rung),
                        where, owner[0] ? " (" : "", owner, owner[0] ? ")" : "")
            : NULL;
  free(where);
  return text;
}

static ls_status read_state(report_sweep *sweep) {
  ls_rundir dir;
  char owner[448] = "";
  ls_status status = ls_rundir_create(&dir, sweep->path);
  if (status == LS_OK)
    sweep->state = describe_state(sweep, ls_rundir_lock_state(&dir, owner, sizeof owner), owner);
  ls_rundir_destroy(&dir);
  return status == LS_OK && !sweep->state ? ls_fail_memory("the state of a sweep", sizeof owner) : status;
}

static ls_status create_parameters(report_sweep *sweep) {
  const size_t n = sweep->results.n_parameters;
  sweep->parameters = ls_calloc(n, sizeof *sweep->parameters);
  if (!sweep->parameters) return ls_fail_memory("the parameters", n * sizeof *sweep->parameters);
  for (size_t k = 0; k < n; k++)
    LS_TRY(report_parameter_create(&sweep->results.parameters[k], &sweep->parameters[k]));
  return LS_OK;
}

static ls_status read_sweep(const char *path, report_sweep *sweep) {
  sweep->path = ls_strdup(path);
  if (!sweep->path) return ls_fail_memory("a path", strlen(path));
  for (size_t n = strlen(path); n > 1 && path[n - 1] == '/'; n--) sweep->path[n - 1] = '\0';
  LS_TRY(ls_sweep_results_read(sweep->path, &sweep->results));
  LS_TRY(create_parameters(sweep));
  LS_TRY(report_ranking_create(sweep));
  return read_state(sweep);
}

static void destroy(report_sweep *sweep) {
  for (size_t k = 0; sweep->parameters && k < sweep->results.n_parameters; k++)
    report_parameter_destroy(&sweep->parameters[k]);
  free(sweep->path);
  free(sweep->parameters);
  free(sweep->trials);
  free(sweep->state);
  ls_sweep_results_destroy(&sweep->results);
}

/* -------------------------------------------------------------------------- writing */

static ls_status write_config(FILE *out, const report_sweep *sweep, const char *name, bool is_open) {
  char *const path = ls_format("%s/%s", sweep->path, name);
  char *text = NULL;
  if (!path) return ls_fail_memory("a path", strlen(sweep->path));
  ls_status status = ls_rundir_exists(path) ? ls_config_load(path, &text) : LS_OK;
  if (status == LS_ERR_CONFIG) status = ls_fail(LS_ERR_DATA, "%s", ls_message());
  if (text) {
    report_print(out, "<details%s><summary>%s</summary>\n<pre tabindex=\"0\">", is_open ? " open" : "",
                 name);
    report_text(out, text);
    report_put("</pre></details>\n", out);
  }
  free(text);
  free(path);
  return status;
}

static ls_status write_configs(report_page *page, const report_sweep *sweep) {
  report_put("<section id=\"settings\"><h2>Configs</h2>\n", page->out);
  LS_TRY(write_config(page->out, sweep, "sweep.yaml", true));
  LS_TRY(write_config(page->out, sweep, "best.yaml", false));
  LS_TRY(write_config(page->out, sweep, "base.yaml", false));
  report_put("</section>\n", page->out);
  return LS_OK;
}

static ls_status write_page(const report_sweep *sweep, FILE *out) {
  static const char *const sections[][2] = {{"summary", "Summary"},       {"trials", "Trials"},
                                            {"parameters", "Parameters"}, {"progress", "Progress"},
                                            {"settings", "Configs"},      {NULL, NULL}};
  report_page page = {.out = out};
  char title[256];
  snprintf(title, sizeof title, "%s: Lockstep report of a sweep", sweep->path);
  report_page_begin(&page, title, sweep->path, sections);
  report_sweep_summary(&page, sweep);
  LS_TRY(report_sweep_trials(&page, sweep));
  report_sweep_parameters(&page, sweep);
  LS_TRY(report_sweep_progress(&page, sweep));
  LS_TRY(write_configs(&page, sweep));
  report_page_end(&page);
  return LS_OK;
}

ls_status ls_report_sweep(const char *folder, const char *output) {
  report_sweep sweep = {0};
  ls_text_file file = {0};
  ls_status status = read_sweep(folder, &sweep);
  if (status == LS_OK) {
    status = ls_text_begin(&file, output);
    if (status == LS_OK) status = write_page(&sweep, file.stream);
    status = ls_text_end(&file, status);
  }
  destroy(&sweep);
  return status;
}
