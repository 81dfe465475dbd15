/* Scatter plots and histograms. */
#include "page.h"

#include <math.h>
#include <string.h>

#define BARS 24

/* The range of the finite values of an array; false if there are none. */
static bool range_of(size_t n, const double *values, double *low, double *high) {
  bool found = false;
  for (size_t i = 0; i < n; i++) {
    if (!isfinite(values[i])) continue;
    *low = found ? fmin(*low, values[i]) : values[i];
    *high = found ? fmax(*high, values[i]) : values[i];
    found = true;
  }
  return found;
}

static void draw_points(FILE *out, size_t n, const double *truth, const double *predicted,
                        const report_axis *x, const report_axis *y) {
  report_put("<path class=\"dots\" d=\"", out);
  for (size_t i = 0; i < n; i++)
    if (isfinite(truth[i]) && isfinite(predicted[i]))
      report_print(out, "M%.1f %.1fh0", report_place(x, truth[i]), report_place(y, predicted[i]));
  report_put("\"/>\n", out);
}

void report_scatter_draw(report_page *page, const char *title, size_t n, const double *truth,
                         const double *predicted) {
  double low = 0.0;
  double high = 0.0;
  double other_low = 0.0;
  double other_high = 0.0;
  char description[256];
  char texts[4][REPORT_NUMBER];
  report_figure_begin(page, title);
  const bool has_values =
      range_of(n, truth, &low, &high) && range_of(n, predicted, &other_low, &other_high);
  if (!has_values) report_note(page->out, "No finite values.");
  snprintf(
      description, sizeof description,
      "Scatter plot of %zu samples: true values from %s to %s, predicted values from %s to %s. The dashed "
      "diagonal shows equal values.",
      n, report_number(low, texts[0]), report_number(high, texts[1]), report_number(other_low, texts[2]),
      report_number(other_high, texts[3]));
  if (has_values) {
    low = fmin(low, other_low);
    high = fmax(high, other_high);
    const report_axis x = report_axis_make(low, high, false, true, PLOT_LEFT, PLOT_WIDTH - PLOT_RIGHT);
    const report_axis y = report_axis_make(low, high, false, true, PLOT_HEIGHT - PLOT_BOTTOM, PLOT_TOP);
    report_svg_begin(page, PLOT_WIDTH, PLOT_HEIGHT, "class=\"linear\"", title, description);
    report_axes_draw(page->out, &x, &y, false, "true value");
    report_print(page->out, "<path class=\"diagonal\" d=\"M%.0f %.0fL%.0f %.0f\"/>\n", x.from, y.from, x.to,
                 y.to);
    draw_points(page->out, n, truth, predicted, &x, &y);
    report_svg_end(page);
  }
  report_figure_end(page);
}

/* ------------------------------------------------------------------------ histograms */

typedef struct histogram {
  double low, width; /* of the first bar */
  size_t n;          /* bars */
  size_t counts[BARS];
  size_t most;
} histogram;

static histogram count_values(size_t n, const double *values, double low, double high) {
  const report_axis range = report_axis_make(low, high, false, true, 0.0, 1.0);
  histogram h = {.low = range.low, .n = BARS};
  h.width = (range.high - range.low) / (double)BARS;
  for (size_t i = 0; i < n; i++) {
    if (!isfinite(values[i])) continue;
    const double position = (values[i] - h.low) / h.width;
    const size_t bar = ls_size_min((size_t)fmax(position, 0.0), BARS - 1);
    h.most = ls_size_max(h.most, ++h.counts[bar]);
  }
  return h;
}

static void draw_bars(FILE *out, const histogram *h, const report_axis *x, const report_axis *y) {
  char from[REPORT_NUMBER];
  char to[REPORT_NUMBER];
  for (size_t i = 0; i < h->n; i++) {
    const double left = h->low + h->width * (double)i;
    const double top = report_place(y, (double)h->counts[i]);
    if (h->counts[i] == 0) continue;
    report_print(
        out,
        "<rect class=\"bar\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"><title>%s to %s: "
        "%zu</title></rect>\n",
        report_place(x, left) + 0.5, top, report_place(x, left + h->width) - report_place(x, left) - 1.0,
        y->from - top, report_number(left, from), report_number(left + h->width, to), h->counts[i]);
  }
}

void report_histogram_draw(report_page *page, const char *title, const char *x_name, size_t n,
                           const double *values) {
  double low = 0.0;
  double high = 0.0;
  char description[256];
  char texts[2][REPORT_NUMBER];
  report_figure_begin(page, title);
  if (range_of(n, values, &low, &high)) {
    const histogram h = count_values(n, values, low, high);
    snprintf(description, sizeof description,
             "Histogram of %zu values from %s to %s; the highest bar has %zu.", n,
             report_number(low, texts[0]), report_number(high, texts[1]), h.most);
    const report_axis x =
        report_axis_make(h.low, h.low + h.width * BARS, false, false, PLOT_LEFT, PLOT_WIDTH - PLOT_RIGHT);
    const report_axis y =
        report_axis_make(0.0, (double)h.most, false, true, PLOT_HEIGHT - PLOT_BOTTOM, PLOT_TOP);
    report_svg_begin(page, PLOT_WIDTH, PLOT_HEIGHT, "class=\"linear\"", title, description);
    report_axes_draw(page->out, &x, &y, false, x_name);
    draw_bars(page->out, &h, &x, &y);
    report_svg_end(page);
  } else {
    report_note(page->out, "No finite values.");
  }
  report_figure_end(page);
}
