/* Reading a sweep file. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const sweep_searches[] = {[SWEEP_GRID] = "grid",
                                      [SWEEP_RANDOM] = "random",
                                      [SWEEP_SOBOL] = "sobol",
                                      [SWEEP_HALVING] = "halving",
                                      NULL};

static const ls_key halving_keys[] = {
    LS_COUNT_KEY("factor", sweep_plan, factor, "3", 2, 1000,
                 "trials of a rung per trial that the next rung continues"),
    LS_COUNT_KEY("first", sweep_plan, first, "1", 1, 1e9, "epochs of the first rung"),
    {0},
};

const ls_key ls_sweep_keys[] = {
    LS_TEXT_KEY("base", sweep_plan, base, "config of all trials, relative to the sweep file",
                .flags = LS_KEY_REQUIRED),
    LS_TEXT_KEY("output", sweep_plan, output, "directory of the sweep, relative to the working directory"),
    LS_NODE_KEY("parameters", sweep_plan, parameters_node,
                "keys of the base that vary, as dotted paths: a list of values, or uniform, log_uniform, "
                "integer or log_integer: [LOW, HIGH]",
                .flags = LS_KEY_REQUIRED),
    LS_CHOICE_KEY("search", sweep_plan, search, "random", sweep_searches, "choice of the trials"),
    LS_COUNT_KEY("trials", sweep_plan, trials, NULL, 1, SWEEP_TRIALS_MAX,
                 "number of trials; not with search: grid"),
    LS_COUNT_KEY("seed", sweep_plan, seed, "1", 0, 1e15, "random seed of the values"),
    LS_MAP_KEY("halving", halving_keys, "successive halving"),
    LS_COUNT_KEY("ranks_per_trial", sweep_plan, ranks_per_trial, "1", 1, 1e6, "ranks that train a trial"),
    LS_TEXT_KEY("monitor", sweep_plan, monitor,
                "column of metrics.csv that ranks the trials; default train.monitor of the base"),
    {0},
};

/* ----------------------------------------------------------------------- parameters */

typedef struct ranges {
  double uniform[2], log_uniform[2], integer[2], log_integer[2];
} ranges;

#define LARGEST 1e15 /* integer that float64 holds exactly, with room to spare */

const ls_key ls_sweep_range_keys[] = {
    LS_REALS2_KEY("uniform", ranges, uniform, NULL, 0, 0, "range of numbers, both ends included"),
    LS_REALS2_KEY("log_uniform", ranges, log_uniform, NULL, 0, 0,
                  "range of numbers above 0 whose logarithms are uniform"),
    LS_REALS2_KEY("integer", ranges, integer, NULL, 0, 0, "range of integers, both ends included"),
    LS_REALS2_KEY("log_integer", ranges, log_integer, NULL, 0, 0,
                  "range of integers above 0 whose logarithms are uniform"),
    {0},
};

/* `range`: those of the parameter's kind. */
static void check_range(ls_config *config, const ls_sweep_parameter *p, const double *range) {
  const bool is_log = p->kind == LS_SWEEP_LOG_UNIFORM || p->kind == LS_SWEEP_LOG_INTEGER;
  const bool is_integer = p->kind == LS_SWEEP_INTEGER || p->kind == LS_SWEEP_LOG_INTEGER;
  if (!(range[0] < range[1]))
    ls_config_error(config, p->node,
                    "the range from %g to %g is empty; the first number must be the smaller one", range[0],
                    range[1]);
  else if (is_log && range[0] <= 0.0)
    ls_config_error(config, p->node, "the range of logarithms begins at %g; must be above 0", range[0]);
  else if (is_integer && (range[0] != floor(range[0]) || range[1] != floor(range[1]) ||
                          fabs(range[0]) > LARGEST || fabs(range[1]) > LARGEST))
    ls_config_error(config, p->node, "not two integers; must be integers of at most %g", LARGEST);
}

