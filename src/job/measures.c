/* The measures of `metrics:`: their names, the data that they need, their values. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* The data that a metric must keep for a measure. */
typedef enum needs { NEEDS_SUMS, NEEDS_COUNTS, NEEDS_SCORES } needs;

struct ls_measure_kind {
  const char *name;
  needs needs;
  bool is_error; /* for regression, and better if smaller; otherwise for classes and labels */
};

enum { TOP, PRECISION, RECALL, F1, ROC_AUC, MSE, MAE, KINDS };
static const ls_measure_kind kinds[KINDS] = {
    [TOP] = {.name = "top_K"}, /* for any K */
    [PRECISION] = {.name = "precision", .needs = NEEDS_COUNTS},
    [RECALL] = {.name = "recall", .needs = NEEDS_COUNTS},
    [F1] = {.name = "f1", .needs = NEEDS_COUNTS},
    [ROC_AUC] = {.name = "roc_auc", .needs = NEEDS_SCORES},
    [MSE] = {.name = "mse", .is_error = true},
    [MAE] = {.name = "mae", .is_error = true},
};

static double value_of(const ls_measure *measure, const ls_metric *metric) {
  switch (measure->kind - kinds) {
  case PRECISION: return ls_metric_macro(metric).precision;
  case RECALL: return ls_metric_macro(metric).recall;
  case F1: return ls_metric_macro(metric).f1;
  case ROC_AUC: return ls_metric_macro_auc(metric);
  case MSE: return ls_metric_mse(metric);
  case MAE: return ls_metric_mae(metric);
  default: return ls_metric_top(metric, measure->k);
  }
}

static bool fits(const ls_measure_kind *kind, ls_task task) {
  if (kind == &kinds[TOP]) return task == LS_TASK_CLASSES;
  return kind->is_error == (task == LS_TASK_REGRESSION);
}

/* The K of "top_K"; 0 if the text is not of this form. */
static size_t parse_top(const char *text) {
  if (strncmp(text, "top_", 4) != 0) return 0;
  const char *const digits = text + 4;
  if (digits[0] < '1' || digits[0] > '9') return 0;
  const size_t length = strspn(digits, "0123456789");
  return digits[length] == '\0' && length <= 9 ? strtoull(digits, NULL, 10) : 0;
}

/* The metric of that name among those that fit the task; NULL after collecting an error. */
static const ls_measure_kind *choose_kind(ls_job *job, const ls_node *item) {
  const char *names[KINDS + 1] = {NULL};
  const ls_measure_kind *fitting[KINDS];
  size_t n = 0;
  char what[64];
  for (size_t i = 0; i < KINDS; i++) {
    if (!fits(&kinds[i], job->task)) continue;
    fitting[n] = &kinds[i];
    names[n++] = kinds[i].name;
  }
  if (parse_top(ls_node_text(item)) > 0 && fits(&kinds[TOP], job->task)) return &kinds[TOP];
  snprintf(what, sizeof what, "metric with the loss %s", ls_loss_name(job->train.loss));
  const int index = ls_config_choose(job->config, item, what, names);
  if (index < 0 || fitting[index] != &kinds[TOP]) return index < 0 ? NULL : fitting[index];
  ls_config_error(job->config, item, "not a metric; K must be a number, as in top_5");
  return NULL;
}

static void read_item(ls_job *job, const ls_node *item) {
  ls_measures *const measures = &job->measures;
  const ls_measure_kind *const kind = choose_kind(job, item);
  if (!kind) return;
  ls_measure *const measure = &measures->list[measures->n];
  *measure = (ls_measure){.kind = kind, .k = kind == &kinds[TOP] ? parse_top(ls_node_text(item)) : 0};
  snprintf(measure->column, sizeof measure->column, "val_%.24s", ls_node_text(item));
  for (size_t i = 0; i < measures->n; i++)
    if (strcmp(measures->list[i].column, measure->column) == 0) {
      ls_config_error(job->config, item, "duplicate metric; remove one of the two");
      return;
    }
  measures->n++;
}

void job_read_measures(ls_job *job) {
  const ls_node *const list = job->train.metrics;
  job->measures.n = 0;
  if (!list) return;
  const size_t n = ls_node_count(list);
  if (ls_node_kind_of(list) != LS_NODE_LIST)
    ls_config_error(job->config, list, "not a list; must be a list such as [f1, roc_auc]");
  else if (n > LS_MEASURES_MAX)
    ls_config_error(job->config, list, "too many metrics, %zu; must be at most %d", n, LS_MEASURES_MAX);
  else
    for (size_t i = 0; i < n; i++) read_item(job, ls_node_item(list, i));
  if (n > 0 && !job->data.validation && !(job->data.validation_fraction > 0.0) && !job->data.test)
    ls_config_error(job->config, list,
                    "no data to measure; set data.validation, or data.test for the final evaluation");
}

void job_check_measures(ls_job *job, size_t n_classes) {
  for (size_t i = 0; i < job->measures.n; i++)
    if (job->measures.list[i].k >= n_classes)
      ls_config_error(job->config, ls_node_item(job->train.metrics, i),
                      "out of range for %zu classes; K must be below that number", n_classes);
}

static bool any_needs(const ls_measures *measures, needs what) {
  for (size_t i = 0; i < measures->n; i++)
    if (measures->list[i].kind->needs == what) return true;
  return false;
}

/* Of the larger of the views that are evaluated. */
static uint64_t most_samples(const ls_setup *setup) {
  return ls_size_max(setup->validation.view.n, setup->test.view.n);
}

size_t ls_measures_bytes(const ls_comm *comm, const ls_setup *setup) {
  if (!any_needs(&setup->job->measures, NEEDS_SCORES)) return 0;
  return ls_evaluate_scores_bytes(comm, setup->tree, most_samples(setup), setup->job->model->n_out);
}

ls_status ls_measures_create_metric(const ls_comm *comm, const ls_setup *setup, ls_metric **out) {
  const ls_job *const job = setup->job;
  const ls_measures *const measures = &job->measures;
  LS_TRY(ls_metric_create(job->task, job->model->n_out, any_needs(measures, NEEDS_COUNTS), out));
  for (size_t i = 0; i < measures->n; i++)
    if (measures->list[i].k > 0) ls_metric_add_top(*out, measures->list[i].k);
  if (any_needs(measures, NEEDS_SCORES))
    LS_TRY(ls_evaluate_keep_scores(comm, setup->tree, most_samples(setup), *out));
  return setup->tree ? ls_metric_keep_lanes(*out, setup->tree->n_lanes) : LS_OK;
}

void ls_measures_values(const ls_measures *measures, const ls_metric *metric, double *values) {
  for (size_t i = 0; i < measures->n; i++) values[i] = value_of(&measures->list[i], metric);
}

bool job_measure_is_maximized(const ls_measure *measure) {
  return !measure->kind->is_error;
}

void ls_measures_describe(const ls_measures *measures, const double *values, bool is_validation, char *text,
                          size_t size) {
  for (size_t i = 0; i < measures->n; i++) {
    const ls_measure *const measure = &measures->list[i];
    const char *const name = measure->column + (is_validation ? 0 : sizeof "val_" - 1);
    ls_append(text, size, measure->kind->is_error ? "  %s %.4g" : "  %s %.4f", name, values[i]);
  }
}
