/* The explained output, as a number and as a gradient. */
#ifndef LOCKSTEP_EXPLAIN_INTERNAL_H
#define LOCKSTEP_EXPLAIN_INTERNAL_H

#include "lockstep/explain.h"

/* Local. F, of one row of what ls_model_forward returns.  z: (n_out) */
double explain_value(const ls_explain_options *o, size_t output, const float *z);

/* Local. weight * dF/dz of that row.  z, dz: (n_out) */
void explain_seed(const ls_explain_options *o, size_t output, double weight, const float *z, float *dz);

/* Local. The class or label with the largest output. */
size_t explain_predicted(const ls_model *model, const float *z);

#endif
