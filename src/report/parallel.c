/* Lines of trials: parallel coordinates, and the values over the rungs. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LABELS_MOST 14 /* of an axis of named values */

/* ------------------------------------------------------------------------- the lines */

/* Line i of a figure is the trial in position i of those that are shown. */
static void describe_lines(const report_sweep *sweep, report_lines *f) {
  f->is_missing_high = !sweep->results.is_maximized;
  for (size_t i = 0; i < sweep->n_shown; i++) {
    const report_trial *const t = &sweep->trials[sweep->shown[i]];
    const bool is_best = sweep->results.has_best && t->number == sweep->results.best;
    f->lines[i] = (report_line){.n = f->n_axes, .colour = t->colour, .is_best = is_best};
  }
}

/* The axis of the monitor. */
static report_scale monitor_scale(const report_sweep *sweep) {
  if (sweep->low <= sweep->high)
    return report_scale_of(sweep->low, sweep->high, sweep->is_log, false, LINES_BOTTOM, LINES_TOP);
  return (report_scale){.axis = {0.0, 1.0, LINES_BOTTOM, LINES_TOP, false}};
}

static void write_legend(report_page *page, const report_sweep *sweep) {
  FILE *const out = page->out;
  char svg[512] = "";
  for (int i = 0; i < REPORT_RANKS; i++)
    ls_append(svg, sizeof svg, "<path class=\"rank r%d\" d=\"M%d 5h5\"/>", i + 1, 28 * i / REPORT_RANKS);
  report_put("<ul class=\"legend\">\n", out);
  if (sweep->n_ranked > 1) report_legend_entry(out, svg, "from worst to best rank");
  if (sweep->results.has_best)
    report_legend_entry(out, "<path class=\"trial best\" d=\"M2 5H26\"/>", "best trial");
  if (sweep->n_ranked < sweep->n)
    report_legend_entry(out, "<path class=\"trial r0\" d=\"M2 5H26\"/>",
                        "diverged, failed or without a value");
  report_put("</ul>\n", out);
}

/* "val_loss (log)" */
static char *monitor_name(const report_sweep *sweep) {
  return ls_format("%s%s", sweep->results.monitor, sweep->is_log ? " (log)" : "");
}

/* -------------------------------------------------------------- parallel coordinates */

static void fill_parameters(const report_sweep *sweep, report_lines *f) {
  const size_t n = sweep->results.n_parameters;
  char text[LS_SWEEP_VALUE_MAX];
  for (size_t k = 0; k < n; k++) {
    const report_parameter *const p = &sweep->parameters[k];
    f->names[k] = p->of->key;
    f->scales[k] = report_parameter_scale(p, LINES_BOTTOM, LINES_TOP, LABELS_MOST);
    for (size_t i = 0; i < sweep->n_shown; i++)
      f->values[i * f->n_axes + k] = report_parameter_position(
          p, ls_sweep_value(&sweep->results, sweep->trials[sweep->shown[i]].number, k, text));
  }
}

/* The axis of the last rung that a trial has reached. */
static void fill_rung(const report_sweep *sweep, report_lines *f, size_t k) {
  const double last = (double)sweep->results.rungs.n - 1.0;
  f->names[k] = "last rung";
  f->scales[k] = report_scale_of(0.0, last, false, true, LINES_BOTTOM, LINES_TOP);
  for (size_t i = 0; i < sweep->n_shown; i++)
    f->values[i * f->n_axes + k] = (double)sweep->trials[sweep->shown[i]].row->rung;
}

static void fill_monitor(const report_sweep *sweep, report_lines *f, size_t k, const char *name) {
  f->names[k] = name;
  f->scales[k] = monitor_scale(sweep);
  for (size_t i = 0; i < sweep->n_shown; i++) {
    const report_trial *const t = &sweep->trials[sweep->shown[i]];
    f->values[i * f->n_axes + k] = report_trial_value(sweep, t->row->rung, t->number);
  }
}

static void describe(const report_sweep *sweep, char *text, size_t size) {
  char value[LS_SWEEP_VALUE_MAX];
  char number[REPORT_NUMBER];
  const ls_sweep_results *const r = &sweep->results;
  ls_append(text, size, "One line for each of %zu trials, over an axis for each parameter and for %s.",
            sweep->n_shown, r->monitor);
  if (!r->has_best) return;
  ls_append(text, size, " The best is trial %llu:", (unsigned long long)r->best);
  for (size_t k = 0; k < r->n_parameters; k++)
    ls_append(text, size, " %s %s,", r->parameters[k].key, ls_sweep_value(r, r->best, k, value));
  ls_append(text, size, " %s %s. The values of all lines are in the table below.", r->monitor,
            report_number(report_trial_value(sweep, r->best_rung, r->best), number));
}

