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

ls_status ls_setup_check_memory(ls_comm *comm, const ls_setup *setup, size_t more) {
  const ls_memory limit = ls_memory_limit("");
  const bool is_first = ls_comm_node_rank(comm) == 0;
  const size_t alone = ls_setup_data_bytes(setup, true);
  const size_t shared = is_first ? ls_setup_data_bytes(setup, false) - alone : 0;
  uint64_t sums[] = {model_bytes(setup), more, alone + shared};
  char host[256] = "";
  const bool fits = sums[0] < SIZE_MAX / 2 && more < SIZE_MAX / 2;
  if (!fits) sums[0] = sums[1] = UINT64_C(1) << 60; /* the sum over a node does not overflow */
  ls_comm_node_sum_u64(comm, sums, 3);
  /* Other groups of ranks on this node do the same at the same time. */
  const uint64_t n_groups = (uint64_t)(ls_comm_node_all(comm) / ls_comm_node_size(comm));
  for (size_t i = 0; i < (setup->train.is_lent ? 2U : 3U); i++) sums[i] *= n_groups;
  ls_status status = LS_OK;
  gethostname(host, sizeof host - 1);
  if (sums[0] + sums[1] + sums[2] > limit.bytes)
    status = ls_fail(LS_ERR_CONFIG,
                     "model: %zu parameters and the activations of %zu samples: the %d rank%s on %s need "
                     "%.0f MB: %.0f for models and activations, %.0f for optimizers, sums and checkpoints, "
                     "%.0f for data; it has %.0f MB (%s); use fewer ranks per node, smaller batches, fewer "
                     "units%s",
                     setup->job->model->n_params, setup->job->model->max_rows, ls_comm_node_size(comm),
                     ls_comm_node_size(comm) == 1 ? "" : "s", host, mb(sums[0] + sums[1] + sums[2]),
                     mb(sums[0]), mb(sums[1]), mb(sums[2]), mb(limit.bytes), limit.source,
                     ls_comm_size(comm) > 1 ? ", or comm.mode: sharded" : "");
  status = ls_comm_agree(comm, status);
  if (status != LS_OK) setup->job->lacks_memory = true;
  return status;
}
