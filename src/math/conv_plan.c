/* The plan of a convolution: its walks, packed weights and gradients; and how threads divide its samples.
 */
#include "internal.h"

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

/* phase: of the positions, in each dim */
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

/* Sets the phase after the current one in row-major order; false after the last. */
static bool next_phase(const ls_conv *conv, size_t *phase) {
  for (size_t i = LS_WINDOW_DIMS; i-- > 0;) {
    if (++phase[i] < ls_size_min(conv->window.stride[i], conv->window.in[i])) return true;
    phase[i] = 0;
  }
  return false;
}

static size_t count_phases(const ls_conv *conv) {
  size_t phase[LS_WINDOW_DIMS] = {0};
  size_t n = 1;
  while (next_phase(conv, phase)) n++;
  return n;
}

static float *take_packed(const math_walk *walk, ls_arena *arena) {
  return ls_arena_take(arena, walk->bands * sizeof(float), math_walk_weights_size(walk));
}

/* ------------------------------------------------------------ memory of a part */

/* Takes the walks of all phases. Returns the bytes of the largest tile. */
static size_t reserve_data(const ls_conv_plan *plan, ls_arena *arena, math_conv_part *part) {
  size_t phase[LS_WINDOW_DIMS] = {0};
  size_t most = 0;
  part->data = ls_arena_take(arena, plan->n_phases, sizeof *part->data);
  for (size_t p = 0; p < plan->n_phases; p++) {
    math_walk walk;
    plan_data(&plan->conv, phase, &walk, arena);
    most = ls_size_max(most, math_walk_tile_bytes(&walk));
    if (part->data) part->data[p] = walk;
    next_phase(&plan->conv, phase);
  }
  return most;
}

#define SUMS_BYTES ((size_t)256 << 20) /* of the gradients of all parts, unless one part needs more */

/* Sets the sizes of the packed gradients, and limits the number of parts by them. */
static void measure_gradients(ls_conv_plan *plan) {
  ls_arena none = {0}; /* only the sizes of the walk are needed */
  math_walk walk;
  plan_forward(&plan->conv, &walk, &none);
  plan->n_dw = walk.bands * math_walk_packed_size(&walk);
  if (plan->is_winograd) plan->n_du = WINOGRAD_ELEMENTS * plan->outputs.lanes * plan->outputs.channels;
  const size_t most = SUMS_BYTES / sizeof(double) / (2 * plan->n_dw + plan->n_du + 1);
  plan->n_parts = ls_size_max(ls_size_min(plan->n_parts, most), 1);
}

/* Sets *part. Returns the bytes of its workspace. */
static size_t reserve_part(const ls_conv_plan *plan, ls_arena *arena, math_conv_part *part) {
  math_walk *const walk = &part->forward;
  ls_arena weights = {0};
  size_t of_data = 0;
  *part = (math_conv_part){0};
  plan_forward(&plan->conv, walk, arena);
  ls_arena_take(&weights, 1, math_walk_tile_bytes(walk));
  if (!plan->conv.predicts) {
    part->dw = ls_arena_take(arena, plan->n_dw, sizeof *part->dw);
    part->total = ls_arena_take(arena, plan->n_dw, sizeof *part->total);
    part->du = ls_arena_take(arena, plan->n_du, sizeof *part->du);
    of_data = reserve_data(plan, arena, part);
    ls_arena_take(&weights, math_conv_packed_size(walk->band_dests, MATH_CHUNK), sizeof(float));
  }
  return weights.overflow ? SIZE_MAX : ls_size_max(of_data, weights.used);
}

/* -------------------------------------------------------------- shared memory */

/* Takes what Winograd's algorithm needs. Returns the bytes of its workspace. */
static size_t reserve_winograd(ls_arena *arena, ls_conv_plan *plan) {
  math_winograd_plan(&plan->conv, false, arena, &plan->outputs);
  if (plan->conv.predicts) return math_winograd_bytes(&plan->outputs);
  math_winograd_plan(&plan->conv, true, arena, &plan->inputs);
  return ls_size_max(math_winograd_bytes(&plan->outputs), math_winograd_bytes(&plan->inputs));
}

