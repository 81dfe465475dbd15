/* Tables of the trials of a sweep. */
#include "internal.h"

static void write_head(FILE *out, const report_sweep *sweep) {
  const ls_sweep_results *const r = &sweep->results;
  const char *names[64] = {"rank", "trial"};
  size_t n = 2;
  if (r->rungs.n > 1) names[n++] = "last rung";
  names[n++] = r->monitor;
  for (size_t k = 0; k < r->n_parameters; k++) names[n++] = r->parameters[k].key;
  names[n++] = "epochs";
  names[n++] = "state";
  names[n++] = "seconds";
  report_table_head(out, n, names);
}

static void write_parameters(FILE *out, const report_sweep *sweep, uint64_t trial) {
  char text[LS_SWEEP_VALUE_MAX];
  double number = 0.0;
  for (size_t k = 0; k < sweep->results.n_parameters; k++) {
    ls_sweep_value(&sweep->results, trial, k, text);
    report_put(ls_config_parse_real(text, &number) ? "<td>" : "<td class=\"text\">", out);
    report_text(out, text);
    report_put("</td>", out);
  }
}

static void write_trial(FILE *out, const report_sweep *sweep, size_t position) {
  static const char *const states[] = {[LS_TRIAL_ABSENT] = "",
                                       [LS_TRIAL_DONE] = "done",
                                       [LS_TRIAL_DIVERGED] = "diverged",
                                       [LS_TRIAL_FAILED] = "failed"};
  const report_trial *const t = &sweep->trials[position];
  report_put("<tr>", out);
  if (position < sweep->n_ranked)
    report_print(out, "<th scope=\"row\">%zu</th>", position + 1);
  else
    report_put("<th scope=\"row\">\xE2\x80\x93</th>", out);
  report_print(out, "<td>%llu</td>", (unsigned long long)t->number);
  if (sweep->results.rungs.n > 1) report_print(out, "<td>%llu</td>", (unsigned long long)t->row->rung);
  report_cell_number(out, report_trial_value(sweep, t->row->rung, t->number));
  write_parameters(out, sweep, t->number);
  report_cell_number(out, (double)t->row->epochs);
  report_print(out, "<td>%s</td>", states[t->row->state]);
  report_cell_number(out, t->row->seconds);
  report_put("</tr>\n", out);
}

void report_trials_table(report_page *page, const report_sweep *sweep, const char *caption, size_t n,
                         const size_t *positions) {
  report_table_begin(page->out, caption);
  write_head(page->out, sweep);
  for (size_t i = 0; i < n; i++) write_trial(page->out, sweep, positions ? positions[i] : i);
  report_table_end(page->out);
}
