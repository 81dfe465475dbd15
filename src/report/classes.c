/* Results for classes and labels: the table of classes, the confusion matrix, ROC and calibration curves.
 */
#include "internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_MOST   200 /* of the table of classes */
#define HEAT_MOST   30  /* classes of the confusion matrix */
#define LEVELS      9   /* shades */
#define PAIRS_MOST  10  /* of classes that are confused */
#define GRID_POINTS 102 /* of a ROC curve: 0 twice, where it rises */

/* ------------------------------------------------------------------- classes by errors */

/* A class and the weight of the samples that are wrongly in it or not in it. */
typedef struct ranked {
  size_t class;
  double errors;
} ranked;

static int compare_ranked(const void *a, const void *b) {
  const ranked *const x = a;
  const ranked *const y = b;
  const int order = (x->errors < y->errors) - (x->errors > y->errors);
  return order ? order : (x->class > y->class) - (x->class < y->class);
}

static int compare_classes(const void *a, const void *b) {
  const ranked *const x = a;
  const ranked *const y = b;
  return (x->class > y->class) - (x->class < y->class);
}

/* The at most `most` classes with most errors, in their own order; the caller frees them. NULL: no memory.
 */
static ranked *worst_classes(const ls_metric *m, size_t most, size_t *n) {
  const size_t count = ls_metric_n_classes(m);
  ranked *const list = ls_calloc(count, sizeof *list);
  *n = ls_size_min(count, most);
  for (size_t i = 0; list && i < count; i++) {
    const ls_class_quality q = ls_metric_class(m, i);
    const double right = q.recall * q.support;
    list[i] = (ranked){i, q.support - right + (q.precision > 0.0 ? right / q.precision - right : 0.0)};
  }
  if (list) qsort(list, count, sizeof *list, compare_ranked);
  if (list) qsort(list, *n, sizeof *list, compare_classes);
  return list;
}

/* ----------------------------------------------------------------------- the table */

static void write_class(FILE *out, const char *name, const ls_class_quality *q, double auc) {
  report_put("<tr>", out);
  report_row_head(out, name);
  report_cell_number(out, q->precision);
  report_cell_number(out, q->recall);
  report_cell_number(out, q->f1);
  report_cell_number(out, auc);
  report_cell_number(out, q->support);
  report_put("</tr>\n", out);
}

static ls_status write_table(FILE *out, const report_evaluation *e) {
  const ls_metric *const m = e->metric;
  const ls_class_quality macro = ls_metric_macro(m);
  const bool has_labels = m->task == LS_TASK_LABELS && m->n_outputs > 1;
  size_t n = 0;
  ranked *const list = worst_classes(m, ROWS_MOST, &n);
  if (!list) return ls_fail_memory("the classes", e->n_names * sizeof *list);
  report_put("<div>", out);
  report_table_begin(out, has_labels ? "Labels" : "Classes");
  report_table_head(out, 6,
                    (const char *const[]){has_labels ? "label" : "class", "precision", "recall", "F1",
                                          "ROC AUC", "support"});
  for (size_t i = 0; i < n; i++) {
    const ls_class_quality q = ls_metric_class(m, list[i].class);
    write_class(out, e->names[list[i].class], &q, ls_metric_auc(m, list[i].class));
  }
  write_class(out, "macro", &macro, ls_metric_macro_auc(m));
  report_table_end(out);
  if (n < e->n_names) report_note(out, "Shows %zu of %zu: those with the most errors.", n, e->n_names);
  report_put("</div>\n", out);
  free(list);
  return LS_OK;
}

/* -------------------------------------------------------------------- the confusion matrix */

static double row_sum(const ls_metric *m, size_t i) {
  const ls_class_quality q = ls_metric_class(m, i);
  return q.support;
}

static void write_heat_row(FILE *out, const report_evaluation *e, size_t truth, size_t n,
                           const ranked *list) {
  const double support = row_sum(e->metric, truth);
  char text[REPORT_NUMBER];
  report_put("<tr>", out);
  report_row_head(out, e->names[truth]);
  for (size_t j = 0; j < n; j++) {
    const double count = ls_metric_confusion(e->metric, truth, list[j].class);
    const int level = support > 0.0 ? (int)ceil(LEVELS * sqrt(count / support) - 1e-9) : 0;
    report_print(out, "<td class=\"h%d%s\">%s</td>", level < LEVELS ? level : LEVELS,
                 list[j].class == truth ? " hit" : "", count > 0.0 ? report_number(count, text) : "");
  }
  report_put("</tr>\n", out);
}