/* Takes what the gradients of all parts share. */
static void reserve_gradients(ls_conv_plan *plan, const math_walk *walk, ls_arena *arena) {
  size_t phase[LS_WINDOW_DIMS] = {0};
  plan->offsets = ls_arena_take(arena, walk->n_runs * walk->run_length, sizeof *plan->offsets);
  plan->packed_to = ls_arena_take(arena, MATH_CHUNK, sizeof *plan->packed_to);
  plan->packed = ls_arena_take(arena, plan->n_phases, sizeof *plan->packed);
  for (size_t p = 0; p < plan->n_phases; p++) {
    ls_arena none = {0}; /* only the sizes of the walk are needed */
    math_walk data;
    plan_data(&plan->conv, phase, &data, &none);
    float *const packed = take_packed(&data, arena);
    if (plan->packed) plan->packed[p] = packed;
    next_phase(&plan->conv, phase);
  }
}

/* Takes the packed weights, or uses those of another plan. */
static void reserve_weights(ls_conv_plan *plan, const math_walk *walk, ls_arena *arena) {
  const ls_conv_plan *const twin = plan->conv.twin;
  if (twin) {
    plan->filters = twin->filters;
    plan->b = twin->b;
    plan->has_b = twin->has_b;
    plan->outputs.w = twin->outputs.w;
    return;
  }
  plan->filters = take_packed(walk, arena);
  plan->b = ls_arena_take(arena, walk->bands * math_padded(walk->band_dests), sizeof *plan->b);
}

size_t ls_conv_reserve(const ls_conv *conv, ls_arena *arena, ls_conv_plan **out) {
  ls_conv_plan plan = {
      .conv = *conv, .n_parts = ls_size_max(conv->threads, 1), .is_winograd = math_winograd_fits(conv)};
  math_conv_part part = {0};
  size_t bytes = 0;
  size_t of_part = 0;
  *out = ls_arena_take(arena, 1, sizeof plan);
  plan.n_phases = conv->predicts ? 0 : count_phases(conv);
  if (plan.is_winograd) bytes = reserve_winograd(arena, &plan);
  if (!conv->predicts) measure_gradients(&plan);
  plan.parts = ls_arena_take(arena, plan.n_parts, sizeof part);
  for (size_t i = 0; i < plan.n_parts; i++) {
    of_part = reserve_part(&plan, arena, &part);
    if (plan.parts) plan.parts[i] = part;
  }
  reserve_weights(&plan, &part.forward, arena);
  if (!conv->predicts) reserve_gradients(&plan, &part.forward, arena);
  ls_arena one = {0};
  ls_arena_take(&one, 1, plan.is_winograd ? bytes : of_part);
  plan.part_bytes = one.used;
  if (*out) **out = plan;
  return !one.overflow && ls_size_mul(plan.n_parts, one.used, &bytes) ? bytes : SIZE_MAX;
}

/* ------------------------------------------------------------------- threads */

#define MULTIPLY_ADDS ((size_t)1 << 19) /* of a part at least: about 10 us */

/* The parts among which n samples are divided. */
static size_t count_parts(const ls_conv_plan *plan, size_t n) {
  const math_walk *const walk = &plan->parts[0].forward;
  const size_t of_position = walk->bands * walk->n_runs * walk->run_length * walk->band_dests;
  const size_t of_sample = ls_size_max(ls_window_count(plan->conv.window.out) * of_position, 1);
  const size_t least = ls_size_max(MULTIPLY_ADDS / of_sample, 1);
  return ls_size_max(ls_size_min(plan->n_parts, n / least), 1);
}

typedef struct division {
  const math_conv_call *call;
  void (*run)(const math_conv_call *call);
  size_t n_parts;
} division;

static void run_part(void *context, size_t i) {
  const division *const d = context;
  const ls_conv_plan *const plan = d->call->plan;
  const size_t first = d->call->n * i / d->n_parts;
  const size_t in = first * ls_window_count(plan->conv.window.in) * plan->conv.channels;
  const size_t out = first * ls_window_count(plan->conv.window.out) * plan->conv.filters;
  math_conv_call call = *d->call;
  call.part = &plan->parts[i];
  call.n = d->call->n * (i + 1) / d->n_parts - first;
  if (call.x) call.x += in;
  if (call.dx) call.dx += in;
  if (call.y) call.y += out;
  if (call.dz) call.dz += out;
  if (call.workspace) call.workspace += i * plan->part_bytes;
  d->run(&call);
}

void math_conv_divide(const math_conv_call *call, void (*run)(const math_conv_call *call)) {
  division d = {.call = call, .run = run, .n_parts = count_parts(call->plan, call->n)};
  ls_parallel(d.n_parts, run_part, &d);
}
