/* The list of kinds, making an optimizer from the config, and the step. */
#include "kinds.h"

#include <stdlib.h>

const ls_optim_type *const ls_optim_types[] = {&ls_optim_sgd,
                                               &ls_optim_momentum,
                                               &ls_optim_adagrad,
                                               &ls_optim_rmsprop,
                                               &ls_optim_adam,
                                               &ls_optim_adamw,
                                               NULL};

#define KINDS (sizeof ls_optim_types / sizeof ls_optim_types[0])

/* The kind that `optimizer.type` names, or NULL after collecting the mistake. */
static const ls_optim_type *find_type(ls_config *config, const ls_node *section) {
  const ls_node *const type = ls_node_find(section, "type");
  if (!type) {
    ls_config_error(config, section, "a type is needed, e.g. {type: adam, lr: 0.001}");
    return NULL;
  }
  const char *names[KINDS];
  for (size_t i = 0; i < KINDS; i++) names[i] = ls_optim_types[i] ? ls_optim_types[i]->name : NULL;
  const int found = ls_config_choose(config, type, "type", names);
  return found < 0 ? NULL : ls_optim_types[found];
}

ls_status ls_optim_parse(ls_config *config, ls_optim **out) {
  *out = NULL;
  ls_node *const section = ls_config_section(config, ls_config_root(config), "optimizer");
  const ls_optim_type *const type = section ? find_type(config, section) : NULL;
  if (!type) return LS_OK;
  ls_optim *optim = ls_calloc(1, sizeof *optim);
  void *const options = optim ? ls_calloc(1, type->options_size) : NULL;
  if (!options) {
    free(optim);
    return ls_fail_memory("the optimizer", type->options_size);
  }
  optim->type = type;
  optim->options = options;
  ls_config_read(config, section, type->keys, options);
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

double optim_common_lr(const ls_optim *optim) {
  return ((const optim_common *)optim->options)->lr;
}

void ls_optim_step(ls_optim *optim, double lr, float scale, const float *grads, float *params) {
  optim->steps++;
  optim->type->step(optim, lr, scale, grads, params);
}
