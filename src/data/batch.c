/* Gathering a batch: from stored rows to the net's input and targets. */
#include "internal.h"
#include "lockstep/math.h"

#include <stdlib.h>
#include <string.h>

/* What the recipe needs beside a batch of samples as they are. */
static void take_training_memory(ls_batch *batch, const ls_dataset *dataset) {
  ls_arena *const arena = &batch->arena;
  const size_t n = dataset->n_features;
  const ls_augment *const augment = &batch->recipe.augment;
  if (ls_augment_moves(augment)) batch->moved = ls_arena_take(arena, n, sizeof *batch->moved);
  if (augment->noise > 0.0) batch->noise = ls_arena_take(arena, n, sizeof *batch->noise);
  if (augment->mixup > 0.0) batch->other = ls_arena_take(arena, n, sizeof *batch->other);
  if (augment->mixup > 0.0 && dataset->target == LS_TARGET_CLASSES) {
    batch->partners = ls_arena_take(arena, batch->max_rows, sizeof *batch->partners);
    batch->shares = ls_arena_take(arena, batch->max_rows, sizeof *batch->shares);
  }
}

static void take_memory(ls_batch *batch, const ls_dataset *dataset) {
  ls_arena *const arena = &batch->arena;
  const size_t rows = batch->max_rows;
  const bool has_values = dataset->target == LS_TARGET_LABELS || dataset->target == LS_TARGET_VALUES;
  batch->samples = ls_arena_take(arena, rows, sizeof *batch->samples);
  batch->x = ls_arena_take(arena, rows, dataset->n_features * sizeof *batch->x);
  batch->row = ls_arena_take(arena, dataset->n_features, sizeof *batch->row);
  if (dataset->target == LS_TARGET_CLASSES)
    batch->classes = ls_arena_take(arena, rows, sizeof *batch->classes);
  if (has_values) batch->values = ls_arena_take(arena, rows, dataset->n_outputs * sizeof *batch->values);
  if (dataset->has_weights || batch->recipe.class_weights)
    batch->weights = ls_arena_take(arena, rows, sizeof *batch->weights);
  take_training_memory(batch, dataset);
}

ls_status ls_batch_create_training(const ls_dataset *dataset, const ls_recipe *recipe, size_t max_rows,
                                   ls_batch **out) {
  *out = NULL;
  ls_batch *batch = ls_calloc(1, sizeof *batch);
  if (!batch) return ls_fail_memory("a batch", sizeof *batch);
  batch->recipe = *recipe;
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

ls_status ls_batch_create(const ls_dataset *dataset, size_t max_rows, ls_batch **out) {
  return ls_batch_create_training(dataset, &(ls_recipe){0}, max_rows, out);
}

void ls_batch_destroy(ls_batch **batch) {
  if (!*batch) return;
  ls_arena_destroy(&(*batch)->arena);
  free(*batch);
  *batch = NULL;
}

ls_targets ls_batch_targets(const ls_batch *batch) {
  return (ls_targets){.classes = batch->classes,
                      .values = batch->values,
                      .weights = batch->weights,
                      .partners = batch->is_mixed ? batch->partners : NULL,
                      .shares = batch->is_mixed ? batch->shares : NULL};
}

/* ----------------------------------------------------------------------- one sample */

/* What is gathered from, and in training the key of what is drawn. */
typedef struct gathering {
  ls_batch *batch;
  const ls_dataset *dataset;
  const ls_normalizer *normalizer;
  const double *class_weights; /* NULL outside training */
  uint64_t seed, epoch;
} gathering;

/* x of a sample as it is, normalised. */
static void take_input(const gathering *g, uint64_t sample, float *x) {
  const ls_dataset *const dataset = g->dataset;
  const ls_normalizer *const normalizer = g->normalizer;
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
    ls_elements(row, dtype, 0, n, g->batch->row);
    ls_math_normalize_f64(n, g->batch->row, normalizer->offset, normalizer->factor, x);
  }
}

/* x of a sample as the epoch has it. */
static void take_changed_input(const gathering *g, uint64_t sample, float *x) {
  const ls_dataset *const d = g->dataset;
  const ls_augment *const augment = &g->batch->recipe.augment;
  if (ls_augment_moves(augment)) {
    const ls_placement place = ls_augment_place(augment, g->seed, g->epoch, sample);
    ls_elements(d->x.data, d->x_array.dtype, sample * d->n_features, d->n_features, g->batch->row);
    ls_augment_move(&place, &d->x_array, g->batch->row, g->batch->moved);
    ls_math_normalize_f64(d->n_features, g->batch->moved, g->normalizer->offset, g->normalizer->factor, x);
  } else {
    take_input(g, sample, x);
  }
  ls_augment_cover(augment, d, g->seed, g->epoch, sample, g->batch->noise, x);
}

