/* Rows that other groups of ranks use: kept until all ranks send theirs. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* What precedes x, y and w of a row. */
typedef struct header {
  uint64_t position;   /* of the epoch */
  uint32_t to;         /* rank */
  uint32_t is_partner; /* the row is the partner in mixup of the one at the position */
} header;

#define PIECE_BYTES ((size_t)8 << 20) /* of a message, unless a row has more */

static size_t x_bytes(const ls_dataset *d) {
  return d->n_features * ls_dtype_size(d->x_array.dtype);
}

ls_status data_staging_create(const data_places *places, uint64_t capacity, data_staging *s) {
  const ls_dataset *const d = places->dataset;
  *s = (data_staging){
      .places = places, .capacity = capacity, .row_bytes = sizeof(header) + ls_dataset_row_bytes(d)};
  s->piece_bytes = ls_size_max(PIECE_BYTES / s->row_bytes, 1) * s->row_bytes;
  s->rows = ls_calloc(capacity, s->row_bytes);
  s->sorted = ls_calloc(capacity, sizeof *s->sorted);
  s->starts = ls_calloc((size_t)places->size + 1, sizeof *s->starts);
  for (size_t i = 0; i < 2; i++) s->buffers[i] = ls_calloc(s->piece_bytes, 1);
  if (s->rows && s->sorted && s->starts && s->buffers[0] && s->buffers[1]) return LS_OK;
  return ls_fail_memory("rows of other nodes", capacity * s->row_bytes + 2 * s->piece_bytes);
}

void data_staging_free(data_staging *s) {
  free(s->rows);
  free(s->sorted);
  free(s->starts);
  free(s->buffers[0]);
  free(s->buffers[1]);
  *s = (data_staging){0};
}

void data_staging_add(data_staging *s, const data_rows *rows, uint64_t i, uint64_t position, int to,
                      bool is_partner) {
  const ls_dataset *const d = s->places->dataset;
  const header h = {.position = position, .to = (uint32_t)to, .is_partner = is_partner};
  const uint64_t k = atomic_fetch_add(&s->n, 1);
  LS_ASSERT(k < s->capacity);
  unsigned char *at = s->rows + k * s->row_bytes;
  at = mempcpy(at, &h, sizeof h);
  at = mempcpy(at, rows->x + i * x_bytes(d), x_bytes(d));
  if (rows->y) at = mempcpy(at, rows->y + i * data_y_bytes(d), data_y_bytes(d));
  if (rows->w) memcpy(at, rows->w + i, sizeof *rows->w);
}

/* ------------------------------------------------------------------------- delivery */

static int rank_of(const data_staging *s, uint64_t k) {
  header h;
  memcpy(&h, s->rows + k * s->row_bytes, sizeof h);
  return (int)h.to;
}

/* Sorts the rows by rank. starts[r] is then the first of rank r. */
static void sort(data_staging *s) {
  const uint64_t n = atomic_load(&s->n);
  const int size = s->places->size;
  memset(s->starts, 0, ((size_t)size + 1) * sizeof *s->starts);
  for (uint64_t k = 0; k < n; k++) s->starts[rank_of(s, k) + 1]++;
  for (int r = 0; r < size; r++) s->starts[r + 1] += s->starts[r];
  for (uint64_t k = 0; k < n; k++) s->sorted[s->starts[rank_of(s, k)]++] = k; /* starts become ends */
  for (int r = size; r > 0; r--) s->starts[r] = s->starts[r - 1];
  s->starts[0] = 0;
}

static size_t pack(void *context, int to, void *piece) {
  data_staging *const s = context;
  unsigned char *const out = piece;
  size_t bytes = 0;
  if (to != s->packing) s->packed = s->starts[to];
  s->packing = to;
  for (; s->packed < s->starts[to + 1] && bytes < s->piece_bytes; s->packed++, bytes += s->row_bytes)
    memcpy(out + bytes, s->rows + s->sorted[s->packed] * s->row_bytes, s->row_bytes);
  return bytes;
}

/* Puts a row into its place. */
static void unpack_row(data_staging *s, unsigned char *at) {
  const ls_dataset *const d = s->places->dataset;
  header h;
  int rank = 0;
  uint64_t place = 0;
  float w = 0.0F;
  memcpy(&h, at, sizeof h);
  const data_rows *const to = h.is_partner ? &s->half.partners : &s->half.rows;
  data_rows row = {.x = at + sizeof h, .y = to->y ? at + sizeof h + x_bytes(d) : NULL};
  if (to->w) {
    memcpy(&w, at + s->row_bytes - sizeof w, sizeof w);
    row.w = &w;
  }
  LS_ASSERT(data_places_find(s->places, &s->half, h.position, &rank, &place));
  data_rows_copy(d, &row, 0, to, place);
}

static void unpack(void *context, const void *piece, size_t bytes) {
  data_staging *const s = context;
  unsigned char *const rows = (unsigned char *)piece;
  for (size_t at = 0; at < bytes; at += s->row_bytes) unpack_row(s, rows + at);
}

void data_staging_deliver(ls_comm *comm, data_staging *s, const data_half *half) {
  const ls_delivery delivery = {.piece_bytes = s->piece_bytes,
                                .groups = s->places->groups,
                                .buffers = {s->buffers[0], s->buffers[1]},
                                .context = s,
                                .pack = pack,
                                .unpack = unpack};
  s->half = *half;
  s->packing = -1;
  sort(s);
  ls_comm_deliver(comm, &delivery);
  atomic_store(&s->n, 0);
}
