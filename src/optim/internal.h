/* Private to the module: the tables of the optimizer types, and their shared options. */
#ifndef LOCKSTEP_SRC_OPTIM_INTERNAL_H
#define LOCKSTEP_SRC_OPTIM_INTERNAL_H

#include "lockstep/optim.h"

extern const ls_optim_type optim_sgd;
extern const ls_optim_type optim_momentum;
extern const ls_optim_type optim_adagrad;
extern const ls_optim_type optim_rmsprop;
extern const ls_optim_type optim_adam;
extern const ls_optim_type optim_adamw;
extern const ls_optim_type optim_lars;
extern const ls_optim_type optim_lamb;

/* base^n by squaring, in double: the last bit of pow differs between processors, and the parameters must
 * not. */
double optim_power(double base, uint64_t n);

/* The first member of the options of every type. */
typedef struct optim_common {
  const char *type;
  double lr;
  double weight_decay;
} optim_common;

/* Rows of several tables. The struct `options` of a type begins with an optim_common. */
#define OPTIM_TYPE_KEY      LS_TEXT_KEY("type", optim_common, type, "optimizer type", .flags = LS_KEY_REQUIRED)
#define OPTIM_LR_KEY(value) LS_REAL_KEY("lr", optim_common, lr, value, 0, 1e6, "learning rate")
#define OPTIM_DECAY_KEY(value, help)                                                                       \
  LS_REAL_KEY("weight_decay", optim_common, weight_decay, value, 0, 1e6, help)
#define OPTIM_COUPLED_DECAY_KEY                                                                            \
  OPTIM_DECAY_KEY("0", "factor of w added to the gradient of every parameter, biases included")

/* The minimum is a normal float. */
#define OPTIM_EPS_KEY(value, help) LS_REAL_KEY("eps", options, eps, value, 1e-37, 1, help)

#endif
