/* The gradient of the weights of a convolution: for each box, products of its padded tile and dz. */
#include "internal.h"

#include <string.h>

#define CHUNK                                                                                              \
  128 /* positions whose products are summed at once: their data stay in the first-level cache */

/* Positions whose products are summed in float, before their sum is added in double. */
#define POSITIONS           8192
#define POSITIONS_DEPTHWISE 256 /* these sums have no chunks */

/* Adds the sums over the latest positions to the total. */
CLONES static void add_to_total(size_t n, float *restrict dw, double *restrict total) {
  for (size_t i = 0; i < n; i++) {
    total[i] += (double)dw[i];
    dw[i] = 0.0F;
  }
}

/* Stores the total as float. */
CLONES static void put_total(size_t n, const double *restrict total, float *restrict dw) {
  for (size_t i = 0; i < n; i++) dw[i] = (float)total[i];
}

static void set_offsets(const math_walk *walk, size_t *offsets) {
  for (size_t r = 0; r < walk->n_runs; r++)
    for (size_t i = 0; i < walk->run_length; i++) offsets[r * walk->run_length + i] = walk->runs[r] + i;
}

/* Packs the box's dz of a group.  dz: of its first channel */
static void pack_dz(const math_walk *walk, size_t filters, const float *dz, float *out) {
  for (size_t block = 0; block < filters; block += MATH_LANE) {
    const size_t n = ls_size_min(MATH_LANE, filters - block);
    for (size_t q = 0; q < walk->n; q++, out += MATH_LANE) {
      const float *const at = dz + walk->to[q] + block;
      if (n == MATH_LANE)
        memcpy(out, at, MATH_LANE * sizeof *out);
      else
        for (size_t j = 0; j < MATH_LANE; j++) out[j] = j < n ? at[j] : 0.0F;
    }
  }
}

/* Adds the products of a box for a group.  dz: packed by this function, in the workspace */
static void add_products(const ls_conv_plan *plan, size_t g, const float *dz, float *packed_dz) {
  const math_walk *const walk = &plan->forward;
  const size_t channels = plan->conv.channels / plan->conv.groups;
  const size_t filters = plan->conv.filters / plan->conv.groups;
  const size_t terms = math_conv_taps(&plan->conv) * channels;
  pack_dz(walk, filters, dz + walk->y + g * filters, packed_dz);
  for (size_t q = 0; q < walk->n; q += CHUNK)
    math_conv_products(&(math_products){.x = walk->x + g * channels,
                                        .n = ls_size_min(CHUNK, walk->n - q),
                                        .from = walk->from + q,
                                        .n_k = terms,
                                        .offsets = plan->offsets,
                                        .dz = packed_dz + q * MATH_LANE,
                                        .dz_stride = walk->n * MATH_LANE,
                                        .blocks = math_lanes(filters),
                                        .dw = plan->dw + g * math_conv_packed_size(filters, terms)});
}

void ls_conv_start_weights(ls_conv_plan *plan) {
  set_offsets(&plan->forward, plan->offsets);
  memset(plan->dw, 0, plan->n_dw * sizeof *plan->dw);
  plan->positions = 0;
  plan->has_total = false;
}

/* Begins another sum in float if the latest one has enough positions. */
static void limit_positions(ls_conv_plan *plan) {
  const size_t most = math_conv_is_depthwise(&plan->conv) ? POSITIONS_DEPTHWISE : POSITIONS;
  if (plan->positions >= most) {
    if (!plan->has_total) memset(plan->total, 0, plan->n_dw * sizeof *plan->total);
    plan->has_total = true;
    add_to_total(plan->n_dw, plan->dw, plan->total);
    plan->positions = 0;
  }
  plan->positions += plan->forward.n;
}

void ls_conv_backward_weights(ls_conv_plan *plan, size_t n, const float *x, const float *dz,
                              void *workspace) {
  ls_arena scratch = {.base = workspace, .capacity = SIZE_MAX};
  math_walk *const walk = &plan->forward;
  walk->tile = ls_arena_take(&scratch, 1, math_walk_tile_bytes(walk));
  float *const packed_dz = ls_arena_take(&scratch, 0, 1); /* what follows */
  while (math_walk_next(walk, n, x)) {
    limit_positions(plan);
    if (math_conv_is_depthwise(&plan->conv))
      math_depthwise_products(walk, dz, plan->dw);
    else
      for (size_t g = 0; g < plan->conv.groups; g++) add_products(plan, g, dz, packed_dz);
  }
}

void ls_conv_finish_weights(ls_conv_plan *plan, float beta, float *dw) {
  const ls_conv *const conv = &plan->conv;
  const size_t filters = conv->filters / conv->groups;
  const size_t terms = math_conv_taps(conv) * (conv->channels / conv->groups);
  if (plan->has_total) {
    add_to_total(plan->n_dw, plan->dw, plan->total);
    put_total(plan->n_dw, plan->total, plan->dw);
  }
  if (math_conv_is_depthwise(conv))
    math_depthwise_unpack(math_conv_taps(conv), conv->channels, plan->dw, beta, dw);
  else
    for (size_t g = 0; g < conv->groups; g++)
      math_conv_unpack_filters(filters, terms, plan->dw + g * math_conv_packed_size(filters, terms), beta,
                               dw + g * filters * terms);
}
