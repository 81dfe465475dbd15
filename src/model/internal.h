/* Shared by the files of the module. */
#ifndef LOCKSTEP_MODEL_INTERNAL_H
#define LOCKSTEP_MODEL_INTERNAL_H

#include "lockstep/model.h"

/* Sets the leaves, the segment tables, n_params and n_state. LS_ERR_CONFIG if a path is too long or the
 * parameters are too many, LS_ERR_INTERNAL. */
ls_status model_create_segments(ls_model *model);

#endif
