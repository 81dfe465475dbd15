/* Where the samples are kept: in the memory of each node, or in the files. */
#include "internal.h"

#define SHARE 0.7 /* of the memory of a node that samples may fill */

size_t ls_dataset_resident_bytes(const ls_dataset *d, size_t n_outputs) {
  const size_t y = d->target == LS_TARGET_CLASSES ? sizeof(int32_t) : n_outputs * sizeof(double);
  const size_t targets = d->target == LS_TARGET_NONE ? 0 : y + sizeof(float);
  size_t bytes = d->n_features * ls_dtype_size(d->x_array.dtype) + targets;
  return ls_size_mul(bytes, d->n_samples, &bytes) ? bytes : SIZE_MAX;
}

/* Whether the samples fit this node: in shared memory or, if that is too small, in the memory of each rank.
 */
static bool fits_node(const ls_comm *comm, size_t bytes, double most) {
  const size_t ranks = (size_t)ls_comm_node_size(comm);
  const bool shares = ranks == 1 || (double)bytes <= SHARE * (double)ls_comm_shared_memory();
  return (double)bytes <= most / (double)(shares ? 1 : ranks);
}

void ls_datasets_place(ls_comm *comm, ls_data_memory memory, size_t n_outputs, ls_dataset *const *datasets,
                       size_t n) {
  const ls_memory limit = ls_memory_limit("");
  const double most = SHARE * (double)limit.bytes;
  size_t bytes = 0;
  for (size_t i = 0; i < n; i++)
    if (!ls_size_add(bytes, ls_dataset_resident_bytes(datasets[i], n_outputs), &bytes)) bytes = SIZE_MAX;
  uint64_t n_full = !fits_node(comm, bytes, most); /* ranks whose node is too small */
  ls_comm_sum_u64(comm, &n_full, 1);
  const bool streams = memory == LS_MEMORY_STREAM || (memory == LS_MEMORY_AUTO && n_full > 0);
  for (size_t i = 0; i < n; i++) datasets[i]->is_streamed = streams;
  if (streams && memory == LS_MEMORY_AUTO)
    ls_log(
        LS_LOG_INFO,
        "data: %.1f MB of samples do not fit %.0f %% of the memory of each node (here %.1f MB, %s): they "
        "are read from the files as they are used",
        (double)bytes / 1e6, 100.0 * SHARE, (double)limit.bytes / 1e6, limit.source);
}
