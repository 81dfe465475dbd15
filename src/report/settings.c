/* The configs with their differences, and the environments. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define KEYS_MOST 4000

/* ------------------------------------------------------------------------- differences */

/* The values of a key in all runs. */
typedef struct entry {
  char *key;           /* owned: a dotted path */
  const char **values; /* (n), owned; texts are borrowed; NULL: absent */
} entry;

typedef struct entries {
  size_t n_runs, n;
  entry list[KEYS_MOST];
  bool is_full;    /* a key is missing because there were too many */
  bool has_failed; /* memory was short */
} entries;

static entry *find_entry(entries *e, const char *key) {
  for (size_t i = 0; i < e->n; i++)
    if (strcmp(e->list[i].key, key) == 0) return &e->list[i];
  if (e->n == KEYS_MOST) return NULL;
  entry *const added = &e->list[e->n];
  *added = (entry){ls_strdup(key), ls_calloc(e->n_runs, sizeof *added->values)};
  if (added->key && added->values) {
    e->n++;
    return added;
  }
  free(added->key);
  free(added->values);
  e->has_failed = true;
  return NULL;
}

/* Adds the scalars below a node. path: of the node */
static void add_node(entries *e, size_t run, const ls_node *node, const char *path) {
  if (ls_node_kind_of(node) == LS_NODE_SCALAR) {
    entry *const found = find_entry(e, path);
    if (found)
      found->values[run] = ls_node_text(node);
    else
      e->is_full = true;
    return;
  }
  for (size_t i = 0; i < ls_node_count(node); i++) {
    const ls_node *const child = ls_node_item(node, i);
    const char *const key = ls_node_key(child);
    const char *const dot = path[0] ? "." : "";
    char *const below = key ? ls_format("%s%s%s", path, dot, key) : ls_format("%s%s%zu", path, dot, i);
    if (below)
      add_node(e, run, child, below);
    else
      e->has_failed = true;
    free(below);
  }
}

static bool is_equal(const entry *e, size_t n) {
  for (size_t i = 1; i < n; i++) {
    const char *const a = e->values[0];
    const char *const b = e->values[i];
    if (!a != !b || (a && strcmp(a, b) != 0)) return false;
  }
  return true;
}

static void write_entries(FILE *out, const report_runs *runs, const entries *e) {
  size_t n = 0;
  report_put("<div class=\"texts\">", out);
  report_table_begin(out, "Keys that differ");
  report_put("<thead><tr><th scope=\"col\">key</th>", out);
  for (size_t i = 0; i < runs->n; i++) {
    report_put("<th scope=\"col\">", out);
    report_text(out, runs->list[i].path);
    report_put("</th>", out);
  }
  report_put("</tr></thead><tbody>\n", out);
  for (size_t k = 0; k < e->n; k++) {
    if (is_equal(&e->list[k], runs->n)) continue;
    n++;
    report_put("<tr>", out);
    report_row_head(out, e->list[k].key);
    for (size_t i = 0; i < runs->n; i++)
      report_cell(out, e->list[k].values[i] ? e->list[k].values[i] : "\xE2\x80\x93");
    report_put("</tr>\n", out);
  }
  report_table_end(out);
  report_put("</div>\n", out);
  if (n == 0) report_note(out, "The configs are equal.");
  if (e->is_full) report_note(out, "Some keys are not compared: there are more than %d.", KEYS_MOST);
}

static ls_status write_differences(FILE *out, const report_runs *runs) {
  if (runs->n < 2) return LS_OK;
  entries *const e = ls_calloc(1, sizeof *e);
  if (!e) return ls_fail_memory("the keys", sizeof *e);
  e->n_runs = runs->n;
  for (size_t i = 0; i < runs->n; i++)
    if (runs->list[i].document) add_node(e, i, ls_config_root(runs->list[i].document), "");
  write_entries(out, runs, e);
  for (size_t k = 0; k < e->n; k++) {
    free(e->list[k].key);
    free(e->list[k].values);
  }
  const bool has_failed = e->has_failed;
  free(e);
  return has_failed ? ls_fail_memory("the keys", sizeof *e) : LS_OK;
}

/* ------------------------------------------------------------------------ environment */

static void write_fact(FILE *out, const char *name, const char *value) {
  if (!value || !value[0]) return;
  report_put("<tr>", out);
  report_row_head(out, name);
  report_put("<td class=\"wide\">", out);
  report_text(out, value);
  report_put("</td></tr>\n", out);
}

static void write_warnings(FILE *out, const report_log *log) {
  const size_t n = ls_size_min(log->n_warnings, REPORT_WARNINGS);
  if (n == 0) return;
  report_put("<tr><th scope=\"row\">warnings and errors</th><td class=\"wide\">", out);
  for (size_t i = 0; i < n; i++) {
    if (i > 0) report_put("\n", out);
    report_text(out, log->warnings[i]);
  }
  if (n < log->n_warnings) report_print(out, "\n(the last %zu of %zu)", n, log->n_warnings);
  report_put("</td></tr>\n", out);
}

static void write_environment(FILE *out, const report_run *run) {
  const report_log *const log = &run->log;
  char text[REPORT_NUMBER];
  report_table_begin(out, "Environment");
  report_put("<tbody>\n", out);
  write_fact(out, "directory", run->path);
  write_fact(out, "state", log->end ? log->end : report_run_state(run));
  write_fact(out, "first line of the log", log->first);
  write_fact(out, "last line of the log", log->last);
  if (log->exists) write_fact(out, "processes started", report_count(log->n_starts, text));
  write_fact(out, "platform of the model", run->platform);
  write_fact(out, "start of the last process", log->start);
  write_warnings(out, log);
  report_table_end(out);
  if (!log->exists) report_note(out, "train.log is missing.");
}

static void write_run(FILE *out, const report_run *run) {
  write_environment(out, run);
  if (!run->config) {
    report_note(out, "config.yaml is missing.");
    return;
  }
  report_put("<details><summary>config.yaml</summary>\n<pre tabindex=\"0\">", out);
  report_text(out, run->config);
  report_put("</pre></details>\n", out);
}

ls_status report_settings(report_page *page, const report_runs *runs) {
  report_put("<section id=\"settings\"><h2>Config and environment</h2>\n", page->out);
  LS_TRY(write_differences(page->out, runs));
  for (size_t i = 0; i < runs->n; i++) {
    report_run_begin(page, runs, i);
    write_run(page->out, &runs->list[i]);
    report_run_end(page, runs);
  }
  report_put("</section>\n", page->out);
  return LS_OK;
}
