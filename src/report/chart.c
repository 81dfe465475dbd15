/* Line charts with a table of their values. */
#include "page.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define POINTS_MARKED 10 /* of a chart */

ls_status report_chart_create(report_chart *chart, const char *title, const char *x_name, size_t n,
                              size_t n_series) {
  size_t count = 0;
  *chart = (report_chart){.title = title, .x_name = x_name, .n = n, .n_series = n_series};
  if (!ls_size_mul(n, n_series, &count)) return ls_fail_memory("a chart", SIZE_MAX);
  chart->x = ls_calloc(n, sizeof *chart->x);
  chart->y = ls_calloc(count, sizeof *chart->y);
  chart->series = ls_calloc(n_series, sizeof *chart->series);
  if (!chart->x || !chart->y || !chart->series) return ls_fail_memory("a chart", count * sizeof *chart->y);
  for (size_t i = 0; i < count; i++) chart->y[i] = NAN;
  return LS_OK;
}

void report_chart_destroy(report_chart *chart) {
  for (size_t k = 0; chart->series && k < chart->n_series; k++) free(chart->series[k].name);
  free(chart->series);
  free(chart->x);
  free(chart->y);
  *chart = (report_chart){0};
}

ls_status report_chart_name(report_chart *chart, size_t series, int colour, const char *format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  chart->series[series].colour = colour;
  chart->series[series].name = ls_strdup(text);
  return chart->series[series].name ? LS_OK : ls_fail_memory("a name", strlen(text));
}

/* --------------------------------------------------------------------------- the SVG */

/* The range of all plotted values, or of the axis if it is given. Returns false if there are none. */
static bool value_range(const report_chart *c, double *low, double *high) {
  *low = c->low < c->high ? c->low : INFINITY;
  *high = c->low < c->high ? c->high : -INFINITY;
  if (*low < *high) return true;
  for (size_t k = 0; k < c->n_series; k++)
    for (size_t i = 0; i < c->n && !c->series[k].is_unplotted; i++) {
      const double value = c->y[k * c->n + i];
      if (!isfinite(value)) continue;
      *low = fmin(*low, value);
      *high = fmax(*high, value);
    }
  return *low <= *high;
}

static void print_classes(FILE *out, const report_series *s) {
  report_print(out, "%s k%d%s%s", s->is_dots ? "dots" : "line", s->colour % REPORT_COLOURS,
               s->is_faint ? " faint" : "", s->colour / REPORT_COLOURS % 2 ? " dashed" : "");
}

/* A value that is not finite interrupts the line. */
static void draw_line(FILE *out, const report_chart *c, size_t k, const report_axis *x,
                      const report_axis *y) {
  bool is_down = false;
  bool is_point = false;
  report_put("<path class=\"", out);
  print_classes(out, &c->series[k]);
  report_put("\" d=\"", out);
  for (size_t i = 0; i < c->n; i++) {
    const double value = c->y[k * c->n + i];
    const bool is_finite = isfinite(value);
    if (!is_finite && is_point) report_put("h0", out); /* a dot */
    if (is_finite)
      report_print(out, "%c%.1f %.1f", is_down ? 'L' : 'M', report_place(x, c->x[i]),
                   report_place_within(y, value));
    is_point = is_finite && !is_down;
    is_down = is_finite;
  }
  report_put(is_point ? "h0\"/>\n" : "\"/>\n", out);
}

/* Marks each value, where there are few or no line. */
static void draw_points(FILE *out, const report_chart *c, size_t k, const report_axis *x,
                        const report_axis *y) {
  const bool is_dots = c->series[k].is_dots;
  if (c->n > POINTS_MARKED && !is_dots) return;
  report_print(out, "<path class=\"%s k%d\" d=\"", is_dots ? "dots" : "points",
               c->series[k].colour % REPORT_COLOURS);
  for (size_t i = 0; i < c->n; i++)
    if (isfinite(c->y[k * c->n + i]))
      report_print(out, "M%.1f %.1fh0", report_place(x, c->x[i]),
                   report_place_within(y, c->y[k * c->n + i]));
  report_put("\"/>\n", out);
}

/* The first and the last value of a series, and the extremes. */
static void describe_series(const report_chart *c, size_t k, char *text, size_t size) {
  char numbers[4][REPORT_NUMBER];
  double first = NAN;
  double last = NAN;
  double least = INFINITY;
  double most = -INFINITY;
  for (size_t i = 0; i < c->n; i++) {
    const double value = c->y[k * c->n + i];
    if (!isfinite(value)) continue;
    if (isnan(first)) first = value;
    last = value;
    least = fmin(least, value);
    most = fmax(most, value);
  }
  if (isnan(first)) {
    ls_append(text, size, " %s: no values.", c->series[k].name);
    return;
  }
  ls_append(text, size, " %s: first %s, last %s, from %s to %s.", c->series[k].name,
            report_number(first, numbers[0]), report_number(last, numbers[1]),
            report_number(least, numbers[2]), report_number(most, numbers[3]));
}

