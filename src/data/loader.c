/* Reading samples of a dataset, by one thread. */
#include "internal.h"

#include <string.h>

data_loader data_loader_create(const ls_dataset *d) {
  data_loader loader = {.dataset = d, .source = *d->source};
  loader.source.store = loader.source.y_store = NULL;
  return loader;
}

void data_loader_close(data_loader *loader) {
  data_source_close(&loader->source);
}

void data_loader_read_ahead(data_loader *loader, ls_block_range samples, bool opens) {
  data_source *const s = &loader->source;
  if (samples.n == 0) return;
  const size_t i = data_files_find(&s->files, samples.first);
  const data_part *const part = &s->files.parts[i];
  if (opens ? data_source_open(s, i, &loader->dataset->stored) != LS_OK : !s->store || s->open != i) return;
  ls_store_read_ahead(s->store, s->names.x, samples.first - part->first, samples.n);
}

ls_status data_loader_read(data_loader *loader, ls_block_range samples, const data_rows *rows) {
  const ls_dataset *const d = loader->dataset;
  data_source *const s = &loader->source;
  LS_TRY(data_read_inputs(d, s, samples.first, samples.n, rows->x));
  if (rows->y) LS_TRY(data_read_targets(d, s, samples.first, samples.n, rows->y));
  return rows->w ? data_read_weights(d, s, samples.first, samples.n, rows->w) : LS_OK;
}

/* Samples of a piece in a file. */
static uint64_t piece_rows(const ls_dataset *d, const data_part *part) {
  size_t row_bytes = 0;
  LS_ASSERT(ls_array_row_size(&d->stored, &row_bytes));
  row_bytes *= ls_dtype_size(d->stored.dtype);
  const uint64_t chunk = ls_size_min(part->chunk_rows, part->rows);
  return ls_size_min(chunk * ls_size_max(DATA_PIECE_BYTES / (chunk * row_bytes), 1), part->rows);
}

uint64_t data_piece_rest(const ls_dataset *d, uint64_t sample) {
  const data_files *const files = &d->source->files;
  const ls_block_range block = ls_blocks_range(d->blocks, ls_blocks_find(d->blocks, sample));
  const uint64_t rows = piece_rows(d, &files->parts[data_files_find(files, sample)]);
  const uint64_t done = sample - block.first;
  return ls_size_min(rows - done % rows, block.n - done);
}

uint64_t data_piece_most(const ls_dataset *d) {
  const data_files *const files = &d->source->files;
  uint64_t most = 1;
  for (size_t i = 0; i < files->n; i++) most = ls_size_max(most, piece_rows(d, &files->parts[i]));
  return most;
}

/* ---------------------------------------------------------------------------- rows */

/* Bytes of a part of the rows, which begins at an aligned address. */
static size_t aligned(size_t bytes) {
  return (bytes + LS_ALIGNMENT - 1) / LS_ALIGNMENT * LS_ALIGNMENT;
}

size_t data_rows_bytes(const ls_dataset *d, uint64_t n) {
  const bool has_y = d->target != LS_TARGET_NONE;
  return aligned(n * d->n_features * ls_dtype_size(d->x_array.dtype)) +
         (has_y ? aligned(n * data_y_bytes(d)) : 0) + (d->has_weights ? aligned(n * sizeof(float)) : 0);
}

data_rows data_rows_at(const ls_dataset *d, uint64_t n, void *memory) {
  unsigned char *const x = memory;
  unsigned char *const y = x + aligned(n * d->n_features * ls_dtype_size(d->x_array.dtype));
  const bool has_y = d->target != LS_TARGET_NONE;
  void *const w = y + (has_y ? aligned(n * data_y_bytes(d)) : 0);
  return (data_rows){.x = x, .y = has_y ? y : NULL, .w = d->has_weights ? w : NULL};
}

void data_rows_copy(const ls_dataset *d, const data_rows *from, uint64_t i, const data_rows *to,
                    uint64_t j) {
  const size_t x_bytes = d->n_features * ls_dtype_size(d->x_array.dtype);
  const size_t y_bytes = data_y_bytes(d);
  memcpy(to->x + j * x_bytes, from->x + i * x_bytes, x_bytes);
  if (to->y) memcpy(to->y + j * y_bytes, from->y + i * y_bytes, y_bytes);
  if (to->w) to->w[j] = from->w[i];
}

ls_row data_rows_get(const ls_dataset *d, const data_rows *rows, uint64_t i) {
  const bool has_classes = d->target == LS_TARGET_CLASSES;
  unsigned char *const y = rows->y ? rows->y + i * data_y_bytes(d) : NULL;
  return (ls_row){.x = rows->x + i * d->n_features * ls_dtype_size(d->x_array.dtype),
                  .class_number = has_classes ? (const int32_t *)(void *)y : NULL,
                  .values = has_classes ? NULL : y,
                  .weight = rows->w ? rows->w[i] : 1.0F};
}

data_rows data_rows_from(const ls_dataset *d, const data_rows *rows, uint64_t i) {
  return (data_rows){.x = rows->x + i * d->n_features * ls_dtype_size(d->x_array.dtype),
                     .y = rows->y ? rows->y + i * data_y_bytes(d) : NULL,
                     .w = rows->w ? rows->w + i : NULL};
}
