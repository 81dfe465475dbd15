/* Charts of many points are thinned out. */
#include "page.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define POINTS_MOST 250

/* Marks the least and the largest value of a series. */
static void mark_extremes(const report_chart *c, size_t k, bool *is_kept) {
  const double *const y = c->y + k * c->n;
  size_t least = c->n;
  size_t most = c->n;
  for (size_t i = 0; i < c->n; i++) {
    if (!isfinite(y[i])) continue;
    if (least == c->n || y[i] < y[least]) least = i;
    if (most == c->n || y[i] > y[most]) most = i;
  }
  if (least < c->n) is_kept[least] = is_kept[most] = true;
}

/* Moves the points that are kept together. */
static void compact(report_chart *c, const bool *is_kept) {
  size_t n = 0;
  for (size_t i = 0; i < c->n; i++) n += is_kept[i];
  for (size_t k = 0; k < c->n_series; k++)
    for (size_t i = 0, at = 0; i < c->n; i++)
      if (is_kept[i]) c->y[k * n + at++] = c->y[k * c->n + i]; /* never beyond the place it is read from */
  for (size_t i = 0, at = 0; i < c->n; i++)
    if (is_kept[i]) c->x[at++] = c->x[i];
  c->n = n;
}

ls_status report_chart_thin(report_chart *c) {
  const size_t stride = (c->n + POINTS_MOST - 1) / POINTS_MOST;
  c->n_all = c->n;
  if (c->n <= POINTS_MOST) return LS_OK;
  bool *const is_kept = ls_calloc(c->n, sizeof *is_kept);
  if (!is_kept) return ls_fail_memory("a chart", c->n);
  for (size_t i = 0; i < c->n; i += stride) is_kept[i] = true;
  is_kept[c->n - 1] = true;
  for (size_t k = 0; k < c->n_series; k++) mark_extremes(c, k, is_kept);
  compact(c, is_kept);
  free(is_kept);
  return LS_OK;
}
