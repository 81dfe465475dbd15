/* Version of the format and shapes of blocks, for reading and writing. */
#ifndef LOCKSTEP_MODELFILE_INTERNAL_H
#define LOCKSTEP_MODELFILE_INTERNAL_H

#include "lockstep/modelfile.h"

/* Version 2 added input_shape. */
#define FORMAT_VERSION 2

static inline ls_array segment_array(const ls_segment *segment) {
  ls_array array = {.dtype = LS_F32, .n_dims = 1 + (unsigned)segment->row.n_dims, .dims = {segment->rows}};
  for (size_t i = 0; i < segment->row.n_dims; i++) array.dims[i + 1] = segment->row.dims[i];
  return array;
}

#endif