static void write_notes(report_page *page, const report_sweep *sweep) {
  report_ranking_note(page, sweep);
  if (sweep->results.rungs.n > 1)
    report_note(page->out,
                "A trial is shown with its value in the last rung that it has reached. The rank of a trial "
                "is below that of all trials of later rungs, because its value is of fewer epochs: compare "
                "the values of %s of one rung only.",
                sweep->results.monitor);
}

static ls_status draw_parallel(report_page *page, const report_sweep *sweep, report_lines *f) {
  char description[2048] = "";
  char *const name = monitor_name(sweep);
  const size_t n = sweep->results.n_parameters;
  if (!name) return ls_fail_memory("a name", strlen(sweep->results.monitor));
  describe(sweep, description, sizeof description);
  f->description = description;
  describe_lines(sweep, f);
  fill_parameters(sweep, f);
  if (sweep->results.rungs.n > 1) fill_rung(sweep, f, n);
  fill_monitor(sweep, f, f->n_axes - 1, name);
  report_figure_begin(page, f->title);
  report_lines_draw(page, f);
  write_legend(page, sweep);
  write_notes(page, sweep);
  report_put("<details class=\"values\" id=\"lines\"><summary>Values</summary>\n", page->out);
  report_trials_table(page, sweep, "Trials of the lines", sweep->n_shown, sweep->shown);
  report_put("</details>\n", page->out);
  report_figure_end(page);
  free(name);
  return LS_OK;
}

ls_status report_parallel_draw(report_page *page, const report_sweep *sweep) {
  report_lines f = {0};
  const size_t n_axes = sweep->results.n_parameters + 1 + (sweep->results.rungs.n > 1);
  ls_status status = report_lines_create(&f, n_axes, sweep->n_shown);
  f.title = "Parallel coordinates";
  f.width = 1100;
  if (status == LS_OK) status = draw_parallel(page, sweep, &f);
  report_lines_destroy(&f);
  return status;
}

/* -------------------------------------------------------------------------- rungs */

typedef char rung_name[48];

static void fill_rungs(const report_sweep *sweep, report_lines *f, rung_name *names) {
  const ls_sweep_rungs *const rungs = &sweep->results.rungs;
  for (size_t k = 0; k < rungs->n; k++) {
    snprintf(names[k], sizeof names[k], "rung %zu: %llu epoch%s", k, (unsigned long long)rungs->epochs[k],
             rungs->epochs[k] == 1 ? "" : "s");
    f->names[k] = names[k];
    f->scales[k] = monitor_scale(sweep);
    for (size_t i = 0; i < sweep->n_shown; i++)
      f->values[i * f->n_axes + k] = report_trial_value(sweep, k, sweep->trials[sweep->shown[i]].number);
  }
  for (size_t i = 0; i < sweep->n_shown; i++)
    f->lines[i].n = (size_t)sweep->trials[sweep->shown[i]].row->rung + 1;
}

ls_status report_rungs_draw(report_page *page, const report_sweep *sweep) {
  report_lines f = {0};
  char description[256];
  char title[128];
  rung_name names[LS_SWEEP_RUNGS_MAX];
  const ls_status status = report_lines_create(&f, sweep->results.rungs.n, sweep->n_shown);
  if (status == LS_OK) {
    snprintf(title, sizeof title, "%s%s by rung", sweep->results.monitor, sweep->is_log ? " (log)" : "");
    snprintf(description, sizeof description,
             "One line for each of %zu trials, over the rungs that it was trained in. The table of the "
             "rungs has "
             "their numbers and values.",
             sweep->n_shown);
    f.title = title;
    f.width = 530;
    f.description = description;
    describe_lines(sweep, &f);
    fill_rungs(sweep, &f, names);
    report_figure_begin(page, title);
    report_lines_draw(page, &f);
    write_legend(page, sweep);
    report_ranking_note(page, sweep);
    report_figure_end(page);
  }
  report_lines_destroy(&f);
  return status;
}
