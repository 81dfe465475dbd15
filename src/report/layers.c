/* The diagnostics of the layers: curves over the epochs, and a table of the last epoch. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LINES_MOST  8    /* layers in a chart */
#define LAYERS_MOST 4096 /* that are distinguished */
#define ROWS_MOST   200  /* of the table */

typedef struct quantity {
  const char *column, *title;
  bool prefers_log;
} quantity;

static const quantity quantities[] = {{"gradient_norm", "gradient norm", true},
                                      {"weight_norm", "weight norm", false},
                                      {"ratio", "gradient norm / weight norm", true},
                                      {"saturated", "fraction of saturated outputs", false},
                                      {"dead", "fraction of dead units", false}};
#define QUANTITIES (sizeof quantities / sizeof quantities[0])

/* The table of a run, by layer and epoch. */
typedef struct diagnostics {
  const report_csv *csv;
  size_t n_layers, n_epochs;
  const char **layers; /* (n_layers), owned: paths, in the order of the file */
  size_t *layer;       /* (n_rows), owned: the layer of a row */
  size_t *epoch;       /* (n_rows), owned: the epoch of a row, counted from 0 */
  double *epochs;      /* (n_epochs), owned */
} diagnostics;

static void diagnostics_free(diagnostics *d) {
  free(d->layers);
  free(d->layer);
  free(d->epoch);
  free(d->epochs);
}

/* The index of a layer, which is added if it is new; the search begins behind the layer of the row before.
 */
static size_t find_layer(diagnostics *d, const char *path, size_t before) {
  for (size_t i = 1; i <= d->n_layers; i++) {
    const size_t k = (before + i) % d->n_layers;
    if (strcmp(d->layers[k], path) == 0) return k;
  }
  if (d->n_layers == LAYERS_MOST) return 0;
  d->layers[d->n_layers] = path;
  return d->n_layers++;
}

static ls_status diagnostics_create(const report_csv *csv, diagnostics *d) {
  const size_t n = csv->n_rows;
  *d = (diagnostics){.csv = csv,
                     .layers = ls_calloc(LAYERS_MOST, sizeof *d->layers),
                     .layer = ls_calloc(n, sizeof *d->layer),
                     .epoch = ls_calloc(n, sizeof *d->epoch),
                     .epochs = ls_calloc(n, sizeof *d->epochs)};
  if (!d->layers || !d->layer || !d->epoch || !d->epochs)
    return ls_fail_memory("the diagnostics", n * sizeof *d->layer);
  for (size_t i = 0; i < n; i++) {
    const double epoch = report_csv_at(csv, i, 0);
    d->layer[i] = find_layer(d, csv->labels[i], i ? d->layer[i - 1] : 0);
    if (d->n_epochs == 0 || d->epochs[d->n_epochs - 1] != epoch) d->epochs[d->n_epochs++] = epoch;
    d->epoch[i] = d->n_epochs - 1;
  }
  return LS_OK;
}

/* ----------------------------------------------------------------------------- curves */

/* Chooses at most LINES_MOST layers that have values in a column, at equal distances.  index: (n_layers)
 * gets the line of a layer, or SIZE_MAX. Returns the number of lines; *n_known: of layers with values. */
static size_t choose_layers(const diagnostics *d, int column, size_t *index, size_t *n_known) {
  size_t n = 0;
  size_t seen = 0;
  for (size_t k = 0; k < d->n_layers; k++) index[k] = SIZE_MAX;
  for (size_t i = 0; i < d->csv->n_rows; i++)
    if (isfinite(report_csv_at(d->csv, i, column))) index[d->layer[i]] = 0;
  *n_known = 0;
  for (size_t k = 0; k < d->n_layers; k++) *n_known += index[k] == 0;
  const size_t most = ls_size_min(*n_known, LINES_MOST);
  for (size_t k = 0; k < d->n_layers; k++) {
    if (index[k] == SIZE_MAX) continue;
    const bool is_chosen = most == *n_known || (n < most && seen == (n * (*n_known - 1)) / (most - 1));
    seen++;
    index[k] = is_chosen ? n++ : SIZE_MAX;
  }
  return n;
}

