/* Figures: captions, SVG with their descriptions, axes. */
#include "page.h"

#include <stdarg.h>

void report_figure_begin(report_page *page, const char *title) {
  report_put("<figure class=\"chart\"><figcaption>", page->out);
  report_text(page->out, title);
  report_put("</figcaption>\n", page->out);
}

void report_figure_end(report_page *page) {
  report_put("</figure>\n", page->out);
}

void report_svg_begin(report_page *page, int width, int height, const char *attributes, const char *title,
                      const char *description) {
  FILE *const out = page->out;
  const size_t id = ++page->n_charts;
  report_print(
      out, "<svg %s viewBox=\"0 0 %d %d\" role=\"img\" aria-labelledby=\"t%zu d%zu\"><title id=\"t%zu\">",
      attributes, width, height, id, id, id);
  report_text(out, title);
  report_print(out, "</title><desc id=\"d%zu\">", id);
  report_text(out, description);
  report_put("</desc>\n", out);
}

void report_svg_end(report_page *page) {
  report_put("</svg>\n", page->out);
}

void report_y_axis_draw(FILE *out, const report_axis *x, const report_axis *y, const char *x_name) {
  double ticks[REPORT_TICKS_MAX];
  char text[REPORT_NUMBER];
  const size_t n = report_ticks(y, false, ticks);
  for (size_t i = 0; i < n; i++) {
    const double at = report_place(y, ticks[i]);
    report_print(out,
                 "<path class=\"grid\" d=\"M%.0f %.1fH%.0f\"/><text x=\"%.0f\" y=\"%.1f\" "
                 "text-anchor=\"end\">%s</text>\n",
                 x->from, at, x->to, x->from - 7.0, at + 4.5, report_tick_label(ticks[i], text));
  }
  report_print(out, "<path class=\"base\" d=\"M%.0f %.0fH%.0f\"/>\n", x->from, y->from, x->to);
  report_print(out, "<text x=\"%.0f\" y=\"%d\" text-anchor=\"middle\">", (x->from + x->to) / 2.0,
               PLOT_HEIGHT - 6);
  report_text(out, x_name);
  report_put("</text>\n", out);
}

void report_axes_draw(FILE *out, const report_axis *x, const report_axis *y, bool is_whole,
                      const char *x_name) {
  double ticks[REPORT_TICKS_MAX];
  char text[REPORT_NUMBER];
  report_y_axis_draw(out, x, y, x_name);
  const size_t n = report_ticks(x, is_whole, ticks);
  for (size_t i = 0; i < n; i++)
    report_print(out, "<text x=\"%.1f\" y=\"%.0f\" text-anchor=\"middle\">%s</text>\n",
                 report_place(x, ticks[i]), y->from + 17.0, report_tick_label(ticks[i], text));
}

void report_legend_entry(FILE *out, const char *svg, const char *format, ...) {
  char text[256];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  report_print(out, "<li><svg viewBox=\"0 0 28 10\" aria-hidden=\"true\">%s</svg>", svg);
  report_text(out, text);
  report_put("</li>\n", out);
}
