/* Convolutions of samples with channels last: direct, by walks over boxes (see internal.h), without a
 * matrix of patches; or by Winograd's algorithm (see winograd.h), if the shape fits.
 *
 *   forward           y[o][f] = b[f] + sum_k,c x[o stride - before + k dilation][c] w[f][k][c]
 *   backward, data    dx[i][c] = sum_f,k dz[(i + before - k dilation) / stride][f] w[f][k][c], the terms
 *                     whose index is an integer: for each phase of i modulo the stride, a convolution of dz
 *   backward, weights dw[f][k][c] = sum_n,o dz[o][f] x[o stride - before + k dilation][c] */
#include "internal.h"

#include <string.h>

enum { D, H, W };

/* ------------------------------------------------------------------- plans */

static void plan_forward(const ls_conv *conv, math_walk *walk, ls_arena *arena) {
  *walk = (math_walk){
      .source_channels = conv->channels, .dest_channels = conv->filters, .groups = conv->groups};
  for (size_t i = 0; i < LS_WINDOW_DIMS; i++) {
    math_sweep_forward(&conv->window, i, &walk->dims[i]);
    walk->source[i] = conv->window.in[i];
    walk->dest[i] = conv->window.out[i];
  }
  math_walk_plan(walk, arena);
}

static void plan_data(const ls_conv *conv, const size_t *phase, math_walk *walk, ls_arena *arena) {
  *walk = (math_walk){
      .source_channels = conv->filters, .dest_channels = conv->channels, .groups = conv->groups};
  for (size_t i = 0; i < LS_WINDOW_DIMS; i++) {
    math_sweep_backward(&conv->window, i, phase[i], &walk->dims[i]);
    walk->source[i] = conv->window.out[i];
    walk->dest[i] = conv->window.in[i];
  }
  math_walk_plan(walk, arena);
}

/* The phase after the current one in row-major order; false after the last. */
static bool next_phase(const ls_conv *conv, size_t *phase) {
  for (size_t i = LS_WINDOW_DIMS; i-- > 0;) {
    if (++phase[i] < ls_size_min(conv->window.stride[i], conv->window.in[i])) return true;
    phase[i] = 0;
  }
  return false;
}

static float *take_packed(const math_walk *walk, ls_arena *arena) {
  return ls_arena_take(arena, walk->bands * sizeof(float), math_walk_weights_size(walk));
}

/* Takes the walks of all phases and their weights. Returns the bytes of the largest tile. */
static size_t reserve_data(const ls_conv *conv, ls_arena *arena, ls_conv_plan *plan) {
  size_t phase[LS_WINDOW_DIMS] = {0};
  size_t most = 0;
  size_t p = 0;
  do p++;
  while (next_phase(conv, phase));
  plan->n_phases = p;
  plan->data = ls_arena_take(arena, p, sizeof *plan->data);
  p = 0;
  do {
    math_data data;
    plan_data(conv, phase, &data.walk, arena);
    data.packed = take_packed(&data.walk, arena);
    most = ls_size_max(most, math_walk_tile_bytes(&data.walk));
    if (plan->data) plan->data[p++] = data;
  } while (next_phase(conv, phase));
  return most;
}

/* Takes what Winograd's algorithm needs. Returns the bytes of its workspace. */
static size_t reserve_winograd(ls_arena *arena, ls_conv_plan *plan) {
  math_winograd_plan(&plan->conv, false, arena, &plan->outputs);
  if (plan->conv.predicts) return math_winograd_bytes(&plan->outputs);
  math_winograd_plan(&plan->conv, true, arena, &plan->inputs);
  plan->n_du = WINOGRAD_ELEMENTS * plan->outputs.lanes * plan->outputs.channels;
  plan->du = ls_arena_take(arena, plan->n_du, sizeof *plan->du);
  return ls_size_max(math_winograd_bytes(&plan->outputs), math_winograd_bytes(&plan->inputs));
}

/* Takes what the gradients need. Returns the bytes of workspace for that of x. */
static size_t reserve_gradients(ls_arena *arena, ls_conv_plan *plan) {
  const math_walk *const walk = &plan->forward;
  plan->offsets = ls_arena_take(arena, walk->n_runs * walk->run_length, sizeof *plan->offsets);
  plan->packed_to = ls_arena_take(arena, MATH_CHUNK, sizeof *plan->packed_to);
  plan->n_dw = walk->bands * math_walk_packed_size(walk);
  plan->dw = ls_arena_take(arena, plan->n_dw, sizeof *plan->dw);
  plan->total = ls_arena_take(arena, plan->n_dw, sizeof *plan->total);
  return reserve_data(&plan->conv, arena, plan);
}

/* Uses the packed weights of another plan. */
static void share_weights(const ls_conv_plan *from, ls_conv_plan *plan) {
  plan->filters = from->filters;
  plan->b = from->b;
  plan->has_b = from->has_b;
  plan->outputs.w = from->outputs.w;
}

