/* The memory that training needs beside data and model. */
#include "internal.h"

/* Whether the ranks of a node share the parameters, and divide the optimizer's state. */
static bool shares_parameters(const ls_comm *comm, const ls_setup *setup) {
  return !setup->tree && setup->job->sync.shared_memory && ls_comm_node_size(comm) > 1;
}

/* Bytes of the gradient's exchange: within the node, the terms that peers read and this rank's share of the
 * common parameters (its copies of gradient and parameters replace the model's own memory); between nodes,
 * the terms of other nodes and rounding errors. */
static size_t exchange_bytes(const ls_comm *comm, const ls_setup *setup, size_t params) {
  const size_t node_size = (size_t)ls_comm_node_size(comm);
  const bool has_nodes = ls_comm_size(comm) > ls_comm_node_size(comm);
  const bool shares = shares_parameters(comm, setup);
  const size_t part = shares ? params / node_size : params;
  size_t bytes = shares ? params + part : 0;
  if (has_nodes) bytes += part;
  if (has_nodes && setup->job->sync.gradient_type == LS_GRADIENT_BF16) bytes += 2 * part + part / 2;
  return bytes;
}

ls_status train_check_memory(ls_comm *comm, const ls_setup *setup) {
  const ls_job *const job = setup->job;
  const size_t size = (size_t)ls_comm_size(comm);
  const size_t params = job->model->n_params * sizeof(float); /* in memory already, so this fits */
  const bool is_auto = job->sync.mode == LS_SYNC_AUTO;        /* which chooses a mode that fits */
  const bool is_sharded = !setup->tree && (is_auto || job->sync.mode == LS_SYNC_SHARDED);
  size_t bytes = 0;
  if (!ls_size_mul(params, ls_optim_n_slots(job->optim), &bytes)) bytes = SIZE_MAX / 4;
  if (is_sharded)
    bytes /= size;
  else if (shares_parameters(comm, setup))
    bytes /= (size_t)ls_comm_node_size(comm);
  if (size > 1 && !setup->tree) bytes += exchange_bytes(comm, setup, params);
  if (setup->tree && job->train.accumulate > 1) bytes += params;
  if (ls_comm_rank(comm) == 0) bytes += ls_saver_bytes(job->model, job->optim);
  if (!ls_size_add(bytes, ls_measures_bytes(comm, setup), &bytes)) bytes = SIZE_MAX;
  return ls_setup_check_memory(comm, setup, bytes);
}
