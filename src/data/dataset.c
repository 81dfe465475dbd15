/* Opening a dataset: rank 0 describes x, then y and w; a reader makes the samples available. */
#include "internal.h"

#include <stdlib.h>

static void destroy_source(ls_dataset *d) {
  if (d->source) data_mapping_free(&d->source->map);
  data_source_destroy(&d->source);
}

ls_status ls_dataset_open(ls_comm *comm, const ls_dataset_request *request, ls_dataset **out) {
  const bool is_root = ls_comm_rank(comm) == 0;
  *out = NULL;
  ls_dataset *d = ls_calloc(1, sizeof *d);
  if (d) d->source = ls_calloc(1, sizeof *d->source);
  ls_status status = ls_comm_agree(comm, d && d->source ? LS_OK : ls_fail_memory("a dataset", sizeof *d));
  if (status == LS_OK) {
    d->target = request->target;
    d->source->cache = request->cache;
    status = ls_comm_agree(comm, is_root ? data_describe_inputs(d->source, request, d) : LS_OK);
  }
  if (status != LS_OK) {
    ls_dataset_close(comm, &d);
    return status;
  }
  ls_comm_broadcast(comm, &d->n_samples, sizeof d->n_samples);
  ls_comm_broadcast(comm, &d->n_features, sizeof d->n_features);
  ls_comm_broadcast(comm, &d->stored, sizeof d->stored);
  ls_comm_broadcast(comm, &d->x_array, sizeof d->x_array);
  ls_comm_broadcast(comm, &d->n_channels, sizeof d->n_channels);
  status = data_mapping_share(comm, d);
  if (status == LS_OK) status = data_blocks_create(comm, d);
  if (status == LS_OK)
    *out = d;
  else
    ls_dataset_close(comm, &d);
  return status;
}

ls_status data_targets_open(ls_comm *comm, ls_dataset *d, size_t n_outputs) {
  const bool is_root = ls_comm_rank(comm) == 0;
  LS_ASSERT(d->source);
  LS_TRY(ls_comm_agree(comm, is_root ? data_describe_targets(d->source, n_outputs, d) : LS_OK));
  ls_comm_broadcast(comm, &d->n_outputs, sizeof d->n_outputs);
  ls_comm_broadcast(comm, &d->value_type, sizeof d->value_type);
  ls_comm_broadcast(comm, &d->has_weights, sizeof d->has_weights);
  return data_targets_share(comm, d);
}

ls_status ls_dataset_read(ls_comm *comm, ls_dataset *d, size_t n_outputs) {
  ls_status status = data_targets_open(comm, d, n_outputs);
  if (status == LS_OK) status = (d->is_streamed ? data_direct_create : data_resident_create)(comm, d);
  if (status == LS_OK) status = data_selection_digest(comm, d);
  if (!d->is_streamed) destroy_source(d);
  return status;
}

void ls_dataset_close(ls_comm *comm, ls_dataset **dataset) {
  ls_dataset *const d = *dataset;
  if (!d) return;
  if (d->reader) d->reader->destroy(comm, d->reader);
  destroy_source(d);
  ls_blocks_destroy(&d->blocks);
  free(d->classes);
  free(d->feature_names);
  free(d);
  *dataset = NULL;
}
