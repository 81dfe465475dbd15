/* The page: reads the runs, evaluates them, and writes the sections. */
#include "internal.h"

#include <stdlib.h>

static const char *const sections[][2] = {{"summary", "Summary"},
                                          {"training", "Training"},
                                          {"layers", "Layers"},
                                          {"results", "Results"},
                                          {"settings", "Config and environment"},
                                          {NULL, NULL}};

/* Local, on rank 0. */
static ls_status write_page(const report_runs *runs, FILE *out) {
  report_page page = {.out = out};
  char title[256];
  char heading[40];
  snprintf(heading, sizeof heading, "%zu runs", runs->n);
  snprintf(title, sizeof title, runs->n == 1 ? "%s: Lockstep report" : "%s and more: Lockstep report",
           runs->list[0].path);
  report_page_begin(&page, title, runs->n == 1 ? runs->list[0].path : heading, sections);
  report_summary(&page, runs);
  LS_TRY(report_training(&page, runs));
  LS_TRY(report_layers(&page, runs));
  LS_TRY(report_results(&page, runs));
  LS_TRY(report_settings(&page, runs));
  report_page_end(&page);
  return LS_OK;
}

/* Local, on rank 0. */
static ls_status publish(const report_runs *runs, const char *path) {
  ls_text_file file = {0};
  ls_status status = ls_text_begin(&file, path);
  if (status == LS_OK) status = write_page(runs, file.stream);
  return ls_text_end(&file, status);
}

/* Local, on rank 0. */
static ls_status read_runs(const ls_report_options *options, report_runs *runs) {
  for (size_t i = 0; i < options->n_runs; i++) LS_TRY(report_run_read(options->runs[i], &runs->list[i]));
  return LS_OK;
}

ls_status ls_report_write(ls_comm *comm, const ls_report_options *options) {
  const bool is_root = ls_comm_rank(comm) == 0;
  report_runs runs = {.n = options->n_runs, .list = ls_calloc(options->n_runs, sizeof(report_run))};
  ls_status status = runs.list ? LS_OK : ls_fail_memory("the runs", options->n_runs * sizeof(report_run));
  for (size_t i = 0; status == LS_OK && i < runs.n; i++) runs.list[i].path = options->runs[i];
  if (status == LS_OK && is_root) status = read_runs(options, &runs);
  status = ls_comm_agree(comm, status);
  for (size_t i = 0; status == LS_OK && i < runs.n; i++)
    status = report_run_evaluate(comm, options, &runs.list[i]);
  if (status == LS_OK) status = ls_comm_agree(comm, is_root ? publish(&runs, options->output) : LS_OK);
  for (size_t i = 0; runs.list && i < runs.n; i++) report_run_destroy(&runs.list[i]);
  free(runs.list);
  return status;
}