size_t ls_conv_reserve(const ls_conv *conv, ls_arena *arena, ls_conv_plan **out) {
  ls_conv_plan plan = {.conv = *conv, .is_winograd = math_winograd_fits(conv)};
  math_walk *const walk = &plan.forward;
  *out = ls_arena_take(arena, 1, sizeof plan);
  plan_forward(conv, walk, arena);
  if (!conv->twin) {
    plan.filters = take_packed(walk, arena);
    plan.b = ls_arena_take(arena, walk->bands * math_padded(walk->band_dests), sizeof *plan.b);
  }
  const size_t of_data = conv->predicts ? 0 : reserve_gradients(arena, &plan);
  const size_t of_winograd = plan.is_winograd ? reserve_winograd(arena, &plan) : 0;
  if (conv->twin) share_weights(conv->twin, &plan);
  if (*out) **out = plan;
  if (plan.is_winograd) return of_winograd;
  ls_arena weights = {0};
  ls_arena_take(&weights, 1, math_walk_tile_bytes(walk));
  if (!conv->predicts)
    ls_arena_take(&weights, math_conv_packed_size(walk->band_dests, MATH_CHUNK), sizeof(float));
  return weights.overflow ? SIZE_MAX : ls_size_max(of_data, weights.used);
}

/* ----------------------------------------------------------------- forward */

/* The box's outputs of all bands.  packed: (bands, packed weights), b: (bands, lanes) or NULL */
static void convolve_box(math_walk *walk, const float *x, const float *packed, const float *b, bool adds,
                         float *y) {
  for (size_t band = 0; band < walk->bands; band++) {
    math_walk_load(walk, band, x);
    const float *const weights = packed + band * math_walk_weights_size(walk);
    const math_tiles tiles = {.x = walk->x,
                              .n = walk->n,
                              .from = walk->from,
                              .to = walk->to,
                              .n_runs = walk->n_runs,
                              .run_length = walk->run_length,
                              .runs = walk->runs,
                              .w = weights + (walk->has_dots ? math_walk_packed_size(walk) : 0),
                              .b = b ? b + band * math_padded(walk->band_dests) : NULL,
                              .channels = walk->band_dests,
                              .adds = adds,
                              .y = y + walk->y};
    if (walk->is_depthwise)
      math_depthwise_tiles(&tiles);
    else if (walk->has_dots)
      math_dots_tiles(&tiles);
    else
      math_conv_tiles(&tiles);
  }
}

/* Applies the activation to the box's outputs: to each row along W, which is contiguous.
 * y: of the first position */
static void activate_box(const math_walk *walk, ls_activation f, float alpha, float *y) {
  const size_t row = walk->count[W];
  const size_t c = walk->dest_channels;
  for (size_t q = 0; f != LS_LINEAR && q < walk->n; q += row)
    ls_math_activate(f, alpha, f == LS_SOFTMAX ? row : 1, f == LS_SOFTMAX ? c : row * c, NULL,
                     y + walk->to[q]);
}

void ls_conv_start_forward(ls_conv_plan *plan, const float *w, const float *b) {
  const math_walk *const walk = &plan->forward;
  const size_t filters = walk->band_dests;
  const size_t terms = walk->n_runs * walk->run_length;
  const size_t padded = math_padded(filters);
  plan->has_b = b != NULL;
  memset(plan->b, 0, walk->bands * padded * sizeof *b);
  for (size_t i = 0; i < walk->bands; i++) {
    if (b) memcpy(plan->b + i * padded, b + i * filters, filters * sizeof *b);
    float *const packed = plan->filters + i * math_walk_weights_size(walk);
    math_conv_pack_filters(filters, terms, w + i * filters * terms, packed);
    if (walk->has_dots) math_dots_pack(walk, packed, packed + math_walk_packed_size(walk));
  }
  if (plan->is_winograd) math_winograd_transform_weights(&plan->outputs, plan->filters);
}

void ls_conv_forward(ls_conv_plan *plan, size_t n, const float *x, bool adds, ls_activation f, float alpha,
                     float *y, void *workspace) {
  math_walk *const walk = &plan->forward;
  const float *const b = plan->has_b ? plan->b : NULL;
  if (plan->is_winograd) {
    math_winograd_convolve(&plan->outputs, n, x, b, adds, f, alpha, y, workspace);
    return;
  }
  walk->tile = workspace;
  while (math_walk_next(walk, n)) {
    convolve_box(walk, x, plan->filters, b, adds, y);
    activate_box(walk, f, alpha, y + walk->y - (walk->bands - 1) * walk->band_dests);
  }
}

/* ---------------------------------------------------------- backward, data */

void ls_conv_start_data(ls_conv_plan *plan, const float *w) {
  const ls_conv *const conv = &plan->conv;
  for (size_t p = 0; p < plan->n_phases; p++) {
    const math_walk *const walk = &plan->data[p].walk;
    const size_t size = walk->band_sources * math_conv_taps(conv) * (conv->channels / conv->groups);
    for (size_t i = 0; i < walk->bands; i++) {
      float *const packed = plan->data[p].packed + i * math_walk_weights_size(walk);
      math_conv_pack_channels(conv, walk, w + i * size, packed);
      if (walk->has_dots) math_dots_pack(walk, packed, packed + math_walk_packed_size(walk));
    }
  }
  if (plan->is_winograd) math_winograd_transform_weights(&plan->inputs, plan->data[0].packed);
}

void ls_conv_backward_data(ls_conv_plan *plan, size_t n, const float *dz, float *dx, void *workspace) {
  if (plan->is_winograd) {
    math_winograd_convolve(&plan->inputs, n, dz, NULL, false, LS_LINEAR, 0.0F, dx, workspace);
    return;
  }
  for (size_t p = 0; p < plan->n_phases; p++) {
    math_walk *const walk = &plan->data[p].walk;
    walk->tile = workspace;
    while (math_walk_next(walk, n)) convolve_box(walk, dz, plan->data[p].packed, NULL, false, dx);
  }
}
