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

ls_status report_section(report_page *page, const report_runs *runs, const char *id, const char *title,
                         ls_status (*write)(report_page *page, const report_run *run)) {
  ls_status status = LS_OK;
  report_print(page->out, "<section id=\"%s\"><h2>%s</h2>\n", id, title);
  for (size_t i = 0; status == LS_OK && i < runs->n; i++) {
    report_run_begin(page, runs, i);
    status = write(page, &runs->list[i]);
    report_run_end(page, runs);
  }
  report_put("</section>\n", page->out);
  return status;
}
