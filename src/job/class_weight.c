/* train.class_weight: per-class sample weights in training. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The number of classes of a job whose model has n_out outputs; 0: a sample does not have one class. */
static size_t count_classes(const ls_job *job, size_t n_out) {
  if (job->task == LS_TASK_CLASSES) return n_out;
  return job->task == LS_TASK_LABELS && n_out == 1 ? 2 : 0;
}

static bool is_list(const ls_node *node) {
  return ls_node_kind_of(node) == LS_NODE_LIST;
}

/* Between these limits, float32 can hold sums of weights. */
#define WEIGHT_LEAST 1e-6
#define WEIGHT_MOST  1e6

static bool parse_weight(const ls_node *node, double *out) {
  return ls_config_parse_real(ls_node_text(node), out) && !ls_node_is_quoted(node) &&
         (*out == 0.0 || (*out >= WEIGHT_LEAST && *out <= WEIGHT_MOST));
}

static void check_list(ls_config *config, const ls_node *list) {
  double sum = 0.0;
  bool all_valid = true;
  for (size_t i = 0; i < ls_node_count(list); i++) {
    double weight = 0.0;
    const ls_node *const item = ls_node_item(list, i);
    const bool is_valid = parse_weight(item, &weight);
    all_valid = all_valid && is_valid;
    if (!is_valid) ls_config_error(config, item, "not a weight; must be 0, or a number from 1e-6 to 1e6");
    sum += weight;
  }
  if (all_valid && sum == 0.0)
    ls_config_error(config, list, "all weights are 0; at least one must be positive");
}

#define NO_CLASSES                                                                                         \
  "not supported by this loss; must be used with categorical_cross_entropy, or binary_cross_entropy with " \
  "one output"

void job_check_class_count(ls_job *job, size_t n_out) {
  const ls_node *const node = job->train.class_weight;
  const size_t n_classes = count_classes(job, n_out);
  if (!node) return;
  if (n_classes == 0)
    ls_config_error(job->config, node, "%s", NO_CLASSES);
  else if (is_list(node) && ls_node_count(node) != n_classes)
    ls_config_error(job->config, node, "has %zu weights; must have one for each of %zu classes",
                    ls_node_count(node), n_classes);
}

void job_check_class_weight(ls_job *job) {
  const ls_node *const node = job->train.class_weight;
  if (!node) return;
  if (job->task == LS_TASK_REGRESSION)
    ls_config_error(job->config, node, "%s", NO_CLASSES);
  else if (is_list(node))
    check_list(job->config, node);
  else if (strcmp(ls_node_text(node), "balanced") != 0)
    ls_config_error(job->config, node,
                    "unknown value; must be balanced, or a list of one weight per class");
}

bool ls_class_weights_are_learned(const ls_job *job) {
  return job->train.class_weight && !is_list(job->train.class_weight);
}

/* Collective. Reads the class weights of the checkpoint that is resumed. *found: it has them. */
static ls_status read_weights(ls_comm *comm, ls_setup *setup, bool *found) {
  const ls_modelfile *const file = setup->resumed;
  const size_t n = setup->n_classes;
  *found = file && ls_store_kind_of(file->store, LS_CHECKPOINT_CLASS_WEIGHTS) == LS_STORE_ARRAY;
  ls_comm_broadcast(comm, found, sizeof *found);
  if (!*found) return LS_OK;
  LS_TRY(ls_comm_agree(
      comm,
      file ? ls_modelfile_read_vector(file, LS_CHECKPOINT_CLASS_WEIGHTS, n, setup->class_weights) : LS_OK));
  ls_comm_broadcast(comm, setup->class_weights, n * sizeof *setup->class_weights);
  return LS_OK;
}

/* Collective. */
static ls_status balance(ls_comm *comm, ls_setup *setup) {
  bool found = false;
  LS_TRY(read_weights(comm, setup, &found));
  if (found) return LS_OK;
  if (setup->job->is_estimate && setup->train.dataset->is_streamed) {
    for (size_t k = 0; k < setup->n_classes; k++) setup->class_weights[k] = 1.0;
    return LS_OK;
  }
  return ls_class_weights_balance(comm, &setup->train.view, setup->n_classes, setup->class_weights);
}

ls_status job_set_class_weights(ls_comm *comm, ls_setup *setup) {
  const ls_node *const node = setup->job->train.class_weight;
  if (!node) return LS_OK;
  const size_t n = setup->n_classes = count_classes(setup->job, setup->train.dataset->n_outputs);
  double *const weights = setup->class_weights = ls_calloc(n, sizeof *weights);
  LS_TRY(ls_comm_agree(comm, weights ? LS_OK : ls_fail_memory("the class weights", n * sizeof *weights)));
  LS_ASSERT(weights);
  if (!is_list(node)) LS_TRY(balance(comm, setup));
  for (size_t k = 0; k < n; k++)
    if (is_list(node))
      parse_weight(ls_node_item(node, k), &weights[k]);
    else if (weights[k] == 0.0)
      ls_log(LS_LOG_WARNING, "train.class_weight: class %zu has no training samples; its weight is 0", k);
  return LS_OK;
}
