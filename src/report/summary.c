/* The summary: one column for each run. */
#include "internal.h"

#include <math.h>
#include <string.h>

/* The row whose values the summary shows: the best epoch, or the last one. SIZE_MAX: no epochs. */
static size_t shown_row(const report_run *run) {
  const size_t best = report_run_best(run);
  return best != SIZE_MAX || run->metrics.n_rows == 0 ? best : run->metrics.n_rows - 1;
}

static double shown_value(const report_run *run, const char *column) {
  const size_t row = shown_row(run);
  return row == SIZE_MAX ? NAN : report_csv_at(&run->metrics, row, report_csv_find(&run->metrics, column));
}

/* ------------------------------------------------------------------------------ rows */

typedef void cell_writer(FILE *out, const report_run *run);

static void write_row(FILE *out, const report_runs *runs, const char *name, cell_writer *write_cell) {
  report_put("<tr>", out);
  report_row_head(out, name);
  for (size_t i = 0; i < runs->n; i++) write_cell(out, &runs->list[i]);
  report_put("</tr>\n", out);
}

static void write_state(FILE *out, const report_run *run) {
  report_cell(out, report_run_state(run));
}

static void write_epochs(FILE *out, const report_run *run) {
  const size_t n = run->metrics.n_rows;
  report_cell_number(out, n ? report_csv_at(&run->metrics, n - 1, 0) : 0.0);
}

static void write_best(FILE *out, const report_run *run) {
  const size_t best = report_run_best(run);
  char text[160];
  char number[REPORT_NUMBER];
  snprintf(text, sizeof text, "\xE2\x80\x93");
  if (best != SIZE_MAX)
    snprintf(text, sizeof text, "%s (by %s)", report_number(report_csv_at(&run->metrics, best, 0), number),
             run->job->train.monitor);
  report_cell(out, text);
}

static void write_time(FILE *out, const report_run *run) {
  const int column = report_csv_find(&run->metrics, "seconds");
  double sum = 0.0;
  char text[REPORT_NUMBER];
  for (size_t i = 0; i < run->metrics.n_rows; i++)
    sum += fmax(report_csv_at(&run->metrics, i, column), 0.0);
  report_cell(out, report_seconds(run->metrics.n_rows ? sum : NAN, text));
}

/* The samples of all epochs, divided by their time. */
static void write_speed(FILE *out, const report_run *run) {
  const int speed = report_csv_find(&run->metrics, "samples_per_second");
  const int seconds = report_csv_find(&run->metrics, "seconds");
  double samples = 0.0;
  double time = 0.0;
  for (size_t i = 0; i < run->metrics.n_rows; i++) {
    const double product =
        report_csv_at(&run->metrics, i, speed) * report_csv_at(&run->metrics, i, seconds);
    if (!isfinite(product)) continue;
    samples += product;
    time += report_csv_at(&run->metrics, i, seconds);
  }
  report_cell_number(out, time > 0.0 ? round(samples / time) : NAN);
}

/* ------------------------------------------------------------------- rows of metrics.csv */

/* Whether an earlier run has the column, or it is not a metric. */
static bool is_listed(const report_runs *runs, size_t run, const char *name) {
  static const char *const others[] = {"epoch", "step", "samples_per_second", "seconds"};
  for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
    if (strcmp(name, others[i]) == 0) return true;
  for (size_t i = 0; i < run; i++)
    if (report_csv_find(&runs->list[i].metrics, name) >= 0) return true;
  return false;
}

static void write_metrics(FILE *out, const report_runs *runs) {
  for (size_t r = 0; r < runs->n; r++) {
    const report_csv *const csv = &runs->list[r].metrics;
    for (size_t k = 0; k < csv->n_columns; k++) {
      bool is_known = false;
      for (size_t i = 0; i < runs->n; i++) is_known |= !isnan(shown_value(&runs->list[i], csv->names[k]));
      if (!is_known || is_listed(runs, r, csv->names[k])) continue;
      report_put("<tr>", out);
      report_row_head(out, csv->names[k]);
      for (size_t i = 0; i < runs->n; i++)
        report_cell_number(out, shown_value(&runs->list[i], csv->names[k]));
      report_put("</tr>\n", out);
    }
  }
}

