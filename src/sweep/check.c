/* The configs of the trials, and their check before anything starts. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* The overrides of a trial. All owned. */
typedef struct overrides {
  char *list[SWEEP_PARAMETERS_MAX + 1];
  size_t n;
} overrides;

static void free_overrides(overrides *o) {
  for (size_t i = 0; i < o->n; i++) free(o->list[i]);
}

/* trial: UINT64_MAX for the base */
static ls_status make_overrides(const sweep_plan *plan, uint64_t trial, overrides *o) {
  bool is_complete = true;
  o->n = 0;
  for (size_t k = 0; trial != UINT64_MAX && k < plan->n_parameters; k++)
    o->list[o->n++] = sweep_assignment(plan, trial, k);
  if (plan->monitor) o->list[o->n++] = ls_format("train.monitor='%s'", plan->monitor);
  for (size_t i = 0; i < o->n; i++) is_complete = is_complete && o->list[i];
  return is_complete ? LS_OK : ls_fail_memory("the config of a trial", 0);
}

ls_status sweep_job_create(const sweep_plan *plan, const char *base, uint64_t trial, const char *output,
                           ls_job **out) {
  overrides o;
  ls_status status = make_overrides(plan, trial, &o);
  *out = NULL;
  const ls_job_source source = {.path = plan->base_path,
                                .text = base,
                                .overrides = (const char *const *)o.list,
                                .n_overrides = o.n,
                                .output = output};
  if (status == LS_OK) status = ls_job_create_text(&source, out);
  free_overrides(&o);
  return status;
}

/* ------------------------------------------------------------------------- the check */

/* Which parameters have an error so far; the last one stands for the base. */
typedef bool found[SWEEP_PARAMETERS_MAX + 1];

/* The parameter that a line of a message is about: "--set KEY=...". n_parameters if it is another. */
static size_t find_parameter(const sweep_plan *plan, const char *line) {
  static const char start[] = "--set ";
  size_t k = plan->n_parameters;
  if (strncmp(line, start, sizeof start - 1) != 0) return k;
  for (k = 0; k < plan->n_parameters; k++) {
    const size_t n = strlen(plan->parameters[k].key);
    if (strncmp(line + sizeof start - 1, plan->parameters[k].key, n) == 0 &&
        line[sizeof start - 1 + n] == '=')
      break;
  }
  return k;
}

/* Adds each line of ls_message() to the errors, once for each parameter. */
static void add_errors(const sweep_plan *plan, uint64_t trial, found seen) {
  char *const text = ls_strdup(ls_message());
  char *rest = NULL;
  for (const char *line = text ? strtok_r(text, "\n", &rest) : NULL; line;
       line = strtok_r(NULL, "\n", &rest)) {
    const size_t k = find_parameter(plan, line);
    const bool is_own = k < plan->n_parameters;
    if (seen[k]) continue;
    seen[k] = true;
    ls_config_error(plan->config, is_own ? plan->parameters[k].node : plan->parameters_node,
                    "trial %llu: %s", (unsigned long long)trial, line);
  }
  free(text);
}

/* Whether a parameter has values. */
static bool has_values(const ls_sweep_parameter *p) {
  bool is_valid = p->kind == LS_SWEEP_CHOICES ? p->n_choices > 0 : p->low < p->high;
  for (size_t i = 0; i < p->n_choices; i++)
    is_valid = is_valid && ls_node_kind_of(ls_node_item(p->node, i)) == LS_NODE_SCALAR;
  return is_valid;
}

/* Whether the paths of the parameters lead anywhere. ls_job_create_text stops at the first that does not.
 */
static ls_status check_paths(const sweep_plan *plan, const char *base) {
  ls_status worst = LS_OK;
  for (size_t k = 0; k < plan->n_parameters; k++) {
    ls_config *config = NULL;
    char *const assignment = sweep_assignment(plan, 0, k);
    ls_status status = assignment ? LS_OK : ls_fail_memory("the config of a trial", 0);
    if (status == LS_OK) status = ls_config_create(base, plan->base_path, &config);
    if (status == LS_OK) status = ls_config_override(config, assignment);
    ls_config_destroy(&config);
    free(assignment);
    if (status != LS_OK && status != LS_ERR_CONFIG) return status;
    if (status != LS_OK) worst = status;
  }
  return worst;
}

/* The config of trial 0 with one parameter only. */
static ls_status check_parameter(const sweep_plan *plan, const char *base, size_t k, found seen) {
  char *const assignment = sweep_assignment(plan, 0, k);
  if (!assignment) return ls_fail_memory("the config of a trial", 0);
  const char *const list[] = {assignment};
  const ls_job_source source = {.path = plan->base_path, .text = base, .overrides = list, .n_overrides = 1};
  ls_job *job = NULL;
  const ls_status status = ls_job_create_text(&source, &job);
  ls_job_destroy(&job);
  free(assignment);
  if (status == LS_ERR_CONFIG) add_errors(plan, 0, seen);
  return status == LS_ERR_CONFIG ? LS_OK : status;
}

ls_status sweep_check_parameters(const sweep_plan *plan, const char *base) {
  found seen = {false};
  seen[plan->n_parameters] = true; /* the errors of the base are reported by its job */
  for (size_t k = 0; k < plan->n_parameters; k++)
    if (has_values(&plan->parameters[k])) LS_TRY(check_parameter(plan, base, k, seen));
  return LS_OK;
}

ls_status sweep_check_trials(const sweep_plan *plan, const char *base) {
  found seen = {false};
  const ls_status paths = check_paths(plan, base);
  if (paths == LS_ERR_CONFIG) LS_TRY(sweep_check_parameters(plan, base));
  LS_TRY(paths == LS_ERR_CONFIG ? ls_config_status(plan->config) : paths);
  for (uint64_t trial = 0; trial < plan->trials; trial++) {
    ls_job *job = NULL;
    const ls_status status = sweep_job_create(plan, base, trial, NULL, &job);
    ls_job_destroy(&job);
    if (status == LS_ERR_CONFIG) add_errors(plan, trial, seen);
    if (status != LS_OK && status != LS_ERR_CONFIG) return status;
    ls_heartbeat();
  }
  return ls_config_status(plan->config);
}
