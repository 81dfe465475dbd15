/* The list of types, creation of an optimizer from the config, and the step. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const ls_optim_type *const ls_optim_types[] = {&optim_sgd,     &optim_momentum, &optim_adagrad,
                                               &optim_rmsprop, &optim_adam,     &optim_adamw,
                                               &optim_lars,    &optim_lamb,     NULL};

double optim_power(double base, uint64_t n) {
  double result = 1.0;
  for (; n > 0; n /= 2, base *= base)
    if (n % 2 == 1) result *= base;
  return result;
}

static const char *type_name(size_t index) {
  return ls_optim_types[index] ? ls_optim_types[index]->name : NULL;
}

ls_status ls_optim_parse(ls_config *config, ls_optim **out) {
  *out = NULL;
  ls_node *const section = ls_config_section(config, ls_config_root(config), "optimizer");
  const int index = ls_config_choose_type(config, section, "type", type_name);
  if (index < 0) return LS_OK;
  const ls_optim_type *const type = ls_optim_types[index];
  ls_optim *optim = ls_calloc(1, sizeof *optim);
  void *const options = optim ? ls_calloc(1, type->options_size) : NULL;
  if (!options) {
    free(optim);
    return ls_fail_memory("the optimizer", type->options_size);
  }
  optim->type = type;
  optim->options = options;
  ls_config_read(config, section, type->keys, options);
  optim->lr = ((const optim_common *)options)->lr;
  *out = optim;
  return LS_OK;
}

#define LARGE 16384 /* parameters */
#define PAGE  1024  /* floats of a page of memory */

/* The distance between slots of n parameters. Those of large ones begin at the same offset in a page: loads
 * whose offset is that of a recent store to another slot would wait for it. */
static size_t stride_of(size_t n) {
  return n < LARGE ? n : (n + PAGE - 1) / PAGE * PAGE;
}

/* The offset of the first slot in its page: that of the first parameter, for the same reason. */
static size_t offset_of(size_t n, const ls_range *ranges) {
  return n < LARGE ? 0 : ranges[0].first % PAGE;
}

ls_status ls_optim_build_part(ls_optim *optim, size_t n_ranges, const ls_range *ranges) {
  size_t n = 0;
  size_t elements = 0;
  for (size_t r = 0; r < n_ranges; r++) n += ranges[r].count;
  free(optim->ranges);
  free(optim->block);
  free(optim->norms);
  optim->steps = 0;
  optim->n_slots = ls_optim_n_slots(optim);
  const size_t offset = offset_of(n, ranges);
  if (!ls_size_mul(stride_of(n), optim->n_slots, &elements) || !ls_size_add(elements, offset, &elements))
    elements = SIZE_MAX;
  optim->ranges = ls_calloc(n_ranges, sizeof *optim->ranges);
  optim->block = ls_calloc(elements, sizeof *optim->block);
  optim->norms = ls_calloc(ls_size_max(optim->n_blocks, 1), 2 * sizeof *optim->norms);
  if (!optim->block || !optim->ranges || !optim->norms)
    return ls_fail_memory("the optimizer's state", n * optim->n_slots * sizeof *optim->block);
  memcpy(optim->ranges, ranges, n_ranges * sizeof *ranges);
  optim->n_ranges = n_ranges;
  optim->n = n;
  for (size_t k = 0; k < optim->n_slots; k++) optim->slots[k] = optim->block + offset + k * stride_of(n);
  return LS_OK;
}

size_t ls_optim_n_slots(const ls_optim *optim) {
  return optim->type->n_slots + (optim->average > 0.0);
}

const char *ls_optim_slot_name(const ls_optim *optim, size_t k) {
  return k < optim->type->n_slots ? optim->type->slot_names[k] : LS_OPTIM_AVERAGE;
}

ls_status ls_optim_build(ls_optim *optim, size_t n) {
  return ls_optim_build_part(optim, 1, &(ls_range){.first = 0, .count = n});
}

void ls_optim_destroy(ls_optim **optim) {
  if (!*optim) return;
  free((*optim)->options);
  free((*optim)->ranges);
  free((*optim)->block);
  free((*optim)->norms);
  free(*optim);
  *optim = NULL;
}

/* An update of consecutive parameters. */
typedef struct update {
  const ls_optim *optim;
  double lr;
  float scale;
  const float *grads;
  float *params;
  float *mirror; /* NULL: none */
} update;

#define BLOCK                                                                                              \
  512 /* parameters: they stay in the first-level cache until they are written to the mirror               \
       */

static void update_part(void *context, size_t first, size_t count) {
  const update *const u = context;
  ls_optim part = *u->optim;
  const size_t most = u->mirror ? BLOCK : count;
  for (size_t k = 0; k < part.n_slots; k++) part.slots[k] += first;
  for (size_t at = first; at < first + count; at += part.n) {
    part.n = ls_size_min(most, first + count - at);
    part.type->step(&part, u->lr, u->scale, u->grads + at, u->params + at);
    if (u->mirror) ls_math_copy_nontemporal(part.n, u->params + at, u->mirror + at);
    for (size_t k = 0; k < part.n_slots; k++) part.slots[k] += part.n;
  }
  ls_math_end_nontemporal();
}

