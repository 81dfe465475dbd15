/* Gathering a batch: from stored rows to the net's input. */
#include "internal.h"
#include "lockstep/math.h"

#include <stdlib.h>
#include <string.h>

static void take_memory(ls_batch *batch, const ls_dataset *dataset) {
  ls_arena *const arena = &batch->arena;
  const size_t rows = batch->max_rows;
  const bool has_values = dataset->target == LS_TARGET_LABELS || dataset->target == LS_TARGET_VALUES;
  batch->samples = ls_arena_take(arena, rows, sizeof *batch->samples);
  batch->row = ls_arena_take(arena, dataset->n_features, sizeof *batch->row);
  if (dataset->target == LS_TARGET_CLASSES)
    batch->classes = ls_arena_take(arena, rows, sizeof *batch->classes);
  if (has_values) batch->values = ls_arena_take(arena, rows, dataset->n_outputs * sizeof *batch->values);
  if (dataset->has_weights) batch->weights = ls_arena_take(arena, rows, sizeof *batch->weights);
}

ls_status ls_batch_create(const ls_dataset *dataset, size_t max_rows, ls_batch **out) {
  *out = NULL;
  ls_batch *batch = ls_calloc(1, sizeof *batch);
  if (!batch) return ls_fail_memory("a batch", sizeof *batch);
  batch->max_rows = max_rows;
  take_memory(batch, dataset);
  const ls_status status = ls_arena_commit(&batch->arena, "a batch");
  if (status != LS_OK) {
    ls_batch_destroy(&batch);
    return status;
  }
  take_memory(batch, dataset);
  *out = batch;
  return LS_OK;
}

void ls_batch_destroy(ls_batch **batch) {
  if (!*batch) return;
  ls_arena_destroy(&(*batch)->arena);
  free(*batch);
  *batch = NULL;
}

static void gather_row(const ls_batch *batch, const ls_dataset *dataset, const ls_normalizer *normalizer,
                       uint64_t sample, float *x) {
  const size_t n = dataset->n_features;
  const ls_dtype dtype = dataset->x_array.dtype;
  const unsigned char *const row =
      (const unsigned char *)dataset->x.data + sample * n * ls_dtype_size(dtype);
  if (dtype == LS_U8) {
    ls_math_normalize_u8(n, row, normalizer->offset32, normalizer->factor32, x);
  } else if (dtype == LS_F32) {
    ls_math_normalize_f32(n, (const float *)(const void *)row, normalizer->offset32, normalizer->factor32,
                          x);
  } else {
    ls_elements(row, dtype, 0, n, batch->row);
    ls_math_normalize_f64(n, batch->row, normalizer->offset, normalizer->factor, x);
  }
}

void ls_dataset_column(const ls_dataset *dataset, const ls_normalizer *normalizer, size_t feature,
                       float *out) {
  const size_t n = dataset->n_features;
  const ls_dtype dtype = dataset->x_array.dtype;
  const double offset = normalizer->offset[feature];
  const double factor = normalizer->factor[feature];
  const bool is_single = dtype == LS_U8 || dtype == LS_F32;
  for (uint64_t i = 0; i < dataset->n_samples; i++) {
    const double x = ls_element(dataset->x.data, dtype, i * n + feature);
    out[i] = is_single ? ((float)x - (float)offset) * (float)factor : (float)((x - offset) * factor);
  }
}

void ls_batch_gather(ls_batch *batch, const ls_dataset *dataset, const ls_normalizer *normalizer,
                     size_t rows, float *x) {
  LS_ASSERT(rows <= batch->max_rows);
  const size_t k = dataset->n_outputs;
  for (size_t i = 0; i < rows; i++) {
    const uint64_t sample = batch->samples[i];
    gather_row(batch, dataset, normalizer, sample, x + i * dataset->n_features);
    if (batch->classes) batch->classes[i] = ((const int32_t *)dataset->y.data)[sample];
    if (batch->values)
      memcpy(batch->values + i * k, (const float *)dataset->y.data + sample * k, k * sizeof *batch->values);
    if (batch->weights) batch->weights[i] = ((const float *)dataset->w.data)[sample];
  }
  batch->rows = rows;
}
