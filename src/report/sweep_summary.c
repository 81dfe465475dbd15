/* The summary of a sweep, and its trials. */
#include "internal.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

#define BEST_SHOWN 20

/* ---------------------------------------------------------------------- the summary */

static void write_fact(FILE *out, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void write_fact(FILE *out, const char *name, const char *format, ...) {
  char text[LS_MESSAGE_MAX];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  report_put("<tr>", out);
  report_row_head(out, name);
  report_cell(out, text);
  report_put("</tr>\n", out);
}

/* The number of trials whose last result is of a state. */
static size_t count_trials(const report_sweep *sweep, ls_trial_state state) {
  size_t n = 0;
  for (size_t i = 0; i < sweep->n; i++) n += (ls_trial_state)sweep->trials[i].row->state == state;
  return n;
}

static double total_seconds(const report_sweep *sweep) {
  double sum = 0.0;
  for (size_t i = 0; i < sweep->n; i++) sum += fmax(sweep->trials[i].row->seconds, 0.0);
  return sum;
}

static void write_search(FILE *out, const ls_sweep_results *r) {
  if (r->rungs.n < 2) {
    write_fact(out, "search", "%s", r->search);
    return;
  }
  write_fact(out, "search", "%s (factor %llu, first rung %llu epoch%s)", r->search,
             (unsigned long long)r->factor, (unsigned long long)r->first, r->first == 1 ? "" : "s");
  write_fact(out, "rungs", "%zu: the best trials of each continue to the next", r->rungs.n);
}

static void write_counts(FILE *out, const report_sweep *sweep) {
  const size_t n_done = count_trials(sweep, LS_TRIAL_DONE);
  char number[REPORT_NUMBER];
  const ls_sweep_results *const r = &sweep->results;
  if (r->n_parts > 1)
    write_fact(out, "part", "%llu of %llu: the trials whose numbers are %llu modulo %llu",
               (unsigned long long)r->part, (unsigned long long)r->n_parts, (unsigned long long)r->part,
               (unsigned long long)r->n_parts);
  write_fact(out, "trials", "%s", report_count(report_trials_wanted(sweep), number));
  write_fact(out, "finished", "%s", report_count(n_done, number));
  if (n_done > sweep->n_ranked)
    write_fact(out, "finished without a value", "%s", report_count(n_done - sweep->n_ranked, number));
  write_fact(out, "diverged", "%s", report_count(count_trials(sweep, LS_TRIAL_DIVERGED), number));
  write_fact(out, "failed", "%s", report_count(count_trials(sweep, LS_TRIAL_FAILED), number));
  const size_t n = report_trials_wanted(sweep);
  write_fact(out, "not yet run", "%s", report_count(n - ls_size_min(sweep->n, n), number));
}

static void write_best(FILE *out, const report_sweep *sweep) {
  const ls_sweep_results *const r = &sweep->results;
  const unsigned long long best = r->best;
  char number[REPORT_NUMBER];
  if (!r->has_best) {
    write_fact(out, "best trial", "none: no trial has a value of %s", r->monitor);
    return;
  }
  const ls_sweep_row *const row = ls_sweep_row_of(r, r->best_rung, r->best);
  write_fact(out, "best trial", "%llu", best);
  write_fact(out, r->monitor, "%s", report_number(row->value, number));
  write_fact(out, "epochs", "%s", report_count(row->epochs, number));
  write_fact(out, "directory", "%s/%strials/%04llu", sweep->path, r->n_parts > 1 ? "../../" : "", best);
}

void report_sweep_summary(report_page *page, const report_sweep *sweep) {
  const ls_sweep_results *const r = &sweep->results;
  FILE *const out = page->out;
  char number[REPORT_NUMBER];
  report_put("<section id=\"summary\"><h2>Summary</h2>\n", out);
  report_table_begin(out, "Sweep");
  report_put("<tbody>\n", out);
  write_fact(out, "state", "%s", sweep->state);
  write_fact(out, "sweep file", "%s/sweep.yaml", sweep->path);
  write_search(out, r);
  write_fact(out, "monitor", "%s, %s is better", r->monitor, r->is_maximized ? "higher" : "lower");
  write_counts(out, sweep);
  write_best(out, sweep);
  write_fact(out, "time of all trials", "%s", report_seconds(total_seconds(sweep), number));
  report_table_end(out);
  report_put("</section>\n", out);
}

/* ----------------------------------------------------------------------- the trials */

ls_status report_sweep_trials(report_page *page, const report_sweep *sweep) {
  const size_t n = ls_size_min(sweep->n_ranked, BEST_SHOWN);
  char caption[80];
  report_put("<section id=\"trials\"><h2>Trials</h2>\n", page->out);
  if (sweep->n == 0) {
    report_note(page->out, "No trial has ended yet.");
    report_put("</section>\n", page->out);
    return LS_OK;
  }
  if (n < sweep->n)
    snprintf(caption, sizeof caption, "The best %zu of %zu trials with a result", n, sweep->n);
  else
    snprintf(caption, sizeof caption, "Trials, best first");
  if (n > 0) report_trials_table(page, sweep, caption, n, NULL);
  if (n == 0) report_note(page->out, "No trial has a value of %s.", sweep->results.monitor);
  if (n < sweep->n) report_note(page->out, "trials.csv has all trials.");
  const ls_status status = report_parallel_draw(page, sweep);
  report_put("</section>\n", page->out);
  return status;
}
