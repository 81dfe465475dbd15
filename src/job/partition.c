/* Partitions of a batch or a view into shards of ranks or lanes. */
#include "lockstep/job.h"

void ls_partition_rows(const ls_comm *comm, const ls_comm_tree *tree, size_t rows, ls_partition *out) {
  const size_t n_lanes = tree ? tree->n_lanes : 1;
  const int n_parts = tree ? (int)n_lanes : ls_comm_size(comm);
  const size_t first = tree ? tree->first : (size_t)ls_comm_rank(comm);
  const size_t count = tree ? tree->count : 1;
  out->first = ls_shard_of(rows, (int)first, n_parts).first;
  out->n_lanes = ls_size_max(count, 1);
  out->lanes[0] = out->lanes[1] = 0;
  for (size_t l = 0; l < count; l++)
    out->lanes[l + 1] = out->lanes[l] + ls_shard_of(rows, (int)(first + l), n_parts).rows;
}

size_t ls_partition_most_rows(size_t batch_size, uint64_t lanes, int size) {
  size_t most = 0;
  if (lanes == 0) return ls_shard_most(batch_size, size);
  for (int rank = 0; rank < size; rank++) {
    size_t first = 0;
    size_t count = 0;
    ls_comm_tree_lanes(lanes, rank, size, &first, &count);
    most = ls_size_max(most, count * ls_shard_most(batch_size, (int)lanes));
  }
  return most;
}
