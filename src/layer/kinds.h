/* The kinds of layers, one table each. */
#ifndef LOCKSTEP_LAYER_KINDS_H
#define LOCKSTEP_LAYER_KINDS_H

#include "lockstep/layer.h"

extern const ls_layer_type ls_layer_dense;
extern const ls_layer_type ls_layer_dropout;
extern const ls_layer_type ls_layer_linear;
extern const ls_layer_type ls_layer_sigmoid;
extern const ls_layer_type ls_layer_tanh;
extern const ls_layer_type ls_layer_relu;
extern const ls_layer_type ls_layer_leaky_relu;
extern const ls_layer_type ls_layer_softmax;

/* The slope of leaky_relu where nothing else is said. */
#define LS_ALPHA_DEFAULT "0.01"

#endif
