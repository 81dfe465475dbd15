/* lockstep report: an HTML page about runs, or about a sweep. */
#include "lockstep/report.h"
#include "lockstep/sweep.h"

#include "internal.h"

static const char *const output_endings[] = {".html", ".htm", NULL};

/* Local, on rank 0. Rejects an output that is the data. Its ending rules out the files of a run. */
static ls_status check_output(const ls_report_options *o) {
  bool is_data = false;
  if (o->data) LS_TRY(ls_spec_has_file(o->data, o->output, &is_data));
  if (is_data) return ls_fail(LS_ERR_CONFIG, "-o %s: is the data; choose another name", o->output);
  return LS_OK;
}

/* Local. */
static ls_status read_options(const ls_comm *comm, const arguments *a, ls_report_options *o) {
  int memory = LS_MEMORY_AUTO;
  LS_TRY(app_read_output(a, output_endings, &o->output));
  LS_TRY(app_read_choice(a, "memory", app_memory_names, &memory));
  o->memory = (ls_data_memory)memory;
  if (!o->data && (o->x || o->y))
    return ls_fail(LS_ERR_CONFIG, "--%s: allowed only with --data; see lockstep report --help",
                   o->x ? "x" : "y");
  return app_is_root(comm) ? check_output(o) : LS_OK;
}

/* Local, on rank 0. LS_ERR_CONFIG if the command has operands or options that a sweep cannot have. */
static ls_status check_sweep(const arguments *a) {
  static const char *const options[] = {"data", "x", "y", "memory"};
  if (a->n_positional > 1)
    return ls_fail(LS_ERR_CONFIG,
                   "report: a sweep has a page of its own; name one sweep, or only runs such as "
                   "SWEEP/trials/0000");
  for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
    if (app_option(a, options[i]))
      return ls_fail(LS_ERR_CONFIG, "--%s: not allowed with a sweep; remove it", options[i]);
  return LS_OK;
}

/* Local, on rank 0. */
static ls_status report_sweep(const arguments *a) {
  const char *output = NULL;
  LS_TRY(check_sweep(a));
  LS_TRY(app_read_output(a, output_endings, &output));
  LS_TRY(ls_report_sweep(a->positional[0], output));
  ls_log(LS_LOG_INFO, "%s: report of a sweep", output);
  return LS_OK;
}

/* Collective. Whether an operand is the directory of a sweep. */
static bool is_sweep(ls_comm *comm, const arguments *a) {
  bool is_found = false;
  for (size_t i = 0; app_is_root(comm) && i < a->n_positional; i++)
    is_found = is_found || ls_sweep_exists(a->positional[i]);
  ls_comm_broadcast(comm, &is_found, sizeof is_found);
  return is_found;
}

static ls_status run(ls_comm *comm, const arguments *a) {
  if (is_sweep(comm, a)) return ls_comm_agree(comm, app_is_root(comm) ? report_sweep(a) : LS_OK);
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
    .help = "write an HTML page about runs (curves, results, worst errors, configs) or about a sweep",
    .details =
        "RUN is a run directory (`output` in the config). The page is one file that needs no network. It "
        "shows\n"
        "the curves of loss and metrics, the learning rate, speed and diagnostics of layers; the results "
        "of\n"
        "each model on --data, else on the test data of its run, else on its validation data; the samples\n"
        "with the largest errors; and the configs with their differences.\n\n"
        "RUN may also be the directory of one sweep (`output` in its file), finished or not. The page then "
        "shows\n"
        "the best trials, all parameters with the monitor as parallel coordinates, each parameter against "
        "the\n"
        "monitor, the rungs, the best value so far, and the configs. It has no other options than -o.",
    .options = {{"output", 'o', "OUT.html", "file to write"},
                {"data", 0, "DATA[:GROUP]", "data on which the models are evaluated"},
                OPTION_X,
                OPTION_MEMORY,
                OPTION_Y},
    .run = run};
