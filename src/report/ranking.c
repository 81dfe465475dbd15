/* The trials of a sweep in the order of their results. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>

#define RATIO_LOG 10.0 /* from the best value to the median: of a logarithmic axis */
#define REACH     10.0 /* the end of an axis: times the distance from the best value to the median */
#define FAR       3.0  /* values beyond this many times the reach are not on the axis */

double report_trial_value(const report_sweep *sweep, size_t rung, uint64_t trial) {
  const ls_sweep_row *const row = ls_sweep_row_of(&sweep->results, rung, trial);
  return row->state == LS_TRIAL_DONE && isfinite(row->value) ? row->value : NAN;
}

size_t report_rung_count(const report_sweep *sweep, size_t rung, ls_trial_state state) {
  size_t n = 0;
  for (uint64_t i = 0; i < sweep->results.n_trials; i++)
    n += (ls_trial_state)ls_sweep_row_of(&sweep->results, rung, i)->state == state;
  return n;
}

size_t report_trials_wanted(const report_sweep *sweep) {
  const ls_sweep_results *const r = &sweep->results;
  return (r->n_trials - ls_size_min(r->part, r->n_trials) + r->n_parts - 1) / r->n_parts;
}

/* Trials with a value continue to the next rung. */
size_t report_rung_missing(const report_sweep *sweep, size_t rung) {
  const ls_sweep_results *const r = &sweep->results;
  size_t wanted = report_trials_wanted(sweep);
  if (rung > 0) {
    wanted = 0;
    for (uint64_t i = 0; i < r->n_trials; i++)
      if (!isnan(report_trial_value(sweep, rung - 1, i))) wanted++;
    wanted = ls_size_min(wanted, r->rungs.trials[rung]);
  }
  const size_t present = r->n_trials - report_rung_count(sweep, rung, LS_TRIAL_ABSENT);
  return wanted > present ? wanted - present : 0;
}

/* ------------------------------------------------------------------------ the order */

static int compare_trials(const void *a, const void *b) {
  const report_trial *const x = a;
  const report_trial *const y = b;
  const bool has_x = !isnan(x->key);
  const bool has_y = !isnan(y->key);
  if (has_x != has_y) return has_x ? -1 : 1;
  if (x->row->rung != y->row->rung) return x->row->rung > y->row->rung ? -1 : 1;
  if (has_x && x->key != y->key) return x->key < y->key ? -1 : 1;
  return (x->number > y->number) - (x->number < y->number);
}

/* The trial with the row of the last rung that it has reached. False if it has none. */
static bool find_trial(const report_sweep *sweep, uint64_t number, report_trial *out) {
  const ls_sweep_results *const r = &sweep->results;
  for (size_t rung = r->rungs.n; rung-- > 0;) {
    const double value = report_trial_value(sweep, rung, number);
    *out = (report_trial){.number = number, .row = ls_sweep_row_of(r, rung, number)};
    out->key = r->is_maximized ? -value : value;
    if (out->row->state != LS_TRIAL_ABSENT) return true;
  }
  return false;
}

/* The distance of two values on the axis. */
static double distance(const report_sweep *sweep, double from, double to) {
  return sweep->is_log ? log(to / from) : to - from;
}

/* The axis is logarithmic if the values span orders of magnitude. If few values are far worse than the
 * others, it ends before them. values: (n), ascending; n > 0 */
static void find_range(report_sweep *sweep, size_t n, const double *values) {
  const bool is_maximized = sweep->results.is_maximized;
  const double median = values[n / 2];
  sweep->low = values[0];
  sweep->high = values[n - 1];
  sweep->is_log = !is_maximized && sweep->low > 0.0 && median >= RATIO_LOG * sweep->low;
  const double best = is_maximized ? sweep->high : sweep->low;
  const double reach = REACH * distance(sweep, best, median);
  if (reach == 0.0 || fabs(distance(sweep, sweep->low, sweep->high)) <= FAR * fabs(reach)) return;
  const double end = sweep->is_log ? best * exp(reach) : best + reach;
  if (is_maximized)
    sweep->low = end;
  else
    sweep->high = end;
  for (size_t i = 0; i < n; i++)
    if (values[i] < sweep->low || values[i] > sweep->high) sweep->n_beyond++;
}

