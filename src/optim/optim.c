/* The list of types, creation of an optimizer from the config, and the step. */
#include "internal.h"

#include <stdlib.h>

const ls_optim_type *const ls_optim_types[] = {
    &optim_sgd, &optim_momentum, &optim_adagrad, &optim_rmsprop, &optim_adam, &optim_adamw, NULL};

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

ls_status ls_optim_build(ls_optim *optim, size_t n) {
  size_t elements;
  free(optim->block);
  optim->block = NULL;
  optim->steps = 0;
  if (!ls_size_mul(n, optim->type->n_slots, &elements)) elements = SIZE_MAX;
  optim->block = ls_calloc(elements, sizeof *optim->block);
  if (!optim->block)
    return ls_fail_memory("the optimizer's state", n * optim->type->n_slots * sizeof *optim->block);
  optim->n = n;
  for (size_t k = 0; k < optim->type->n_slots; k++) optim->slots[k] = optim->block + k * n;
  return LS_OK;
}

void ls_optim_destroy(ls_optim **optim) {
  if (!*optim) return;
  free((*optim)->options);
  free((*optim)->block);
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
} update;

static void update_range(void *context, size_t first, size_t count) {
  const update *const u = context;
  ls_optim part = *u->optim;
  part.n = count;
  for (size_t k = 0; k < part.type->n_slots; k++) part.slots[k] += first;
  part.type->step(&part, u->lr, u->scale, u->grads + first, u->params + first);
}

void ls_optim_step(ls_optim *optim, double lr, float scale, const float *grads, float *params) {
  const size_t most = LS_HEARTBEAT_BYTES / sizeof *params;
  ls_optim part = *optim; /* a part of the parameters between two heartbeats */
  part.steps = ++optim->steps;
  for (size_t first = 0; first < optim->n; first += most) {
    update u = {.optim = &part, .lr = lr, .scale = scale, .grads = grads + first, .params = params + first};
    for (size_t k = 0; k < optim->type->n_slots; k++) part.slots[k] = optim->slots[k] + first;
    ls_parallel_range(ls_size_min(most, optim->n - first), LS_PARALLEL_ITEMS, update_range, &u);
    if (first > 0) ls_heartbeat();
  }
}
