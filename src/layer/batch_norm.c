/* batch_norm (Ioffe & Szegedy 2015), for each of the C channels or features of the last dim, over the N
 * positions of all rows of the global batch:
 *
 *   forward   mean = 1/N sum x    var = 1/N sum (x - mean)^2    xhat = (x - mean) / sqrt(var + eps)
 *             y = gamma xhat + beta
 *   backward  dbeta = sum dy      dgamma = sum dy xhat
 *             dx = gamma / sqrt(var + eps) (dy - 1/N dbeta - xhat 1/N dgamma), with dbeta and dgamma summed
 *             over all ranks
 *
 * As it is computed, with center = mean as float, scale = gamma / sqrt(var + eps):
 *
 *   forward   y = (x - center) scale + (beta - (mean - center) scale)
 *   backward  dgamma = (sum dy (x - center) - (mean - center) dbeta) / sqrt(var + eps)
 *             dx = scale (dy - offset - slope (x - center)), slope = 1/N dgamma / sqrt(var + eps),
 *             offset = 1/N dbeta - slope (mean - center)
 *
 * Training updates the running averages with PyTorch's momentum m and the unbiased variance,
 * running = (1 - m) running + m batch. Prediction uses them and so scales each row independently.
 *
 * x, y: (batch, ..., n), gamma, beta, running_mean, running_var: (n) */
#include "internal.h"

#include <math.h>
#include <string.h>

typedef struct options {
  const char *layer;
  double momentum, eps;
} options;

static const ls_key keys[] = {
    LAYER_KEY,
    LS_REAL_KEY("momentum", options, momentum, "0.1", 0, 1,
                "weight of a batch in the running averages used for prediction"),
    LS_REAL_KEY("eps", options, eps, "1e-5", 0, 1, "constant added to the variance",
                .flags = LS_KEY_ABOVE_MIN),
    {0},
};

enum { GAMMA, BETA };
enum { RUNNING_MEAN, RUNNING_VAR };

/* Statistics of the forward pass, which backward needs. */
typedef struct statistics {
  double count;                  /* positions of the global batch */
  double *levels;                /* (LS_LANES_DEPTH, 2, n): two sums per channel; then the positions */
  double *mean, *inverse;        /* (n); inverse: 1 / sqrt(var + eps) */
  float *center, *scale, *shift; /* (n) */
  float *offset, *slope;         /* (n), in backward */
} statistics;

static size_t channels_of(const ls_layer *layer) {
  return layer_channels(&layer->in);
}

/* The positions of the rows, which are the rows of the kernels. */
static size_t positions_of(const ls_layer *layer, const ls_rows *rows) {
  return rows->n * (layer->n_in / channels_of(layer));
}

static ls_status shape(ls_layer *layer) {
  const size_t n = channels_of(layer);
  layer->n_params = 2;
  layer->params[GAMMA] = (ls_param){.name = "gamma", .kind = LS_SEGMENT_SCALE, .rows = n};
  layer->params[BETA] = (ls_param){.name = "beta", .kind = LS_SEGMENT_BIAS, .rows = n};
  layer->n_states = 2;
  layer->states[RUNNING_MEAN] = (ls_param){.name = "running_mean", .kind = LS_SEGMENT_BIAS, .rows = n};
  layer->states[RUNNING_VAR] = (ls_param){.name = "running_var", .kind = LS_SEGMENT_SCALE, .rows = n};
  return layer_keep_shape(layer);
}

static void initialise(const ls_layer *layer, uint64_t seed) {
  (void)seed;
  for (size_t j = 0; j < channels_of(layer); j++) {
    layer->params[GAMMA].value[j] = 1.0F;
    layer->params[BETA].value[j] = 0.0F;
    layer->states[RUNNING_MEAN].value[j] = 0.0F;
    layer->states[RUNNING_VAR].value[j] = 1.0F;
  }
}

