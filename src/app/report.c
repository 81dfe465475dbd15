/* lockstep report: an HTML page about runs. */
#include "lockstep/report.h"

#include "internal.h"

/* Local, on rank 0. Rejects an output that is a file of a run, or the data. */
static ls_status check_output(const ls_report_options *o) {
  bool is_data = false;
  if (o->data) LS_TRY(ls_spec_has_file(o->data, o->output, &is_data));
  if (is_data) return ls_fail(LS_ERR_CONFIG, "-o %s: is the data; choose another name", o->output);
  return LS_OK;
}

/* Local. */
static ls_status read_options(const ls_comm *comm, const arguments *a, ls_report_options *o) {
  int memory = LS_MEMORY_AUTO;
  LS_TRY(app_read_output(a, (const char *const[]){".html", ".htm", NULL}, &o->output));
  LS_TRY(app_read_choice(a, "memory", app_memory_names, &memory));
  o->memory = (ls_data_memory)memory;
  if (!o->data && (o->x || o->y))
    return ls_fail(LS_ERR_CONFIG, "--%s: allowed only with --data; see lockstep report --help",
                   o->x ? "x" : "y");
  return app_is_root(comm) ? check_output(o) : LS_OK;
}

static ls_status run(ls_comm *comm, const arguments *a) {
  ls_report_options o = {.runs = a->positional,
                         .n_runs = a->n_positional,
                         .data = app_option(a, "data"),
                         .x = app_option(a, "x"),
                         .y = app_option(a, "y")};
  ls_status status = ls_math_threads_set(ls_comm_threads(comm));
  if (status == LS_OK) status = read_options(comm, a, &o);
  LS_TRY(ls_comm_agree(comm, status));
  LS_TRY(ls_report_write(comm, &o));
  ls_log(LS_LOG_INFO, "%s: report of %zu run%s", o.output, o.n_runs, o.n_runs == 1 ? "" : "s");
  return LS_OK;
}

const command app_report = {
    .name = "report",
    .operands = "RUN...",
    .help = "write an HTML page about one or several runs: curves, results, worst errors, configs",
    .details =
        "RUN is a run directory (`output` in the config). The page is one file that needs no network. It "
        "shows\n"
        "the curves of loss and metrics, the learning rate, speed and diagnostics of layers; the results "
        "of\n"
        "each model on --data, else on the test data of its run, else on its validation data; the samples\n"
        "with the largest errors; and the configs with their differences.",
    .options = {{"output", 'o', "OUT.html", "file to write"},
                {"data", 0, "DATA[:GROUP]", "data on which the models are evaluated"},
                OPTION_X,
                OPTION_MEMORY,
                OPTION_Y},
    .run = run};
