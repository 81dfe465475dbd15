/* The axes of the parameters of a sweep. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NAMED_MOST 12    /* numbers of a list with equal distances */
#define RATIO_LOG  100.0 /* of the numbers of a longer list with a logarithmic axis */
#define LABEL_MOST 14    /* bytes of a label */

/* ----------------------------------------------------------------------- the values */

static const char *choice(const ls_sweep_parameter *p, size_t i) {
  return ls_node_text(ls_node_item(p->node, i));
}

/* Reads the values of a list as numbers. False if one is not. */
static bool parse_choices(const ls_sweep_parameter *p, double *numbers) {
  for (size_t i = 0; i < p->n_choices; i++)
    if (!ls_config_parse_real(choice(p, i), &numbers[i]) || !isfinite(numbers[i])) return false;
  return true;
}

/* Places named values in the order of the list, and numbers in ascending order. */
static void place_in_order(report_parameter *p, bool are_numbers, const double *numbers) {
  const size_t n = p->of->n_choices;
  for (size_t i = 0; i < n; i++) {
    size_t before = are_numbers ? 0 : i;
    for (size_t k = 0; are_numbers && k < n; k++)
      before += numbers[k] < numbers[i] || (k < i && numbers[k] == numbers[i]);
    p->positions[i] = (double)before;
  }
  p->is_named = true;
  p->low = -0.5;
  p->high = (double)n - 0.5;
}

static void place_numbers(report_parameter *p, const double *numbers) {
  p->low = INFINITY;
  p->high = -INFINITY;
  p->is_whole = true;
  for (size_t i = 0; i < p->of->n_choices; i++) {
    p->positions[i] = numbers[i];
    p->low = fmin(p->low, numbers[i]);
    p->high = fmax(p->high, numbers[i]);
    p->is_whole = p->is_whole && numbers[i] == floor(numbers[i]);
  }
  p->is_log = p->low > 0.0 && p->high / p->low >= RATIO_LOG;
}

ls_status report_parameter_create(const ls_sweep_parameter *of, report_parameter *p) {
  *p = (report_parameter){.of = of, .low = of->low, .high = of->high};
  p->is_log = of->kind == LS_SWEEP_LOG_UNIFORM || of->kind == LS_SWEEP_LOG_INTEGER;
  p->is_whole = of->kind == LS_SWEEP_INTEGER || of->kind == LS_SWEEP_LOG_INTEGER;
  if (of->kind != LS_SWEEP_CHOICES) return LS_OK;
  double *const numbers = ls_calloc(of->n_choices, sizeof *numbers);
  p->positions = ls_calloc(of->n_choices, sizeof *p->positions);
  if (numbers && p->positions) {
    const bool are_numbers = parse_choices(of, numbers);
    if (are_numbers && of->n_choices > NAMED_MOST)
      place_numbers(p, numbers);
    else
      place_in_order(p, are_numbers, numbers);
  }
  free(numbers);
  return numbers && p->positions ? LS_OK : ls_fail_memory("an axis", of->n_choices * sizeof *numbers);
}

void report_parameter_destroy(report_parameter *p) {
  free(p->positions);
  *p = (report_parameter){0};
}

double report_parameter_position(const report_parameter *p, const char *value) {
  for (size_t i = 0; i < p->of->n_choices; i++)
    if (strcmp(choice(p->of, i), value) == 0) return p->positions[i];
  double number = NAN;
  return ls_config_parse_real(value, &number) ? number : NAN;
}

/* ----------------------------------------------------------------------- the scales */

report_scale report_scale_of(double low, double high, bool is_log, bool is_whole, double from, double to) {
  char text[REPORT_NUMBER];
  report_scale s = {.axis = report_axis_make(low, high, is_log, false, from, to)};
  s.n_ticks = report_ticks(&s.axis, is_whole, s.ticks);
  for (size_t i = 0; i < s.n_ticks; i++)
    snprintf(s.labels[i], sizeof s.labels[i], "%.*s", REPORT_LABEL - 1,
             report_tick_label(s.ticks[i], text));
  return s;
}

static void add_label(report_scale *s, double position, const char *name) {
  const bool is_long = strlen(name) > LABEL_MOST;
  s->ticks[s->n_ticks] = position;
  snprintf(s->labels[s->n_ticks++], REPORT_LABEL, "%.*s%s",
           is_long ? ls_clip(name, LABEL_MOST) : LABEL_MOST, name, is_long ? "\xE2\x80\xA6" : "");
}

report_scale report_parameter_scale(const report_parameter *p, double from, double to, size_t n_labels) {
  if (!p->is_named) return report_scale_of(p->low, p->high, p->is_log, p->is_whole, from, to);
  const size_t most = ls_size_min(n_labels, REPORT_TICKS_MAX);
  const size_t stride = (p->of->n_choices + most - 1) / most;
  report_scale s = {.axis = {.low = p->low, .high = p->high, .from = from, .to = to}};
  for (size_t i = 0; i < p->of->n_choices; i++)
    if ((size_t)p->positions[i] % stride == 0) add_label(&s, p->positions[i], choice(p->of, i));
  return s;
}
