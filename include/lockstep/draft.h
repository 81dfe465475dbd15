/* draft: a config for a dataset, with a comment that gives the reason for each choice. The choices follow
 * from the arrays of the dataset: their types, shapes and values, of which a bounded sample is read, and
 * the targets, which are read once. */
#ifndef LOCKSTEP_DRAFT_H
#define LOCKSTEP_DRAFT_H

#include "lockstep/base.h"
#include "lockstep/comm.h"

/* What the samples are. AUTO: decided by their shape and, if they are flat rows, by their values. */
typedef enum ls_draft_kind {
  LS_DRAFT_AUTO,
  LS_DRAFT_TABLE,
  LS_DRAFT_SERIES, /* (L), (L, C) or (C, L) */
  LS_DRAFT_IMAGES,
  LS_DRAFT_VOLUMES
} ls_draft_kind;

/* What y is. AUTO: decided by its type, shape and values. */
typedef enum ls_draft_targets { LS_DRAFT_ANY, LS_DRAFT_CLASSES, LS_DRAFT_NUMBERS } ls_draft_targets;

/* Texts are borrowed. Those of ranks other than 0 are ignored. */
typedef struct ls_draft_request {
  const char *data;   /* FILE[:GROUP] or a pattern, of the training data. Without a group, the group `train`
                         is preferred */
  const char *x, *y;  /* names of arrays, or NULL; y: also FILE:/PATH, then no other data are searched */
  const char *source; /* what the data were imported from, for a comment; or NULL */
  uint64_t n_missing; /* cells that the import has replaced, for the same comment... */
  const char *missing; /* ... as this value of --missing says */
  const char *config;  /* file to write, to whose folder paths in it are relative; "-": standard output */
  const char *run;     /* the run directory */
  int kind;            /* ls_draft_kind */
  int targets;         /* ls_draft_targets */
} ls_draft_request;

/* Collective. Inspects a dataset and writes the config. Validation and test data are searched for beside
 * the training data: as groups, as arrays such as X_test, as files with `test` in place of `train` in their
 * name. Those whose samples have other shapes are left out, with a warning. An existing file is replaced.
 * LS_ERR_DATA: the data cannot be read or are ambiguous, or there is nothing to learn: one class, or
 * constant targets. LS_ERR_CONFIG: the options do not fit the data. LS_ERR_OUTPUT. */
ls_status ls_draft_write(ls_comm *comm, const ls_draft_request *request);

#endif
