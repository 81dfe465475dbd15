/* The kinds of optimizers, one table each. */
#ifndef LOCKSTEP_OPTIM_KINDS_H
#define LOCKSTEP_OPTIM_KINDS_H

#include "lockstep/optim.h"

extern const ls_optim_type ls_optim_sgd;
extern const ls_optim_type ls_optim_momentum;
extern const ls_optim_type ls_optim_adam;

/* The rows that all kinds begin with. */
#define LS_OPTIM_TYPE_KEY(struct_name, kind)                                                               \
  { .name = "type", .type = LS_KEY_TEXT, .offset = offsetof(struct_name, type), .help = kind }
#define LS_OPTIM_LR_KEY(struct_name, value)                                                                \
  {                                                                                                        \
    .name = "lr", .type = LS_KEY_REAL, .offset = offsetof(struct_name, lr), .fallback = value, .min = 0,   \
    .max = 1e6, .help = "learning rate"                                                                    \
  }

#endif
