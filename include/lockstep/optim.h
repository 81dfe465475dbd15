/* optim: optimizers, penalties and learning rate schedules over flat parameter vectors. Formulas and
 * defaults are those of PyTorch.
 *
 * An optimizer type is a constant table, ls_optim_type: its keys, the number of its state vectors, and its
 * update. All functions are local. */
#ifndef LOCKSTEP_OPTIM_H
#define LOCKSTEP_OPTIM_H

#include "lockstep/base.h"
#include "lockstep/config.h"
#include "lockstep/math.h"

#define LS_OPTIM_SLOTS_MAX 3

/* A range of the flat vectors. */
typedef struct ls_range {
  size_t first, count;
} ls_range;

typedef struct ls_optim_type ls_optim_type;

typedef struct ls_optim {
  const ls_optim_type *type;
  void *options; /* owned; filled by the table of keys of the type */
  double lr;     /* of the options: the base of a schedule */
  size_t n;      /* parameters to update, and elements of each slot */
  size_t n_ranges;
  ls_range *ranges; /* owned: the parameters to update, in the order of the slots */
  uint64_t steps;   /* done so far */
  size_t n_slots;   /* of the type, and one more for the average of the parameters */
  float *mirror;    /* borrowed, NULL: none; set by the caller: a step also writes the parameters there, as
                       long as all, past the caches (ls_math_copy_nontemporal); the ranges are aligned */
  float *slots[LS_OPTIM_SLOTS_MAX]; /* (n) each, views into `block` */
  float *block;                     /* owned: memory of the slots; initially 0 */

  /* Set by the caller before ls_optim_build: */
  double average;  /* decay of the average of the parameters; 0: none */
  size_t n_blocks; /* for types with `sums`: */
  const ls_segment
      *blocks; /* (n_blocks), borrowed: the parameters that share a norm; 0: one block of all */
  void (*sum)(void *context, double *x, size_t n); /* adds the sums over all ranks, with the same bits on
                                                      each; NULL: this optimizer has all parameters */
  void *context;

  double *norms; /* (2, n_blocks), owned: sums of squares of the parameters and updates of each block */
  double trust;  /* during `step` of a type with `sums`: the trust ratio of the block */
} ls_optim;

struct ls_optim_type {
  const char *name;
  const char *help;
  const ls_key *keys; /* of the map `optimizer:`; the first is `type` */
  size_t options_size;
  size_t n_slots;
  const char *slot_names[LS_OPTIM_SLOTS_MAX]; /* in a checkpoint */

  /* For types whose learning rate depends on norms of blocks of parameters; NULL: it does not. Prepares the
   * step of the n parameters, all of one block, and adds to sums[0] the sum of squares of the parameters,
   * and to sums[1] that of their update (lamb) or gradient (lars). */
  void (*sums)(const ls_optim *optim, float scale, const float *grads, const float *params, double sums[2]);

  /* With `sums`: the trust ratio of a block from the two norms, both above 0. */
  double (*trust)(const ls_optim *optim, double params, double update);

  /* Updates the n parameters from scale * grads at the learning rate lr. optim->steps includes this step.
   */
  void (*step)(const ls_optim *optim, double lr, float scale, const float *grads, float *params);
};

/* The types, ended by NULL. */
extern const ls_optim_type *const ls_optim_types[];

/* Creates the optimizer of the section `optimizer:`, to be destroyed by the caller. Collects errors; *out
 * is NULL if the type is missing or unknown. LS_ERR_INTERNAL if memory is exhausted. */
ls_status ls_optim_parse(ls_config *config, ls_optim **out);

/* The number of slots of an optimizer, which need not be built. */
size_t ls_optim_n_slots(const ls_optim *optim);

/* Allocates zero state for n parameters, and replaces earlier state. LS_ERR_INTERNAL if memory is
 * exhausted.
 */
ls_status ls_optim_build(ls_optim *optim, size_t n);

/* The same for some of the parameters of a model. Copies `ranges`. */
ls_status ls_optim_build_part(ls_optim *optim, size_t n_ranges, const ls_range *ranges);

void ls_optim_destroy(ls_optim **optim);

/* The name of slot k in a checkpoint: that of the type, or LS_OPTIM_AVERAGE for the average. */
#define LS_OPTIM_AVERAGE "ema"
const char *ls_optim_slot_name(const ls_optim *optim, size_t k);

/* Performs one step, collectively if `sum` is set: updates the optimizer's ranges of params, all parameters
 * of the model, from the gradient scale * grads at the learning rate lr. */
