/* Convolutions of samples with channels last: direct, by walks over boxes (see internal.h), without a
 * matrix of patches.
 *
 *   forward           y[o][f] = b[f] + sum_k,c x[o stride - before + k dilation][c] w[f][k][c]
 *   backward, data    dx[i][c] = sum_f,k dz[(i + before - k dilation) / stride][f] w[f][k][c], the terms
 *                     whose index is an integer: for each phase of i modulo the stride, a convolution of dz
 *   backward, weights dw[f][k][c] = sum_n,o dz[o][f] x[o stride - before + k dilation][c] */
#include "internal.h"

#include <string.h>

enum { D, H, W };

#define CHUNK                                                                                              \
  128 /* positions whose products are summed at once: their data stay in the first-level cache */

static size_t taps_of(const ls_conv *conv) {
  return ls_window_count(conv->window.size);
}

/* ---------------------------------------------------------------- weights */

/* Whether each filter sees one channel, its own. */
static bool is_depthwise(const ls_conv *conv) {
  return conv->groups > 1 && conv->groups == conv->channels && conv->groups == conv->filters;
}

/* The packed weights of a group: floats. */
static size_t packed_size(size_t outputs, size_t terms) {
  return math_lanes(outputs) * terms * MATH_LANE;
}

/* Packs the weights of a group with its filters as outputs.  w: (filters, terms) of the group */
static void pack_filters(size_t filters, size_t terms, const float *w, float *out) {
  for (size_t block = 0; block < filters; block += MATH_LANE)
    for (size_t k = 0; k < terms; k++, out += MATH_LANE)
      for (size_t j = 0; j < MATH_LANE; j++)
        out[j] = block + j < filters ? w[(block + j) * terms + k] : 0.0F;
}

/* Packs the weights of a group with its channels as outputs, for the taps of a walk backward.
 * w: (filters, taps, channels) of the group */
static void pack_channels(const ls_conv *conv, const math_walk *walk, const float *w, float *out) {
  const size_t channels = conv->channels / conv->groups;
  const size_t filters = conv->filters / conv->groups;
  for (size_t block = 0; block < channels; block += MATH_LANE)
    for (size_t t = 0; t < walk->n_taps; t++) {
      const size_t tap = math_walk_tap(walk, conv->window.size, t);
      for (size_t f = 0; f < filters; f++, out += MATH_LANE)
        for (size_t j = 0; j < MATH_LANE; j++)
          out[j] = block + j < channels ? w[(f * taps_of(conv) + tap) * channels + block + j] : 0.0F;
    }
}

/* w = beta w + packed, the inverse of pack_filters. */
static void unpack_filters(size_t filters, size_t terms, const float *packed, float beta, float *w) {
  for (size_t f = 0; f < filters; f++) {
    const float *const lane = packed + f / MATH_LANE * terms * MATH_LANE + f % MATH_LANE;
    for (size_t k = 0; k < terms; k++, w++) *w = (beta == 0.0F ? 0.0F : beta * *w) + lane[k * MATH_LANE];
  }
}

/* ------------------------------------------------------------------- walks */

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

