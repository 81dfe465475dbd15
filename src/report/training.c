/* The curves of training: loss and metrics, learning rate, speed, breakdown of the time. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define METRICS_MOST 64 /* charts */

/* --------------------------------------------------------------------- the epochs */

/* The epochs of all runs, ascending. */
typedef struct epochs {
  double *list; /* owned */
  size_t n;
} epochs;

static ls_status collect_epochs(const report_runs *runs, epochs *out) {
  size_t count = 0;
  for (size_t r = 0; r < runs->n; r++) count += runs->list[r].metrics.n_rows;
  double *const all = out->list = ls_calloc(count, sizeof *all);
  size_t n = 0;
  if (!all) return ls_fail_memory("the epochs", count * sizeof *all);
  for (size_t r = 0; r < runs->n; r++)
    for (size_t i = 0; i < runs->list[r].metrics.n_rows; i++) {
      const double epoch = report_csv_at(&runs->list[r].metrics, i, 0);
      if (isfinite(epoch)) all[n++] = epoch;
    }
  qsort(all, n, sizeof *all, report_compare_numbers);
  for (size_t i = 0; i < n; i++)
    if (i == 0 || all[i] != all[i - 1]) all[out->n++] = all[i];
  return LS_OK;
}

static size_t find_epoch(const epochs *e, double epoch) {
  const double *const at = bsearch(&epoch, e->list, e->n, sizeof epoch, report_compare_numbers);
  return at ? (size_t)(at - e->list) : e->n;
}

/* --------------------------------------------------------------------------- charts */

/* Fills a series from a column of a run. */
static void fill_series(report_chart *chart, size_t series, const epochs *e, const report_csv *csv,
                        int column) {
  for (size_t i = 0; i < csv->n_rows; i++) {
    const size_t at = find_epoch(e, report_csv_at(csv, i, 0));
    if (at < e->n) chart->y[series * chart->n + at] = report_csv_at(csv, i, column);
  }
}

/* Whether a column of a table has a value. */
static bool has_values(const report_csv *csv, const char *name) {
  const int column = report_csv_find(csv, name);
  for (size_t i = 0; i < csv->n_rows; i++)
    if (!isnan(report_csv_at(csv, i, column))) return true;
  return false;
}

/* Adds series of a column of all runs. number: of the column in the chart */
static ls_status add_column(report_chart *chart, const report_runs *runs, const epochs *e, const char *name,
                            int number, bool is_faint, size_t *used) {
  for (size_t r = 0; r < runs->n; r++) {
    const report_csv *const csv = &runs->list[r].metrics;
    if (!has_values(csv, name)) continue;
    chart->series[*used].is_faint = is_faint;
    fill_series(chart, *used, e, csv, report_csv_find(csv, name));
    LS_TRY(runs->n == 1 ? report_chart_name(chart, *used, number, "%s", name)
                        : report_chart_name(chart, *used, (int)r, "%s: %s", runs->list[r].path, name));
    ++*used;
  }
  return LS_OK;
}

/* Draws a chart of up to two columns of all runs: the second is drawn faintly beside the first. */
static ls_status draw_columns(report_page *page, const report_runs *runs, const epochs *e,
                              const char *title, const char *const columns[2]) {
  report_chart chart;
  size_t used = 0;
  ls_status status = report_chart_create(&chart, title, "epoch", e->n, 2 * runs->n);
  if (status == LS_OK) memcpy(chart.x, e->list, e->n * sizeof *chart.x);
  if (status == LS_OK) status = add_column(&chart, runs, e, columns[0], 0, false, &used);
  if (status == LS_OK && columns[1]) status = add_column(&chart, runs, e, columns[1], 1, used > 0, &used);
  if (status == LS_OK && used > 0) {
    chart.n_series = used;
    chart.is_whole = true;
    status = report_chart_thin(&chart);
    if (status == LS_OK) report_chart_draw(page, &chart);
    chart.n_series = 2 * runs->n; /* for their names */
  }
  report_chart_destroy(&chart);
  return status;
}

/* -------------------------------------------------------------------------- metrics */

