/* The counters of /progress, for reading and writing. */
#ifndef LOCKSTEP_CHECKPOINT_INTERNAL_H
#define LOCKSTEP_CHECKPOINT_INTERNAL_H

#include "lockstep/checkpoint.h"

/* A field of ls_progress and its name in the file; a NULL name ends a table. */
typedef struct counter {
  const char *name;
  size_t offset;
  bool is_later; /* absent from the first files of version 1, and then 0 */
} counter;

extern const counter checkpoint_counters[]; /* uint64_t */
extern const counter checkpoint_reals[];    /* double */

uint64_t *checkpoint_counter(ls_progress *progress, const counter *c);
double *checkpoint_real(ls_progress *progress, const counter *c);

#endif
