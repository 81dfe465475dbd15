/* batch_norm (Ioffe & Szegedy 2015), each feature by itself over the N rows of the whole global batch:
 *
 *   forward   mean = 1/N sum x    var = 1/N sum (x - mean)^2    xhat = (x - mean) / sqrt(var + eps)
 *             y = gamma xhat + beta
 *   backward  dbeta = sum dy      dgamma = sum dy xhat
 *             dx = gamma / sqrt(var + eps) (dy - 1/N dbeta - xhat 1/N dgamma), dbeta and dgamma of all
 * ranks
 *
 * In training the running averages follow, by PyTorch's momentum m and with the unbiased variance:
 * running = (1 - m) running + m batch. Predictions use these, and are then a plain scaling of each row.
 *
 * x, y: (batch, n), gamma, beta, running_mean, running_var: (n) */
#include "kinds.h"

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

typedef struct scratch {
  double count;           /* rows of the global batch */
  double *mean, *inverse; /* (n): what forward took, inverse: 1 / sqrt(var + eps) */
  double *levels;         /* (LS_LANES_DEPTH, 2 n): two sums over a lane, being folded */
  double *sums;           /* (2 n + 1): over all lanes of this rank, then of all; and the count */
} scratch;

static void shape(ls_layer *layer) {
  const size_t n = layer->n_in;
  layer->n_out = n;
  layer->n_params = 2;
  layer->params[GAMMA] = (ls_param){.name = "gamma", .kind = LS_SEGMENT_SCALE, .rows = n};
  layer->params[BETA] = (ls_param){.name = "beta", .kind = LS_SEGMENT_BIAS, .rows = n};
  layer->n_states = 2;
  layer->states[RUNNING_MEAN] = (ls_param){.name = "running_mean", .kind = LS_SEGMENT_BIAS, .rows = n};
  layer->states[RUNNING_VAR] = (ls_param){.name = "running_var", .kind = LS_SEGMENT_SCALE, .rows = n};
}

static void initialise(const ls_layer *layer, uint64_t seed) {
  (void)seed;
  for (size_t j = 0; j < layer->n_in; j++) {
    layer->params[GAMMA].value[j] = 1.0F;
    layer->params[BETA].value[j] = 0.0F;
    layer->states[RUNNING_MEAN].value[j] = 0.0F;
    layer->states[RUNNING_VAR].value[j] = 1.0F;
  }
}

static void reserve(ls_layer *layer, ls_arena *arena, size_t rows) {
  (void)rows;
  const size_t n = layer->n_in;
  scratch *const s = ls_arena_take(arena, 1, sizeof *s);
  double *const mean = ls_arena_take(arena, n, sizeof *mean);
  double *const inverse = ls_arena_take(arena, n, sizeof *inverse);
  double *const levels = ls_arena_take(arena, n, 2 * LS_LANES_DEPTH * sizeof *levels);
  double *const sums = ls_arena_take(arena, n + 1, 2 * sizeof *sums);
  if (s) *s = (scratch){.mean = mean, .inverse = inverse, .levels = levels, .sums = sums};
  layer->scratch = s;
}

/* Where the two sums of a lane go: (2 n), 0 at first. */
static double *start_lane(const scratch *s, size_t n, size_t lane) {
  double *const part = s->levels + ls_lane_level(lane) * 2 * n;
  memset(part, 0, 2 * n * sizeof *part);
  return part;
}

/* The sums of all lanes. */
static void take_sums(scratch *s, size_t n) {
  memcpy(s->sums, s->levels, 2 * n * sizeof *s->sums);
}

/* Sums over the rows of all ranks of x - pivot, of its square, and the number of rows. The pivot, the
 * running mean, is shared by all ranks and often near: it keeps a large mean from drowning the variance. */
static void sum_batch(const ls_layer *layer, const ls_pass *pass, const float *x) {
  scratch *const s = layer->scratch;
  const size_t n = layer->n_in;
  for (size_t lane = 0; lane < pass->n_lanes; lane++) {
    const size_t first = pass->lanes[lane];
    double *const part = start_lane(s, n, lane);
    ls_math_norm_sums(pass->lanes[lane + 1] - first, n, x + first * n, layer->states[RUNNING_MEAN].value,
                      part, part + n);
    ls_lane_fold(s->levels, 2 * n, lane, pass->n_lanes);
  }
  take_sums(s, n);
  s->sums[2 * n] = (double)ls_pass_rows(pass);
  if (pass->sum) pass->sum(pass->context, s->sums, 2 * n + 1);
  s->count = s->sums[2 * n];
}

