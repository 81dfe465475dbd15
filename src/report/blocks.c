/* The block of a run inside a section. */
#include "internal.h"

void report_run_begin(report_page *page, const report_runs *runs, size_t i) {
  if (runs->n == 1) return;
  report_print(page->out, "<details class=\"run\"%s><summary><span class=\"swatch k%zu\"></span>",
               i == 0 ? " open" : "", i % REPORT_COLOURS);
  report_text(page->out, runs->list[i].path);
  report_put("</summary>\n", page->out);
}

void report_run_end(report_page *page, const report_runs *runs) {
  if (runs->n > 1) report_put("</details>\n", page->out);
}
