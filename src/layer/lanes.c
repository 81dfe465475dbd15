/* Running a layer lane by lane: rows, gradients and their folding, and products in pieces. */
#include "internal.h"

#include <string.h>

/* The gradients of all parameters of a layer on a level of the fold. Level 0, the sum of all lanes, is the
 * gradient itself, unless the pass adds to the gradient. */
static float *level_of(const ls_layer *layer, const ls_pass *pass, size_t level) {
  if (level == 0 && !pass->adds) return layer->params[0].grad;
  if (layer->kept_fold) return layer->kept_fold + level * ls_layer_n_params(layer);
  return (float *)(void *)((unsigned char *)layer->workspace + layer->fold) +
         level * ls_layer_n_params(layer);
}

void layer_set_gradients(const ls_layer *layer, const ls_pass *pass, size_t lane, ls_rows *rows) {
  const bool is_only = pass->n_lanes == 1;
  float *at = is_only ? layer->params[0].grad : level_of(layer, pass, ls_lane_level(lane));
  rows->beta = is_only && pass->adds ? 1.0F : 0.0F;
  for (size_t p = 0; p < layer->n_params; p++) {
    rows->grads[p] = at;
    at += ls_param_count(&layer->params[p]);
  }
}

void layer_fold_gradients(const ls_layer *layer, const ls_pass *pass, size_t lane) {
  const bool is_last = lane + 1 == pass->n_lanes;
  const size_t n = ls_layer_n_params(layer);
  size_t top = ls_lane_level(lane);
  if (pass->n_lanes == 1 || n == 0) return;
  for (size_t merges = ls_lane_merges(lane, pass->n_lanes); merges > 0; merges--, top--)
    ls_math_add_scaled(n, 1.0F, level_of(layer, pass, top), level_of(layer, pass, top - 1));
  if (pass->adds && is_last) ls_math_add_scaled(n, 1.0F, level_of(layer, pass, 0), layer->params[0].grad);
}

/* The rows of a lane, from all rows of the pass. */
static ls_rows lane_rows(const ls_layer *layer, const ls_pass *pass, size_t lane, const ls_rows *all) {
  const size_t first = pass->lanes[lane];
  ls_rows rows = {.first = first,
                  .n = pass->lanes[lane + 1] - first,
                  .x = all->x + first * layer->n_in,
                  .y = all->y + first * layer->n_out,
                  .dy = all->dy ? all->dy + first * layer->n_out : NULL,
                  .dx = all->dx ? all->dx + first * layer->n_in : NULL};
  if (all->dy) layer_set_gradients(layer, pass, lane, &rows);
  return rows;
}

void layer_gather(ls_layer *layer, const ls_pass *pass, size_t lane, const ls_rows *rows) {
  if (!layer) return;
  layer->type->gather(layer, pass, lane, rows);
  layer->is_gathered = true;
}

void layer_reduce(ls_layer *layer, const ls_pass *pass, const ls_rows *all) {
  if (!all->dy) layer->input = all->x;
  for (size_t lane = 0; !layer->is_gathered && lane < pass->n_lanes; lane++) {
    const size_t first = pass->lanes[lane];
    layer->type->gather(layer, pass, lane,
                        &(ls_rows){.first = first,
                                   .n = pass->lanes[lane + 1] - first,
                                   .x = layer->input + first * layer->n_in,
                                   .dy = all->dy ? all->dy + first * layer->n_out : NULL});
  }
  layer->is_gathered = false;
  layer->type->reduce(layer, pass, all);
}

/* Runs a layer forward, or backward if `all` has dy: over all rows, or lane by lane. */
static void run(ls_layer *layer, const ls_pass *pass, const ls_rows *all) {
  const ls_layer_type *const type = layer->type;
  const bool is_backward = all->dy != NULL;
  void (*const function)(ls_layer *, const ls_pass *, const ls_rows *) =
      is_backward ? type->backward : type->forward;
  if (type->spans_lanes) {
    function(layer, pass, all);
    return;
  }
  if (type->start && !pass->is_ready) type->start(layer, is_backward, all->dx != NULL);
  if (type->reduce && !pass->is_ready) layer_reduce(layer, pass, all);
  for (size_t lane = 0; lane < pass->n_lanes; lane++) {
    const ls_rows rows = lane_rows(layer, pass, lane, all);
    function(layer, pass, &rows);
    if (type->finish && is_backward) type->finish(layer, &rows);
    if (is_backward && !type->reduce) layer_fold_gradients(layer, pass, lane);
  }
}

void ls_layer_forward(ls_layer *layer, const ls_pass *pass, const float *x) {
  if (!layer->is_fused) run(layer, pass, &(ls_rows){.n = ls_pass_rows(pass), .x = x, .y = layer->output});
}

void ls_layer_backward(ls_layer *layer, const ls_pass *pass, const float *x, float *dy, float *dx) {
  run(layer, pass, &(ls_rows){.n = ls_pass_rows(pass), .x = x, .y = layer->output, .dy = dy, .dx = dx});
}

void layer_put_sums(const ls_rows *rows, size_t param, size_t n, const double *sums) {
  float *const gradient = rows->grads[param];
  for (size_t j = 0; j < n; j++) gradient[j] = (rows->beta == 0.0F ? 0.0F : gradient[j]) + (float)sums[j];
}

/* ------------------------------------------------------------ products in pieces */

/* Multiplications in one piece of a product while communication is pending: a few milliseconds, since the
 * network makes no progress during a piece, but enough for BLAS to run at full speed. */
#define PIECE     ((size_t)1 << 27)
#define PIECE_MIN 64 /* rows or columns */

/* Rows or columns in one piece of a product of n, with `each` multiplications per row or column. */
static size_t piece_length(const ls_pass *pass, size_t each, size_t n) {
  if (!pass->ready) return ls_size_max(n, 1);
  return ls_size_max(PIECE / ls_size_max(each, 1), PIECE_MIN) / PIECE_MIN * PIECE_MIN;
}

void layer_weight_gradient(const ls_pass *pass, const ls_rows *rows, size_t n_out, size_t n_in,
                           const float *dz, float *dw) {
  const size_t step = piece_length(pass, rows->n * n_in, n_out);
  for (size_t first = 0; first < n_out; first += step) {
    const size_t count = ls_size_min(step, n_out - first);
    ls_math_product_tn_rows(first, count, n_out, n_in, rows->n, dz, rows->x, rows->beta, dw);
    if (pass->ready) pass->ready(pass->context, pass->n_lanes == 1 ? dw + (first + count) * n_in : NULL);
  }
}

void layer_input_gradient(const ls_pass *pass, const ls_rows *rows, size_t n_out, size_t n_in,
                          const float *dz, const float *w) {
  const size_t step = piece_length(pass, rows->n * n_out, n_in);
  for (size_t first = 0; rows->dx && first < n_in; first += step) {
    ls_math_product_nn_columns(first, ls_size_min(step, n_in - first), rows->n, n_in, n_out, dz, w, 0.0F,
                               rows->dx);
    if (pass->ready) pass->ready(pass->context, NULL);
  }
}
