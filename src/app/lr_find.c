/* lockstep lr-find: a learning rate range test, printed as a table, a text plot and an SVG plot. */
#include "lockstep/train.h"

#include "internal.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------- the table */

#define TABLE_ROWS 40

static void print_table(const ls_lr_curve *curve) {
  const size_t every = curve->n / TABLE_ROWS + 1;
  printf("%12s %12s %12s\n", "rate", "loss", "smoothed");
  for (size_t i = 0; i < curve->n; i++) {
    const ls_lr_point *const p = &curve->points[i];
    if (i % every != 0 && i != curve->least && i + 1 != curve->n) continue;
    printf("%12.4g %12.6g %12.6g%s\n", p->lr, p->loss, p->smoothed, i == curve->least ? "  minimum" : "");
  }
}

/* ------------------------------------------------------------------- the text plot */

/* The range of smoothed losses in the plots: from the minimum to at most twice the first loss. */
typedef struct range {
  double low, high;
} range;

static range range_of(const ls_lr_curve *curve) {
  const double low = curve->points[curve->least].smoothed;
  double high = low;
  for (size_t i = 0; i < curve->n; i++) high = fmax(high, curve->points[i].smoothed);
  high = fmin(high, fmax(2.0 * curve->points[0].smoothed - low, low));
  return (range){low, high > low ? high : low + 1.0};
}

/* The distance of a loss from the top of the plot, in [0, 1]. */
static double depth_of(const range *r, double loss) {
  return fmin(fmax((r->high - loss) / (r->high - r->low), 0.0), 1.0);
}

/* The distance of a rate from the left of the plot, in [0, 1], on a logarithmic axis. */
static double place_of(const ls_lr_curve *curve, double lr) {
  const double first = log(curve->points[0].lr);
  const double last = log(curve->points[curve->n - 1].lr);
  return last > first ? fmin(fmax((log(lr) - first) / (last - first), 0.0), 1.0) : 0.0;
}

#define COLUMNS 64
#define LINES   16

static void print_plot(const ls_lr_curve *curve) {
  char canvas[LINES][COLUMNS + 1];
  const range r = range_of(curve);
  memset(canvas, ' ', sizeof canvas);
  for (size_t i = 0; i < LINES; i++) canvas[i][COLUMNS] = '\0';
  const size_t at = (size_t)(place_of(curve, curve->suggested) * (COLUMNS - 1));
  for (size_t i = 0; curve->suggested > 0.0 && i < LINES; i++) canvas[i][at] = '|';
  for (size_t i = 0; i < curve->n; i++) {
    const size_t column = (size_t)(place_of(curve, curve->points[i].lr) * (COLUMNS - 1));
    canvas[(size_t)(depth_of(&r, curve->points[i].smoothed) * (LINES - 1))][column] = '*';
  }
  printf("\nsmoothed loss over the learning rate%s\n",
         curve->suggested > 0.0 ? " (|: suggested rate)" : "");
  printf("%10.4g %s\n", r.high, canvas[0]);
  for (size_t i = 1; i + 1 < LINES; i++) printf("%10s %s\n", "", canvas[i]);
  printf("%10.4g %s\n", r.low, canvas[LINES - 1]);
  printf("%10s %-32.4g%32.4g\n", "", curve->points[0].lr, curve->points[curve->n - 1].lr);
}

/* -------------------------------------------------------------------- the SVG plot */

/* Pixels. */
enum { WIDTH = 720, HEIGHT = 420, LEFT = 80, TOP = 40, PLOT_WIDTH = 600, PLOT_HEIGHT = 310 };

static double x_of(const ls_lr_curve *curve, double lr) {
  return LEFT + place_of(curve, lr) * PLOT_WIDTH;
}

static double y_of(const range *r, double loss) {
  return TOP + depth_of(r, loss) * PLOT_HEIGHT;
}

static void draw_line(FILE *out, double x1, double y1, double x2, double y2, const char *colour) {
  fprintf(out, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"/>\n", x1, y1, x2, y2,
          colour);
}

static void draw_number(FILE *out, double x, double y, const char *anchor, double value) {
  fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%.4g</text>\n", x, y, anchor, value);
}

/* Grid lines at powers of ten and at five losses. */
static void draw_axes(FILE *out, const ls_lr_curve *curve, const range *r) {
  const int first = (int)ceil(log10(curve->points[0].lr) - 1e-9);
  const int last = (int)floor(log10(curve->points[curve->n - 1].lr) + 1e-9);
  for (int i = first; i <= last; i++) {
    const double x = x_of(curve, pow(10.0, i));
    draw_line(out, x, TOP, x, TOP + PLOT_HEIGHT, "#ddd");
    draw_number(out, x, TOP + PLOT_HEIGHT + 18, "middle", pow(10.0, i));
  }
  for (int i = 0; i <= 4; i++) {
    const double loss = r->low + (r->high - r->low) * i / 4.0;
    draw_line(out, LEFT, y_of(r, loss), LEFT + PLOT_WIDTH, y_of(r, loss), "#ddd");
    draw_number(out, LEFT - 8, y_of(r, loss) + 4, "end", loss);
  }
}

