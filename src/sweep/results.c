/* The results in the directory of a sweep, for its report. */
#include "internal.h"

#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>

struct sweep_source {
  sweep_plan plan;
  ls_job *base;
  sweep_table table;
};

static bool has(const char *folder, const char *name) {
  char *const path = ls_format("%s/%s", folder, name);
  const bool exists = path && ls_rundir_exists(path);
  free(path);
  return exists;
}

/* Whether the folder has the table of a part. */
static bool has_parts(const char *folder) {
  glob_t found = {0};
  char *const pattern = ls_format("%s/parts/*-of-*/trials.csv", folder);
  const bool exists = pattern && glob(pattern, 0, NULL, &found) == 0;
  globfree(&found);
  free(pattern);
  return exists;
}

bool ls_sweep_exists(const char *folder) {
  return has(folder, "trials.csv") || has(folder, "sweep.yaml") || has_parts(folder);
}

/* A sweep in parts has its tables in folders below. */
static ls_status check_table(const char *folder) {
  if (has(folder, "trials.csv")) return LS_OK;
  if (!has(folder, "sweep.yaml") && has_parts(folder))
    return ls_fail(
        LS_ERR_DATA,
        "%s: has parts of a sweep, which are not merged; run `lockstep sweep` without --part, or "
        "name a part: the directory of a trials.csv in %s/parts",
        folder, folder);
  return ls_fail(LS_ERR_DATA, "%s/trials.csv: missing; the sweep writes it when it starts", folder);
}

/* Reads a file of the directory; *path and *text are owned by the caller. */
static ls_status load(const char *folder, const char *name, char **path, char **text) {
  *path = ls_format("%s/%s", folder, name);
  if (!*path) return ls_fail_memory("a path", strlen(folder));
  if (!ls_rundir_exists(*path))
    return ls_fail(LS_ERR_DATA, "%s: missing; trials.csv cannot be read without it; restore it", *path);
  return ls_config_load(*path, text);
}

static ls_status read_plan(const char *folder, sweep_plan *plan) {
  char *path = NULL;
  char *text = NULL;
  ls_status status = load(folder, "sweep.yaml", &path, &text);
  const ls_sweep_options options = {.path = path, .output = folder};
  if (status == LS_OK) status = sweep_plan_read(text, &options, plan);
  if (status == LS_OK) status = ls_config_status(plan->config);
  free(text);
  free(path);
  return status;
}

static ls_status read_base(const char *folder, ls_job **base) {
  char *path = NULL;
  char *text = NULL;
  ls_status status = load(folder, "base.yaml", &path, &text);
  if (status == LS_OK) status = ls_job_create_saved(text, path, base);
  free(text);
  free(path);
  return status;
}

static ls_status read_table(const char *folder, const ls_sweep_rungs *rungs, struct sweep_source *source) {
  char *const path = ls_format("%s/trials.csv", folder);
  if (!path) return ls_fail_memory("a path", strlen(folder));
  ls_status status =
      sweep_table_create(&source->plan, source->base->train.monitor, rungs->n, &source->table);
  if (status == LS_OK) status = sweep_table_read(&source->table, path);
  free(path);
  return status;
}

static ls_status find_best(ls_sweep_results *r) {
  const sweep_table *const table = &r->source->table;
  uint64_t *const trials = ls_calloc(table->n_trials, sizeof *trials);
  if (!trials) return ls_fail_memory("the ranking of trials", table->n_trials * sizeof *trials);
  r->has_best = sweep_table_best(table, r->is_maximized, trials, &r->best_rung, &r->best);
  free(trials);
  return LS_OK;
}

/* The directory of a part is parts/I-of-N, wherever it is named from. */
static ls_status read_part(const char *folder, ls_sweep_results *r) {
  static const char parts[] = "/parts";
  const size_t n = sizeof parts - 1;
  char *const path = realpath(folder, NULL);
  if (!path) return ls_fail(LS_ERR_DATA, "%s: %s", folder, strerror(errno));
  const char *const name = strrchr(path, '/');
  char *end = NULL;
  const uint64_t part = strtoull(name + 1, &end, 10);
  const bool is_part = (size_t)(name - path) >= n && strncmp(name - n, parts, n) == 0 &&
                       strncmp(end, "-of-", 4) == 0 && ls_config_parse_count(end + 4, &r->n_parts);
  r->part = is_part ? part : 0;
  if (!is_part || r->n_parts == 0) r->n_parts = 1;
  free(path);
  return LS_OK;
}

static ls_status read_all(const char *folder, ls_sweep_results *r) {
  struct sweep_source *const source = r->source = ls_calloc(1, sizeof *source);
  const sweep_plan *const plan = source ? &source->plan : NULL;
  if (!source) return ls_fail_memory("a sweep", sizeof *source);
  LS_TRY(check_table(folder));
  LS_TRY(read_part(folder, r));
  LS_TRY(read_plan(folder, &source->plan));
  LS_TRY(read_base(folder, &source->base));
  r->rungs = sweep_rungs_of(plan, source->base->train.epochs);
  LS_TRY(read_table(folder, &r->rungs, source));
  r->search = sweep_searches[plan->search];
  r->monitor = source->base->train.monitor;
  r->is_maximized = ls_column_is_maximized(source->base, ls_column_find(source->base, r->monitor));
  r->factor = plan->factor;
  r->first = plan->first;
  r->n_trials = plan->trials;
  r->n_parameters = plan->n_parameters;
  r->parameters = plan->parameters;
  r->rows = source->table.rows;
  return find_best(r);
}

ls_status ls_sweep_results_read(const char *folder, ls_sweep_results *r) {
  *r = (ls_sweep_results){0};
  const ls_status status = read_all(folder, r);
  return status == LS_OK || status == LS_ERR_INTERNAL ? status : ls_fail(LS_ERR_DATA, "%s", ls_message());
}

void ls_sweep_results_destroy(ls_sweep_results *r) {
  if (r->source) {
    sweep_table_destroy(&r->source->table);
    ls_job_destroy(&r->source->base);
    sweep_plan_destroy(&r->source->plan);
  }
  free(r->source);
  *r = (ls_sweep_results){0};
}

const char *ls_sweep_value(const ls_sweep_results *r, uint64_t trial, size_t k,
                           char text[LS_SWEEP_VALUE_MAX]) {
  sweep_value(&r->source->plan, trial, k, text);
  return text;
}
