/* The memory of a run on each node, checked before it is used: a node without memory kills a rank without a
 * message. */
#include "internal.h"

#include <unistd.h>

size_t ls_setup_data_bytes(const ls_setup *setup, bool only_private) {
  const ls_split *const splits[] = {&setup->train, &setup->validation, &setup->test};
  bool is_private = false;
  const size_t feed = ls_feed_bytes(setup->feed, &is_private);
  size_t bytes = !only_private || is_private ? feed : 0;
  for (size_t i = 0; i < 3; i++) {
    const ls_dataset *const d = splits[i]->dataset;
    if (d && !splits[i]->is_shared && (!only_private || d->reader->is_private)) bytes += d->reader->bytes;
  }
  return bytes;
}

/* Bytes of the model with its activations, and of the inputs of a batch for each split, on this rank. */
static size_t model_bytes(const ls_setup *setup) {
  const ls_model *const model = setup->job->model;
  const size_t n_batches = (size_t)1 + (setup->validation.dataset != NULL) + (setup->test.dataset != NULL);
  size_t inputs = 0;
  size_t bytes = 0;
  const bool fits = ls_size_mul(model->max_rows, model->n_in, &inputs) &&
                    ls_size_mul(inputs, n_batches * sizeof(float), &inputs) &&
                    ls_size_add(inputs, model->arena.used, &bytes);
  return fits ? bytes : SIZE_MAX;
}

/* A number of MB for people. */
static double mb(uint64_t bytes) {
  return (double)bytes / 1e6;
}

/* Groups of ranks of this node that train at the same time. */
static uint64_t count_groups(const ls_comm *comm, const ls_job *job) {
  return job->is_alone ? 1 : (uint64_t)(ls_comm_node_all(comm) / ls_comm_node_size(comm));
}

/* Bytes that a group of ranks, such as that of a trial, needs on a node. */
typedef struct needs {
  uint64_t model, more, data; /* its own */
  uint64_t lent;              /* of the data that all groups use */
} needs;

/* Whether the groups of a node fit into its memory if each needs as much as this one. */
static bool fits(const needs *n, uint64_t n_groups, uint64_t limit) {
  return n->lent <= limit && n->model + n->more + n->data <= (limit - n->lent) / n_groups;
}

/* The other groups leave too little. */
static ls_status fail_share(const needs *n, uint64_t n_groups, const ls_memory *limit, const char *host) {
  return ls_fail(
      LS_ERR_CONFIG,
      "the trial needs %.0f MB on %s, which has %.0f MB (%s) for %llu trials at the same time, besides "
      "%.0f MB of data",
      mb(n->model + n->more + n->data), host, mb(limit->bytes), limit->source, (unsigned long long)n_groups,
      mb(n->lent));
}

static ls_status fail_node(const ls_comm *comm, const ls_setup *setup, const needs *n,
                           const ls_memory *limit, const char *host) {
  const ls_model *const model = setup->job->model;
  return ls_fail(LS_ERR_CONFIG,
                 "model: %zu parameters and the activations of %zu samples: the %d rank%s on %s need "
                 "%.0f MB: %.0f for models and activations, %.0f for optimizers, sums and checkpoints, "
                 "%.0f for data; it has %.0f MB (%s); use fewer ranks per node, smaller batches, fewer "
                 "units%s",
                 model->n_params, model->max_rows, ls_comm_node_size(comm),
                 ls_comm_node_size(comm) == 1 ? "" : "s", host, mb(n->model + n->more + n->data + n->lent),
                 mb(n->model), mb(n->more), mb(n->data + n->lent), mb(limit->bytes), limit->source,
                 ls_comm_size(comm) > 1 ? ", or comm.mode: sharded" : "");
}

/* Collective. After a failure, sets job->lacks_memory if only nodes fail whose memory would suffice for
 * this group alone, and otherwise job->is_too_large. */
static ls_status check_needs(ls_comm *comm, const ls_setup *setup, const needs *n) {
  const ls_memory limit = ls_memory_limit("");
  const uint64_t n_groups = count_groups(comm, setup->job);
  const bool is_enough = fits(n, n_groups, limit.bytes);
  const bool is_enough_alone = fits(n, 1, limit.bytes);
  uint64_t n_too_small = !is_enough_alone;
  char host[256] = "";
  ls_status status = LS_OK;
  gethostname(host, sizeof host - 1);
  if (!is_enough)
    status =
        is_enough_alone ? fail_share(n, n_groups, &limit, host) : fail_node(comm, setup, n, &limit, host);
  ls_comm_sum_u64(comm, &n_too_small, 1);
  status = ls_comm_agree(comm, status);
  setup->job->lacks_memory = status != LS_OK && n_too_small == 0;
  setup->job->is_too_large = status != LS_OK && n_too_small > 0;
  return status;
}

/* Bytes of the data of a setup on a node: of one copy for all ranks, and of those that each rank of the
 * group has. Of all ranks, only the first counts the former. */
static void count_data(const ls_comm *comm, const ls_setup *setup, uint64_t *common, uint64_t *own) {
  *own = ls_setup_data_bytes(setup, true);
  *common = ls_comm_node_rank(comm) == 0 ? ls_setup_data_bytes(setup, false) - *own : 0;
}

ls_status ls_setup_check_memory(ls_comm *comm, const ls_setup *setup, size_t more) {
  const ls_setup *const lender = setup->job->lender;
  uint64_t sums[] = {model_bytes(setup), more, 0, 0, 0, 0};
  const bool is_countable = sums[0] < SIZE_MAX / 2 && more < SIZE_MAX / 2;
  if (!is_countable) sums[0] = sums[1] = UINT64_C(1) << 48; /* the sum over a node does not overflow */
  if (!setup->train.is_lent) count_data(comm, setup, &sums[2], &sums[3]);
  if (lender) count_data(comm, lender, &sums[4], &sums[5]);
  ls_comm_node_sum_u64(comm, sums, 6);
  const uint64_t n_all = (uint64_t)(ls_comm_node_all(comm) / ls_comm_node_size(comm));
  const needs n = {.model = sums[0],
                   .more = sums[1],
                   .data = sums[2] + sums[3],
                   .lent = sums[4] + n_all * sums[5]}; /* each group has copies */
  return check_needs(comm, setup, &n);
}

ls_status job_check_data_memory(ls_comm *comm, const ls_setup *setup) {
  const ls_split *const splits[] = {&setup->train, &setup->validation, &setup->test};
  const size_t n_out = setup->job->model->n_out;
  uint64_t sums[] = {0, 0, 0};
  if (!setup->job->lender) return LS_OK;
  for (size_t i = 0; i < 3; i++)
    if (splits[i]->dataset && !splits[i]->dataset->is_streamed && ls_comm_node_rank(comm) == 0)
      sums[0] += ls_size_min(ls_dataset_resident_bytes(splits[i]->dataset, n_out), (size_t)1 << 48);
  count_data(comm, setup->job->lender, &sums[1], &sums[2]);
  ls_comm_node_sum_u64(comm, sums, 3);
  const uint64_t n_all = (uint64_t)(ls_comm_node_all(comm) / ls_comm_node_size(comm));
  const ls_memory limit = ls_memory_limit("");
  const needs n = {.data = sums[0], .lent = sums[1] + n_all * sums[2]};
  uint64_t n_too_small = !fits(&n, 1, limit.bytes); /* reported when the data are read */
  ls_comm_sum_u64(comm, &n_too_small, 1);
  return n_too_small > 0 ? LS_OK : check_needs(comm, setup, &n);
}