static void draw_curve(FILE *out, const ls_lr_curve *curve, const range *r, bool smoothed) {
  fprintf(out, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"%s\" points=\"",
          smoothed ? "#c22" : "#aac", smoothed ? "2" : "1");
  for (size_t i = 0; i < curve->n; i++) {
    const ls_lr_point *const p = &curve->points[i];
    fprintf(out, "%.1f,%.1f ", x_of(curve, p->lr), y_of(r, smoothed ? p->smoothed : p->loss));
  }
  fprintf(out, "\"/>\n");
}

static void draw_svg(const ls_lr_curve *curve, FILE *out) {
  const range r = range_of(curve);
  fprintf(out,
          "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" "
          "font-size=\"12\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n"
          "<text x=\"%d\" y=\"24\" font-size=\"15\">loss over the learning rate</text>\n",
          WIDTH, HEIGHT, LEFT);
  draw_axes(out, curve, &r);
  draw_curve(out, curve, &r, false);
  draw_curve(out, curve, &r, true);
  if (curve->suggested > 0.0) {
    const double x = x_of(curve, curve->suggested);
    draw_line(out, x, TOP, x, TOP + PLOT_HEIGHT, "#282");
    fprintf(out, "<text x=\"%.1f\" y=\"%d\" fill=\"#282\">suggested: %.3g</text>\n", x + 5, TOP + 12,
            curve->suggested);
  }
  fprintf(out, "</svg>\n");
}

/* ------------------------------------------------------------------ the command */

typedef struct range_options {
  double from, to;
  uint64_t steps;
  const char *output;
} range_options;

static ls_status print_curve(const range_options *o, const ls_lr_curve *curve, FILE *svg) {
  if (curve->n == 0)
    return ls_fail(LS_ERR_NUMERIC,
                   "--from %g: the loss is not finite at this rate; check the data, or lower --from",
                   o->from);
  print_table(curve);
  print_plot(curve);
  draw_svg(curve, svg);
  const char *const remark = curve->diverged ? ", before the loss diverged"
                             : curve->least + 1 == curve->n
                                 ? "; the loss was still falling: try a higher --to"
                                 : "";
  if (curve->suggested > 0.0)
    printf("\nsuggested: optimizer.lr: %.2g (a tenth of %.2g, the rate of the minimum loss%s)\n",
           curve->suggested, curve->points[curve->least].lr, remark);
  else
    printf("\nno suggestion: the loss never fell; try another --from and --to, or more --steps\n");
  return LS_OK;
}

#define RATE_LEAST DBL_MIN /* any positive number */
#define RATE_MOST  1e6

/* Requires the ending .svg, so that the plot cannot replace a config or data. */
static ls_status read_options(const arguments *a, range_options *o) {
  *o = (range_options){.from = 1e-6, .to = 10.0, .steps = 200, .output = "lr-find.svg"};
  LS_TRY(app_read_number(a, "from", RATE_LEAST, RATE_MOST, &o->from));
  LS_TRY(app_read_number(a, "to", RATE_LEAST, RATE_MOST, &o->to));
  LS_TRY(app_read_count(a, "steps", 2, 100000, &o->steps));
  if (!(o->to > o->from))
    return ls_fail(LS_ERR_CONFIG, "--to %g: must be above --from, which is %g", o->to, o->from);
  if (!app_option(a, "output")) return LS_OK;
  return app_read_output(a, (const char *const[]){".svg", NULL}, &o->output);
}

static ls_status find(ls_comm *comm, const arguments *a, ls_setup *setup) {
  range_options o;
  ls_text_file svg = {0};
  ls_lr_curve curve = {0};
  LS_TRY(read_options(a, &o));
  ls_status status = ls_comm_agree(comm, app_is_root(comm) ? ls_text_begin(&svg, o.output) : LS_OK);
  if (status == LS_OK) status = ls_lr_find(comm, setup, o.from, o.to, o.steps, &curve);
  if (status == LS_OK && app_is_root(comm)) status = print_curve(&o, &curve, svg.stream);
  status = ls_comm_agree(comm, ls_text_end(&svg, status));
  if (status == LS_OK && app_is_root(comm)) printf("%s: the curve as a plot\n", o.output);
  free(curve.points);
  return status;
}

const command app_lr_find = {
    .name = "lr-find",
    .operands = "CONFIG.yaml",
    .help = "find a learning rate: train at rising rates until the loss diverges",
    .details = "Trains the initial model for one step at each rate. Prints the loss by rate, a plot and a\n"
               "suggestion, and writes the plot as SVG. The run directory stays unchanged.",
    .options = {OPTION_SET,
                {"from", 0, "RATE", "first rate (1e-6)"},
                {"to", 0, "RATE", "last rate (10)"},
                {"steps", 0, "N", "number of steps (200)"},
                {"output", 'o', "FILE.svg", "plot to write (lr-find.svg)"}},
    .work = find};
