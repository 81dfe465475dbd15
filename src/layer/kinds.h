/* The kinds of layers, one table each. */
#ifndef LOCKSTEP_LAYER_KINDS_H
#define LOCKSTEP_LAYER_KINDS_H

#include "lockstep/layer.h"

extern const ls_layer_type ls_layer_dense;
extern const ls_layer_type ls_layer_dropout;
extern const ls_layer_type ls_layer_batch_norm;
extern const ls_layer_type ls_layer_residual;
extern const ls_layer_type ls_layer_linear;
extern const ls_layer_type ls_layer_sigmoid;
extern const ls_layer_type ls_layer_tanh;
extern const ls_layer_type ls_layer_relu;
extern const ls_layer_type ls_layer_leaky_relu;
extern const ls_layer_type ls_layer_elu;
extern const ls_layer_type ls_layer_gelu;
extern const ls_layer_type ls_layer_softplus;
extern const ls_layer_type ls_layer_softmax;

/* The first row of every table. The struct `options` of a kind begins with `const char *layer`. */
#define LAYER_KEY LS_TEXT_KEY("layer", options, layer, "layer type", .flags = LS_KEY_REQUIRED)

/* alpha where nothing else is said: the slope of leaky_relu, the scale of elu. */
#define ALPHA_LEAKY_RELU "0.01"
#define ALPHA_ELU        "1"
#define ALPHA_ELU_MAX    100

#endif