/* {uniform: [0, 1]} */
static void read_range(ls_config *config, ls_node *node, ls_sweep_parameter *p) {
  static const char *const names[] = {"uniform", "log_uniform", "integer", "log_integer"};
  ranges all = {.uniform = {0.0}};
  const double *const values[] = {all.uniform, all.log_uniform, all.integer, all.log_integer};
  size_t found = 0;
  bool is_list = true;
  const size_t n = ls_node_count(node);
  ls_config_read(config, node, ls_sweep_range_keys, &all);
  for (size_t i = 0; i < 4; i++) {
    const ls_node *const range = ls_node_find(node, names[i]);
    if (!range || ls_node_is_null(range)) continue;
    found++;
    is_list = ls_node_kind_of(range) == LS_NODE_LIST && ls_node_count(range) == 2;
    p->kind = (ls_sweep_kind)(LS_SWEEP_UNIFORM + (int)i);
    p->low = values[i][0];
    p->high = values[i][1];
  }
  if (found == 1 && n == 1) {
    if (is_list) check_range(config, p, (const double[]){p->low, p->high});
  } else if (found == n) { /* else: an unknown key, which is reported */
    ls_config_error(config, node, "must be one of uniform, log_uniform, integer, log_integer: [LOW, HIGH]");
  }
}

/* A value is a cell of the table, which has no quotes. */
static void check_choice(ls_config *config, const ls_node *item) {
  const char *const text = ls_node_text(item);
  if (ls_node_kind_of(item) != LS_NODE_SCALAR)
    ls_config_error(config, item, "not a single value; must be a number, a name or a boolean");
  else if (text[0] == '\0' || strlen(text) >= LS_SWEEP_VALUE_MAX || strpbrk(text, ",\"\r\n"))
    ls_config_error(config, item, "must have 1 to %d characters, without commas, quotes and line breaks",
                    LS_SWEEP_VALUE_MAX - 1);
}

/* [64, 128, 256] */
static void read_choices(ls_config *config, const ls_node *list, ls_sweep_parameter *p) {
  p->kind = LS_SWEEP_CHOICES;
  p->n_choices = ls_node_count(list);
  if (p->n_choices == 0) ls_config_error(config, list, "the list is empty; must have at least one value");
  for (size_t i = 0; i < p->n_choices; i++) {
    const ls_node *const item = ls_node_item(list, i);
    check_choice(config, item);
    for (size_t k = 0; k < i && ls_node_kind_of(item) == LS_NODE_SCALAR; k++)
      if (ls_node_kind_of(ls_node_item(list, k)) == LS_NODE_SCALAR &&
          strcmp(ls_node_text(item), ls_node_text(ls_node_item(list, k))) == 0) {
        ls_config_error(config, item, "the value is there twice; remove one");
        break;
      }
  }
}

/* Keys that the sweep sets itself, or that concern all trials. */
static bool is_reserved(const char *key) {
  static const char *const keys[] = {"output", "train.monitor", "train.max_time", "comm.timeout"};
  for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
    if (strcmp(key, keys[i]) == 0) return true;
  return false;
}

static void read_parameter(sweep_plan *plan, ls_node *node) {
  ls_sweep_parameter *const p = &plan->parameters[plan->n_parameters++];
  *p = (ls_sweep_parameter){.key = ls_node_key(node), .node = node};
  if (is_reserved(p->key))
    ls_config_error(plan->config, node, "the key cannot vary between trials");
  else if (plan->search == SWEEP_HALVING && strcmp(p->key, "train.epochs") == 0)
    ls_config_error(plan->config, node,
                    "the rungs of search: halving set the epochs; remove this parameter");
  if (ls_node_kind_of(node) == LS_NODE_LIST)
    read_choices(plan->config, node, p);
  else if (ls_node_kind_of(node) == LS_NODE_MAP)
    read_range(plan->config, node, p);
  else
    ls_config_error(
        plan->config, node,
        "a single value does not vary; must be a list of values, or one of uniform, log_uniform, "
        "integer, log_integer: [LOW, HIGH]");
}