/* Keeps the statistics. */
static void reserve(ls_layer *layer, ls_arena *arena, size_t rows) {
  (void)rows;
  const size_t n = channels_of(layer);
  statistics *const s = ls_arena_take(arena, 1, sizeof *s);
  const statistics parts = {.mean = ls_arena_take(arena, n, sizeof *parts.mean),
                            .inverse = ls_arena_take(arena, n, sizeof *parts.inverse),
                            .center = ls_arena_take(arena, n, sizeof *parts.center),
                            .scale = ls_arena_take(arena, n, sizeof *parts.scale),
                            .shift = ls_arena_take(arena, n, sizeof *parts.shift),
                            .offset = ls_arena_take(arena, n, sizeof *parts.offset),
                            .slope = ls_arena_take(arena, n, sizeof *parts.slope),
                            .levels = ls_arena_take(arena, n + 1, 2 * LS_LANES_DEPTH * sizeof(double))};
  if (s) *s = parts;
  layer->kept = s;
}

/* sums: (2, n), of x - pivot and its square. The pivot, the running mean, is the same on all ranks. */
static void add_moments(const ls_layer *layer, const ls_rows *rows, double *sums) {
  const size_t n = channels_of(layer);
  ls_math_norm_moments(positions_of(layer, rows), n, rows->x, layer->states[RUNNING_MEAN].value, sums,
                       sums + n);
}

/* Returns the sums of the moments over the rows of all ranks, (2, n). Stores the number of positions. */
static const double *sum_batch(const ls_layer *layer, const ls_pass *pass, const ls_rows *rows) {
  statistics *const s = layer->kept;
  double *const sums = s->levels;
  const size_t n = channels_of(layer);
  sums[2 * n] = (double)positions_of(layer, rows);
  if (pass->sum) pass->sum(pass->context, sums, 2 * n + 1);
  s->count = sums[2 * n];
  return sums;
}

/* Updates the running averages, unless the batch is not finite (its step fails or is skipped). */
static void update_running(const ls_layer *layer, size_t j, double mean, double var) {
  const double m = ((const options *)layer->options)->momentum;
  float *const running_mean = &layer->states[RUNNING_MEAN].value[j];
  float *const running_var = &layer->states[RUNNING_VAR].value[j];
  if (!isfinite(mean) || !isfinite(var)) return;
  *running_mean = (float)((1.0 - m) * (double)*running_mean + m * mean);
  *running_var = (float)((1.0 - m) * (double)*running_var + m * var);
}

/* Sets the statistics to those of the batch; in training, updates the running averages. */
static void use_batch(const ls_layer *layer, const ls_pass *pass, const ls_rows *rows) {
  const options *const o = layer->options;
  statistics *const s = layer->kept;
  const size_t n = channels_of(layer);
  const double *const sums = sum_batch(layer, pass, rows);
  const double count = s->count;
  if (!(count > 0.0)) return;
  for (size_t j = 0; j < n; j++) {
    const double offset = sums[j] / count;
    const double raw = sums[n + j] / count - offset * offset;
    const double var = raw < 0.0 ? 0.0 : raw; /* keeps a NaN */
    s->mean[j] = (double)layer->states[RUNNING_MEAN].value[j] + offset;
    s->inverse[j] = 1.0 / sqrt(var + o->eps);
    if (pass->mode == LS_TRAIN && count > 1.0) /* one position has no unbiased variance */
      update_running(layer, j, s->mean[j], var * count / (count - 1.0));
  }
}

static void use_running(const ls_layer *layer) {
  const options *const o = layer->options;
  statistics *const s = layer->kept;
  for (size_t j = 0; j < channels_of(layer); j++) {
    s->mean[j] = (double)layer->states[RUNNING_MEAN].value[j];
    s->inverse[j] = 1.0 / sqrt((double)layer->states[RUNNING_VAR].value[j] + o->eps);
  }
}

/* Sets the values that the kernels need. */
static void set_columns(const ls_layer *layer) {
  const statistics *const s = layer->kept;
  for (size_t j = 0; j < channels_of(layer); j++) {
    const double scale = s->inverse[j] * (double)layer->params[GAMMA].value[j];
    s->center[j] = (float)s->mean[j];
    s->scale[j] = (float)scale;
    s->shift[j] =
        (float)((double)layer->params[BETA].value[j] - (s->mean[j] - (double)s->center[j]) * scale);
  }
}

static ls_norm norm_of(const ls_layer *layer, bool has_relu) {
  const statistics *const s = layer->kept;
  return (ls_norm){.center = s->center, .scale = s->scale, .shift = s->shift, .has_relu = has_relu};
}

