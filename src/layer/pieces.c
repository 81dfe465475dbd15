/* Consecutive layers whose rows are independent process a few rows in turn, forward and backward, so that
 * the activations between them stay in the second-level cache. The number of rows follows from the shapes
 * and the number of threads, so that results do not depend on the batch. */
#include "internal.h"

static size_t width_of(const ls_layer *layer) {
  return ls_size_max(1, ls_size_max(layer->n_in, layer->n_out));
}

static bool fits(const ls_layer *layer) {
  return layer->type->in_pieces && width_of(layer) <= LS_PIECE_FLOATS;
}

/* Only layers with `start`, which read their inputs more than once, gain from pieces. */
static bool gain(ls_layer *const *layers, size_t n) {
  bool any = false;
  for (size_t k = 0; k < n; k++) any = any || layers[k]->type->start;
  return any;
}

size_t ls_layers_forward_group(ls_layer *const *layers, size_t n) {
  size_t count = 1;
  if (layers[0]->is_fused || !fits(layers[0])) return 1;
  while (count < n && fits(layers[count]) && !layers[count]->type->reduce) count++;
  return gain(layers, count) ? count : 1;
}

size_t ls_layers_backward_group(ls_layer *const *layers, size_t last) {
  size_t first = last;
  if (!fits(layers[last])) return last;
  while (first > 0 && fits(layers[first - 1]) && !layers[first - 1]->type->reduce &&
         !layers[first - 1]->is_fused)
    first--;
  return gain(layers + first, last - first + 1) ? first : last;
}

/* A layer with a role, such as the skip of a residual, does not follow the one before it. */
bool ls_layers_need_deltas(ls_layer *const *layers, size_t n) {
  bool need = false;
  for (size_t k = 0; k < n; k++)
    need = need || (!layers[k]->role && ls_layers_backward_group(layers, k) < k) ||
           ls_layers_need_deltas(layers[k]->children, layers[k]->n_children);
  return need;
}

/* Half as many rows with batch norm, since its convolution's arrays are in the cache at the same time. Each
 * thread has as many. */
static size_t piece_rows(ls_layer *const *layers, size_t n) {
  size_t widest = 1;
  bool reduces = false;
  for (size_t k = 0; k < n; k++) widest = ls_size_max(widest, width_of(layers[k]));
  for (size_t k = 0; k < n; k++) reduces = reduces || layers[k]->type->reduce;
  return layers[0]->threads * ls_size_max(LS_PIECE_FLOATS / (reduces ? 2 : 1) / widest, 1);
}

/* Whether a group processes its rows in pieces: layers that pass them on, or one whose rows are summed. */
static bool has_pieces(ls_layer *const *layers, size_t n, const ls_layer *sums) {
  return n > 1 || (sums && fits(layers[0]));
}

/* A piece of a lane, with the ends of the layers. */
typedef struct piece {
  size_t lane, first, n;
  bool adds; /* to the gradients of earlier pieces */
  const float *x;
  float *dy, *dx;
} piece;

static void forward_piece(ls_layer *const *layers, size_t n, const ls_pass *pass, const piece *p) {
  const float *in = p->x + p->first * layers[0]->n_in;
  for (size_t k = 0; k < n; k++) {
    if (layers[k]->is_fused) continue;
    const ls_rows rows = {
        .first = p->first, .n = p->n, .x = in, .y = layers[k]->output + p->first * layers[k]->n_out};
    layers[k]->type->forward(layers[k], pass, &rows);
    in = rows.y;
  }
  layer_gather(layers[n - 1]->sums_output, pass, p->lane,
               &(ls_rows){.first = p->first, .n = p->n, .x = in});
}

void ls_layers_forward(ls_layer *const *layers, size_t n, const ls_pass *pass, const float *x) {
  const size_t step = piece_rows(layers, n);
  if (!has_pieces(layers, n, layers[n - 1]->sums_output)) {
    ls_layer_forward(layers[0], pass, x);
    return;
  }
  for (size_t k = 0; k < n; k++)
    if (layers[k]->type->start && !pass->is_ready) layers[k]->type->start(layers[k], false, false);
  if (layers[0]->type->reduce && !pass->is_ready)
    layer_reduce(layers[0], pass, &(ls_rows){.n = ls_pass_rows(pass), .x = x});
  for (size_t lane = 0; lane < pass->n_lanes; lane++) {
    const size_t end = pass->lanes[lane + 1];
    piece p = {.lane = lane, .first = pass->lanes[lane], .x = x};
    do { /* once for an empty lane, whose sums are 0 */
      p.n = ls_size_min(step, end - p.first);
      forward_piece(layers, n, pass, &p);
      p.first += p.n;
    } while (p.first < end);
  }
}

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
                    .dx = k > 0 ? layer->piece_deltas + k % 2 * layer->threads * LS_PIECE_FLOATS : ends};
    layer_set_gradients(layer, pass, p->lane, &rows);
    if (p->adds) rows.beta = 1.0F;
    layer->type->backward(layer, pass, &rows);
    dy = rows.dx;
  }
  ls_layer *const before = dy ? layers[0]->sums_delta : NULL;
  if (before)
    layer_gather(
        before, pass, p->lane,
        &(ls_rows){.first = p->first, .n = p->n, .x = before->input + p->first * before->n_in, .dy = dy});
}

static void finish_lane(ls_layer *const *layers, size_t n, const ls_pass *pass, size_t lane) {
  for (size_t k = 0; k < n; k++) {
    ls_rows rows = {.first = pass->lanes[lane], .n = pass->lanes[lane + 1] - pass->lanes[lane]};
    layer_set_gradients(layers[k], pass, lane, &rows);
    if (layers[k]->type->finish) layers[k]->type->finish(layers[k], &rows);
    if (!layers[k]->type->reduce) layer_fold_gradients(layers[k], pass, lane);
  }
}

void ls_layers_backward(ls_layer *const *layers, size_t n, const ls_pass *pass, const float *x, float *dy,
                        float *dx) {
  const size_t step = piece_rows(layers, n);
  ls_layer *const last = layers[n - 1];
  if (!has_pieces(layers, n, layers[0]->sums_delta)) {
    ls_layer_backward(last, pass, x, dy, dx);
    return;
  }
  for (size_t k = 0; k < n; k++)
    if (layers[k]->type->start) layers[k]->type->start(layers[k], true, k > 0 || dx);
  if (last->type->reduce)
    layer_reduce(last, pass,
                 &(ls_rows){.n = ls_pass_rows(pass), .dy = dy, .dx = n > 1 ? last->piece_deltas : dx});
  for (size_t lane = 0; lane < pass->n_lanes; lane++) {
    const size_t end = pass->lanes[lane + 1];
    piece p = {.lane = lane, .first = pass->lanes[lane], .x = x, .dy = dy, .dx = dx};
    do { /* once for an empty lane, whose gradients are 0 */
      p.n = ls_size_min(step, end - p.first);
      backward_piece(layers, n, pass, &p);
      p.adds = true;
      p.first += p.n;
    } while (p.first < end);
    finish_lane(layers, n, pass, lane);
  }
}