static ls_status fill_chart(const diagnostics *d, int column, const size_t *index, report_chart *chart) {
  memcpy(chart->x, d->epochs, d->n_epochs * sizeof *chart->x);
  for (size_t k = 0; k < d->n_layers; k++)
    if (index[k] != SIZE_MAX) LS_TRY(report_chart_name(chart, index[k], (int)index[k], "%s", d->layers[k]));
  for (size_t i = 0; i < d->csv->n_rows; i++) {
    const size_t line = index[d->layer[i]];
    if (line != SIZE_MAX) chart->y[line * chart->n + d->epoch[i]] = report_csv_at(d->csv, i, column);
  }
  return LS_OK;
}

static ls_status draw_quantity(report_page *page, const diagnostics *d, const quantity *q, size_t *index) {
  const int column = report_csv_find(d->csv, q->column);
  size_t n_known = 0;
  char note[120];
  report_chart chart;
  const size_t n = choose_layers(d, column, index, &n_known);
  if (n == 0) return LS_OK;
  ls_status status = report_chart_create(&chart, q->title, "epoch", d->n_epochs, n);
  if (status == LS_OK) status = fill_chart(d, column, index, &chart);
  if (status == LS_OK) {
    snprintf(note, sizeof note, "Shows %zu of %zu layers, at equal distances.", n, n_known);
    chart.note = n < n_known ? note : NULL;
    chart.is_whole = true;
    chart.prefers_log = q->prefers_log;
    status = report_chart_thin(&chart);
    if (status == LS_OK) report_chart_draw(page, &chart);
  }
  report_chart_destroy(&chart);
  return status;
}

/* ------------------------------------------------------------------------------ table */

static void write_last(FILE *out, const diagnostics *d) {
  const char *names[1 + QUANTITIES] = {"layer"};
  char caption[80];
  char number[REPORT_NUMBER];
  const double last = d->epochs[d->n_epochs - 1];
  snprintf(caption, sizeof caption, "Layers at epoch %s", report_number(last, number));
  for (size_t k = 0; k < QUANTITIES; k++) names[1 + k] = quantities[k].title;
  report_table_begin(out, caption);
  report_table_head(out, 1 + QUANTITIES, names);
  size_t n = 0;
  for (size_t i = 0; i < d->csv->n_rows; i++) {
    if (d->epoch[i] + 1 != d->n_epochs || n++ >= ROWS_MOST) continue;
    report_put("<tr>", out);
    report_row_head(out, d->csv->labels[i]);
    for (size_t k = 0; k < QUANTITIES; k++)
      report_cell_number(out, report_csv_at(d->csv, i, report_csv_find(d->csv, quantities[k].column)));
    report_put("</tr>\n", out);
  }
  report_table_end(out);
  if (n > ROWS_MOST) report_note(out, "Shows the first %d of %zu layers.", ROWS_MOST, n);
}

/* ---------------------------------------------------------------------------- section */

static ls_status write_run(report_page *page, const report_run *run) {
  const report_csv *const csv = &run->diagnostics;
  diagnostics d = {0};
  size_t *index = NULL;
  if (csv->n_rows == 0 || !csv->labels) {
    report_note(page->out, "No diagnostics: diagnostics.csv is missing or empty (train.diagnostics).");
    return LS_OK;
  }
  ls_status status = diagnostics_create(csv, &d);
  if (status == LS_OK && !(index = ls_calloc(d.n_layers, sizeof *index)))
    status = ls_fail_memory("the diagnostics", d.n_layers * sizeof *index);
  report_put("<div class=\"charts\">\n", page->out);
  for (size_t k = 0; status == LS_OK && k < QUANTITIES; k++)
    status = draw_quantity(page, &d, &quantities[k], index);
  report_put("</div>\n", page->out);
  if (status == LS_OK) write_last(page->out, &d);
  free(index);
  diagnostics_free(&d);
  return status;
}

ls_status report_layers(report_page *page, const report_runs *runs) {
  return report_section(page, runs, "layers", "Layers", write_run);
}
