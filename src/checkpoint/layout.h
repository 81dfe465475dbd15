/* What writing and reading share: the version, the shapes of blocks, the counters of /progress. */
#ifndef LOCKSTEP_CHECKPOINT_LAYOUT_H
#define LOCKSTEP_CHECKPOINT_LAYOUT_H

#include "lockstep/checkpoint.h"

#define FORMAT_VERSION 1

static inline ls_array segment_array(const ls_segment *segment) {
  return (ls_array){
      .dtype = LS_F32, .n_dims = segment->cols ? 2 : 1, .dims = {segment->rows, segment->cols}};
}

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
