/* The value and the gradient of the explained output. */
#ifndef LOCKSTEP_EXPLAIN_INTERNAL_H
#define LOCKSTEP_EXPLAIN_INTERNAL_H

#include "lockstep/explain.h"

/* Local. F, from one row of the output of ls_model_forward.  z: (n_out) */
double explain_value(const ls_explain_options *o, size_t output, const float *z);

/* Local. Sets dz to weight * dF/dz for that row.  z, dz: (n_out) */
void explain_seed(const ls_explain_options *o, size_t output, double weight, const float *z, float *dz);

/* Local. The class or label with the largest output. */
size_t explain_predicted(const ls_model *model, const float *z);

#endif
