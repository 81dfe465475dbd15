/* The gradient of the weights of a convolution: for each box, products of its padded tile and dz. */
#include "internal.h"

#include <string.h>

/* Positions whose products are summed at once: their data stay in the first-level cache. */
#define CHUNK MATH_CHUNK

#define PACKED_FILTERS 32
#define PACKED_TERMS   64

/* Positions whose products are summed in float, before their sum is added in double. */
#define POSITIONS 8192

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

/* Packs dz of `n` positions into whole blocks, CHUNK positions apart.  dz: at the band's first channel */
static void pack_dz(size_t n, const size_t *to, size_t filters, const float *dz, float *out) {
  for (size_t q = 0; q < n; q++)
    for (size_t f = 0; f < filters; f += MATH_LANE) {
      const float *const at = dz + to[q] + f;
      float *const lane = out + f * CHUNK + q * MATH_LANE;
      const size_t lanes = ls_size_min(MATH_LANE, filters - f);
      if (lanes == MATH_LANE)
        memcpy(lane, at, MATH_LANE * sizeof *lane);
      else
        for (size_t j = 0; j < MATH_LANE; j++) lane[j] = j < lanes ? at[j] : 0.0F;
    }
}

/* Whether dz is packed: filters that do not fill their blocks, or so many that the positions of a chunk
 * would fall into few sets of the first-level cache; with many terms, packing costs little. */
static bool packs_dz(size_t filters, size_t terms) {
  return filters % MATH_LANE != 0 || (filters > PACKED_FILTERS && terms >= PACKED_TERMS);
}

/* Adds the products of a box for the band that is loaded.  dz: from the first position of the call on;
 * packed: for packed dz; dw: of the band */
static void add_products(const ls_conv_plan *plan, const math_walk *walk, const float *dz, float *packed,
                         float *dw) {
  const size_t filters = walk->band_dests;
  const size_t terms = walk->n_runs * walk->run_length;
  const bool packs = !walk->is_depthwise && packs_dz(filters, terms);
  for (size_t q = 0; q < walk->n; q += CHUNK) {
    const size_t n = ls_size_min(CHUNK, walk->n - q);
    if (packs) pack_dz(n, walk->to + q, filters, dz, packed);
    const math_products products = {.x = walk->x,
                                    .dz = packs ? packed : dz,
                                    .n = n,
                                    .from = walk->from + q,
                                    .to = packs ? plan->packed_to : walk->to + q,
                                    .n_k = terms,
                                    .offsets = plan->offsets,
                                    .dz_block = packs ? CHUNK * MATH_LANE : MATH_LANE,
                                    .blocks = math_blocks(filters),
                                    .dw = dw};
    if (walk->is_depthwise)
      math_depthwise_products(&products, filters);
    else
      math_conv_products(&products);
  }
}

void ls_conv_start_weights(ls_conv_plan *plan) {
  set_offsets(&plan->parts[0].forward, plan->offsets);
  for (size_t q = 0; q < CHUNK; q++) plan->packed_to[q] = q * MATH_LANE;
  for (size_t i = 0; i < plan->n_parts; i++) {
    plan->parts[i].positions = 0;
    plan->parts[i].has_total = false;
  }
}

/* Clears the sums of a part that has no samples so far. */
static void clear_unused(const ls_conv_plan *plan, const math_conv_part *part) {
  if (part->positions > 0 || part->has_total) return;
  memset(part->dw, 0, plan->n_dw * sizeof *part->dw);
  if (plan->is_winograd) memset(part->du, 0, plan->n_du * sizeof *part->du);
}

/* Moves the latest sums of a part to a total, which may be that of another part. */
static void move_to_total(const ls_conv_plan *plan, math_conv_part *part, math_conv_part *to) {
  if (plan->is_winograd) math_winograd_restore_weights(&plan->outputs, part->du, part->dw);
  if (!to->has_total) memset(to->total, 0, plan->n_dw * sizeof *to->total);
  to->has_total = true;
  add_to_total(plan->n_dw, part->dw, to->total);
  part->positions = 0;
}

/* Begins another sum in float if the latest one has enough positions; n more follow. */
static void limit_positions(const ls_conv_plan *plan, math_conv_part *part, size_t n) {
  if (part->positions >= POSITIONS) move_to_total(plan, part, part);
  part->positions += n;
}

/* The products of Winograd's algorithm. */
static void add_winograd(const math_conv_call *call) {
  const ls_conv_plan *const plan = call->plan;
  size_t tiles = 0;
  for (size_t first = 0;; first += tiles) {
    tiles = math_winograd_add_products(&plan->outputs, call->n, first, call->x, call->dz, call->part->du,
                                       call->workspace);
    if (tiles == 0) return;
    limit_positions(plan, call->part, 4 * tiles);
  }
}

static void weights_part(const math_conv_call *call) {
  const ls_conv_plan *const plan = call->plan;
  math_conv_part *const part = call->part;
  ls_arena scratch = {.base = call->workspace, .capacity = SIZE_MAX};
  math_walk *const walk = &part->forward;
  clear_unused(plan, part);
  if (plan->is_winograd) {
    add_winograd(call);
    return;
  }
  walk->tile = ls_arena_take(&scratch, 1, math_walk_tile_bytes(walk));
  float *const packed_dz = ls_arena_take(&scratch, 0, 1); /* what follows */
  while (math_walk_next(walk, call->n)) {
    limit_positions(plan, part, walk->n);
    for (size_t band = 0; band < walk->bands; band++) {
      math_walk_load(walk, band, call->x);
      add_products(plan, walk, call->dz + walk->y, packed_dz,
                   part->dw + band * math_walk_packed_size(walk));
    }
  }
}

void ls_conv_backward_weights(ls_conv_plan *plan, size_t n, const float *x, const float *dz,
                              void *workspace) {
  math_conv_divide(&(math_conv_call){.plan = plan, .n = n, .x = x, .dz = dz, .workspace = workspace},
                   weights_part);
}

/* Adds the sums of all parts to those of the first one, in their order. */
static void join_parts(ls_conv_plan *plan) {
  math_conv_part *const first = &plan->parts[0];
  for (size_t i = 1; i < plan->n_parts; i++) {
    math_conv_part *const part = &plan->parts[i];
    if (part->positions == 0) continue; /* no samples */
    move_to_total(plan, part, first);
    for (size_t k = 0; part->has_total && k < plan->n_dw; k++) first->total[k] += part->total[k];
  }
}

void ls_conv_finish_weights(ls_conv_plan *plan, float beta, float *dw) {
  math_conv_part *const first = &plan->parts[0];
  const math_walk *const walk = &first->forward;
  const size_t filters = walk->band_dests;
  const size_t terms = walk->n_runs * walk->run_length;
  clear_unused(plan, first);
  join_parts(plan);
  if (first->has_total) {
    move_to_total(plan, first, first);
    put_total(plan->n_dw, first->total, first->dw);
  } else if (plan->is_winograd) {
    math_winograd_restore_weights(&plan->outputs, first->du, first->dw);
  }
  for (size_t i = 0; i < walk->bands; i++)
    math_conv_unpack_filters(filters, terms, first->dw + i * math_walk_packed_size(walk), beta,
                             dw + i * filters * terms);
}
