/* The gradient check. For each block of parameters w and a direction u in it, |u| = 1:
 *
 *   numeric   (L(w + h u) - L(w - h u)) / 2h
 *   analytic  the mean of g(w + t u) . u over points t in the middle of equal parts of [-h, h]
 *
 * With one point, this is g(w) . u. Both converge to the same value also where L has kinks in [-h, h], as
 * with relu and max pooling, if there are more points: the integral of the derivative is the difference.
 *
 * A direction changes a whole block at once, so that the difference exceeds the rounding of float32. Along
 * the gradient itself, the derivative is largest, and a wrong factor or sign shows in many digits. Along a
 * random direction it is smaller by sqrt(n), but shows elements that backward has omitted. Dropout is off;
 * batch norm uses the statistics of the batch, as in training. The loss includes the penalty l2, but not
 * l1, whose step is not a gradient's. */
#include "lockstep/job.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct checker {
  ls_comm *comm;
  ls_setup *setup;
  size_t rows;          /* of this rank's shard */
  double weight;        /* sum of the weights of all ranks' rows */
  ls_segment *segments; /* (n_segments): the model's, without l1 */
  float *direction;     /* (n_params) */
  float *saved;         /* (n_params): the parameters as they were */
} checker;

static void sum_over_ranks(void *context, double *x, size_t n) {
  ls_comm_sum_f64((ls_comm *)context, x, n);
}

/* Collective. The mean loss over the samples, plus the penalty. with_gradient: fills the model's gradient
 * with the sum over the rows of all ranks. */
static double mean_loss(checker *c, bool with_gradient) {
  ls_model *const model = c->setup->job->model;
  const ls_batch *const batch = c->setup->train.batch;
  const size_t lanes[] = {0, c->rows};
  const ls_pass pass = {
      .n_lanes = 1, .lanes = lanes, .mode = LS_PROBE, .sum = sum_over_ranks, .context = c->comm};
  const ls_targets targets = ls_batch_targets(batch);
  const ls_objective objective = {.targets = &targets, .needs_gradient = with_gradient};
  double loss = ls_forward_backward(model, &pass, batch->x, &objective);
  if (with_gradient) {
    ls_comm_sum_f32(c->comm, model->grads, model->n_params);
    ls_penalty_add_gradient(model->n_segments, c->segments, (ls_range){.count = model->n_params}, c->weight,
                            model->params, model->grads);
  }
  ls_comm_sum_f64(c->comm, &loss, 1);
  return loss / c->weight + ls_penalty_value(model->n_segments, c->segments, model->params);
}

/* Collective. The loss after a change of the block by h along the direction. slope: if not NULL, receives
 * the derivative along the direction there, by backward. */
static double loss_at(checker *c, const ls_segment *segment, double h, double *slope) {
  const ls_model *const model = c->setup->job->model;
  float *const block = model->params + segment->offset;
  const size_t n = ls_segment_count(segment);
  memcpy(block, c->saved + segment->offset, n * sizeof *block);
  ls_math_add_scaled(n, (float)h, c->direction, block);
  const double loss = mean_loss(c, slope != NULL);
  memcpy(block, c->saved + segment->offset, n * sizeof *block);
  double sum = 0.0;
  for (size_t i = 0; slope && i < n; i++)
    sum += (double)model->grads[segment->offset + i] * (double)c->direction[i];
  if (slope) *slope = sum / c->weight;
  return loss;
}

/* Two derivatives along a direction, and their difference relative to the larger of both and `scale`. */
typedef struct derivative {
  double analytic;
  double numeric;
  double error; /* 0 if both count as 0 */
} derivative;

/* Smaller derivatives count as 0. */
#define TINY 1e-6

/* Collective. The derivatives with the step size h and a number of points. Values below the rounding error
 * of the difference of two losses count as 0: a bias before batch norm has the gradient 0. */
static derivative differentiate(checker *c, const ls_segment *segment, double h, int points, double scale) {
  derivative d = {0};
  for (int i = 0; i < points; i++) {
    double slope = 0.0;
    loss_at(c, segment, h * ((2.0 * i + 1.0) / points - 1.0), &slope);
    d.analytic += slope / points;
  }
  const double after = loss_at(c, segment, h, NULL);
  const double before = loss_at(c, segment, -h, NULL);
  d.numeric = (after - before) / (2.0 * h);
  const double rounding = (double)FLT_EPSILON * fabs(after) / h;
  const double most = fmax(scale, fmax(fabs(d.analytic), fabs(d.numeric)));
  if (!(most <= fmax(TINY, rounding))) d.error = fabs(d.analytic - d.numeric) / most;
  return d;
}

#define STEPS  6
#define POINTS 16 /* at most */

/* Collective. Scales the direction to norm 1, unless it is 0, and compares the derivatives along it with
 * step sizes of at most `largest` until their error is below `good`: with a small step, rounding dominates,
 * with a large one, curvature and kinks, unless there are many points. Otherwise reports the smallest
 * error. A wrong gradient agrees with no difference. */
