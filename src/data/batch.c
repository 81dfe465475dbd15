/* Gathering a batch: from stored rows to the model's input and targets. */
#include "internal.h"
#include "lockstep/math.h"

#include <stdlib.h>
#include <string.h>

/* A piece of the arena; NULL unless wanted. */
static void *piece(ls_arena *arena, bool is_wanted, size_t count, size_t size) {
  return is_wanted ? ls_arena_take(arena, count, size) : NULL;
}

static void divide_memory(ls_batch *b, const ls_dataset *d) {
  ls_arena *const arena = &b->arena;
  const size_t rows = b->max_rows;
  const size_t n = d->n_features;
  const ls_augment *const augment = &b->recipe.augment;
  const bool has_classes = d->target == LS_TARGET_CLASSES;
  const bool is_mixed = augment->mixup > 0.0;
  b->samples = piece(arena, true, rows, sizeof *b->samples);
  b->partner_samples = piece(arena, is_mixed, rows, sizeof *b->partner_samples);
  b->x = piece(arena, true, rows, n * sizeof *b->x);
  b->row = piece(arena, true, n, sizeof *b->row);
  b->classes = piece(arena, has_classes, rows, sizeof *b->classes);
  b->values =
      piece(arena, !has_classes && d->target != LS_TARGET_NONE, rows, d->n_outputs * sizeof *b->values);
  b->weights = piece(arena, d->has_weights || b->recipe.class_weights, rows, sizeof *b->weights);
  b->moved = piece(arena, data_augment_moves(augment), n, sizeof *b->moved);
  b->noise = piece(arena, augment->noise > 0.0, n, sizeof *b->noise);
  b->other = piece(arena, is_mixed, n, sizeof *b->other);
  b->partners = piece(arena, is_mixed && has_classes, rows, sizeof *b->partners);
  b->shares = piece(arena, is_mixed && has_classes, rows, sizeof *b->shares);
}

