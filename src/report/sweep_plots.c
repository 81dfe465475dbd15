/* Each parameter against the monitor, and the best value so far. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LABELS_MOST  6 /* of a horizontal axis */
#define POINTS_LARGE 100

/* ------------------------------------------------------------------ scatter plots */

/* The colour of a rung: the first one, and the last ones, have their own. -1: it is not shown. */
static int colour_of(const report_sweep *sweep, size_t rung) {
  const size_t n = sweep->results.rungs.n;
  const size_t skipped = n > REPORT_COLOURS ? n - REPORT_COLOURS : 0;
  return rung == 0 ? 0 : rung <= skipped ? -1 : (int)(rung - skipped);
}

/* The class of points: small ones if there are many. */
static const char *dots_of(const report_sweep *sweep) {
  return sweep->n_shown > POINTS_LARGE ? "dots" : "points";
}

/* A scatter plot of a parameter. */
typedef struct scatter {
  const report_sweep *sweep;
  size_t parameter;
  report_scale x;
  report_axis y;
} scatter;

static double place_x(const scatter *s, uint64_t trial) {
  char text[LS_SWEEP_VALUE_MAX];
  return report_place(
      &s->x.axis, report_parameter_position(&s->sweep->parameters[s->parameter],
                                            ls_sweep_value(&s->sweep->results, trial, s->parameter, text)));
}

static void draw_rung(FILE *out, const scatter *s, size_t rung) {
  const report_sweep *const sweep = s->sweep;
  if (colour_of(sweep, rung) < 0) return;
  report_print(out, "<path class=\"%s k%d\" d=\"", dots_of(sweep), colour_of(sweep, rung));
  for (size_t i = 0; i < sweep->n_shown; i++) {
    const uint64_t trial = sweep->trials[sweep->shown[i]].number;
    const double value = report_trial_value(sweep, rung, trial);
    if (!isnan(value))
      report_print(out, "M%.1f %.1fh0", place_x(s, trial), report_place_within(&s->y, value));
  }
  report_put("\"/>\n", out);
}

/* Trials without a value, at the border where the worst values are. */
static void draw_missing(FILE *out, const scatter *s) {
  const report_sweep *const sweep = s->sweep;
  const double y = sweep->results.is_maximized ? s->y.from : s->y.to;
  report_put("<path class=\"cross\" d=\"", out);
  for (size_t i = 0; i < sweep->n_shown; i++) {
    const report_trial *const t = &sweep->trials[sweep->shown[i]];
    if (isnan(t->key)) report_print(out, "M%.1f %.1fl8 8m-8 0l8 -8", place_x(s, t->number) - 4.0, y - 4.0);
  }
  report_put("\"/>\n", out);
}

static void draw_best(FILE *out, const scatter *s) {
  const ls_sweep_results *const r = &s->sweep->results;
  const double value = r->has_best ? report_trial_value(s->sweep, r->best_rung, r->best) : NAN;
  if (isnan(value)) return;
  report_print(out, "<circle class=\"ring\" cx=\"%.1f\" cy=\"%.1f\" r=\"7\"/>\n", place_x(s, r->best),
               report_place_within(&s->y, value));
}

static void draw_axes(FILE *out, const scatter *s) {
  const report_parameter *const p = &s->sweep->parameters[s->parameter];
  char name[256];
  snprintf(name, sizeof name, "%s%s", p->of->key, p->is_log ? " (log)" : "");
  report_y_axis_draw(out, &s->x.axis, &s->y, name);
  for (size_t i = 0; i < s->x.n_ticks; i += (s->x.n_ticks + LABELS_MOST - 1) / LABELS_MOST) {
    report_print(out, "<text x=\"%.1f\" y=\"%.0f\" text-anchor=\"middle\">",
                 report_place(&s->x.axis, s->x.ticks[i]), s->y.from + 18.0);
    report_text(out, s->x.labels[i]);
    report_put("</text>\n", out);
  }
}

