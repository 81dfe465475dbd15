/* sweep: hyper-parameter search. Trials train at the same time on groups of ranks; a table has their
 * results.
 *
 * A trial is the base config with values of its own for some keys, and a run directory like any other.
 * Which values trial k has depends on the sweep file alone, never on ranks or time. See
 * src/sweep/README.md. */
#ifndef LOCKSTEP_SWEEP_H
#define LOCKSTEP_SWEEP_H

#include "lockstep/base.h"
#include "lockstep/comm.h"
#include "lockstep/config.h"

/* The keys of a sweep file, and those of a range in `parameters:`. */
extern const ls_key ls_sweep_keys[];
extern const ls_key ls_sweep_range_keys[];

typedef struct ls_sweep_options {
  const char *path;    /* the sweep file */
  const char *output;  /* replaces `output:`; or NULL */
  const char *part;    /* "I/N": only the trials whose numbers are I modulo N; NULL: all */
  bool overwrite;      /* first remove the sweep that the directory has */
  const char *command; /* the command that resumes the sweep, for messages */
} ls_sweep_options;

/* Collective. Runs the trials of a sweep, or those that are missing, and writes the best config and its
 * model. LS_STOPPED if it was stopped by a signal or train.max_time, after saving all running trials.
 * LS_ERR_CONFIG with all errors of the sweep file, of the base and of its trials, before anything starts;
 * LS_ERR_NUMERIC if no trial has a value; other failures of the machine after the other trials of the rung
 * have been trained. */
ls_status ls_sweep_run(ls_comm *comm, const ls_sweep_options *options);

/* ------------------------------------------------------------------ results of a sweep */

#define LS_SWEEP_RUNGS_MAX 32
#define LS_SWEEP_VALUE_MAX 128 /* bytes of a parameter's value */

typedef enum ls_sweep_kind {
  LS_SWEEP_CHOICES,
  LS_SWEEP_UNIFORM,
  LS_SWEEP_LOG_UNIFORM,
  LS_SWEEP_INTEGER,
  LS_SWEEP_LOG_INTEGER
} ls_sweep_kind;

/* A key of the base config that varies. */
typedef struct ls_sweep_parameter {
  const char *key; /* dotted path */
  ls_sweep_kind kind;
  double low, high;    /* of a range, both included */
  const ls_node *node; /* LS_SWEEP_CHOICES: the list of values */
  size_t n_choices;
} ls_sweep_parameter;

/* The rungs of successive halving; other searches have one. */
typedef struct ls_sweep_rungs {
  size_t n;
  uint64_t epochs[LS_SWEEP_RUNGS_MAX]; /* at the end of the rung */
  uint64_t trials[LS_SWEEP_RUNGS_MAX]; /* at most; fewer if trials of the rung before have no value */
} ls_sweep_rungs;

typedef enum ls_trial_state {
  LS_TRIAL_ABSENT,
  LS_TRIAL_DONE,
  LS_TRIAL_DIVERGED,
  LS_TRIAL_FAILED
} ls_trial_state;

/* The result of a trial in a rung. */
typedef struct ls_sweep_row {
  uint64_t trial, rung, epochs;
  int state;      /* ls_trial_state */
  double value;   /* of the monitor in the best epoch so far; NaN: none */
  double seconds; /* of training, with the rungs before */
} ls_sweep_row;

/* The results in the directory of a sweep. */
typedef struct ls_sweep_results {
  const char *search;  /* "halving" */
  const char *monitor; /* column of metrics.csv that ranks the trials */
  bool is_maximized;
  uint64_t factor, first; /* of successive halving */
  uint64_t n_trials;
  uint64_t part, n_parts; /* the trials whose numbers are `part` modulo n_parts; 0 and 1: all */
  size_t n_parameters;
  const ls_sweep_parameter *parameters; /* (n_parameters) */
  ls_sweep_rungs rungs;
  const ls_sweep_row *rows;    /* (rungs.n, n_trials) */
  bool has_best;               /* a trial has a value */
  uint64_t best;               /* the trial that best.yaml has, or will have if the sweep ends now */
  size_t best_rung;            /* in which it has its value */
  struct sweep_source *source; /* owned: memory of all the above */
} ls_sweep_results;

/* Local. Whether a folder has a file of a sweep: trials.csv, sweep.yaml, or tables of parts. */
bool ls_sweep_exists(const char *folder);

/* Local. Reads the results of a sweep, which may be running. LS_ERR_DATA if a file is missing or damaged.
 * The caller destroys them, after a failure too. */
ls_status ls_sweep_results_read(const char *folder, ls_sweep_results *out);
void ls_sweep_results_destroy(ls_sweep_results *results);

/* Local. The value of parameter k in a trial, as in the table. Returns `text`. */
const char *ls_sweep_value(const ls_sweep_results *results, uint64_t trial, size_t k,
                           char text[LS_SWEEP_VALUE_MAX]);

/* Local. The row of a trial in a rung. */
static inline const ls_sweep_row *ls_sweep_row_of(const ls_sweep_results *results, size_t rung,
                                                  uint64_t trial) {
  return &results->rows[rung * results->n_trials + trial];
}

/* ------------------------------------------------------------------- Sobol's sequence */

#define LS_SOBOL_DIMS 21

/* Local. Coordinate `dim` of point `index` of Sobol's sequence, times 2^32; index < 2^32, dim <
 * LS_SOBOL_DIMS. The first 2^k points have one point in each of many boxes of volume 2^-k. */
uint32_t ls_sobol(uint32_t index, size_t dim);

#endif
