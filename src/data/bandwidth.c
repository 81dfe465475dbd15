/* The rate at which the ranks read a dataset. */
#include "internal.h"

#include <stdlib.h>

/* Reads a block piece by piece, as the stream does. memory: of data_piece_most samples */
static ls_status read_block(data_loader *loader, ls_block_range block, void *memory) {
  const ls_dataset *const d = loader->dataset;
  data_loader_read_ahead(loader, block, true);
  for (uint64_t done = 0; done < block.n;) {
    const uint64_t n = data_piece_rest(d, block.first + done);
    const data_rows rows = data_rows_at(d, n, memory);
    LS_TRY(data_loader_read(loader, (ls_block_range){block.first + done, n}, &rows));
    done += n;
  }
  return LS_OK;
}

/* Local. Reads this rank's blocks, in a random order, until `seconds` have passed. */
static ls_status read_blocks(const ls_comm *comm, data_loader *loader, double seconds, void *memory,
                             double *rate) {
  const ls_dataset *const d = loader->dataset;
  const ls_permutation order = ls_permutation_make(ls_rng_make(0, LS_RNG_PLAN, 0, 0), d->blocks->n);
  const double start = ls_clock();
  double elapsed = 0.0;
  double bytes = 0.0;
  for (uint64_t i = (uint64_t)ls_comm_rank(comm); i < d->blocks->n && elapsed < seconds;
       i += (uint64_t)ls_comm_size(comm)) {
    const ls_block_range block = ls_blocks_range(d->blocks, ls_permutation_at(&order, i));
    LS_TRY(read_block(loader, block, memory));
    bytes += (double)block.n * (double)ls_dataset_row_bytes(d);
    elapsed = ls_clock() - start;
    ls_heartbeat();
  }
  *rate = elapsed > 0.0 ? bytes / elapsed : 0.0;
  return LS_OK;
}

ls_status ls_dataset_measure_rate(ls_comm *comm, const ls_dataset *d, double seconds, double *rate) {
  const size_t bytes = data_rows_bytes(d, data_piece_most(d));
  data_loader loader = data_loader_create(d);
  void *const memory = ls_calloc(bytes, 1);
  *rate = 0.0;
  const ls_status status =
      memory ? read_blocks(comm, &loader, seconds, memory, rate) : ls_fail_memory("samples", bytes);
  free(memory);
  data_loader_close(&loader);
  LS_TRY(ls_comm_agree(comm, status));
  ls_comm_sum_f64(comm, rate, 1);
  return LS_OK;
}