/* ------------------------------------------------------------------- rows of the results */

typedef struct result {
  const char *name;
  double (*value)(const ls_metric *metric);
  bool is_regression, is_other; /* for which tasks */
} result;

static double samples_of(const ls_metric *m) {
  return (double)ls_metric_samples(m);
}

static double macro_f1(const ls_metric *m) {
  return ls_metric_macro(m).f1;
}

static const result results[] = {{"samples", samples_of, true, true},
                                 {"loss", ls_metric_loss, true, true},
                                 {"accuracy", ls_metric_quality, false, true},
                                 {"macro F1", macro_f1, false, true},
                                 {"macro ROC AUC", ls_metric_macro_auc, false, true},
                                 {"mse", ls_metric_mse, true, false},
                                 {"mae", ls_metric_mae, true, false},
                                 {"R\xC2\xB2", ls_metric_quality, true, false}};

static double value_of(const report_evaluation *e, const result *r) {
  const bool is_regression = e && e->metric->task == LS_TASK_REGRESSION;
  return e && (is_regression ? r->is_regression : r->is_other) ? r->value(e->metric) : NAN;
}

static void write_data(FILE *out, const report_run *run) {
  report_cell(out, run->evaluation ? run->evaluation->data : "not evaluated");
}

static void write_results(FILE *out, const report_runs *runs) {
  for (size_t k = 0; k < sizeof results / sizeof results[0]; k++) {
    bool is_known = false;
    for (size_t i = 0; i < runs->n; i++)
      is_known |= !isnan(value_of(runs->list[i].evaluation, &results[k]));
    if (!is_known) continue;
    report_put("<tr>", out);
    report_row_head(out, results[k].name);
    for (size_t i = 0; i < runs->n; i++)
      report_cell_number(out, value_of(runs->list[i].evaluation, &results[k]));
    report_put("</tr>\n", out);
  }
}

/* ---------------------------------------------------------------------------- section */

static void write_head(FILE *out, const report_runs *runs) {
  report_put("<thead><tr><th scope=\"col\">Run</th>", out);
  for (size_t i = 0; i < runs->n; i++) {
    report_print(out, "<th scope=\"col\"><span class=\"swatch k%zu\"></span>", i % REPORT_COLOURS);
    report_text(out, runs->list[i].path);
    report_put("</th>", out);
  }
  report_put("</tr></thead><tbody>\n", out);
}

/* A heading inside the table. */
static void write_group(FILE *out, const report_runs *runs, const char *name) {
  report_print(out, "<tr class=\"group\"><th scope=\"colgroup\" colspan=\"%zu\">%s</th></tr>\n",
               runs->n + 1, name);
}

void report_summary(report_page *page, const report_runs *runs) {
  FILE *const out = page->out;
  report_put("<section id=\"summary\"><h2>Summary</h2>\n", out);
  report_table_begin(out, "Training and results");
  write_head(out, runs);
  write_row(out, runs, "state", write_state);
  write_row(out, runs, "epochs", write_epochs);
  write_row(out, runs, "best epoch", write_best);
  write_row(out, runs, "time of all epochs", write_time);
  write_row(out, runs, "mean samples/s", write_speed);
  write_group(out, runs, "Metrics at the best epoch (or the last)");
  write_metrics(out, runs);
  write_group(out, runs, "Results of the model");
  write_row(out, runs, "data", write_data);
  write_results(out, runs);
  report_table_end(out);
  for (size_t i = 0; i < runs->n; i++)
    if (runs->list[i].metrics.n_rows == 0)
      report_note(out, "%s: no epoch has ended yet.", runs->list[i].path);
  report_put("</section>\n", out);
}
