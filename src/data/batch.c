/* Gathering a batch: from stored rows to the model's input and targets. */
#include "internal.h"
#include "lockstep/math.h"

#include <stdlib.h>
#include <string.h>

/* The memory that only the recipe needs. */
static void take_training_memory(ls_batch *batch, const ls_dataset *dataset) {
  ls_arena *const arena = &batch->arena;
  const size_t n = dataset->n_features;
  const ls_augment *const augment = &batch->recipe.augment;
  if (data_augment_moves(augment)) batch->moved = ls_arena_take(arena, n, sizeof *batch->moved);
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

/* The source of a gather and, in training, the key of its random numbers. */
typedef struct gathering {
  ls_batch *batch;
  const ls_dataset *dataset;
  const ls_normalizer *normalizer;
  const double *class_weights; /* NULL outside training */
  uint64_t seed, epoch;
} gathering;

/* Normalises x of a row. */
static void take_input(const gathering *g, const ls_row *row, float *x) {
  const ls_normalizer *const normalizer = g->normalizer;
  const size_t n = g->dataset->n_features;
  const ls_dtype dtype = g->dataset->x_array.dtype;
  if (dtype == LS_U8) {
    ls_math_normalize_u8(n, row->x, normalizer->offset32, normalizer->factor32, x);
  } else if (dtype == LS_F32) {
    ls_math_normalize_f32(n, row->x, normalizer->offset32, normalizer->factor32, x);
  } else {
    data_elements(row->x, dtype, 0, n, g->batch->row);
    ls_math_normalize_f64(n, g->batch->row, normalizer->offset, normalizer->factor, x);
  }
}

/* Augments and normalises x of a sample. */
static void take_augmented_input(const gathering *g, uint64_t sample, const ls_row *row, float *x) {
  const ls_dataset *const d = g->dataset;
  const ls_augment *const augment = &g->batch->recipe.augment;
  if (data_augment_moves(augment)) {
    const data_placement place = data_augment_place(augment, g->seed, g->epoch, sample);
    data_elements(row->x, d->x_array.dtype, 0, d->n_features, g->batch->row);
    data_augment_move(&place, &d->x_array, g->batch->row, g->batch->moved);
    ls_math_normalize_f64(d->n_features, g->batch->moved, g->normalizer->offset, g->normalizer->factor, x);
  } else {
    take_input(g, row, x);
  }
  data_augment_cover(augment, d, g->seed, g->epoch, sample, g->batch->noise, x);
}

/* Numeric target k of a row, standardised if the normaliser covers targets. */
static float value_of(const gathering *g, const ls_row *row, size_t k) {
  const ls_normalizer *const targets = g->normalizer->targets;
  const float y = row->values[k];
  return targets ? (float)(((double)y - targets->offset[k]) * targets->factor[k]) : y;
}

static float weight_of(const gathering *g, const ls_row *row) {
  if (!g->class_weights) return row->weight;
  return (float)((double)row->weight * g->class_weights[data_class_of(row)]);
}

/* Targets and weight of row i of the batch. */
static void take_targets(const gathering *g, const ls_row *row, size_t i) {
  ls_batch *const batch = g->batch;
  const size_t k = g->dataset->n_outputs;
  if (batch->classes) batch->classes[i] = *row->class_number;
  for (size_t j = 0; batch->values && j < k; j++) batch->values[i * k + j] = value_of(g, row, j);
  if (batch->weights) batch->weights[i] = weight_of(g, row);
}

/* share * a + (1 - share) * b */
static float mix(float share, float a, float b) {
  return share * a + (1.0F - share) * b;
}

/* The loss of each of the two samples counts with its own weight: share w_i L(y_i) + (1 - share) w_j
 * L(y_j). Sets the weight of the row to the sum of the two, and returns the part of y_i in it. */
static float mix_weights(const gathering *g, const ls_row *partner, float share, size_t i) {
  if (!g->batch->weights) return share;
  const float own = share * g->batch->weights[i];
  g->batch->weights[i] = own + (1.0F - share) * weight_of(g, partner);
  return own / g->batch->weights[i];
}

/* Mixes row i of the batch with its partner, unless one of the two has weight 0: such a sample must not
 * contribute to training. */
static void mix_row(const gathering *g, const data_mixture *mixture, const ls_row *own,
                    const ls_row *partner, size_t i, float *x) {
  ls_batch *const batch = g->batch;
  const size_t k = g->dataset->n_outputs;
  const bool counts = weight_of(g, own) > 0.0F && weight_of(g, partner) > 0.0F;
  const float share = counts ? mixture->share : 1.0F;
  const float target_share = counts ? mix_weights(g, partner, share, i) : 1.0F;
  if (counts) take_augmented_input(g, mixture->partner, partner, batch->other);
  for (size_t j = 0; counts && j < g->dataset->n_features; j++) x[j] = mix(share, x[j], batch->other[j]);
  for (size_t j = 0; batch->values && j < k; j++)
    batch->values[i * k + j] = mix(target_share, batch->values[i * k + j], value_of(g, partner, j));
  if (!batch->partners) return;
  batch->partners[i] = *partner->class_number;
  batch->shares[i] = target_share;
}

/* ------------------------------------------------------------------------- batches */

#define FETCH_ROWS ((size_t)32) /* rows of one fetch */

void ls_batch_gather(ls_batch *batch, const ls_dataset *dataset, const ls_normalizer *normalizer,
                     size_t rows) {
  const gathering g = {.batch = batch, .dataset = dataset, .normalizer = normalizer};
  LS_ASSERT(rows <= batch->max_rows);
  for (size_t first = 0; first < rows; first += FETCH_ROWS) {
    ls_row fetched[FETCH_ROWS];
    const size_t n = ls_size_min(FETCH_ROWS, rows - first);
    ls_dataset_fetch(dataset, n, batch->samples + first, fetched);
    for (size_t i = 0; i < n; i++) {
      take_input(&g, &fetched[i], batch->x + (first + i) * dataset->n_features);
      take_targets(&g, &fetched[i], first + i);
    }
  }
  batch->rows = rows;
  batch->is_mixed = false;
}

/* Gathers n <= FETCH_ROWS rows from row `first` of the batch. The partners of mixup are fetched together
 * with the rows. */
static void gather_training(const gathering *g, size_t first, size_t n) {
  ls_batch *const batch = g->batch;
  const ls_recipe *const recipe = &batch->recipe;
  const bool is_mixed = recipe->augment.mixup > 0.0;
  data_mixture mixtures[FETCH_ROWS];
  uint64_t samples[2 * FETCH_ROWS];
  ls_row fetched[2 * FETCH_ROWS];
  memcpy(samples, batch->samples + first, n * sizeof *samples);
  for (size_t i = 0; is_mixed && i < n; i++) {
    mixtures[i] = data_mixup_draw(recipe->augment.mixup, recipe->view, g->seed, g->epoch, samples[i]);
    samples[n + i] = mixtures[i].partner;
  }
  ls_dataset_fetch(g->dataset, is_mixed ? 2 * n : n, samples, fetched);
  for (size_t i = 0; i < n; i++) {
    float *const xi = batch->x + (first + i) * g->dataset->n_features;
    take_augmented_input(g, samples[i], &fetched[i], xi);
    take_targets(g, &fetched[i], first + i);
    if (is_mixed) mix_row(g, &mixtures[i], &fetched[i], &fetched[n + i], first + i, xi);
  }
}

void ls_batch_gather_training(ls_batch *batch, const ls_dataset *dataset, const ls_normalizer *normalizer,
                              uint64_t seed, uint64_t epoch, size_t rows) {
  const gathering g = {.batch = batch,
                       .dataset = dataset,
                       .normalizer = normalizer,
                       .class_weights = batch->recipe.class_weights,
                       .seed = seed,
                       .epoch = epoch};
  LS_ASSERT(rows <= batch->max_rows);
  for (size_t first = 0; first < rows; first += FETCH_ROWS)
    gather_training(&g, first, ls_size_min(FETCH_ROWS, rows - first));
  batch->rows = rows;
  batch->is_mixed = batch->recipe.augment.mixup > 0.0 && batch->partners;
}