static void plan_backward(const ls_conv *conv, const size_t *phase, math_walk *walk, ls_arena *arena) {
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

/* ----------------------------------------------------------------- forward */

/* The box's outputs of all groups.  packed: (groups, packed weights), b: (groups, lanes) or NULL */
static void convolve_box(const math_walk *walk, const float *packed, const float *b, bool adds, float *y) {
  const size_t channels = walk->source_channels / walk->groups;
  const size_t outputs = walk->dest_channels / walk->groups;
  const size_t size = packed_size(outputs, walk->n_taps * channels);
  for (size_t g = 0; g < walk->groups; g++)
    math_conv_tiles(&(math_tiles){.x = walk->x + g * channels,
                                  .n = walk->n,
                                  .from = walk->from,
                                  .to = walk->to,
                                  .n_runs = walk->n_runs,
                                  .run_length = walk->run_length,
                                  .runs = walk->runs,
                                  .w = packed + g * size,
                                  .b = b ? b + g * math_lanes(outputs) * MATH_LANE : NULL,
                                  .channels = outputs,
                                  .adds = adds,
                                  .y = y + walk->y + g * outputs});
}

/* Applies the activation to the box's outputs: to each row along W, which is contiguous. */
static void activate_box(const math_walk *walk, ls_activation f, float alpha, float *y) {
  const size_t row = walk->count[W];
  const size_t c = walk->dest_channels;
  for (size_t q = 0; f != LS_LINEAR && q < walk->n; q += row)
    ls_math_activate(f, alpha, f == LS_SOFTMAX ? row : 1, f == LS_SOFTMAX ? c : row * c, NULL,
                     y + walk->y + walk->to[q]);
}

typedef struct forward_plan {
  math_walk walk;
  float *packed, *b;
} forward_plan;

static void take_forward(const ls_conv *conv, forward_plan *plan, ls_arena *arena) {
  const size_t filters = conv->filters / conv->groups;
  const size_t terms = taps_of(conv) * (conv->channels / conv->groups);
  plan_forward(conv, &plan->walk, arena);
  plan->packed = ls_arena_take(arena, conv->groups * sizeof(float),
                               is_depthwise(conv) ? terms : packed_size(filters, terms));
  plan->b = ls_arena_take(arena, conv->groups * math_lanes(filters) * MATH_LANE, sizeof(float));
}

static void pack_forward(const ls_conv *conv, const forward_plan *plan, const float *w, const float *b) {
  const size_t filters = conv->filters / conv->groups;
  const size_t terms = taps_of(conv) * (conv->channels / conv->groups);
  const size_t padded = math_lanes(filters) * MATH_LANE;
  for (size_t g = 0; g < conv->groups; g++) {
    float *const lanes = plan->b + g * padded;
    pack_filters(filters, terms, w + g * filters * terms, plan->packed + g * packed_size(filters, terms));
    memset(lanes, 0, padded * sizeof *lanes);
    if (b) memcpy(lanes, b + g * filters, filters * sizeof *lanes);
  }
}

void ls_conv_forward(const ls_conv *conv, size_t n, const float *x, const float *w, const float *b,
                     bool adds, ls_activation f, float alpha, float *y, void *workspace) {
  ls_arena scratch = {.base = workspace, .capacity = SIZE_MAX};
  forward_plan plan;
  take_forward(conv, &plan, &scratch);
  if (is_depthwise(conv))
    math_depthwise_pack(&plan.walk, conv->window.size, w, plan.packed);
  else
    pack_forward(conv, &plan, w, b);
  while (math_walk_next(&plan.walk, n, x)) {
    if (is_depthwise(conv))
      math_depthwise_box(&plan.walk, plan.packed, b, adds, y);
    else
      convolve_box(&plan.walk, plan.packed, b ? plan.b : NULL, adds, y);
    activate_box(&plan.walk, f, alpha, y);
  }
}

/* ---------------------------------------------------------- backward, data */

/* Requests or returns the packed weights of a phase, behind the memory of its walk. */
static float *take_backward(const ls_conv *conv, const size_t *phase, math_walk *walk, ls_arena *arena) {
  const size_t channels = conv->channels / conv->groups;
  const size_t terms = taps_of(conv) * (conv->filters / conv->groups);
  plan_backward(conv, phase, walk, arena);
  return ls_arena_take(arena, conv->groups * sizeof(float),
                       is_depthwise(conv) ? terms : packed_size(channels, terms));
}

static void backward_phase(const ls_conv *conv, const size_t *phase, size_t n, const float *dz,
                           const float *w, float *dx, void *workspace) {
  ls_arena scratch = {.base = workspace, .capacity = SIZE_MAX};
  const size_t channels = conv->channels / conv->groups;
  const size_t filters = conv->filters / conv->groups;
  math_walk walk;
  float *const packed = take_backward(conv, phase, &walk, &scratch);
  if (is_depthwise(conv))
    math_depthwise_pack(&walk, conv->window.size, w, packed);
  else
    for (size_t g = 0; g < conv->groups; g++)
      pack_channels(conv, &walk, w + g * filters * taps_of(conv) * channels,
                    packed + g * packed_size(channels, walk.n_taps * filters));
  while (math_walk_next(&walk, n, dz))
    if (is_depthwise(conv))
      math_depthwise_box(&walk, packed, NULL, false, dx);
    else
      convolve_box(&walk, packed, NULL, false, dx);
}

void ls_conv_backward_data(const ls_conv *conv, size_t n, const float *dz, const float *w, float *dx,
                           void *workspace) {
  size_t phase[LS_WINDOW_DIMS] = {0};
  do backward_phase(conv, phase, n, dz, w, dx, workspace);
  while (next_phase(conv, phase));
}

/* ------------------------------------------------------- backward, weights */

typedef struct weights_plan {
  math_walk walk;
  size_t *offsets; /* of the terms of w from a position's source */
  float *dz;       /* of a group and a box: (blocks, positions, MATH_LANE) */
  size_t n_dw;     /* packed gradients, of all groups */
  float *dw;       /* (n_dw): sums over the latest positions */
  double *total;   /* (n_dw): sums over the positions before */
} weights_plan;

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

static void take_weights(const ls_conv *conv, weights_plan *plan, ls_arena *arena) {
  const size_t filters = conv->filters / conv->groups;
  const size_t terms = taps_of(conv) * (conv->channels / conv->groups);
  plan_forward(conv, &plan->walk, arena);
  const size_t positions = plan->walk.images * ls_window_count(plan->walk.box);
  plan->offsets = ls_arena_take(arena, terms, sizeof *plan->offsets);
  plan->dz = ls_arena_take(arena, packed_size(filters, positions), sizeof(float));
  const size_t size = is_depthwise(conv) ? terms : packed_size(filters, terms);
  plan->n_dw = conv->groups * size;
  plan->dw = ls_arena_take(arena, conv->groups * sizeof *plan->dw, size);
  plan->total = ls_arena_take(arena, conv->groups * sizeof *plan->total, size);
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

/* Adds the products of a box for a group. */
static void add_products(const ls_conv *conv, const weights_plan *plan, size_t g, const float *dz) {
  const math_walk *const walk = &plan->walk;
  const size_t channels = conv->channels / conv->groups;
  const size_t filters = conv->filters / conv->groups;
  const size_t terms = taps_of(conv) * channels;
  pack_dz(walk, filters, dz + walk->y + g * filters, plan->dz);
  for (size_t q = 0; q < walk->n; q += CHUNK)
    math_conv_products(&(math_products){.x = walk->x + g * channels,
                                        .n = ls_size_min(CHUNK, walk->n - q),
                                        .from = walk->from + q,
                                        .n_k = terms,
                                        .offsets = plan->offsets,
                                        .dz = plan->dz + q * MATH_LANE,
                                        .dz_stride = walk->n * MATH_LANE,
                                        .blocks = math_lanes(filters),
                                        .dw = plan->dw + g * packed_size(filters, terms)});
}

/* Sums the products of all boxes of n samples. */
static void add_boxes(const ls_conv *conv, weights_plan *plan, size_t n, const float *x, const float *dz) {
  const size_t most = is_depthwise(conv) ? POSITIONS_DEPTHWISE : POSITIONS;
  size_t positions = 0;
  bool has_total = false;
  memset(plan->dw, 0, plan->n_dw * sizeof *plan->dw);
  while (math_walk_next(&plan->walk, n, x)) {
    if (positions >= most) {
      if (!has_total) memset(plan->total, 0, plan->n_dw * sizeof *plan->total);
      has_total = true;
      add_to_total(plan->n_dw, plan->dw, plan->total);
      positions = 0;
    }
    if (is_depthwise(conv))
      math_depthwise_products(&plan->walk, dz, plan->dw);
    else
      for (size_t g = 0; g < conv->groups; g++) add_products(conv, plan, g, dz);
    positions += plan->walk.n;
  }
  if (!has_total) return;
  add_to_total(plan->n_dw, plan->dw, plan->total);
  put_total(plan->n_dw, plan->total, plan->dw);
}

void ls_conv_backward_weights(const ls_conv *conv, size_t n, const float *x, const float *dz, float beta,
                              float *dw, void *workspace) {
  ls_arena scratch = {.base = workspace, .capacity = SIZE_MAX};
  const size_t filters = conv->filters / conv->groups;
  const size_t terms = taps_of(conv) * (conv->channels / conv->groups);
  const size_t size = is_depthwise(conv) ? terms : packed_size(filters, terms);
  weights_plan plan;
  take_weights(conv, &plan, &scratch);
  set_offsets(&plan.walk, plan.offsets);
  add_boxes(conv, &plan, n, x, dz);
  if (is_depthwise(conv))
    math_depthwise_unpack(taps_of(conv), conv->channels, plan.dw, beta, dw);
  else
    for (size_t g = 0; g < conv->groups; g++)
      unpack_filters(filters, terms, plan.dw + g * size, beta, dw + g * filters * terms);
}

size_t ls_conv_workspace(const ls_conv *conv) {
  ls_arena forward = {0};
  ls_arena weights = {0};
  size_t most = 0;
  bool overflow = false;
  size_t phase[LS_WINDOW_DIMS] = {0};
  take_forward(conv, &(forward_plan){0}, &forward);
  take_weights(conv, &(weights_plan){0}, &weights);
  do {
    ls_arena data = {0};
    take_backward(conv, phase, &(math_walk){0}, &data);
    most = ls_size_max(most, data.used);
    overflow = overflow || data.overflow;
  } while (next_phase(conv, phase));
  if (overflow || forward.overflow || weights.overflow) return SIZE_MAX;
  return ls_size_max(most, ls_size_max(forward.used, weights.used));
}
