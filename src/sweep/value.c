/* The values of a trial: functions of the sweep file and the number of the trial alone. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* "Sample" of the shifts of Sobol's sequence, beyond all trials. */
#define SHIFT_SAMPLE ((uint64_t)1 << 39)

/* A uniform number in [0, 1). */
static double draw(const sweep_plan *plan, uint64_t trial, size_t k) {
  const uint64_t number = plan->draws ? plan->draws[trial] : trial;
  const ls_rng rng = ls_rng_make(plan->seed, LS_RNG_SWEEP, (uint32_t)k, 0);
  uint32_t words[4];
  if (plan->search == SWEEP_SOBOL) {
    ls_rng_block(&rng, SHIFT_SAMPLE, 0, words); /* a random digital shift keeps the points even */
    return (double)(ls_sobol((uint32_t)number, k) ^ words[0]) / 4294967296.0;
  }
  ls_rng_block(&rng, number, 0, words);
  return ((double)(words[0] >> 5) * 67108864.0 + (double)(words[1] >> 6)) /
         9007199254740992.0; /* 53 bits */
}

/* The number of values of a parameter of a grid. */
static uint64_t count(const ls_sweep_parameter *p) {
  return p->kind == LS_SWEEP_CHOICES ? p->n_choices : (uint64_t)(p->high - p->low + 1.0);
}

/* The position of a trial of a grid among the values of parameter k. The last parameter varies fastest. */
static uint64_t grid_index(const sweep_plan *plan, uint64_t trial, size_t k) {
  if (trial == 0) return 0; /* also if other parameters are invalid and have no values */
  for (size_t i = plan->n_parameters; i-- > k + 1;) trial /= count(&plan->parameters[i]);
  return trial % count(&plan->parameters[k]);
}

/* A real number with few digits, within the range. */
static void print_real(const ls_sweep_parameter *p, double value, char text[LS_SWEEP_VALUE_MAX]) {
  snprintf(text, LS_SWEEP_VALUE_MAX, "%.6g", value);
  const double rounded = strtod(text, NULL);
  if (rounded < p->low || rounded > p->high)
    snprintf(text, LS_SWEEP_VALUE_MAX, "%.17g", rounded < p->low ? p->low : p->high);
}

static void print_integer(const ls_sweep_parameter *p, double value, char text[LS_SWEEP_VALUE_MAX]) {
  snprintf(text, LS_SWEEP_VALUE_MAX, "%.0f", fmin(fmax(floor(value), p->low), p->high));
}

void sweep_value(const sweep_plan *plan, uint64_t trial, size_t k, char text[LS_SWEEP_VALUE_MAX]) {
  const ls_sweep_parameter *const p = &plan->parameters[k];
  const bool is_grid = plan->search == SWEEP_GRID;
  const double u = is_grid ? 0.0 : draw(plan, trial, k);
  const uint64_t index = is_grid ? grid_index(plan, trial, k) : (uint64_t)(u * (double)p->n_choices);
  switch (p->kind) {
  case LS_SWEEP_CHOICES:
    snprintf(text, LS_SWEEP_VALUE_MAX, "%s", ls_node_text(ls_node_item(p->node, index)));
    return;
  case LS_SWEEP_UNIFORM: print_real(p, p->low + u * (p->high - p->low), text); return;
  case LS_SWEEP_LOG_UNIFORM:
    print_real(p, exp(log(p->low) + u * (log(p->high) - log(p->low))), text);
    return;
  case LS_SWEEP_INTEGER:
    print_integer(p, is_grid ? p->low + (double)index : p->low + u * (p->high - p->low + 1.0), text);
    return;
  case LS_SWEEP_LOG_INTEGER:
    print_integer(p, exp(log(p->low) + u * (log(p->high + 1.0) - log(p->low))), text);
    return;
  default: ls_bug(__FILE__, __LINE__, "kind");
  }
}

/* Whether the value of a parameter in a trial has quotes in the sweep file, which the override must have
 * too.
 */
static bool is_quoted(const ls_sweep_parameter *p, const char *text) {
  for (size_t i = 0; i < p->n_choices; i++) {
    const ls_node *const item = ls_node_item(p->node, i);
    if (strcmp(ls_node_text(item), text) == 0) return ls_node_is_quoted(item);
  }
  return false;
}

char *sweep_assignment(const sweep_plan *plan, uint64_t trial, size_t k) {
  const ls_sweep_parameter *const p = &plan->parameters[k];
  char text[LS_SWEEP_VALUE_MAX];
  char quoted[2 * LS_SWEEP_VALUE_MAX + 3] = "'";
  sweep_value(plan, trial, k, text);
  if (!is_quoted(p, text)) return ls_format("%s=%s", p->key, text);
  for (const char *c = text; *c; c++) ls_append(quoted, sizeof quoted, "%s%c", *c == '\'' ? "'" : "", *c);
  return ls_format("%s=%s'", p->key, quoted);
}
