/* Consecutive layers whose rows are independent process a few rows in turn, forward and backward, so that
 * the activations between them stay in the second-level cache. The number of rows follows from the shapes
 * alone, so that results do not depend on the batch. */
#include "internal.h"

/* The largest number of elements of a row between the layers. */
static size_t widest_of(ls_layer *const *layers, size_t n) {
  size_t widest = 1;
  for (size_t k = 0; k < n; k++)
    widest = ls_size_max(widest, ls_size_max(layers[k]->n_in, layers[k]->n_out));
  return widest;
}

/* Only layers with `start`, which read their inputs more than once, gain from it. */
size_t ls_layers_in_pieces(ls_layer *const *layers, size_t n) {
  size_t count = 0;
  bool gains = false;
  if (layers[0]->is_fused) return 1;
  while (count < n && layers[count]->type->in_pieces && widest_of(layers, count + 1) <= LS_PIECE_FLOATS)
    gains = layers[count++]->type->start || gains;
  return gains && count > 1 ? count : 1;
}

static size_t piece_rows(ls_layer *const *layers, size_t n) {
  return LS_PIECE_FLOATS / widest_of(layers, n);
}

void ls_layers_forward(ls_layer *const *layers, size_t n, const ls_pass *pass, const float *x) {
  const size_t step = piece_rows(layers, n);
  for (size_t k = 0; k < n; k++)
    if (layers[k]->type->start) layers[k]->type->start(layers[k], false, false);
  for (size_t lane = 0; lane < pass->n_lanes; lane++)
    for (size_t first = pass->lanes[lane]; first < pass->lanes[lane + 1]; first += step) {
      const float *in = x + first * layers[0]->n_in;
      for (size_t k = 0; k < n; k++) {
        const ls_rows rows = {.first = first,
                              .n = ls_size_min(step, pass->lanes[lane + 1] - first),
                              .x = in,
                              .y = layers[k]->output + first * layers[k]->n_out};
        layers[k]->type->forward(layers[k], pass, &rows);
        in = rows.y;
      }
    }
}

/* A piece of a lane, with the ends of the layers. */
typedef struct piece {
  size_t lane, first, n;
  bool adds; /* to the gradients of earlier pieces */
  const float *x;
  float *dy, *dx;
  float *const *deltas;
} piece;

static void backward_piece(ls_layer *const *layers, size_t n, const ls_pass *pass, const piece *p) {
  float *dy = p->dy + p->first * layers[n - 1]->n_out;
  for (size_t k = n; k-- > 0;) {
    ls_layer *const layer = layers[k];
    float *const ends = p->dx ? p->dx + p->first * layer->n_in : NULL;
    ls_rows rows = {.first = p->first,
                    .n = p->n,
                    .x = (k > 0 ? layers[k - 1]->output : p->x) + p->first * layer->n_in,
                    .y = layer->output + p->first * layer->n_out,
                    .dy = dy,
                    .dx = k > 0 ? p->deltas[k % 2] : ends};
    layer_set_gradients(layer, pass, p->lane, &rows);
    if (p->adds) rows.beta = 1.0F;
    layer->type->backward(layer, pass, &rows);
    dy = rows.dx;
  }
}

static void finish_lane(ls_layer *const *layers, size_t n, const ls_pass *pass, size_t lane) {
  for (size_t k = 0; k < n; k++) {
    ls_rows rows = {.first = pass->lanes[lane], .n = pass->lanes[lane + 1] - pass->lanes[lane]};
    layer_set_gradients(layers[k], pass, lane, &rows);
    if (layers[k]->type->finish) layers[k]->type->finish(layers[k], &rows);
    layer_fold_gradients(layers[k], pass, lane);
  }
}

void ls_layers_backward(ls_layer *const *layers, size_t n, const ls_pass *pass, const float *x, float *dy,
                        float *dx, float *const deltas[2]) {
  const size_t step = piece_rows(layers, n);
  for (size_t lane = 0; lane < pass->n_lanes; lane++) {
    const size_t end = pass->lanes[lane + 1];
    piece p = {.lane = lane, .first = pass->lanes[lane], .x = x, .dy = dy, .dx = dx, .deltas = deltas};
    for (size_t k = 0; k < n; k++)
      if (layers[k]->type->start) layers[k]->type->start(layers[k], true, k > 0 || dx);
    do { /* once for an empty lane, whose gradients are 0 */
      p.n = ls_size_min(step, end - p.first);
      backward_piece(layers, n, pass, &p);
      p.adds = true;
      p.first += p.n;
    } while (p.first < end);
    finish_lane(layers, n, pass, lane);
  }
}