/* Output k of a sample's numeric targets. */
static float value_of(const gathering *g, uint64_t sample, size_t k) {
  const float y = ((const float *)g->dataset->y.data)[sample * g->dataset->n_outputs + k];
  const ls_normalizer *const targets = g->normalizer->targets;
  return targets ? (float)(((double)y - targets->offset[k]) * targets->factor[k]) : y;
}

static float weight_of(const gathering *g, uint64_t sample) {
  const float weight = g->dataset->has_weights ? ((const float *)g->dataset->w.data)[sample] : 1.0F;
  if (!g->class_weights) return weight;
  return (float)((double)weight * g->class_weights[ls_class_of(g->dataset, sample)]);
}

/* Row i's targets and weight. */
static void take_targets(const gathering *g, size_t i) {
  ls_batch *const batch = g->batch;
  const uint64_t sample = batch->samples[i];
  const size_t k = g->dataset->n_outputs;
  if (batch->classes) batch->classes[i] = ((const int32_t *)g->dataset->y.data)[sample];
  for (size_t j = 0; batch->values && j < k; j++) batch->values[i * k + j] = value_of(g, sample, j);
  if (batch->weights) batch->weights[i] = weight_of(g, sample);
}

/* share * a + (1 - share) * b */
static float mix(float share, float a, float b) {
  return share * a + (1.0F - share) * b;
}

/* Each loss counts by its own sample's weight, share w_i L(y_i) + (1 - share) w_j L(y_j): the row's weight
 * is the sum of the two, and what is returned y_i's part of it. */
static float mix_weights(const gathering *g, size_t i, uint64_t partner, float share) {
  if (!g->batch->weights) return share;
  const float own = share * g->batch->weights[i];
  g->batch->weights[i] = own + (1.0F - share) * weight_of(g, partner);
  return own / g->batch->weights[i];
}

/* Mixes row i with its partner's, unless one of the two has no weight: it is not to be learnt from. */
static void mix_row(const gathering *g, size_t i, float *x) {
  ls_batch *const batch = g->batch;
  const size_t k = g->dataset->n_outputs;
  const ls_recipe *const recipe = &batch->recipe;
  const ls_mixture mixture =
      ls_mixup_draw(recipe->augment.mixup, recipe->view, g->seed, g->epoch, batch->samples[i]);
  const uint64_t partner = mixture.partner;
  const bool counts = weight_of(g, batch->samples[i]) > 0.0F && weight_of(g, partner) > 0.0F;
  const float share = counts ? mixture.share : 1.0F;
  const float target_share = counts ? mix_weights(g, i, partner, share) : 1.0F;
  if (counts) take_changed_input(g, partner, batch->other);
  for (size_t j = 0; counts && j < g->dataset->n_features; j++) x[j] = mix(share, x[j], batch->other[j]);
  for (size_t j = 0; batch->values && j < k; j++)
    batch->values[i * k + j] = mix(target_share, batch->values[i * k + j], value_of(g, partner, j));
  if (!batch->partners) return;
  batch->partners[i] = ((const int32_t *)g->dataset->y.data)[partner];
  batch->shares[i] = target_share;
}

/* ------------------------------------------------------------------------- batches */

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
                     size_t rows) {
  const gathering g = {.batch = batch, .dataset = dataset, .normalizer = normalizer};
  LS_ASSERT(rows <= batch->max_rows);
  for (size_t i = 0; i < rows; i++) {
    take_input(&g, batch->samples[i], batch->x + i * dataset->n_features);
    take_targets(&g, i);
  }
  batch->rows = rows;
  batch->is_mixed = false;
}

void ls_batch_gather_training(ls_batch *batch, const ls_dataset *dataset, const ls_normalizer *normalizer,
                              uint64_t seed, uint64_t epoch, size_t rows) {
  const gathering g = {.batch = batch,
                       .dataset = dataset,
                       .normalizer = normalizer,
                       .class_weights = batch->recipe.class_weights,
                       .seed = seed,
                       .epoch = epoch};
  const bool is_mixed = batch->recipe.augment.mixup > 0.0;
  LS_ASSERT(rows <= batch->max_rows);
  for (size_t i = 0; i < rows; i++) {
    float *const xi = batch->x + i * dataset->n_features;
    take_changed_input(&g, batch->samples[i], xi);
    take_targets(&g, i);
    if (is_mixed) mix_row(&g, i, xi);
  }
  batch->rows = rows;
  batch->is_mixed = is_mixed && batch->partners;
}