void ls_optim_step(ls_optim *optim, double lr, float scale, const float *grads, float *params);

/* After a step: updates the average of the optimizer's ranges, if there is one, by average += (1 - decay)
 * (params - average); the first step sets it to the parameters, as PyTorch's AveragedModel does. */
void ls_optim_update_average(ls_optim *optim, const float *params);

/* Sets the average to the parameters. */
void ls_optim_reset_average(ls_optim *optim, const float *params);

/* Copies slot k to or from the positions of its parameters in `whole`, as long as all of the model. */
void ls_optim_get_slot(const ls_optim *optim, size_t k, float *whole);
void ls_optim_set_slot(ls_optim *optim, size_t k, const float *whole);

/* -------------------------------------------------------------------- penalties */

/* The section `penalty:`: l1 sum |w| + l2 sum w^2 over the weights W, without biases and batch norm. */
typedef struct ls_penalty {
  double l1, l2;
} ls_penalty;

extern const ls_key ls_penalty_keys[];

/* Reads the section. Collects errors. */
void ls_penalty_configure(ls_config *config, ls_penalty *out);

/* The sum of the penalties of all segments, each with its own l1 and l2. */
double ls_penalty_value(size_t n_segments, const ls_segment *segments, const float *params);

/* grads += weight 2 l2 w in a range: the gradient of the l2 penalty for a total sample weight. */
void ls_penalty_add_gradient(size_t n_segments, const ls_segment *segments, ls_range range, double weight,
                             const float *params, float *grads);

/* w = sign(w) max(|w| - lr l1, 0) in a range: the proximal step of l1, after the optimizer step. */
void ls_penalty_soft_threshold(size_t n_segments, const ls_segment *segments, ls_range range, double lr,
                               float *params);

/* --------------------------------------------------------------------- schedule */

typedef struct ls_schedule_type ls_schedule_type;

/* The section `schedule:`: the learning rate of each step. */
typedef struct ls_schedule {
  const ls_schedule_type *type;
  uint64_t step_size;   /* step: epochs between reductions */
  double gamma;         /* step, exponential: factor of a reduction */
  double min_lr;        /* cosine, linear: final rate; plateau: minimum rate */
  uint64_t total_steps; /* cosine, linear: step of the run at which the rate reaches min_lr; 0 in the
                           config: the last step */
  uint64_t patience;    /* plateau: epochs without improvement before a reduction */
  double factor;        /* plateau: factor of a reduction */
  uint64_t warmup_steps, warmup_epochs; /* at most one is > 0 */
} ls_schedule;

/* The position of a run. */
typedef struct ls_schedule_time {
  uint64_t step, epoch;  /* completed */
  uint64_t n_reductions; /* of ls_plateau */
} ls_schedule_time;

struct ls_schedule_type {
  const char *name;
  const char *help;
  const ls_key *keys; /* of the map `schedule:`; the first is `type` */

  /* The rate of the next step, without warm-up. */
  double (*lr)(const ls_schedule *schedule, double base, const ls_schedule_time *now);
};

/* The types, ended by one whose name is NULL. The first is constant. */
extern const ls_schedule_type ls_schedule_types[];

/* Reads the section; without it, the schedule is constant. Collects errors. out->type is never NULL. */
void ls_schedule_configure(ls_config *config, ls_schedule *out);

/* Sets the fields that depend on the data: the warm-up in steps, and the final step if it is not set.
 * LS_ERR_CONFIG if the warm-up is longer than the run or total_steps. */
ls_status ls_schedule_set_length(ls_schedule *schedule, uint64_t steps_per_epoch, uint64_t epochs);

/* The rate of the next step: during warm-up, the rate of the type times (step + 1) / warmup_steps. */
double ls_schedule_lr(const ls_schedule *schedule, double base, const ls_schedule_time *now);

/* The state of a plateau schedule; initially all 0. */
typedef struct ls_plateau {
  double best;       /* of the monitored column, if has_best */
  uint64_t has_best; /* 0 or 1 */
  uint64_t n_bad;    /* consecutive epochs without improvement */
  uint64_t n_reductions;
} ls_plateau;

/* Updates the state after an epoch, as PyTorch's ReduceLROnPlateau (relative threshold 1e-4, no cooldown).
 * NaN is not an improvement. Without effect on other schedules. */
void ls_plateau_update(const ls_schedule *schedule, double value, bool larger_is_better, ls_plateau *state);

#endif