static void read_parameters(sweep_plan *plan) {
  const ls_node *const map = plan->parameters_node;
  const size_t most = plan->search == SWEEP_SOBOL ? LS_SOBOL_DIMS : SWEEP_PARAMETERS_MAX;
  if (!map) return;
  const size_t n = ls_node_count(map);
  if (ls_node_kind_of(map) != LS_NODE_MAP || n == 0)
    ls_config_error(plan->config, map, "must be a map of keys, such as optimizer.lr: [0.001, 0.01]");
  else if (n > most)
    ls_config_error(plan->config, map, "%zu parameters; must be at most %zu with search: %s", n, most,
                    sweep_searches[plan->search]);
  else
    for (size_t i = 0; i < n; i++) read_parameter(plan, ls_node_item(map, i));
}

/* --------------------------------------------------------------------------- trials */

/* The values of a parameter in a grid; 0: not finite. 1 with an invalid range, which is reported. */
static uint64_t count_values(const ls_sweep_parameter *p) {
  const double n = p->high - p->low + 1.0;
  if (p->kind == LS_SWEEP_CHOICES) return p->n_choices;
  if (p->kind != LS_SWEEP_INTEGER) return 0;
  return n >= 1.0 && n <= 2.0 * LARGEST + 1.0 ? (uint64_t)n : 1;
}

/* The number of trials of a grid. */
static void count_grid(sweep_plan *plan) {
  double n = 1.0;
  for (size_t k = 0; k < plan->n_parameters; k++) {
    const ls_sweep_parameter *const p = &plan->parameters[k];
    const uint64_t values = count_values(p);
    if (values == 0 && p->kind != LS_SWEEP_CHOICES)
      ls_config_error(plan->config, p->node,
                      "a grid needs a finite number of values; must be a list, or integer: [LOW, HIGH]");
    n *= (double)values;
  }
  if (n > SWEEP_TRIALS_MAX)
    ls_config_error(plan->config, plan->parameters_node,
                    "the grid has %.0f trials; must be at most %d; use fewer values, or search: random", n,
                    SWEEP_TRIALS_MAX);
  else
    plan->trials = (uint64_t)n;
}

static void check_trials(sweep_plan *plan) {
  ls_node *const root = ls_config_root(plan->config);
  const ls_node *const trials = ls_node_find(root, "trials");
  const bool has_trials = trials && !ls_node_is_null(trials);
  if (plan->search == SWEEP_GRID && has_trials)
    ls_config_error(plan->config, trials, "search: grid trains all combinations; remove this key");
  else if (plan->search == SWEEP_GRID)
    count_grid(plan);
  else if (!has_trials)
    ls_config_error(plan->config, root,
                    "trials: required key is missing with search: %s; must be from 1 to %d",
                    sweep_searches[plan->search], SWEEP_TRIALS_MAX);
}

/* ------------------------------------------------------------------------ the whole */

/* The path of the base. */
static char *join_path(const char *file, const char *base) {
  const char *const slash = strrchr(file, '/');
  if (base[0] == '/' || !slash) return ls_strdup(base);
  return ls_format("%.*s/%s", (int)(slash - file), file, base);
}

ls_status sweep_plan_read(const char *text, const ls_sweep_options *options, sweep_plan *plan) {
  LS_TRY(ls_config_create(text, options->path, &plan->config));
  ls_config_read(plan->config, ls_config_root(plan->config), ls_sweep_keys, plan);
  if (options->output) plan->output = options->output;
  read_parameters(plan);
  check_trials(plan);
  if (!plan->output)
    ls_config_error(plan->config, ls_config_root(plan->config),
                    "output: missing; add `output: DIR`, or give --output DIR");
  if (ls_config_status(plan->config) == LS_OK) LS_TRY(sweep_choose_draws(plan));
  if (!plan->base) return LS_OK;
  plan->base_path = join_path(options->path, plan->base);
  return plan->base_path ? LS_OK : ls_fail_memory("a path", strlen(plan->base));
}

void sweep_plan_destroy(sweep_plan *plan) {
  ls_config_destroy(&plan->config);
  free(plan->base_path);
  free(plan->draws);
  *plan = (sweep_plan){0};
}
