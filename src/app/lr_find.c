/* lockstep lr-find: the learning rate range test as a table, a sketch and a picture. */
#include "lockstep/train.h"

#include "command.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FROM  1e-6
#define TO    10.0
#define STEPS 200

/* A positive number of an option, or its default. */
static ls_status number_of(const arguments *a, const char *name, double fallback, double *out) {
  const char *const text = argument_of(&command_lr_find, a, name);
  char *end = NULL;
  *out = text ? strtod(text, &end) : fallback;
  if (!text || (end != text && *end == '\0' && *out > 0.0 && *out <= 1e6)) return LS_OK;
  return ls_fail(LS_ERR_CONFIG, "--%s %s: a number above 0 and at most 1e6 is needed", name, text);
}

static ls_status steps_of(const arguments *a, size_t *out) {
  const char *const text = argument_of(&command_lr_find, a, "steps");
  char *end = NULL;
  const double steps = text ? strtod(text, &end) : STEPS;
  const bool is_number = !text || (end != text && *end == '\0');
  if (!is_number || !(steps >= 2.0 && steps <= 1e5 && steps == floor(steps)))
    return ls_fail(LS_ERR_CONFIG, "--steps %s: a whole number from 2 to 100000 is needed", text);
  *out = (size_t)steps;
  return LS_OK;
}

/* The picture: its ending keeps it from replacing a config or data. */
static ls_status picture_of(const arguments *a, const char **out) {
  const char *const path = argument_of(&command_lr_find, a, "output");
  *out = path ? path : "lr-find.svg";
  if (ends_with(*out, ".svg")) return LS_OK;
  return ls_fail(LS_ERR_CONFIG, "-o %s: the name must end with .svg", path);
}

/* ------------------------------------------------------------------- the table */

#define TABLE_ROWS 40

static void print_table(const ls_lr_curve *curve) {
  const size_t every = curve->n / TABLE_ROWS + 1;
  printf("%12s %12s %12s\n", "rate", "loss", "smoothed");
  for (size_t i = 0; i < curve->n; i++) {
    const ls_lr_point *const p = &curve->points[i];
    if (i % every != 0 && i != curve->least && i + 1 != curve->n) continue;
    printf("%12.4g %12.6g %12.6g%s\n", p->lr, p->loss, p->smoothed, i == curve->least ? "  least" : "");
  }
}

/* ------------------------------------------------------------------- drawings */

/* The range of the smoothed losses that is drawn: what runs away is cut off at twice the first. */
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

/* How far down from the top a loss stands, in [0, 1]. */
static double depth_of(const range *r, double loss) {
  return fmin(fmax((r->high - loss) / (r->high - r->low), 0.0), 1.0);
}

/* How far to the right a rate stands, in [0, 1]: its logarithm counts. */
static double place_of(const ls_lr_curve *curve, double lr) {
  const double first = log(curve->points[0].lr);
  const double last = log(curve->points[curve->n - 1].lr);
  return last > first ? fmin(fmax((log(lr) - first) / (last - first), 0.0), 1.0) : 0.0;
}

#define COLUMNS 64
#define LINES   16

static void print_sketch(const ls_lr_curve *curve) {
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
         curve->suggested > 0.0 ? " (|: the suggested one)" : "");
  for (size_t i = 0; i < LINES; i++) {
    if (i == 0 || i + 1 == LINES)
      printf("%10.4g %s\n", i == 0 ? r.high : r.low, canvas[i]);
    else
      printf("%10s %s\n", "", canvas[i]);
  }
  printf("%10s %-32.4g%32.4g\n", "", curve->points[0].lr, curve->points[curve->n - 1].lr);
}

/* Sizes of the picture, in pixels. */
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

/* A line for each power of ten, and five losses. */
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

static void draw_picture(const ls_lr_curve *curve, FILE *out) {
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

static const char *how_it_ended(const ls_lr_curve *curve) {
  if (curve->diverged) return " before it ran away";
  return curve->least + 1 == curve->n ? "; it was still falling there: try a higher --to" : "";
}

static ls_status show(const ls_lr_curve *curve, FILE *picture) {
  if (curve->n == 0)
    return ls_fail(LS_ERR_NUMERIC, "the loss is not finite at the least rate already: look at the data, or "
                                   "give a lower --from");
  print_table(curve);
  print_sketch(curve);
  draw_picture(curve, picture);
  printf("\n");
  if (curve->suggested > 0.0)
    printf("suggested: optimizer.lr: %.2g (a tenth of %.2g, where the loss was least%s)\n",
           curve->suggested, curve->points[curve->least].lr, how_it_ended(curve));
  else
    printf("no suggestion: the loss never fell; try another --from and --to, or more --steps\n");
  return LS_OK;
}

static ls_status find(ls_comm *comm, const arguments *a, ls_setup *setup) {
  double from = FROM;
  double to = TO;
  size_t steps = STEPS;
  const char *path = NULL;
  ls_text_file picture = {0};
  ls_lr_curve curve = {0};
  ls_status status = number_of(a, "from", FROM, &from);
  if (status == LS_OK) status = number_of(a, "to", TO, &to);
  if (status == LS_OK) status = steps_of(a, &steps);
  if (status == LS_OK && !(to > from))
    status = ls_fail(LS_ERR_CONFIG, "--to %g is not above --from %g", to, from);
  if (status == LS_OK) status = picture_of(a, &path);
  if (status == LS_OK) status = ls_comm_agree(comm, prints(comm) ? ls_text_begin(&picture, path) : LS_OK);
  if (status == LS_OK) status = ls_lr_find(comm, setup, from, to, steps, &curve);
  if (status == LS_OK && prints(comm)) status = show(&curve, picture.stream);
  if (prints(comm)) status = ls_text_end(&picture, status);
  status = ls_comm_agree(comm, status);
  if (status == LS_OK && prints(comm)) printf("%s: the curve as a picture\n", path);
  free(curve.points);
  return status;
}

static ls_status run(ls_comm *comm, const arguments *a) {
  return run_with_setup(comm, a, find);
}

const command command_lr_find = {
    .name = "lr-find",
    .operands = "CONFIG.yaml",
    .help = "looks for a good learning rate: trains at rising rates until the loss runs away",
    .details =
        "Prints loss against rate, a sketch and a suggestion, and draws the curve (SVG, which browsers "
        "open).\n"
        "The initial model takes one step at each rate; the run directory and its model are left "
        "alone.",
    .least = 1,
    .most = 1,
    .options =
        {OPTION_SET,
         {.name = "from", .takes_value = true, .value_name = "RATE", .help = "the first rate (1e-6)"},
         {.name = "to", .takes_value = true, .value_name = "RATE", .help = "the last rate (10)"},
         {.name = "steps", .takes_value = true, .value_name = "N", .help = "how many steps (200)"},
         {.name = "output",
          .letter = 'o',
          .takes_value = true,
          .value_name = "FILE.svg",
          .help = "the picture (lr-find.svg)"}},
    .run = run};