/* A batch that is not finite (its step fails, or is skipped) leaves the running averages alone. */
static void move_running(const ls_layer *layer, size_t j, double mean, double var) {
  const double m = ((const options *)layer->options)->momentum;
  float *const running_mean = &layer->states[RUNNING_MEAN].value[j];
  float *const running_var = &layer->states[RUNNING_VAR].value[j];
  if (!isfinite(mean) || !isfinite(var)) return;
  *running_mean = (float)((1.0 - m) * (double)*running_mean + m * mean);
  *running_var = (float)((1.0 - m) * (double)*running_var + m * var);
}

/* Mean and deviation of the batch; in training, the running averages follow. */
static void use_batch(const ls_layer *layer, const ls_pass *pass, const float *x) {
  const options *const o = layer->options;
  scratch *const s = layer->scratch;
  const size_t n = layer->n_in;
  sum_batch(layer, pass, x);
  const double count = s->count;
  if (!(count > 0.0)) return;
  for (size_t j = 0; j < n; j++) {
    const double offset = s->sums[j] / count;
    const double raw = s->sums[n + j] / count - offset * offset;
    const double var = raw < 0.0 ? 0.0 : raw; /* a NaN stays one */
    s->mean[j] = (double)layer->states[RUNNING_MEAN].value[j] + offset;
    s->inverse[j] = 1.0 / sqrt(var + o->eps);
    if (pass->mode == LS_TRAIN && count > 1.0) /* one row has no variance */
      move_running(layer, j, s->mean[j], var * count / (count - 1.0));
  }
}

static void use_running(const ls_layer *layer) {
  const options *const o = layer->options;
  scratch *const s = layer->scratch;
  for (size_t j = 0; j < layer->n_in; j++) {
    s->mean[j] = (double)layer->states[RUNNING_MEAN].value[j];
    s->inverse[j] = 1.0 / sqrt((double)layer->states[RUNNING_VAR].value[j] + o->eps);
  }
}

static void forward(ls_layer *layer, const ls_pass *pass, const float *x, float *y) {
  const scratch *const s = layer->scratch;
  if (pass->mode == LS_PREDICT)
    use_running(layer);
  else
    use_batch(layer, pass, x);
  ls_math_norm(ls_pass_rows(pass), layer->n_in, x, s->mean, s->inverse, layer->params[GAMMA].value,
               layer->params[BETA].value, y);
}

/* The gradient of a block over a lane, which is a sum: (n) */
static void put_gradient(const ls_layer *layer, const ls_pass *pass, size_t param, size_t lane,
                         const double *sum) {
  float beta = 0.0F;
  float *const gradient = ls_lane_gradient(layer, pass, param, lane, &beta);
  for (size_t j = 0; j < layer->n_in; j++)
    gradient[j] = (beta == 0.0F ? 0.0F : gradient[j]) + (float)sum[j];
  ls_lane_end(layer, pass, param, lane);
}

/* This rank's sums of dy and dy xhat, and the gradients, which are these. */
static void sum_gradients(const ls_layer *layer, const ls_pass *pass, const float *x, const float *dy) {
  scratch *const s = layer->scratch;
  const size_t n = layer->n_in;
  for (size_t lane = 0; lane < pass->n_lanes; lane++) {
    const size_t first = pass->lanes[lane];
    double *const part = start_lane(s, n, lane);
    ls_math_norm_backward_sums(pass->lanes[lane + 1] - first, n, x + first * n, s->mean, s->inverse,
                               dy + first * n, part, part + n);
    put_gradient(layer, pass, BETA, lane, part);
    put_gradient(layer, pass, GAMMA, lane, part + n);
    ls_lane_fold(s->levels, 2 * n, lane, pass->n_lanes);
  }
  take_sums(s, n);
}

static void backward(ls_layer *layer, const ls_pass *pass, const float *x, const float *y, float *dy,
                     float *dx) {
  (void)y;
  scratch *const s = layer->scratch;
  const size_t n = layer->n_in;
  sum_gradients(layer, pass, x, dy);
  if (!dx) return;
  const bool depends = pass->mode != LS_PREDICT; /* mean and deviation do on x */
  if (depends && pass->sum) pass->sum(pass->context, s->sums, 2 * n);
  for (size_t j = 0; j < 2 * n; j++) s->sums[j] = depends && s->count > 0.0 ? s->sums[j] / s->count : 0.0;
  ls_math_norm_backward(ls_pass_rows(pass), n, x, s->mean, s->inverse, layer->params[GAMMA].value, s->sums,
                        s->sums + n, dy, dx);
}

const ls_layer_type ls_layer_batch_norm = {.name = "batch_norm",
                                           .help =
                                               "y = gamma (x - mean) / sqrt(var + eps) + beta, over the "
                                               "global batch",
                                           .keys = keys,
                                           .options_size = sizeof(options),
                                           .shape = shape,
                                           .initialise = initialise,
                                           .reserve = reserve,
                                           .forward = forward,
                                           .backward = backward};
