/* Figures of lines over vertical axes. */
#include "page.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NEAREST   80.0 /* axes in pixels */
#define MARGIN    76   /* beside the first and the last axis, for labels */
#define MISSING   16   /* between an axis and the places of missing values */
#define PIXELS    8.0  /* of a character of a name */
#define LINES_FEW 60

ls_status report_lines_create(report_lines *f, size_t n_axes, size_t n) {
  size_t count = 0;
  *f = (report_lines){.n_axes = n_axes, .n = n};
  if (!ls_size_mul(n, n_axes, &count)) return ls_fail_memory("a figure", SIZE_MAX);
  f->names = ls_calloc(n_axes, sizeof *f->names);
  f->scales = ls_calloc(n_axes, sizeof *f->scales);
  f->lines = ls_calloc(n, sizeof *f->lines);
  f->values = ls_calloc(count, sizeof *f->values);
  const bool is_complete = f->names && f->scales && f->lines && f->values;
  return is_complete ? LS_OK : ls_fail_memory("a figure", count * sizeof *f->values);
}

void report_lines_destroy(report_lines *f) {
  free(f->names);
  free(f->scales);
  free(f->lines);
  free(f->values);
  *f = (report_lines){0};
}

/* The distance of the axes in pixels: they fill the page, but are not far apart, nor too near for labels.
 */
static double distance(const report_lines *f) {
  const double gaps = fmax((double)f->n_axes - 1.0, 1.0);
  return fmin(fmax(floor((f->width - 2.0 * MARGIN) / gaps), NEAREST), 190.0);
}

static double place_axis(const report_lines *f, size_t k) {
  return MARGIN + distance(f) * (double)k;
}

static double place_value(const report_lines *f, size_t i, size_t k) {
  const double value = f->values[i * f->n_axes + k];
  if (!isfinite(value)) return f->is_missing_high ? LINES_TOP - MISSING : LINES_BOTTOM + MISSING;
  return report_place_within(&f->scales[k].axis, value);
}

/* A short horizontal end shows where a line ends, and the value of a line of one axis. */
static void draw_line(FILE *out, const report_lines *f, size_t i) {
  const report_line *const line = &f->lines[i];
  report_print(out, "<path class=\"trial r%d%s\" d=\"", line->colour, line->is_best ? " best" : "");
  for (size_t k = 0; k < line->n; k++)
    report_print(out, "%c%.0f %.1f", k == 0 ? 'M' : 'L', place_axis(f, k), place_value(f, i, k));
  report_put("h7\"/>\n", out);
}

/* ----------------------------------------------------------------------------- axes */

/* Long names alternate between two lines. */
static bool has_long_names(const report_lines *f) {
  for (size_t k = 0; k < f->n_axes; k++)
    if ((double)strlen(f->names[k]) * PIXELS > distance(f) - 10.0) return true;
  return false;
}

/* A name of the first or the last axis stays within the figure. Of a long name, the end is shown. */
static void draw_name(FILE *out, const report_lines *f, size_t k, double y) {
  const char *name = f->names[k];
  const size_t most = (size_t)(2.0 * distance(f) / PIXELS) - 2;
  const char *const dots = strlen(name) > most ? "\xE2\x80\xA6" : "";
  if (dots[0]) name += strlen(name) - most;
  while ((*name & 0xC0) == 0x80) name++; /* a whole UTF-8 character */
  const double half = (double)strlen(name) * PIXELS / 2.0;
  const bool is_left = k == 0 && half > MARGIN;
  const bool is_right = k > 0 && k + 1 == f->n_axes && half > MARGIN;
  const double x = place_axis(f, k) + (is_left ? -MARGIN : is_right ? MARGIN : 0.0);
  report_print(out, "<text class=\"name\" x=\"%.0f\" y=\"%.0f\" text-anchor=\"%s\">%s", x, y,
               is_left    ? "start"
               : is_right ? "end"
                          : "middle",
               dots);
  report_text(out, name);
  report_put("</text>\n", out);
}

/* The label of missing values, beside the last axis. */
static void draw_missing(FILE *out, const report_lines *f) {
  bool is_used = false;
  for (size_t i = 0; i < f->n * f->n_axes; i++)
    is_used = is_used || (i % f->n_axes < f->lines[i / f->n_axes].n && !isfinite(f->values[i]));
  if (is_used)
    report_print(out, "<text x=\"%.0f\" y=\"%.1f\">no value</text>\n", place_axis(f, f->n_axes - 1) + 11.0,
                 f->is_missing_high ? LINES_TOP - MISSING + 1.0 : LINES_BOTTOM + MISSING + 8.0);
}

static void draw_axis(FILE *out, const report_lines *f, size_t k, bool has_two_lines) {
  const report_scale *const s = &f->scales[k];
  const double x = place_axis(f, k);
  const bool is_last = k > 0 && k + 1 == f->n_axes;
  report_print(out, "<path class=\"axis\" d=\"M%.0f %dV%d\"/>\n", x, LINES_TOP, LINES_BOTTOM);
  draw_name(out, f, k, has_two_lines && k % 2 == 0 ? 14.0 : 32.0);
  for (size_t i = 0; i < s->n_ticks; i++) {
    report_print(out, "<text x=\"%.0f\" y=\"%.1f\" text-anchor=\"%s\">", is_last ? x + 11.0 : x - 6.0,
                 report_place(&s->axis, s->ticks[i]) + 4.5, is_last ? "start" : "end");
    report_text(out, s->labels[i]);
    report_put("</text>\n", out);
  }
}

void report_lines_draw(report_page *page, const report_lines *f) {
  FILE *const out = page->out;
  char attributes[160];
  const int width = (int)(place_axis(f, f->n_axes - 1) + MARGIN);
  const bool has_two_lines = has_long_names(f);
  snprintf(attributes, sizeof attributes, "class=\"lines%s\" style=\"min-width:%dpx;max-width:%dpx\"",
           f->n > LINES_FEW ? " many" : "", width, width + width / 4);
  report_put("<div class=\"pan\" role=\"region\" tabindex=\"0\" aria-label=\"", out);
  report_text(out, f->title);
  report_put("\">\n", out);
  report_svg_begin(page, width, LINES_HEIGHT, attributes, f->title, f->description);
  for (size_t i = f->n; i-- > 0;) draw_line(out, f, i);
  for (size_t k = 0; k < f->n_axes; k++) draw_axis(out, f, k, has_two_lines);
  draw_missing(out, f);
  report_svg_end(page);
  report_put("</div>\n", out);
}