static derivative compare(checker *c, const ls_segment *segment, double largest, double scale,
                          double good) {
  const size_t n = ls_segment_count(segment);
  const double norm = sqrt(ls_math_sum_squares(n, c->direction));
  derivative best = {.error = INFINITY};
  for (size_t i = 0; i < n && norm > 0.0; i++) c->direction[i] = (float)((double)c->direction[i] / norm);
  for (int points = 1; points <= POINTS; points *= 4) {
    double h = largest;
    for (int s = 0; s < STEPS && !(best.error <= good); s++, h *= 0.3) {
      const derivative d = differentiate(c, segment, h, points, scale);
      if (!(d.error >= best.error)) best = d;
    }
  }
  return best;
}

/* Collective. Checks one block. */
static void check_block(checker *c, const ls_segment *segment, uint32_t instance, ls_gradcheck_row *row) {
  const size_t n = ls_segment_count(segment);
  mean_loss(c, true);
  memcpy(c->direction, c->setup->job->model->grads + segment->offset, n * sizeof *c->direction);
  const derivative steepest = compare(c, segment, 3e-2, 0.0, 1e-4);
  *row = (ls_gradcheck_row){.path = segment->path,
                            .analytic = steepest.analytic,
                            .numeric = steepest.numeric,
                            .error = steepest.error};
  const ls_rng rng = ls_rng_make(c->setup->job->train.seed, LS_RNG_CHECK, instance, 0);
  ls_rng_normal(&rng, 0, n, c->direction);
  const double usual = fmax(fabs(steepest.analytic), fabs(steepest.numeric)) / sqrt((double)n);
  row->random_error = compare(c, segment, 3e-1, usual, 1e-2).error;
}

/* Local. Gathers this rank's shard of the samples. */
static ls_status gather(checker *c, size_t rows) {
  ls_split *const split = &c->setup->train;
  const ls_shard shard = ls_shard_of(rows, ls_comm_rank(c->comm), ls_comm_size(c->comm));
  for (size_t i = 0; i < shard.rows; i++)
    split->batch->samples[i] = ls_view_sample(&split->view, shard.first + i);
  LS_TRY(ls_batch_gather(split->batch, split->dataset, c->setup->normalizer, shard.rows));
  c->rows = shard.rows;
  c->weight = split->batch->weights ? 0.0 : (double)shard.rows;
  for (size_t i = 0; split->batch->weights && i < shard.rows; i++)
    c->weight += (double)split->batch->weights[i];
  return LS_OK;
}

/* Local. Moves the biases from their initial zeros: where the inputs are 0 too, such as the background of
 * images, every unit would be at the kink of relu. */
static void move_biases(const checker *c) {
  const ls_model *const model = c->setup->job->model;
  for (size_t i = 0; i < model->n_segments; i++) {
    const ls_segment *const segment = &model->segments[i];
    const size_t n = ls_segment_count(segment);
    const ls_rng rng = ls_rng_make(c->setup->job->train.seed, LS_RNG_CHECK, (uint32_t)i, 1);
    if (segment->kind != LS_SEGMENT_BIAS) continue;
    ls_rng_normal(&rng, 0, n, c->direction);
    ls_math_add_scaled(n, 0.1F, c->direction, model->params + segment->offset);
  }
}

/* Collective. The gradient near the current parameters, and the check of each block with it. */
static void check_blocks(checker *c, ls_gradcheck_row *table) {
  const ls_model *const model = c->setup->job->model;
  move_biases(c);
  ls_copy(c->saved, model->params, model->n_params * sizeof *c->saved);
  for (size_t i = 0; i < model->n_segments; i++) {
    c->segments[i] = model->segments[i];
    c->segments[i].l1 = 0.0;
  }
  for (size_t i = 0; i < model->n_segments; i++)
    check_block(c, &model->segments[i], (uint32_t)i, &table[i]);
}

ls_status ls_gradcheck(ls_comm *comm, ls_setup *setup, size_t rows, ls_gradcheck_row *table) {
  const ls_model *const model = setup->job->model;
  const size_t n = model->n_params;
  const size_t n_rows = ls_size_min(rows, setup->train.view.n);
  checker c = {.comm = comm,
               .setup = setup,
               .segments = ls_calloc(model->n_segments, sizeof *c.segments),
               .direction = ls_calloc(n, sizeof *c.direction),
               .saved = ls_calloc(n, sizeof *c.saved)};
  const bool has_memory = c.segments && c.direction && c.saved;
  ls_status status =
      ls_comm_agree(comm, has_memory ? LS_OK : ls_fail_memory("the gradient check", 2 * n * sizeof(float)));
  if (status == LS_OK) status = ls_comm_agree(comm, gather(&c, n_rows));
  if (status == LS_OK) {
    ls_comm_sum_f64(comm, &c.weight, 1);
    if (!(c.weight > 0.0))
      status = ls_fail(
          LS_ERR_DATA,
          "%s: the weights of the first %zu samples sum to 0; at least one must be positive for the "
          "gradient check",
          setup->job->data.train, n_rows);
  }
  if (status == LS_OK) check_blocks(&c, table);
  free(c.segments);
  free(c.direction);
  free(c.saved);
  return status;
}
