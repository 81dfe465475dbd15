/* The resident reader: one copy of the samples per node, in shared memory.
 *
 * Rank 0 and the ranks that see its memory read the file, each a part of x; the contents are then copied to
 * the other nodes. */
#include "internal.h"

#include <stdlib.h>

typedef struct resident {
  ls_reader reader; /* first, so that a pointer to it is a pointer to the resident reader */
  size_t row_bytes; /* of x */
  size_t y_bytes;   /* of a row of y */
  ls_target_kind target;
  ls_shared x; /* (n_samples, n_features) of the stored type */
  ls_shared y; /* classes: (n_samples) int32; otherwise (n_samples, n_outputs) of the value type */
  ls_shared w; /* (n_samples) float32 */
} resident;

static ls_status fetch(ls_reader *reader, size_t n, const uint64_t *samples, ls_row *rows) {
  const resident *const r = (const resident *)(const void *)reader;
  const unsigned char *const x = r->x.data;
  const int32_t *const classes = r->target == LS_TARGET_CLASSES ? r->y.data : NULL;
  const unsigned char *const values = r->target == LS_TARGET_CLASSES ? NULL : r->y.data;
  const float *const w = r->w.data;
  for (size_t i = 0; i < n; i++) {
    const uint64_t sample = samples[i];
    rows[i] = (ls_row){.x = x + sample * r->row_bytes,
                       .class_number = classes ? classes + sample : NULL,
                       .values = values ? values + sample * r->y_bytes : NULL,
                       .weight = w ? w[sample] : 1.0F};
  }
  return LS_OK;
}

static void destroy_resident(ls_comm *comm, ls_reader *reader) {
  resident *const r = (resident *)(void *)reader;
  ls_comm_shared_destroy(comm, &r->x);
  ls_comm_shared_destroy(comm, &r->y);
  ls_comm_shared_destroy(comm, &r->w);
  free(r);
}

/* Collective. Memory for x, y and w. */
static ls_status allocate(ls_comm *comm, const ls_dataset *d, resident *r) {
  const size_t n = d->n_samples;
  size_t x_bytes = 0;
  size_t y_bytes = 0;
  if (!ls_size_mul(n, r->row_bytes, &x_bytes) || !ls_size_mul(n, r->y_bytes, &y_bytes))
    return ls_fail(LS_ERR_DATA, "the dataset is larger than the address space of this machine");
  LS_TRY(ls_comm_shared_create(comm, x_bytes, &r->x));
  if (d->target != LS_TARGET_NONE) LS_TRY(ls_comm_shared_create(comm, y_bytes, &r->y));
  if (d->has_weights) LS_TRY(ls_comm_shared_create(comm, n * sizeof(float), &r->w));
  r->reader.bytes = r->x.bytes + r->y.bytes + r->w.bytes;
  r->reader.is_private = r->x.is_private;
  return LS_OK;
}

/* ------------------------------------------------------------------------ reading */

/* Ranks read whole chunks, and at least 1 MiB: less does not justify opening the file on another rank. */
#define UNIT_BYTES ((size_t)1 << 20)

static uint64_t rows_per_unit(const data_source *s, size_t row_bytes) {
  const size_t chunk = ls_store_chunk_rows(s->store, s->names.x);
  const size_t least = UNIT_BYTES / row_bytes + 1;
  return (least + chunk - 1) / chunk * chunk;
}

/* Collective. Assigns each rank its rows of x: decompression is most of the work. */
static ls_status assign_rows(ls_comm *comm, const ls_dataset *d, const resident *r, uint64_t *first,
                             uint64_t *rows) {
  data_source *const s = d->source;
  const bool is_root = ls_comm_rank(comm) == 0;
  size_t first_unit = 0;
  size_t n_units = 0;
  uint64_t unit = 0;
  LS_TRY(ls_comm_agree(comm, is_root ? data_source_open(s, 0, &d->stored) : LS_OK));
  LS_TRY(data_files_broadcast(comm, &s->files));
  if (is_root) unit = rows_per_unit(s, r->row_bytes);
  ls_comm_broadcast(comm, &unit, sizeof unit);
  ls_comm_shared_part(comm, &r->x, (d->n_samples + unit - 1) / unit, &first_unit, &n_units);
  *first = ls_size_min(first_unit * unit, d->n_samples);
  *rows = ls_size_min(n_units * unit, d->n_samples - *first);
  return LS_OK;
}

