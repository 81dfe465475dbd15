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
  const math_walk *const walk = &plan->parts[0].forward;
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

static void forward_part(const math_conv_call *call) {
  const ls_conv_plan *const plan = call->plan;
  const float *const b = plan->has_b ? plan->b : NULL;
  math_walk *const walk = &call->part->forward;
  if (plan->is_winograd) {
    math_winograd_convolve(&plan->outputs, call->n, call->x, b, call->adds, call->f, call->alpha, call->y,
                           call->workspace);
    return;
  }
  walk->tile = (float *)(void *)call->workspace;
  while (math_walk_next(walk, call->n)) {
    convolve_box(walk, call->x, plan->filters, b, call->adds, call->y);
    activate_box(walk, call->f, call->alpha, call->y + walk->y - (walk->bands - 1) * walk->band_dests);
  }
}

void ls_conv_forward(ls_conv_plan *plan, size_t n, const float *x, bool adds, ls_activation f, float alpha,
                     float *y, void *workspace) {
  const math_conv_call call = {
      .plan = plan, .n = n, .x = x, .y = y, .adds = adds, .f = f, .alpha = alpha, .workspace = workspace};
  math_conv_divide(&call, forward_part);
}

/* ---------------------------------------------------------- backward, data */

void ls_conv_start_data(ls_conv_plan *plan, const float *w) {
  const ls_conv *const conv = &plan->conv;
  for (size_t p = 0; p < plan->n_phases; p++) {
    const math_walk *const walk = &plan->parts[0].data[p];
    const size_t size = walk->band_sources * math_conv_taps(conv) * (conv->channels / conv->groups);
    for (size_t i = 0; i < walk->bands; i++) {
      float *const packed = plan->packed[p] + i * math_walk_weights_size(walk);
      math_conv_pack_channels(conv, walk, w + i * size, packed);
      if (walk->has_dots) math_dots_pack(walk, packed, packed + math_walk_packed_size(walk));
    }
  }
  if (plan->is_winograd) math_winograd_transform_weights(&plan->inputs, plan->packed[0]);
}

static void data_part(const math_conv_call *call) {
  const ls_conv_plan *const plan = call->plan;
  if (plan->is_winograd) {
    math_winograd_convolve(&plan->inputs, call->n, call->dz, NULL, false, LS_LINEAR, 0.0F, call->dx,
                           call->workspace);
    return;
  }
  for (size_t p = 0; p < plan->n_phases; p++) {
    math_walk *const walk = &call->part->data[p];
    walk->tile = (float *)(void *)call->workspace;
    while (math_walk_next(walk, call->n))
      convolve_box(walk, call->dz, plan->packed[p], NULL, false, call->dx);
  }
}

void ls_conv_backward_data(ls_conv_plan *plan, size_t n, const float *dz, float *dx, void *workspace) {
  math_conv_divide(&(math_conv_call){.plan = plan, .n = n, .dz = dz, .dx = dx, .workspace = workspace},
                   data_part);
}