static void forward(ls_layer *layer, const ls_pass *pass, const ls_rows *rows) {
  (void)pass;
  const ls_norm norm = norm_of(layer, layer->addend ? layer->addend_then_relu : layer->applies_relu);
  const float *const addend = layer->addend ? layer->addend + rows->first * layer->n_out : NULL;
  ls_math_norm(&norm, positions_of(layer, rows), channels_of(layer), rows->x, addend, rows->y);
}

/* sums: (2, n), of dy and dy (x - center) */
static void add_gradients(const ls_layer *layer, const ls_rows *rows, double *sums) {
  const size_t n = channels_of(layer);
  const ls_norm norm = norm_of(layer, layer->applies_relu);
  ls_math_norm_backward_sums(&norm, positions_of(layer, rows), n, rows->x, rows->dy, sums, sums + n);
}

/* The sums of a lane become those of dy and dy xhat, which are the gradients. */
static void finish_gradients(const ls_layer *layer, const ls_pass *pass, size_t lane, double *sums) {
  const statistics *const s = layer->kept;
  const size_t n = channels_of(layer);
  ls_rows rows = {0};
  for (size_t j = 0; j < n; j++)
    sums[n + j] = (sums[n + j] - (s->mean[j] - (double)s->center[j]) * sums[j]) * s->inverse[j];
  layer_set_gradients(layer, pass, lane, &rows);
  layer_put_sums(&rows, BETA, n, sums);
  layer_put_sums(&rows, GAMMA, n, sums + n);
  layer_fold_gradients(layer, pass, lane);
}

static void gather(ls_layer *layer, const ls_pass *pass, size_t lane, const ls_rows *rows) {
  const statistics *const s = layer->kept;
  const size_t n = 2 * channels_of(layer);
  double *const sums = s->levels + ls_lane_level(lane) * n;
  if (!rows->dy && pass->mode == LS_PREDICT) return;
  if (rows->first == pass->lanes[lane]) memset(sums, 0, n * sizeof *sums);
  (rows->dy ? add_gradients : add_moments)(layer, rows, sums);
  if (rows->first + rows->n < pass->lanes[lane + 1]) return;
  if (rows->dy) finish_gradients(layer, pass, lane, sums);
  ls_lane_fold(s->levels, n, lane, pass->n_lanes);
}

/* Computes what dx needs. */
static void reduce_backward(const ls_layer *layer, const ls_pass *pass, const ls_rows *all) {
  const statistics *const s = layer->kept;
  double *const sums = s->levels;
  const size_t n = channels_of(layer);
  if (!all->dx) return;
  const bool depends = pass->mode != LS_PREDICT; /* mean and deviation depend on x */
  if (depends && pass->sum) pass->sum(pass->context, sums, 2 * n);
  for (size_t j = 0; j < n; j++) {
    const double share = depends && s->count > 0.0 ? 1.0 / s->count : 0.0;
    const double slope = share * sums[n + j] * s->inverse[j];
    s->slope[j] = (float)slope;
    s->offset[j] = (float)(share * sums[j] - slope * (s->mean[j] - (double)s->center[j]));
  }
}

static void reduce(ls_layer *layer, const ls_pass *pass, const ls_rows *all) {
  if (all->dy) {
    reduce_backward(layer, pass, all);
    return;
  }
  if (pass->mode == LS_PREDICT)
    use_running(layer);
  else
    use_batch(layer, pass, all);
  set_columns(layer);
}

static void backward(ls_layer *layer, const ls_pass *pass, const ls_rows *rows) {
  (void)pass;
  const statistics *const s = layer->kept;
  const ls_norm norm = norm_of(layer, layer->applies_relu);
  if (rows->dx)
    ls_math_norm_backward(&norm, positions_of(layer, rows), channels_of(layer), rows->x, s->offset,
                          s->slope, rows->dy, rows->dx);
}

const ls_layer_type layer_batch_norm = {.name = "batch_norm",
                                        .help = "y = gamma (x - mean) / sqrt(var + eps) + beta, over the "
                                                "global batch",
                                        .keys = keys,
                                        .options_size = sizeof(options),
                                        .in_pieces = true,
                                        .fuses = true,
                                        .shape = shape,
                                        .initialise = initialise,
                                        .reserve = reserve,
                                        .gather = gather,
                                        .reduce = reduce,
                                        .forward = forward,
                                        .backward = backward};