ls_status ls_batch_create_training(const ls_dataset *dataset, const ls_recipe *recipe, size_t max_rows,
                                   ls_batch **out) {
  *out = NULL;
  ls_batch *batch = ls_calloc(1, sizeof *batch);
  if (!batch) return ls_fail_memory("a batch", sizeof *batch);
  batch->recipe = *recipe;
  batch->max_rows = max_rows;
  divide_memory(batch, dataset);
  const ls_status status = ls_arena_commit(&batch->arena, "a batch");
  if (status != LS_OK) {
    ls_batch_destroy(&batch);
    return status;
  }
  divide_memory(batch, dataset);
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

/* The source of a gather, and the key of its random numbers. */
typedef struct gathering {
  ls_batch *batch;
  const ls_dataset *dataset;
  const ls_normalizer *normalizer;
  const ls_recipe *recipe;       /* empty outside training */
  const data_row_source *source; /* of the rows; NULL: the dataset */
  uint64_t seed, epoch;
} gathering;

/* Normalises x of a row. */
static void normalize_input(const gathering *g, const ls_row *row, float *x) {
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
static void augment_input(const gathering *g, uint64_t sample, const ls_row *row, float *x) {
  const ls_dataset *const d = g->dataset;
  const ls_augment *const augment = &g->recipe->augment;
  if (data_augment_moves(augment)) {
    const data_placement place = data_augment_place(augment, g->seed, g->epoch, sample);
    data_elements(row->x, d->x_array.dtype, 0, d->n_features, g->batch->row);
    data_augment_move(&place, &d->x_array, g->batch->row, g->batch->moved);
    ls_math_normalize_f64(d->n_features, g->batch->moved, g->normalizer->offset, g->normalizer->factor, x);
  } else {
    normalize_input(g, row, x);
  }
  data_augment_cover(augment, d, g->seed, g->epoch, sample, g->batch->noise, x);
}

/* Numeric target k of a row, standardised if the normaliser covers targets. */
static float value_of(const gathering *g, const ls_row *row, size_t k) {
  const ls_normalizer *const targets = g->normalizer->targets;
  const double y = ls_row_value(g->dataset, row, k);
  return (float)(targets ? (y - targets->offset[k]) * targets->factor[k] : y);
}

static float weight_of(const gathering *g, const ls_row *row) {
  const double *const factors = g->recipe->class_weights;
  return factors ? (float)((double)row->weight * factors[data_class_of(g->dataset, row)]) : row->weight;
}

/* Targets and weight of row i of the batch. */
static void store_targets(const gathering *g, const ls_row *row, size_t i) {
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
static void mix_row(const gathering *g, const ls_row *own, const ls_row *partner, size_t i, float *x) {
  ls_batch *const batch = g->batch;
  const size_t k = g->dataset->n_outputs;
  const bool counts = weight_of(g, own) > 0.0F && weight_of(g, partner) > 0.0F;
  const float share =
      counts ? data_mixup_share(g->recipe->augment.mixup, g->seed, g->epoch, batch->samples[i]) : 1.0F;
  const float target_share = counts ? mix_weights(g, partner, share, i) : 1.0F;
  if (counts) augment_input(g, batch->partner_samples[i], partner, batch->other);
  for (size_t j = 0; counts && j < g->dataset->n_features; j++) x[j] = mix(share, x[j], batch->other[j]);
  for (size_t j = 0; batch->values && j < k; j++)
    batch->values[i * k + j] = mix(target_share, batch->values[i * k + j], value_of(g, partner, j));
  if (!batch->partners) return;
  batch->partners[i] = *partner->class_number;
  batch->shares[i] = target_share;
}

/* ------------------------------------------------------------------------- batches */

void ls_batch_select(ls_batch *batch, size_t row, const ls_order *order, uint64_t first, size_t n) {
  LS_ASSERT(row + n <= batch->max_rows);
  ls_order_samples(order, first, n, batch->samples + row);
  if (batch->partner_samples)
    ls_order_partners(order, first, n, batch->samples + row, batch->partner_samples + row);
}

/* Fetches rows of the batch from the dataset, and their partners in mixup after them. */
static ls_status fetch_samples(const gathering *g, size_t first, size_t n, ls_row *rows) {
  const ls_batch *const batch = g->batch;
  const bool is_mixed = g->recipe->augment.mixup > 0.0;
  uint64_t samples[2 * DATA_FETCH_ROWS];
  memcpy(samples, batch->samples + first, n * sizeof *samples);
  if (is_mixed) memcpy(samples + n, batch->partner_samples + first, n * sizeof *samples);
  return ls_dataset_fetch(g->dataset, is_mixed ? 2 * n : n, samples, rows);
}

#define AHEAD    8             /* rows that are prefetched: they lie anywhere in memory */
#define PREFETCH ((size_t)512) /* bytes of a row; the processor recognises the rest of a long one */

static void prefetch_row(const gathering *g, const ls_row *row) {
  const size_t bytes = g->dataset->n_features * ls_dtype_size(g->dataset->x_array.dtype);
  const unsigned char *const x = row->x;
  for (size_t at = 0; at < ls_size_min(bytes, PREFETCH); at += LS_ALIGNMENT) __builtin_prefetch(x + at);
  if (row->class_number) __builtin_prefetch(row->class_number);
}

/* Gathers n <= DATA_FETCH_ROWS rows from row `first` of the batch. */
static ls_status gather_rows(const gathering *g, size_t first, size_t n) {
  ls_batch *const batch = g->batch;
  const bool is_mixed = g->recipe->augment.mixup > 0.0;
  ls_row fetched[2 * DATA_FETCH_ROWS];
  if (g->source)
    g->source->fetch(g->source, first, n, fetched);
  else
    LS_TRY(fetch_samples(g, first, n, fetched));
  for (size_t i = 0; i < ls_size_min(n, AHEAD); i++) prefetch_row(g, &fetched[i]);
  for (size_t i = 0; i < n; i++) {
    float *const x = batch->x + (first + i) * g->dataset->n_features;
    if (i + AHEAD < n) prefetch_row(g, &fetched[i + AHEAD]);
    augment_input(g, batch->samples[first + i], &fetched[i], x);
    store_targets(g, &fetched[i], first + i);
    if (is_mixed) mix_row(g, &fetched[i], &fetched[n + i], first + i, x);
  }
  return LS_OK;
}

/* Gathers n rows from row `first` on, the last ones of the batch. */
static ls_status gather(const gathering *g, size_t first, size_t n) {
  const size_t x_bytes = g->dataset->n_features * ls_dtype_size(g->dataset->x_array.dtype);
  const size_t at_once = ls_size_min(DATA_FETCH_ROWS, DATA_FETCH_BYTES / x_bytes + 1);
  LS_ASSERT(first + n <= g->batch->max_rows);
  for (size_t done = 0; done < n; done += at_once)
    LS_TRY(gather_rows(g, first + done, ls_size_min(at_once, n - done)));
  g->batch->rows = first + n;
  g->batch->is_mixed = g->recipe->augment.mixup > 0.0 && g->batch->partners;
  return LS_OK;
}

ls_status ls_batch_gather(ls_batch *batch, const ls_dataset *dataset, const ls_normalizer *normalizer,
                          size_t rows) {
  const ls_recipe none = {0};
  return gather(&(gathering){.batch = batch, .dataset = dataset, .normalizer = normalizer, .recipe = &none},
                0, rows);
}

ls_status ls_batch_gather_training(ls_batch *batch, const ls_dataset *dataset,
                                   const ls_normalizer *normalizer, uint64_t seed, uint64_t epoch,
                                   size_t rows) {
  return gather(&(gathering){.batch = batch,
                             .dataset = dataset,
                             .normalizer = normalizer,
                             .recipe = &batch->recipe,
                             .seed = seed,
                             .epoch = epoch},
                0, rows);
}

void data_batch_gather_from(const data_row_source *source, ls_batch *batch, const ls_dataset *dataset,
                            const ls_normalizer *normalizer, uint64_t seed, uint64_t epoch, size_t first,
                            size_t n) {
  const gathering g = {.batch = batch,
                       .dataset = dataset,
                       .normalizer = normalizer,
                       .recipe = &batch->recipe,
                       .source = source,
                       .seed = seed,
                       .epoch = epoch};
  LS_ASSERT(gather(&g, first, n) == LS_OK); /* rows in memory */
}