/* Updates n parameters, whose state begins at element `at` of the slots. */
static void step_range(const ls_optim *optim, size_t at, size_t n, const update *whole) {
  const size_t most = LS_HEARTBEAT_BYTES / sizeof(float);
  ls_optim part = *optim; /* a part of the parameters between two heartbeats */
  for (size_t first = 0; first < n; first += most) {
    update u = *whole;
    u.optim = &part;
    u.grads += first;
    u.params += first;
    if (u.mirror) u.mirror += first;
    for (size_t k = 0; k < optim->n_slots; k++) part.slots[k] = optim->slots[k] + at + first;
    ls_parallel_range(ls_size_min(most, n - first), LS_PARALLEL_ITEMS, update_part, &u);
    if (first > 0) ls_heartbeat();
  }
}

/* A part of a block of parameters that is in a range of the optimizer. */
typedef struct block_part {
  size_t block, first, count; /* first: of all parameters */
  size_t at;                  /* its first element in the slots */
} block_part;

/* The part of block b in range r, which begins at element `at` of the slots. count 0: none. */
static block_part part_of(const ls_optim *optim, size_t b, size_t r, size_t at) {
  const ls_range range = optim->ranges[r];
  const size_t first = optim->n_blocks ? optim->blocks[b].offset : 0;
  const size_t end = optim->n_blocks ? first + ls_segment_count(&optim->blocks[b]) : SIZE_MAX;
  const size_t low = ls_size_max(first, range.first);
  const size_t high = ls_size_min(end, range.first + range.count);
  return (block_part){
      .block = b, .first = low, .count = high > low ? high - low : 0, .at = at + (low - range.first)};
}

/* Calls a function for the parts of each block. */
static void visit_blocks(const ls_optim *optim, void (*visit)(void *context, block_part part),
                         void *context) {
  size_t at = 0;
  for (size_t r = 0; r < optim->n_ranges; at += optim->ranges[r++].count)
    for (size_t b = 0; b < ls_size_max(optim->n_blocks, 1); b++) {
      const block_part part = part_of(optim, b, r, at);
      if (part.count > 0) visit(context, part);
      ls_heartbeat();
    }
}

static void sum_block(void *context, block_part part) {
  const update *const u = context;
  ls_optim view = *u->optim;
  view.n = part.count;
  for (size_t k = 0; k < view.n_slots; k++) view.slots[k] += part.at;
  view.type->sums(&view, u->scale, u->grads + part.first, u->params + part.first,
                  u->optim->norms + 2 * part.block);
}

#define RATE_MAX 1e30 /* of a block whose update is next to 0; its product with the update fits float32 */

static void step_block(void *context, block_part part) {
  const update *const u = context;
  ls_optim view = *u->optim;
  const double params = sqrt(view.norms[2 * part.block]);
  const double change = sqrt(view.norms[2 * part.block + 1]);
  view.trust = params > 0.0 && change > 0.0 ? view.type->trust(&view, params, change) : 1.0;
  if (!(u->lr * view.trust < RATE_MAX)) view.trust = 1.0;
  update own = *u;
  own.grads += part.first;
  own.params += part.first;
  LS_ASSERT(!own.mirror);
  step_range(&view, part.at, part.count, &own);
}

/* The step of a type with `sums`. */
static void step_blocks(ls_optim *optim, update u) {
  const size_t n = 2 * ls_size_max(optim->n_blocks, 1);
  memset(optim->norms, 0, n * sizeof *optim->norms);
  visit_blocks(optim, sum_block, &u);
  if (optim->sum) optim->sum(optim->context, optim->norms, n);
  visit_blocks(optim, step_block, &u);
}

void ls_optim_step(ls_optim *optim, double lr, float scale, const float *grads, float *params) {
  size_t at = 0;
  optim->steps++;
  if (optim->type->sums) {
    step_blocks(optim,
                (update){.optim = optim, .lr = lr, .scale = scale, .grads = grads, .params = params});
    return;
  }
  for (size_t r = 0; r < optim->n_ranges; r++) {
    const ls_range range = optim->ranges[r];
    const update u = {.lr = lr,
                      .scale = scale,
                      .grads = grads + range.first,
                      .params = params + range.first,
                      .mirror = optim->mirror ? optim->mirror + range.first : NULL};
    step_range(optim, at, range.count, &u);
    at += range.count;
  }
}

void ls_optim_reset_average(ls_optim *optim, const float *params) {
  if (optim->average > 0.0) ls_optim_set_slot(optim, optim->type->n_slots, params);
}

void ls_optim_update_average(ls_optim *optim, const float *params) {
  size_t at = 0;
  if (optim->average == 0.0) return;
  if (optim->steps == 1) {
    ls_optim_reset_average(optim, params);
    return;
  }
  for (size_t r = 0; r < optim->n_ranges; at += optim->ranges[r++].count) {
    ls_math_approach(optim->ranges[r].count, (float)(1.0 - optim->average), params + optim->ranges[r].first,
                     optim->slots[optim->type->n_slots] + at);
    ls_heartbeat();
  }
}

void ls_optim_get_slot(const ls_optim *optim, size_t k, float *whole) {
  size_t at = 0;
  for (size_t r = 0; r < optim->n_ranges; at += optim->ranges[r++].count)
    ls_copy(whole + optim->ranges[r].first, optim->slots[k] + at, optim->ranges[r].count * sizeof *whole);
}

void ls_optim_set_slot(ls_optim *optim, size_t k, const float *whole) {
  size_t at = 0;
  for (size_t r = 0; r < optim->n_ranges; at += optim->ranges[r++].count)
    ls_copy(optim->slots[k] + at, whole + optim->ranges[r].first, optim->ranges[r].count * sizeof *whole);
}
