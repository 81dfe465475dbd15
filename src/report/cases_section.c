/* The samples with the largest errors, as pictures or as rows of a table. */
#include "internal.h"
#include "lockstep/explain.h"

static const char *explain_error(ls_task task) {
  switch (task) {
  case LS_TASK_CLASSES: return "The error is \xE2\x88\x92ln of the probability of the true class.";
  case LS_TASK_LABELS: return "The error is the sum of the cross-entropies of the labels.";
  default:
    return "The error is the root mean square of the residuals in standard deviations of the targets.";
  }
}

static void write_verdict(FILE *out, const report_evaluation *e, const report_case *c) {
  if (e->metric->task == LS_TASK_REGRESSION) return;
  report_print(out, "<span class=\"%s\">%s</span>", c->is_wrong ? "bad" : "good",
               c->is_wrong ? "wrong" : "correct");
}

static void write_pictures(FILE *out, const report_evaluation *e) {
  char text[REPORT_NUMBER];
  report_put("<ul class=\"cases\">\n", out);
  for (size_t i = 0; i < e->n_cases; i++) {
    const report_case *const c = &e->cases[i];
    report_print(out, "<li><img alt=\"sample %llu\" src=\"data:image/png;base64,%s\">",
                 (unsigned long long)c->sample, c->picture);
    report_put("true: <strong>", out);
    report_text(out, c->truth);
    report_put("</strong><br>predicted: <strong>", out);
    report_text(out, c->predicted);
    report_print(out, "</strong><br>sample %llu, error %s<br>", (unsigned long long)c->sample,
                 report_number(c->error, text));
    write_verdict(out, e, c);
    report_put("</li>\n", out);
  }
  report_put("</ul>\n", out);
}

static void write_features(FILE *out, const report_case *c) {
  char value[REPORT_NUMBER];
  report_put("<td class=\"text\">", out);
  for (size_t k = 0; k < c->n_features; k++) {
    const report_feature *const f = &c->features[k];
    if (k > 0) report_put("<br>", out);
    report_text(out, f->name);
    report_print(out, " = %s (%+.3g)", report_number(f->value, value), f->attribution);
  }
  report_put("</td>", out);
}

static void explain_features(FILE *out, const report_evaluation *e) {
  report_note(
      out,
      "Each feature with its value and, in parentheses, its integrated gradient: its part in the %s "
      "compared with a baseline.",
      e->metric->task == LS_TASK_REGRESSION ? "first predicted number"
                                            : "probability of the predicted class");
  if (e->n_approximate > 0)
    report_note(
        out,
        "The integrated gradients of %zu of the %zu samples are approximate: they have not converged "
        "with %d points. `lockstep explain` uses up to %d.",
        e->n_approximate, e->n_cases, REPORT_INTEGRAL_POINTS, LS_EXPLAIN_POINTS_MOST);
}

static void write_rows(FILE *out, const report_evaluation *e) {
  const bool has_features = e->cases[0].n_features > 0;
  char text[REPORT_NUMBER];
  report_put("<div class=\"texts\">", out);
  report_table_begin(out, "Samples with the largest errors");
  report_table_head(out, has_features ? 5 : 4,
                    (const char *const[]){"sample", "true", "predicted", "error", "strongest features"});
  for (size_t i = 0; i < e->n_cases; i++) {
    const report_case *const c = &e->cases[i];
    report_put("<tr>", out);
    report_row_head(out, report_count(c->sample, text));
    report_cell(out, c->truth);
    report_put("<td class=\"text\">", out);
    report_text(out, c->predicted);
    report_put(" ", out);
    write_verdict(out, e, c);
    report_put("</td>", out);
    report_cell_number(out, c->error);
    if (has_features) write_features(out, c);
    report_put("</tr>\n", out);
  }
  report_table_end(out);
  report_put("</div>\n", out);
  if (has_features) explain_features(out, e);
  if (e->is_too_wide)
    report_note(out, "The strongest features are missing, because the samples have more than %d.",
                REPORT_FEATURES_MOST);
}

void report_cases(report_page *page, const report_evaluation *e) {
  FILE *const out = page->out;
  if (e->n_cases == 0) return;
  report_put("<h3>Worst errors</h3>\n", out);
  report_note(
      out,
      "The %zu samples with the largest errors. %s Samples are numbered from 0, in the order of the file.",
      e->n_cases, explain_error(e->metric->task));
  if (e->cases[0].picture)
    write_pictures(out, e);
  else
    write_rows(out, e);
}
