/* Writing HTML and SVG: escaped texts, numbers, axes, charts. All functions are local; errors of the stream
 * are found when it is closed. */
#ifndef LOCKSTEP_REPORT_PAGE_H
#define LOCKSTEP_REPORT_PAGE_H

#include "lockstep/base.h"

/* The page that is being written. */
typedef struct report_page {
  FILE *out;
  size_t n_charts; /* so far; for unique ids */
} report_page;

/* ------------------------------------------------------------------------- html.c */

#define REPORT_NUMBER 48

/* Write HTML as it is. */
void report_put(const char *html, FILE *out);
void report_print(FILE *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Writes a text as HTML. Bytes that are not UTF-8 and control characters become U+FFFD. */
void report_text(FILE *out, const char *text);

/* A number with 5 significant digits, grouped from 100,000 on; a dash for NaN. Returns `text`. */
const char *report_number(double value, char text[REPORT_NUMBER]);

/* A whole number with groups of three digits, or seconds as "1 h 02 min". Return `text`. */
const char *report_count(uint64_t value, char text[REPORT_NUMBER]);
const char *report_seconds(double seconds, char text[REPORT_NUMBER]);

/* Writes a paragraph about something that is missing or limited. */
void report_note(FILE *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Begin and end a table that scrolls by itself if it is wide. The caption is escaped. */
void report_table_begin(FILE *out, const char *caption);
void report_table_end(FILE *out);

/* Writes the row of a table's head: n column headings. */
void report_table_head(FILE *out, size_t n, const char *const *names);

/* Write cells: a row's heading, a text, a number. */
void report_row_head(FILE *out, const char *text);
void report_cell(FILE *out, const char *text);
void report_cell_number(FILE *out, double value);

/* ------------------------------------------------------------------------ style.c */

/* The head of the page with its style sheet, up to the sections. sections: id and title of each, which are
 * not escaped; ended by NULL */
void report_page_begin(report_page *page, const char *title, const char *heading,
                       const char *const sections[][2]);

/* ----------------------------------------------------------------------- script.c */

/* The end of the page with its script. */
void report_page_end(report_page *page);

/* ------------------------------------------------------------------------- axis.c */

/* Maps values from [low, high] to pixels from `from` to `to`. */
typedef struct report_axis {
  double low, high;
  double from, to;
  bool is_log;
} report_axis;

#define REPORT_TICKS_MAX 16

/* An axis for values from low to high; equal ends are moved apart. A logarithmic one needs low > 0.
 * is_round: the ends move to ticks. */
report_axis report_axis_make(double low, double high, bool is_log, bool is_round, double from, double to);
double report_place(const report_axis *axis, double value);

/* The same of a number, but at the end of the axis if it is beyond it. */
double report_place_within(const report_axis *axis, double value);

/* The order of two numbers (double), for qsort. */
int report_compare_numbers(const void *a, const void *b);

/* The values with a label. Returns their number. is_whole: whole numbers only. */
size_t report_ticks(const report_axis *axis, bool is_whole, double ticks[REPORT_TICKS_MAX]);

/* A short label, such as 0.25, 20k or 1e-5. Returns `text`. */
const char *report_tick_label(double value, char text[REPORT_NUMBER]);

/* ------------------------------------------------------------------------ chart.c */

#define REPORT_COLOURS 6

typedef struct report_series {
  char *name;        /* owned */
  int colour;        /* from 0; those from REPORT_COLOURS on have dashes, too */
  bool is_faint;     /* thin and dotted: training beside validation */
  bool is_unplotted; /* only in the table of the values */
  bool is_dots;      /* points without a line */
} report_series;

/* A line chart with a table of its values. */
typedef struct report_chart {
  const char *title, *x_name; /* borrowed */
  const char *note;           /* borrowed; below the chart; NULL: none */
  size_t n, n_series;
  double *x;             /* (n), owned, ascending */
  double *y;             /* (n_series, n), owned; NaN: no value */
  report_series *series; /* (n_series), owned */
  bool is_whole;         /* x are whole numbers */
  bool is_share;         /* both axes are from 0 to 1, with a diagonal */
  bool prefers_log;      /* the logarithmic axis is shown first */
  double low, high;      /* of the y axis; equal: those of the values */
  size_t n_all;          /* points before report_chart_thin; 0: it was not called */
} report_chart;

/* Allocates a chart of n points whose values are all NaN. LS_ERR_INTERNAL. The caller destroys it, after a
 * failure too. */
ls_status report_chart_create(report_chart *chart, const char *title, const char *x_name, size_t n,
                              size_t n_series);
void report_chart_destroy(report_chart *chart);

/* Sets the name of a series. LS_ERR_INTERNAL. */
ls_status report_chart_name(report_chart *chart, size_t series, int colour, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Removes points if there are many: regular ones and the extremes of each series remain. LS_ERR_INTERNAL.
 */
ls_status report_chart_thin(report_chart *chart);

/* Writes the chart as a figure: SVG with a linear and, if all values are positive, a logarithmic axis, the
 * legend, and a table of the values. */
void report_chart_draw(report_page *page, const report_chart *chart);

/* ------------------------------------------------------------------------ plots.c */

/* Writes a scatter plot of predicted against true values with the diagonal.  truth, predicted: (n) */
void report_scatter_draw(report_page *page, const char *title, size_t n, const double *truth,
                         const double *predicted);

/* Writes a histogram of values.  values: (n) */
void report_histogram_draw(report_page *page, const char *title, const char *x_name, size_t n,
                           const double *values);

/* ------------------------------------------------------------------------ svg.c */

/* Begin and end a figure with its caption. */
void report_figure_begin(report_page *page, const char *title);
void report_figure_end(report_page *page);

/* Begin and end the SVG of a figure with its title and description. width, height: in pixels; attributes:
 * more of them, as HTML */
void report_svg_begin(report_page *page, int width, int height, const char *attributes, const char *title,
                      const char *description);
void report_svg_end(report_page *page);

/* Draws the grid lines of y with labels, the base line, and the name of x. */
void report_y_axis_draw(FILE *out, const report_axis *x, const report_axis *y, const char *x_name);

/* Draws both axes with grid lines and labels. */
void report_axes_draw(FILE *out, const report_axis *x, const report_axis *y, bool is_whole,
                      const char *x_name);

/* Writes an entry of a legend. svg: of 28 x 10 pixels, as HTML; the text is escaped. */
void report_legend_entry(FILE *out, const char *svg, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The size of a plot in pixels, and the margins around its axes. */
enum {
  PLOT_WIDTH = 460,
  PLOT_HEIGHT = 270,
  PLOT_LEFT = 58,
  PLOT_RIGHT = 14,
  PLOT_TOP = 12,
  PLOT_BOTTOM = 42
};

/* ------------------------------------------------------------------------ lines.c */

enum { REPORT_LABEL = 24, REPORT_RANKS = 6 };

/* An axis with its labels. */
typedef struct report_scale {
  report_axis axis;
  size_t n_ticks;
  double ticks[REPORT_TICKS_MAX];
  char labels[REPORT_TICKS_MAX][REPORT_LABEL];
} report_scale;

/* A line over the axes. */
typedef struct report_line {
  size_t n;   /* axes that it reaches */
  int colour; /* from 1 to REPORT_RANKS, the best; 0: without a value */
  bool is_best;
} report_line;

/* A figure of lines over vertical axes, such as parallel coordinates. */
typedef struct report_lines {
  const char *title, *description; /* borrowed */
  size_t n_axes, n;
  const char **names;   /* (n_axes), owned; the texts are borrowed */
  report_scale *scales; /* (n_axes), owned: from LINES_BOTTOM to LINES_TOP */
  report_line
      *lines;     /* (n), owned, in the order of the table with the id "lines", which has their values */
  double *values; /* (n, n_axes), owned; NaN: none */
  int width;      /* that is wanted, in pixels; many axes need more */
  bool is_missing_high; /* whether missing values are drawn above the axes, instead of below */
} report_lines;

/* Allocates a figure. LS_ERR_INTERNAL. The caller destroys it, after a failure too. */
ls_status report_lines_create(report_lines *figure, size_t n_axes, size_t n);
void report_lines_destroy(report_lines *figure);

/* Writes the SVG of the figure; the last line is drawn first. */
void report_lines_draw(report_page *page, const report_lines *figure);

/* The height of the figure in pixels, and the ends of its axes. */
enum { LINES_HEIGHT = 400, LINES_TOP = 66, LINES_BOTTOM = 372 };

#endif