static void draw_scatter(report_page *page, const report_sweep *sweep, size_t k) {
  const report_parameter *const p = &sweep->parameters[k];
  char title[256];
  char description[512];
  char numbers[2][REPORT_NUMBER];
  scatter s = {.sweep = sweep, .parameter = k};
  s.x = report_parameter_scale(p, PLOT_LEFT, PLOT_WIDTH - PLOT_RIGHT, LABELS_MOST);
  s.y = report_axis_make(sweep->low, sweep->high, sweep->is_log, true, PLOT_HEIGHT - PLOT_BOTTOM, PLOT_TOP);
  snprintf(
      description, sizeof description,
      "Scatter plot of %s, from %s to %s, against %s%s, of %zu trials. The table of the trials has the "
      "values.",
      sweep->results.monitor, report_number(sweep->low, numbers[0]), report_number(sweep->high, numbers[1]),
      p->of->key, p->is_log ? " (logarithmic axis)" : "", sweep->n_shown);
  snprintf(title, sizeof title, "%s by %s", sweep->results.monitor, p->of->key);
  report_figure_begin(page, title);
  report_svg_begin(page, PLOT_WIDTH, PLOT_HEIGHT, "class=\"linear\"", title, description);
  draw_axes(page->out, &s);
  for (size_t rung = 0; rung < sweep->results.rungs.n; rung++) draw_rung(page->out, &s, rung);
  draw_missing(page->out, &s);
  draw_best(page->out, &s);
  report_svg_end(page);
  report_figure_end(page);
}

static void write_legend(FILE *out, const report_sweep *sweep) {
  const ls_sweep_rungs *const rungs = &sweep->results.rungs;
  char svg[80];
  report_put("<ul class=\"legend\">\n", out);
  for (size_t rung = 0; rungs->n > 1 && rung < rungs->n; rung++) {
    if (colour_of(sweep, rung) < 0) continue;
    snprintf(svg, sizeof svg, "<path class=\"points k%d\" d=\"M14 5h0\"/>", colour_of(sweep, rung));
    report_legend_entry(out, svg, "rung %zu: %llu epoch%s", rung, (unsigned long long)rungs->epochs[rung],
                        rungs->epochs[rung] == 1 ? "" : "s");
  }
  report_legend_entry(out, "<circle class=\"ring\" cx=\"14\" cy=\"5\" r=\"4\"/>", "best trial");
  if (sweep->n_ranked < sweep->n)
    report_legend_entry(out, "<path class=\"cross\" d=\"M10 1l8 8m-8 0l8 -8\"/>",
                        "diverged, failed or without a value: at the border");
  report_put("</ul>\n", out);
}

void report_sweep_parameters(report_page *page, const report_sweep *sweep) {
  const ls_sweep_results *const r = &sweep->results;
  report_print(page->out, "<section id=\"parameters\"><h2>Parameters</h2>\n");
  if (sweep->low > sweep->high) {
    report_note(page->out, "No plots: no trial has a value of %s.", r->monitor);
  } else {
    report_note(page->out, "%s%s of each trial against each parameter.", r->monitor,
                sweep->is_log ? ", on a logarithmic axis," : "");
    if (r->rungs.n > 1)
      report_note(
          page->out,
          "A trial has a point for each rung that it was trained in. Compare points of the same colour "
          "only: those of later rungs are of more epochs.%s",
          r->rungs.n > REPORT_COLOURS ? " Only the first rung and the last ones are shown." : "");
    report_ranking_note(page, sweep);
    write_legend(page->out, sweep);
    report_put("<div class=\"charts\">\n", page->out);
    for (size_t k = 0; k < r->n_parameters; k++) draw_scatter(page, sweep, k);
    report_put("</div>\n", page->out);
  }
  report_put("</section>\n", page->out);
}

/* --------------------------------------------------------------- best value so far */

/* Fills a chart with the results in the order of rungs and trials: the value of each, and the best so far.
 */
static void fill_best(const report_sweep *sweep, report_chart *chart) {
  const ls_sweep_results *const r = &sweep->results;
  size_t n = 0;
  double best = NAN;
  for (size_t rung = 0; rung < r->rungs.n; rung++)
    for (uint64_t i = 0; i < r->n_trials; i++) {
      if (ls_sweep_row_of(r, rung, i)->state == LS_TRIAL_ABSENT) continue;
      const double value = report_trial_value(sweep, rung, i);
      best = r->is_maximized ? fmax(best, value) : fmin(best, value); /* these ignore NaN */
      chart->x[n] = r->rungs.n > 1 ? (double)n + 1.0 : (double)i;
      chart->y[n] = best;
      chart->y[chart->n + n++] = value;
    }
}

