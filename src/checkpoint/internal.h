/* The counters of /progress, for reading and writing. */
#ifndef LOCKSTEP_CHECKPOINT_INTERNAL_H
#define LOCKSTEP_CHECKPOINT_INTERNAL_H

#include "lockstep/checkpoint.h"

/* A field of ls_progress by its name in the file; the tables end with a NULL name. */
typedef struct counter {
  const char *name;
  size_t offset;
  bool is_later; /* not in the first files of this version: 0 where it is absent */
} counter;

extern const counter checkpoint_counters[]; /* uint64_t */
extern const counter checkpoint_reals[];    /* double */

uint64_t *checkpoint_counter(ls_progress *progress, const counter *c);
double *checkpoint_real(ls_progress *progress, const counter *c);

#endif
