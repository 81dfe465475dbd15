/* optim: optimizers over flat vectors. Formulas and defaults are PyTorch's.
 *
 * A kind of optimizer is a constant table, ls_optim_type: its keys, how many vectors of state it keeps and
 * the update. All functions are local. */
#ifndef LOCKSTEP_OPTIM_H
#define LOCKSTEP_OPTIM_H

#include "lockstep/base.h"
#include "lockstep/config.h"
#include "lockstep/math.h"

#define LS_OPTIM_SLOTS_MAX 2

typedef struct ls_optim_type ls_optim_type;

typedef struct ls_optim {
  const ls_optim_type *type;
  void *options;                    /* owned; filled by the type's table of keys */
  size_t n;                         /* elements of the parameters and of each slot */
  uint64_t steps;                   /* taken so far */
  float *slots[LS_OPTIM_SLOTS_MAX]; /* (n) each, views into `block` */
  float *block;                     /* owned: all the state, zero at first */
} ls_optim;

struct ls_optim_type {
  const char *name;
  const char *help;
  const ls_key *keys; /* of the map `optimizer:`; the first is `type` */
  size_t options_size;
  size_t n_slots;
  const char *slot_names[LS_OPTIM_SLOTS_MAX]; /* their names in a checkpoint */

  /* The update of all n parameters from scale * grads; optim->steps counts this one already. */
  void (*step)(const ls_optim *optim, float scale, const float *grads, float *params);

  /* The learning rate of the options. */
  double (*lr)(const ls_optim *optim);
};

/* The kinds, ended by NULL. */
extern const ls_optim_type *const ls_optim_types[];

/* Makes the optimizer of the section `optimizer:`. Mistakes are collected; *out is NULL where its type is
 * unknown. LS_ERR_INTERNAL where memory is short. The caller destroys it. */
ls_status ls_optim_parse(ls_config *config, ls_optim **out);

/* Takes the state for n parameters. */
ls_status ls_optim_build(ls_optim *optim, size_t n);

void ls_optim_destroy(ls_optim **optim);

/* One step: params (n) move by the gradient scale * grads (n). */
void ls_optim_step(ls_optim *optim, float scale, const float *grads, float *params);

#endif