static void write_heat(FILE *out, const report_evaluation *e, size_t n, const ranked *list) {
  report_put("<div class=\"heat\">", out);
  report_table_begin(out, "Confusion matrix (rows: true, columns: predicted)");
  report_put("<thead><tr><th scope=\"col\">true</th>", out);
  for (size_t j = 0; j < n; j++) {
    report_put("<th scope=\"col\">", out);
    report_text(out, e->names[list[j].class]);
    report_put("</th>", out);
  }
  report_put("</tr></thead><tbody>\n", out);
  for (size_t i = 0; i < n; i++) write_heat_row(out, e, list[i].class, n, list);
  report_table_end(out);
  if (n < e->n_names)
    report_note(
        out, "Shows %zu of %zu classes: those with the most errors. `lockstep evaluate --json` prints all.",
        n, e->n_names);
  report_put("</div>\n", out);
}

typedef struct pair {
  size_t truth, predicted;
  double count;
} pair;

/* The pairs of classes that are confused most. Returns their number. */
static size_t find_pairs(const ls_metric *m, pair pairs[PAIRS_MOST]) {
  const size_t n = ls_metric_n_classes(m);
  size_t found = 0;
  for (size_t i = 0; i < n * n; i++) {
    const pair p = {i / n, i % n, ls_metric_confusion(m, i / n, i % n)};
    size_t at = found;
    if (p.truth == p.predicted || p.count <= 0.0) continue;
    while (at > 0 && pairs[at - 1].count < p.count) at--;
    if (at == PAIRS_MOST) continue;
    if (found < PAIRS_MOST) found++;
    memmove(pairs + at + 1, pairs + at, (found - 1 - at) * sizeof *pairs);
    pairs[at] = p;
  }
  return found;
}

static void write_pairs(FILE *out, const report_evaluation *e) {
  pair pairs[PAIRS_MOST];
  const size_t n = find_pairs(e->metric, pairs);
  if (n == 0 || e->n_names < 3) return;
  report_put("<div class=\"texts\">", out);
  report_table_begin(out, "Most frequent confusions");
  report_table_head(out, 4, (const char *const[]){"true", "predicted", "samples", "of the true class"});
  for (size_t i = 0; i < n; i++) {
    const double share = 100.0 * pairs[i].count / row_sum(e->metric, pairs[i].truth);
    report_put("<tr>", out);
    report_row_head(out, e->names[pairs[i].truth]);
    report_cell(out, e->names[pairs[i].predicted]);
    report_cell_number(out, pairs[i].count);
    report_print(out, "<td>%.1f %%</td></tr>\n", share);
  }
  report_table_end(out);
  report_put("</div>\n", out);
}

static ls_status write_confusion(FILE *out, const report_evaluation *e) {
  size_t n = 0;
  if (!ls_metric_has_confusion(e->metric)) return LS_OK;
  ranked *const list = worst_classes(e->metric, HEAT_MOST, &n);
  if (!list) return ls_fail_memory("the classes", e->n_names * sizeof *list);
  write_heat(out, e, n, list);
  write_pairs(out, e);
  free(list);
  return LS_OK;
}

/* ------------------------------------------------------------------------------ curves */

/* The true positive rate at each false positive rate of the grid, from the scores of curve c. */
static void fill_roc(const report_evaluation *e, size_t c, report_chart *chart) {
  const double *const negative = e->scores + 2 * c * REPORT_SCORES;
  const double *const positive = negative + REPORT_SCORES;
  double totals[2] = {0.0, 0.0};
  double fpr = 0.0;
  double tpr = 0.0;
  size_t at = 1;
  chart->y[c * chart->n] = 0.0;
  for (size_t i = 0; i < REPORT_SCORES; i++) {
    totals[0] += negative[i];
    totals[1] += positive[i];
  }
  for (size_t i = REPORT_SCORES; i-- > 0;) {
    const double next = fpr + negative[i] / totals[0];
    const double rise = positive[i] / totals[1];
    for (; at < chart->n && chart->x[at] < next; at++)
      chart->y[c * chart->n + at] = tpr + rise * (chart->x[at] - fpr) / (next - fpr);
    fpr = next;
    tpr += rise;
  }
  for (; at < chart->n; at++) chart->y[c * chart->n + at] = 1.0;
}

