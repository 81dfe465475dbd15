/* optim: optimizers, penalties and learning rate schedules over flat vectors of parameters. Formulas and
 * defaults are PyTorch's.
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
  size_t n;                         /* parameters it updates, and elements of each slot */
  size_t first;                     /* the first of them among the model's; set by who builds it; else 0 */
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

  /* The update of all n parameters from scale * grads at a learning rate; optim->steps counts this one
   * already. */
  void (*step)(const ls_optim *optim, double lr, float scale, const float *grads, float *params);

  /* The learning rate of the options, which a schedule starts from. */
  double (*lr)(const ls_optim *optim);
};

/* The kinds, ended by NULL. */
extern const ls_optim_type *const ls_optim_types[];

/* Makes the optimizer of the section `optimizer:`. Mistakes are collected; *out is NULL where its type is
 * unknown. LS_ERR_INTERNAL where memory is short. The caller destroys it. */
ls_status ls_optim_parse(ls_config *config, ls_optim **out);

/* Takes the state for n parameters, which may be some of the model's only. What was there before is
 * forgotten. */
ls_status ls_optim_build(ls_optim *optim, size_t n);

void ls_optim_destroy(ls_optim **optim);

/* One step: params (n) move by the gradient scale * grads (n) at a learning rate. */
void ls_optim_step(ls_optim *optim, double lr, float scale, const float *grads, float *params);

/* -------------------------------------------------------------------- penalties */

/* The section `penalty:`: l1 sum |w| + l2 sum w^2 over the weights W, not b or batch norm. */
typedef struct ls_penalty {
  double l1, l2;
} ls_penalty;

extern const ls_key ls_penalty_keys[];

/* Reads the section; collects mistakes. */
void ls_penalty_configure(ls_config *config, ls_penalty *out);

/* The penalties of all segments, by their own l1 and l2, at params. */
double ls_penalty_value(size_t n_segments, const ls_segment *segments, const float *params);

/* A range of the flat vectors. */
typedef struct ls_range {
  size_t first, count;
} ls_range;

/* grads += weight 2 l2 w in a range: the gradient of the l2 penalty, as that of `weight` samples. */
void ls_penalty_add_gradient(size_t n_segments, const ls_segment *segments, ls_range range, double weight,
                             const float *params, float *grads);

/* w = sign(w) max(|w| - lr l1, 0) in a range: the proximal step of the l1 penalty, after an optimizer's. */
void ls_penalty_soft_threshold(size_t n_segments, const ls_segment *segments, ls_range range, double lr,
                               float *params);

/* --------------------------------------------------------------------- schedule */

typedef struct ls_schedule_type ls_schedule_type;

/* The section `schedule:`: the learning rate of each step. */
typedef struct ls_schedule {
  const ls_schedule_type *type;
  uint64_t step_size;   /* step: epochs between two drops */
  double gamma;         /* step, exponential: what the rate is multiplied by */
  double min_lr;        /* cosine, linear: where it ends; plateau: the least */
  uint64_t total_steps; /* cosine, linear: where it ends, in steps from the run's first; 0 in the config:
                           the epochs' end */
  uint64_t patience;    /* plateau: epochs without an improvement that are borne */
  double factor;        /* plateau: what the rate is multiplied by then */
  uint64_t warmup_steps, warmup_epochs; /* at most one is given */
} ls_schedule;

/* Where a run stands. */
typedef struct ls_schedule_time {
  uint64_t step, epoch;  /* done */
  uint64_t n_reductions; /* of a plateau */
} ls_schedule_time;

struct ls_schedule_type {
  const char *name;
  const char *help;
  const ls_key *keys; /* of the map `schedule:`; the first is `type` */

  /* The rate of the next step, warm-up left aside. */
  double (*lr)(const ls_schedule *schedule, double base, const ls_schedule_time *now);
};

/* The kinds, ended by NULL. */
extern const ls_schedule_type *const ls_schedule_types[];

/* Reads the section (absent: constant); collects mistakes. out->type is never NULL. */
void ls_schedule_configure(ls_config *config, ls_schedule *out);

/* Sets what depends on the data: warm-up in steps, and the end where none was given. LS_ERR_CONFIG where
 * the warm-up is longer than that. */
ls_status ls_schedule_set_length(ls_schedule *schedule, uint64_t steps_per_epoch, uint64_t epochs);

/* The rate of the next step: in warm-up, the kind's own times (step + 1) / warmup_steps. */
double ls_schedule_lr(const ls_schedule *schedule, double base, const ls_schedule_time *now);

/* What a plateau remembers. All 0 at first. */
typedef struct ls_plateau {
  double best;           /* of the monitored column; valid where has_best */
  uint64_t has_best;     /* 0 or 1 */
  uint64_t n_bad;        /* epochs in a row without an improvement */
  uint64_t n_reductions; /* so far */
} ls_plateau;

/* Whether the schedule looks at the monitored column at all. */
bool ls_schedule_is_plateau(const ls_schedule *schedule);

/* After an epoch: PyTorch's ReduceLROnPlateau (relative threshold 1e-4, no cooldown), for which a NaN is no
 * improvement. */
void ls_plateau_update(const ls_schedule *schedule, double value, bool larger_is_better, ls_plateau *state);

#endif
