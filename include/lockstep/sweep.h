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

/* The keys of a sweep file. */
extern const ls_key ls_sweep_keys[];

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

/* ------------------------------------------------------------------- Sobol's sequence */

#define LS_SOBOL_DIMS 21

/* Local. Coordinate `dim` of point `index` of Sobol's sequence, times 2^32; index < 2^32, dim <
 * LS_SOBOL_DIMS. The first 2^k points have one point in each of many boxes of volume 2^-k. */
uint32_t ls_sobol(uint32_t index, size_t dim);

#endif
