/* The results of the models. */
#include "internal.h"

#include <math.h>

static void write_numbers(FILE *out, const report_evaluation *e) {
  const ls_metric *const m = e->metric;
  char texts[4][REPORT_NUMBER];
  report_put("<p>", out);
  report_text(out, e->data);
  report_print(out, ": %s samples, loss %s", report_count(ls_metric_samples(m), texts[0]),
               report_number(ls_metric_loss(m), texts[1]));
  if (m->task == LS_TASK_REGRESSION)
    report_print(out, ", R\xC2\xB2 %s, mean absolute error %s",
                 report_number(ls_metric_quality(m), texts[2]), report_number(ls_metric_mae(m), texts[3]));
  else
    report_print(out, ", accuracy %s", report_number(ls_metric_quality(m), texts[2]));
  for (size_t i = 0; i < m->n_tops; i++)
    report_print(out, ", top-%zu accuracy %s", m->tops[i],
                 report_number(ls_metric_top(m, m->tops[i]), texts[3]));
  report_put("</p>\n", out);
}

static ls_status write_run(report_page *page, const report_run *run) {
  const report_evaluation *const e = run->evaluation;
  if (!e) {
    report_note(page->out, "%s", run->not_evaluated ? run->not_evaluated : "Not evaluated.");
    return LS_OK;
  }
  write_numbers(page->out, e);
  if (e->metric->task == LS_TASK_REGRESSION)
    LS_TRY(report_values(page, e));
  else
    LS_TRY(report_classes(page, e));
  report_cases(page, e);
  return LS_OK;
}

ls_status report_results(report_page *page, const report_runs *runs) {
  return report_section(page, runs, "results", "Results", write_run);
}
