/* The kinds of optimizers, one table each, and what they share. */
#ifndef LOCKSTEP_OPTIM_KINDS_H
#define LOCKSTEP_OPTIM_KINDS_H

#include "lockstep/optim.h"

extern const ls_optim_type ls_optim_sgd;
extern const ls_optim_type ls_optim_momentum;
extern const ls_optim_type ls_optim_adagrad;
extern const ls_optim_type ls_optim_rmsprop;
extern const ls_optim_type ls_optim_adam;
extern const ls_optim_type ls_optim_adamw;

/* What the options of every kind begin with. */
typedef struct optim_common {
  const char *type;
  double lr;
  double weight_decay;
} optim_common;

/* The learning rate of the options. */
double optim_common_lr(const ls_optim *optim);

/* Their rows in a table of keys. */
#define OPTIM_TYPE_KEY(kind)                                                                               \
  { .name = "type", .type = LS_KEY_TEXT, .offset = offsetof(optim_common, type), .help = kind }
#define OPTIM_LR_KEY(value)                                                                                \
  {                                                                                                        \
    .name = "lr", .type = LS_KEY_REAL, .offset = offsetof(optim_common, lr), .fallback = value, .min = 0,  \
    .max = 1e6, .help = "learning rate"                                                                    \
  }
#define OPTIM_DECAY_KEY(value, text)                                                                       \
  {                                                                                                        \
    .name = "weight_decay", .type = LS_KEY_REAL, .offset = offsetof(optim_common, weight_decay),           \
    .fallback = value, .min = 0, .max = 1e6, .help = text                                                  \
  }
#define OPTIM_COUPLED_DECAY_KEY OPTIM_DECAY_KEY("0", "adds weight_decay w to g, biases included")

/* A row of several kinds. A float holds the least that is taken. */
#define OPTIM_EPS_KEY(struct_name, value, text)                                                            \
  {                                                                                                        \
    .name = "eps", .type = LS_KEY_REAL, .offset = offsetof(struct_name, eps), .fallback = value,           \
    .min = 1e-37, .max = 1, .help = text                                                                   \
  }

#endif
