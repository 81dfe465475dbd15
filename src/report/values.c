/* Results of a regression: the table of outputs, predicted against true values, residuals. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>

#define ROWS_MOST   200  /* of the table */
#define POINTS_MOST 1000 /* of a scatter plot */

static void output_name(const ls_metric *m, size_t k, char text[32]) {
  snprintf(text, 32, m->n_outputs == 1 ? "y" : "y%zu", k);
}

static void write_table(FILE *out, const ls_metric *m) {
  char name[32];
  const size_t n = ls_size_min(m->n_outputs, ROWS_MOST);
  report_table_begin(out, "Outputs");
  report_table_head(out, 5, (const char *const[]){"output", "mse", "root of mse", "mae", "R\xC2\xB2"});
  for (size_t k = 0; k < n; k++) {
    const ls_output_quality q = ls_metric_output(m, k);
    output_name(m, k, name);
    report_put("<tr>", out);
    report_row_head(out, name);
    report_cell_number(out, q.mse);
    report_cell_number(out, sqrt(q.mse));
    report_cell_number(out, q.mae);
    report_cell_number(out, q.r2);
    report_put("</tr>\n", out);
  }
  report_table_end(out);
  if (n < m->n_outputs) report_note(out, "Shows the first %zu of %zu outputs.", n, m->n_outputs);
}

/* Draws the plots of output k. residuals: (n_points), a buffer. */
static void draw_output(report_page *page, const report_evaluation *e, size_t k, double *residuals) {
  const double *const truth = e->truth + k * e->n_points;
  const double *const predicted = e->predicted + k * e->n_points;
  const size_t shown = ls_size_min(e->n_points, POINTS_MOST);
  double points[2][POINTS_MOST];
  char name[32];
  char title[80];
  output_name(e->metric, k, name);
  snprintf(title, sizeof title, "%s: predicted against true values", name);
  for (size_t i = 0; i < e->n_points; i++) residuals[i] = predicted[i] - truth[i];
  for (size_t i = 0; i < shown; i++) {
    points[0][i] = truth[i * e->n_points / shown];
    points[1][i] = predicted[i * e->n_points / shown];
  }
  report_scatter_draw(page, title, shown, points[0], points[1]);
  snprintf(title, sizeof title, "%s: distribution of the residuals", name);
  report_histogram_draw(page, title, "predicted \xE2\x88\x92 true value", e->n_points, residuals);
}

ls_status report_values(report_page *page, const report_evaluation *e) {
  FILE *const out = page->out;
  double *const residuals = ls_calloc(e->n_points, sizeof *residuals);
  const uint64_t n = ls_metric_samples(e->metric);
  if (!residuals) return ls_fail_memory("the residuals", e->n_points * sizeof *residuals);
  report_put("<h3>Quality by output</h3>\n", out);
  write_table(out, e->metric);
  report_put("<div class=\"charts\">\n", out);
  for (size_t k = 0; k < e->n_outputs; k++) draw_output(page, e, k, residuals);
  report_put("</div>\n", out);
  if (e->n_outputs < e->metric->n_outputs)
    report_note(out, "Shows the first %zu of %zu outputs.", e->n_outputs, e->metric->n_outputs);
  if (e->n_points < n)
    report_note(out, "Residuals of %zu of %llu samples, at equal distances.", e->n_points,
                (unsigned long long)n);
  if (e->n_points > POINTS_MOST)
    report_note(out, "%d of these, at equal distances, are points of the plot.", POINTS_MOST);
  free(residuals);
  return LS_OK;
}