/* What the curves are of. */
static void describe_roc(const report_evaluation *e, char *text, size_t size) {
  const ls_metric *const m = e->metric;
  const char *const noun = m->task == LS_TASK_LABELS ? "label" : "class";
  if (m->n_outputs == 1)
    ls_append(text, size, "The curve of the positive %s.", noun);
  else
    ls_append(text, size, "One curve per %s, %s; none is an average.", noun,
              m->task == LS_TASK_LABELS ? "with and without it" : "against all others");
  if (e->n_curves < m->n_outputs)
    ls_append(text, size, " Shows the %zu with the smallest area.", e->n_curves);
}

static ls_status draw_roc(report_page *page, const report_evaluation *e) {
  const ls_metric *const m = e->metric;
  char note[200] = "";
  report_chart chart;
  if (e->n_curves == 0) {
    report_note(page->out, "No ROC curve: no class has both positive and negative samples.");
    return LS_OK;
  }
  ls_status status = report_chart_create(&chart, "ROC curves: true positive rate", "false positive rate",
                                         GRID_POINTS, e->n_curves);
  for (size_t i = 0; status == LS_OK && i + 1 < chart.n; i++)
    chart.x[i + 1] = (double)i / (GRID_POINTS - 2);
  for (size_t c = 0; status == LS_OK && c < e->n_curves; c++) {
    const size_t class = m->n_outputs == 1 ? 1 : e->curves[c];
    fill_roc(e, c, &chart);
    status =
        report_chart_name(&chart, c, (int)c, "%s (AUC %.4f)", e->names[class], ls_metric_auc(m, class));
  }
  if (status == LS_OK) {
    describe_roc(e, note, sizeof note);
    chart.note = note;
    chart.is_share = true;
    report_chart_draw(page, &chart);
  }
  report_chart_destroy(&chart);
  return status;
}

/* Expected calibration error: the weighted mean of |probability - frequency| over the bins. */
static double calibration_error(const report_evaluation *e) {
  double sum = 0.0;
  double weight = 0.0;
  for (size_t b = 0; b < REPORT_BINS; b++) {
    sum += fabs(e->bins[1][b] - e->bins[2][b]);
    weight += e->bins[0][b];
  }
  return sum / weight;
}

static ls_status draw_calibration(report_page *page, const report_evaluation *e) {
  const bool has_classes = e->metric->task == LS_TASK_CLASSES;
  char note[240];
  report_chart chart;
  size_t n = 0;
  ls_status status = report_chart_create(&chart, "Calibration: observed frequency", "predicted probability",
                                         REPORT_BINS, 2);
  if (status == LS_OK) status = report_chart_name(&chart, 0, 0, "frequency");
  if (status == LS_OK) status = report_chart_name(&chart, 1, 1, "samples");
  for (size_t b = 0; status == LS_OK && b < REPORT_BINS; b++) {
    if (e->bins[0][b] <= 0.0) continue;
    chart.x[n] = e->bins[1][b] / e->bins[0][b];
    chart.y[n] = e->bins[2][b] / e->bins[0][b];
    chart.y[REPORT_BINS + n++] = e->bins[0][b];
  }
  if (status == LS_OK) {
    memmove(chart.y + n, chart.y + REPORT_BINS, n * sizeof *chart.y);
    chart.n = n;
    chart.series[1].is_unplotted = true;
    chart.is_share = true;
    snprintf(note, sizeof note, "%s Expected calibration error: %.3g.",
             has_classes ? "Probability of the predicted class, and how often it is right; 10 bins."
                         : "Probability of a label, and how often samples have it; 10 bins.",
             calibration_error(e));
    chart.note = note;
    report_chart_draw(page, &chart);
  }
  report_chart_destroy(&chart);
  return status;
}

ls_status report_classes(report_page *page, const report_evaluation *e) {
  report_put("<h3>Quality by class</h3>\n", page->out);
  report_put("<div class=\"row\">\n", page->out);
  LS_TRY(write_table(page->out, e));
  LS_TRY(write_confusion(page->out, e));
  report_put("</div>\n<div class=\"charts\">\n", page->out);
  LS_TRY(draw_roc(page, e));
  LS_TRY(draw_calibration(page, e));
  report_put("</div>\n", page->out);
  return LS_OK;
}