/* The metrics of all runs, without train_ and val_. */
typedef struct metric_names {
  size_t n;
  const char *list[METRICS_MOST];
} metric_names;

/* The name of a metric; NULL if the column is not one. */
static const char *metric_of(const char *column) {
  if (strncmp(column, "train_", 6) == 0) return column + 6;
  return strncmp(column, "val_", 4) == 0 ? column + 4 : NULL;
}

static void collect_metrics(const report_runs *runs, metric_names *out) {
  for (size_t r = 0; r < runs->n; r++)
    for (size_t k = 0; k < runs->list[r].metrics.n_columns; k++) {
      const char *const name = metric_of(runs->list[r].metrics.names[k]);
      bool is_known = !name;
      for (size_t i = 0; name && i < out->n; i++) is_known |= strcmp(out->list[i], name) == 0;
      if (!is_known && out->n < METRICS_MOST) out->list[out->n++] = name;
    }
}

static ls_status draw_metric(report_page *page, const report_runs *runs, const epochs *e,
                             const char *name) {
  char *const train = ls_format("train_%s", name);
  char *const validation = ls_format("val_%s", name);
  ls_status status = train && validation ? LS_OK : ls_fail_memory("a name", strlen(name));
  if (status == LS_OK)
    status = draw_columns(page, runs, e, name, (const char *const[2]){validation, train});
  free(train);
  free(validation);
  return status;
}

/* ------------------------------------------------------------------ breakdown of the time */

static void write_shares(FILE *out, const report_runs *runs) {
  bool is_known = false;
  for (size_t r = 0; r < runs->n; r++) is_known |= runs->list[r].log.seconds > 0.0;
  if (!is_known) {
    report_note(out, "Breakdown of the time: train.log has no lines of epochs.");
    return;
  }
  report_table_begin(out, "Breakdown of the time, in percent");
  report_table_head(out, 2 + REPORT_SHARES,
                    (const char *const[]){"run", report_share_names[0], report_share_names[1],
                                          report_share_names[2], report_share_names[3], ""});
  for (size_t r = 0; r < runs->n; r++) {
    const report_log *const log = &runs->list[r].log;
    report_put("<tr>", out);
    report_row_head(out, runs->list[r].path);
    for (size_t i = 0; i < REPORT_SHARES; i++)
      report_cell_number(out, log->seconds > 0.0 ? round(10.0 * log->shares[i]) / 10.0 : NAN);
    report_put("<td><div class=\"shares\" aria-hidden=\"true\">", out);
    for (size_t i = 0; i < REPORT_SHARES && log->seconds > 0.0; i++)
      report_print(out, "<span class=\"k%zu\" style=\"width:%.1f%%\"></span>", i, log->shares[i]);
    report_put("</div></td></tr>\n", out);
  }
  report_table_end(out);
  report_put("<ul class=\"legend\" aria-hidden=\"true\">", out);
  for (size_t i = 0; i < REPORT_SHARES; i++)
    report_print(out, "<li><span class=\"swatch k%zu\"></span>%s</li>", i, report_share_names[i]);
  report_put("</ul>\n", out);
}

ls_status report_training(report_page *page, const report_runs *runs) {
  FILE *const out = page->out;
  metric_names metrics = {0};
  epochs e = {0};
  ls_status status = collect_epochs(runs, &e);
  collect_metrics(runs, &metrics);
  report_put("<section id=\"training\"><h2>Training</h2>\n", out);
  if (e.n == 0) report_note(out, "No curves: no epoch has ended yet.");
  report_put("<div class=\"charts\">\n", out);
  for (size_t i = 0; status == LS_OK && e.n > 0 && i < metrics.n; i++)
    status = draw_metric(page, runs, &e, metrics.list[i]);
  if (status == LS_OK && e.n > 0)
    status = draw_columns(page, runs, &e, "learning rate", (const char *const[2]){"lr", NULL});
  if (status == LS_OK && e.n > 0)
    status = draw_columns(page, runs, &e, "samples per second",
                          (const char *const[2]){"samples_per_second", NULL});
  report_put("</div>\n", out);
  write_shares(out, runs);
  report_put("</section>\n", out);
  free(e.list);
  return status;
}
