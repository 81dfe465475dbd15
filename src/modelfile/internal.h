/* Version of the format and shapes of blocks, for reading and writing. */
#ifndef LOCKSTEP_MODELFILE_INTERNAL_H
#define LOCKSTEP_MODELFILE_INTERNAL_H

#include "lockstep/modelfile.h"

#define FORMAT_VERSION 1

static inline ls_array segment_array(const ls_segment *segment) {
  return (ls_array){
      .dtype = LS_F32, .n_dims = segment->cols ? 2 : 1, .dims = {segment->rows, segment->cols}};
}

#endif