static ls_status draw_best_so_far(report_page *page, const report_sweep *sweep) {
  const ls_sweep_results *const r = &sweep->results;
  const bool has_rungs = r->rungs.n > 1;
  report_chart chart;
  char note[256] = "";
  size_t n = 0;
  for (size_t i = 0; i < r->rungs.n * r->n_trials; i++) n += r->rows[i].state != LS_TRIAL_ABSENT;
  ls_status status = report_chart_create(&chart, "Best value so far", has_rungs ? "result" : "trial", n, 2);
  if (status == LS_OK) status = report_chart_name(&chart, 0, 0, "best %s so far", r->monitor);
  if (status == LS_OK) status = report_chart_name(&chart, 1, 1, "%s", r->monitor);
  if (status == LS_OK) {
    chart.is_whole = true;
    chart.prefers_log = sweep->is_log;
    chart.low = sweep->low;
    chart.high = sweep->high;
    chart.series[1].is_dots = true;
    ls_append(note, sizeof note, "%s ",
              has_rungs ? "The results in the order of rungs and trials, as in trials.csv. Those of later "
                          "rungs are of more epochs."
                        : "The trials in the order of their numbers.");
    report_ranking_beyond(sweep, note, sizeof note);
    chart.note = note;
    fill_best(sweep, &chart);
    status = report_chart_thin(&chart);
  }
  if (status == LS_OK) report_chart_draw(page, &chart);
  report_chart_destroy(&chart);
  return status;
}

/* ----------------------------------------------------------------------- the rungs */

/* Writes the best, the median and the worst value of a rung. values: (n_trials), overwritten */
static void write_values(FILE *out, const report_sweep *sweep, size_t rung, double *values) {
  size_t n = 0;
  for (uint64_t i = 0; i < sweep->results.n_trials; i++) {
    values[n] = report_trial_value(sweep, rung, i);
    if (!isnan(values[n])) n++;
  }
  qsort(values, n, sizeof *values, report_compare_numbers);
  const bool is_maximized = sweep->results.is_maximized;
  report_cell_number(out, n == 0 ? NAN : values[is_maximized ? n - 1 : 0]);
  report_cell_number(out, n == 0 ? NAN : (values[(n - 1) / 2] + values[n / 2]) / 2.0);
  report_cell_number(out, n == 0 ? NAN : values[is_maximized ? 0 : n - 1]);
}

/* values: (n_trials) for temporary use */
static void write_rungs(FILE *out, const report_sweep *sweep, double *values) {
  static const char *const names[] = {"rung",        "epochs", "done",   "diverged", "failed",
                                      "not yet run", "best",   "median", "worst"};
  const ls_sweep_rungs *const rungs = &sweep->results.rungs;
  report_table_begin(out, "Rungs");
  report_table_head(out, sizeof names / sizeof names[0], names);
  for (size_t rung = 0; rung < rungs->n; rung++) {
    report_print(out, "<tr><th scope=\"row\">%zu</th>", rung);
    report_cell_number(out, (double)rungs->epochs[rung]);
    for (int state = LS_TRIAL_DONE; state <= LS_TRIAL_FAILED; state++)
      report_cell_number(out, (double)report_rung_count(sweep, rung, (ls_trial_state)state));
    report_cell_number(out, (double)report_rung_missing(sweep, rung));
    write_values(out, sweep, rung, values);
    report_put("</tr>\n", out);
  }
  report_table_end(out);
}

static ls_status describe_rungs(report_page *page, const report_sweep *sweep) {
  const uint64_t n = sweep->results.n_trials;
  if (sweep->results.rungs.n < 2) return LS_OK;
  double *const values = ls_calloc(n, sizeof *values);
  if (!values) return ls_fail_memory("the values of a rung", n * sizeof *values);
  report_note(page->out,
              "After each rung, the best trials continue to the next one. Trials that continue keep their "
              "best value so far.");
  write_rungs(page->out, sweep, values);
  free(values);
  return LS_OK;
}

ls_status report_sweep_progress(report_page *page, const report_sweep *sweep) {
  report_put("<section id=\"progress\"><h2>Progress</h2>\n", page->out);
  if (sweep->low > sweep->high)
    report_note(page->out, "No trial has a value of %s yet.", sweep->results.monitor);
  ls_status status = describe_rungs(page, sweep);
  report_put("<div class=\"charts\">\n", page->out);
  if (status == LS_OK && sweep->results.rungs.n > 1) status = report_rungs_draw(page, sweep);
  if (status == LS_OK && sweep->low <= sweep->high) status = draw_best_so_far(page, sweep);
  report_put("</div></section>\n", page->out);
  return status;
}