/* Local. */
static ls_status check_weights(const ls_dataset *d, const float *w) {
  const data_part *const first = &d->source->files.parts[0];
  for (size_t i = 0; i < d->n_samples; i++)
    if (w[i] > 0.0F) return LS_OK;
  return ls_fail(LS_ERR_DATA, "%s:%s: all weights are 0; at least one must be positive", first->file,
                 first->names.w);
}

/* Local. Reads this rank's part: its rows of x and, on rank 0, y and w. */
static ls_status load(const ls_dataset *d, const resident *r, bool is_root, uint64_t first, uint64_t rows) {
  data_source *const s = d->source;
  const uint64_t n = d->n_samples;
  if (rows > 0)
    LS_TRY(data_read_inputs(d, s, first, rows, (unsigned char *)r->x.data + first * r->row_bytes));
  if (!is_root || d->target == LS_TARGET_NONE) return LS_OK;
  LS_TRY(data_read_targets(d, s, 0, n, r->y.data));
  if (!d->has_weights) return LS_OK;
  LS_TRY(data_read_weights(d, s, 0, n, r->w.data));
  return check_weights(d, r->w.data);
}

/* Local. The digest of y. Values of type float64 count as float32, as in checkpoints of earlier versions.
 */
static ls_status digest_targets(const ls_dataset *d, const resident *r, ls_digest *digest) {
  const size_t n = d->value_type == LS_F64 ? r->y.bytes / sizeof(double) : 0;
  *digest = ls_digest_of(r->y.data, r->y.bytes);
  if (n == 0) return LS_OK;
  float *const values = ls_calloc(n, sizeof *values);
  if (!values) return ls_fail_memory("the fingerprint", n * sizeof *values);
  for (size_t i = 0; i < n; i++) values[i] = (float)((const double *)r->y.data)[i];
  *digest = ls_digest_of(values, n * sizeof *values);
  free(values);
  return LS_OK;
}

/* Local. */
static ls_status set_fingerprint(ls_dataset *d, const resident *r) {
  ls_digest y = {0};
  LS_TRY(digest_targets(d, r, &y));
  const ls_digest parts[] = {ls_digest_of(r->x.data, r->x.bytes),
                             y,
                             ls_digest_of(r->w.data, r->w.bytes),
                             {d->n_samples, ((uint64_t)d->x_array.dtype << 56) ^ d->n_features}};
  d->fingerprint = ls_digest_of(parts, sizeof parts);
  return LS_OK;
}

/* Collective. Reads the file into memory that is already allocated. */
static ls_status fill(ls_comm *comm, ls_dataset *d, resident *r) {
  const bool is_root = ls_comm_rank(comm) == 0;
  uint64_t first = 0;
  uint64_t rows = 0;
  LS_TRY(assign_rows(comm, d, r, &first, &rows));
  LS_TRY(ls_comm_agree(comm, load(d, r, is_root, first, rows)));
  ls_comm_shared_broadcast(comm, &r->x);
  ls_comm_shared_broadcast(comm, &r->y);
  ls_comm_shared_broadcast(comm, &r->w);
  LS_TRY(ls_comm_agree(comm, is_root ? set_fingerprint(d, r) : LS_OK));
  ls_comm_broadcast(comm, &d->fingerprint, sizeof d->fingerprint);
  return LS_OK;
}

ls_status data_resident_create(ls_comm *comm, ls_dataset *d) {
  resident *const r = ls_calloc(1, sizeof *r);
  ls_status status = ls_comm_agree(comm, r ? LS_OK : ls_fail_memory("the dataset", sizeof *r));
  if (status != LS_OK) {
    free(r);
    return status;
  }
  LS_ASSERT(r);
  *r = (resident){.reader = {.fetch = fetch, .destroy = destroy_resident},
                  .row_bytes = d->n_features * ls_dtype_size(d->x_array.dtype),
                  .y_bytes = data_y_bytes(d),
                  .target = d->target};
  status = allocate(comm, d, r);
  if (status == LS_OK) status = fill(comm, d, r);
  if (status == LS_OK)
    d->reader = &r->reader;
  else
    destroy_resident(comm, &r->reader);
  return status;
}