/* Finds the range of the values of all rungs. */
static ls_status measure_values(report_sweep *sweep) {
  const ls_sweep_results *const r = &sweep->results;
  const size_t count = r->rungs.n * r->n_trials;
  double *const values = ls_calloc(count, sizeof *values);
  size_t n = 0;
  if (!values) return ls_fail_memory("the values of trials", count * sizeof *values);
  for (size_t i = 0; i < count; i++) {
    values[n] = report_trial_value(sweep, i / r->n_trials, i % r->n_trials);
    if (!isnan(values[n])) n++;
  }
  qsort(values, n, sizeof *values, report_compare_numbers);
  sweep->low = INFINITY;
  sweep->high = -INFINITY;
  if (n > 0) find_range(sweep, n, values);
  free(values);
  return LS_OK;
}

/* All trials; or if there are many, the best ones, and others at equal distances in the ranking. */
static void select_trials(report_sweep *sweep) {
  const size_t n_others = REPORT_TRIALS - REPORT_TRIALS_BEST;
  sweep->n_shown = ls_size_min(sweep->n, REPORT_TRIALS);
  for (size_t i = 0; i < sweep->n_shown; i++) {
    const bool is_exact = sweep->n <= REPORT_TRIALS || i < REPORT_TRIALS_BEST;
    sweep->shown[i] = is_exact ? i
                               : REPORT_TRIALS_BEST +
                                     (i - REPORT_TRIALS_BEST) * (sweep->n - REPORT_TRIALS_BEST) / n_others;
  }
}

ls_status report_ranking_create(report_sweep *sweep) {
  const uint64_t n = sweep->results.n_trials;
  sweep->trials = ls_calloc(n, sizeof *sweep->trials);
  if (!sweep->trials) return ls_fail_memory("the ranking of trials", n * sizeof *sweep->trials);
  for (uint64_t i = 0; i < n; i++) sweep->n += find_trial(sweep, i, &sweep->trials[sweep->n]);
  qsort(sweep->trials, sweep->n, sizeof *sweep->trials, compare_trials);
  while (sweep->n_ranked < sweep->n && !isnan(sweep->trials[sweep->n_ranked].key)) sweep->n_ranked++;
  for (size_t i = 0; i < sweep->n_ranked; i++)
    sweep->trials[i].colour = REPORT_RANKS - (int)(i * REPORT_RANKS / sweep->n_ranked);
  select_trials(sweep);
  return measure_values(sweep);
}

void report_ranking_beyond(const report_sweep *sweep, char *text, size_t size) {
  char number[REPORT_NUMBER];
  const bool is_maximized = sweep->results.is_maximized;
  if (sweep->n_beyond > 0)
    ls_append(text, size, "%zu value%s %s %s %s drawn at the end of the axis.", sweep->n_beyond,
              sweep->n_beyond == 1 ? "" : "s", is_maximized ? "below" : "above",
              report_number(is_maximized ? sweep->low : sweep->high, number),
              sweep->n_beyond == 1 ? "is" : "are");
}

void report_ranking_note(report_page *page, const report_sweep *sweep) {
  char text[256] = "";
  if (sweep->n_shown < sweep->n)
    ls_append(text, sizeof text,
              "Shows %zu of %zu trials with a result: the best %d, and others at equal distances in the "
              "ranking. ",
              sweep->n_shown, sweep->n, REPORT_TRIALS_BEST);
  report_ranking_beyond(sweep, text, sizeof text);
  if (text[0]) report_note(page->out, "%s", text);
}