static void draw_svg(report_page *page, const report_chart *c, bool is_log, double low, double high) {
  FILE *const out = page->out;
  char description[2048] = "";
  char attributes[200];
  const double x_low = c->is_share ? 0.0 : c->n ? c->x[0] : 0.0;
  const double x_high = c->is_share ? 1.0 : c->n ? c->x[c->n - 1] : 1.0;
  const report_axis x = report_axis_make(x_low, x_high, false, false, PLOT_LEFT, PLOT_WIDTH - PLOT_RIGHT);
  const report_axis y = report_axis_make(c->is_share ? 0.0 : low, c->is_share ? 1.0 : high, is_log, true,
                                         PLOT_HEIGHT - PLOT_BOTTOM, PLOT_TOP);
  ls_append(description, sizeof description, "Line chart over %s, %s axis.", c->x_name,
            is_log ? "logarithmic" : "linear");
  for (size_t k = 0; k < c->n_series; k++)
    if (!c->series[k].is_unplotted) describe_series(c, k, description, sizeof description);
  description[ls_clip(description, sizeof description - 1)] = '\0';
  snprintf(attributes, sizeof attributes, "class=\"%s\" data-axis=\"%g %g %.17g %.17g %g %g\"",
           is_log ? "log" : "linear", x.from, x.to, x.low, x.high, y.to, y.from); /* for the script */
  report_svg_begin(page, PLOT_WIDTH, PLOT_HEIGHT, attributes, c->title, description);
  report_axes_draw(out, &x, &y, c->is_whole, c->x_name);
  if (c->is_share)
    report_print(out, "<path class=\"diagonal\" d=\"M%.0f %.0fL%.0f %.0f\"/>\n", x.from, y.from, x.to,
                 y.to);
  for (size_t k = 0; k < c->n_series; k++)
    if (!c->series[k].is_unplotted) {
      if (!c->series[k].is_dots) draw_line(out, c, k, &x, &y);
      draw_points(out, c, k, &x, &y);
    }
  report_svg_end(page);
}

/* ------------------------------------------------------------------------ the figure */

static void draw_legend(FILE *out, const report_chart *c) {
  size_t n = 0;
  for (size_t k = 0; k < c->n_series; k++) n += !c->series[k].is_unplotted;
  if (n < 2) return;
  report_put("<ul class=\"legend\">\n", out);
  for (size_t k = 0; k < c->n_series; k++) {
    if (c->series[k].is_unplotted) continue;
    report_put("<li><svg viewBox=\"0 0 28 10\" aria-hidden=\"true\"><path class=\"", out);
    print_classes(out, &c->series[k]);
    report_put(c->series[k].is_dots ? "\" d=\"M14 5h0\"/></svg>" : "\" d=\"M2 5H26\"/></svg>", out);
    report_text(out, c->series[k].name);
    report_put("</li>\n", out);
  }
  report_put("</ul>\n", out);
}

static void draw_values(FILE *out, const report_chart *c) {
  report_put("<details class=\"values\"><summary>Values</summary>\n", out);
  report_table_begin(out, c->title);
  report_put("<thead><tr><th scope=\"col\">", out);
  report_text(out, c->x_name);
  report_put("</th>", out);
  for (size_t k = 0; k < c->n_series; k++) {
    report_put("<th scope=\"col\">", out);
    report_text(out, c->series[k].name);
    report_put("</th>", out);
  }
  report_put("</tr></thead><tbody>\n", out);
  for (size_t i = 0; i < c->n; i++) {
    char text[REPORT_NUMBER];
    report_print(out, "<tr><th scope=\"row\">%s</th>", report_number(c->x[i], text));
    for (size_t k = 0; k < c->n_series; k++) report_cell_number(out, c->y[k * c->n + i]);
    report_put("</tr>\n", out);
  }
  report_table_end(out);
  report_put("</details>\n", out);
}

/* Buttons that choose an axis; the style sheet shows its SVG. */
static void draw_buttons(FILE *out, const report_chart *c, size_t id) {
  static const char *const scales[] = {"linear", "log"};
  for (size_t i = 0; i < 2; i++) {
    report_print(out,
                 "<input type=\"radio\" class=\"scale to-%s\" name=\"s%zu\" id=\"s%zu%s\"%s aria-label=\"",
                 scales[i], id, id, scales[i], (i == 1) == c->prefers_log ? " checked" : "");
    report_text(out, c->title);
    report_print(out, ": %s axis\"><label for=\"s%zu%s\">%s</label>\n", scales[i], id, scales[i],
                 scales[i]);
  }
}

void report_chart_draw(report_page *page, const report_chart *c) {
  FILE *const out = page->out;
  double low = 0.0;
  double high = 1.0;
  const bool has_values = value_range(c, &low, &high);
  const bool has_log = has_values && !c->is_share && low > 0.0 && high > low;
  report_figure_begin(page, c->title);
  if (has_log) draw_buttons(out, c, page->n_charts + 1);
  if (has_values) draw_svg(page, c, false, low, high);
  if (has_log) draw_svg(page, c, true, low, high);
  if (!has_values) report_note(out, "No finite values.");
  draw_legend(out, c);
  if (c->note) report_note(out, "%s", c->note);
  if (c->n_all > c->n)
    report_note(out, "Shows %zu of %zu points, with the extremes of each curve.", c->n, c->n_all);
  draw_values(out, c);
  report_figure_end(page);
}
