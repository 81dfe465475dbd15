/* Shared by the layer types: their tables, and helpers that keep lanes out of them. */
#ifndef LOCKSTEP_LAYER_INTERNAL_H
#define LOCKSTEP_LAYER_INTERNAL_H

#include "lockstep/layer.h"

/* The layer types, in the order of `lockstep keys`: name -> the table layer_name, in a file of its own. */
#define LAYER_TYPES(entry)                                                                                 \
  entry(dense) entry(dropout) entry(batch_norm) entry(residual) entry(linear) entry(sigmoid) entry(tanh)   \
      entry(relu) entry(leaky_relu) entry(elu) entry(gelu) entry(softplus) entry(softmax)

#define LAYER_DECLARE(name) extern const ls_layer_type layer_##name;
LAYER_TYPES(LAYER_DECLARE)

/* The first row of every table. The struct `options` of a type begins with `const char *layer`. */
#define LAYER_KEY LS_TEXT_KEY("layer", options, layer, "layer type", .flags = LS_KEY_REQUIRED)

/* Defaults and limit of alpha: the slope of leaky_relu, the scale of elu. */
#define ALPHA_LEAKY_RELU "0.01"
#define ALPHA_ELU        "1"
#define ALPHA_ELU_MAX    100

/* Creates a layer with options of zeros; takes `where`, on failure too. NULL if memory is short or `where`
 * is NULL. */
ls_layer *layer_create(const ls_layer_type *type, uint32_t index, char *where);

/* Creates a dense layer for `units` outputs without bias and activation, with the default initialiser and
 * the index and place of `parent`. NULL if memory is short. */
ls_layer *layer_create_projection(const ls_layer *parent, size_t units);

/* For `shape`: the output has the shape of the input. */
ls_status layer_keep_shape(ls_layer *layer);

/* The activation that the layer applies itself. */
static inline ls_activation layer_activation(const ls_layer *layer) {
  return layer->is_linked ? LS_LINEAR : layer->type->activation(layer);
}

/* Adds sums over the rows of a lane to `sums`; in backward, also writes rows->grads. */
typedef void (*layer_add_rows)(const ls_layer *layer, const ls_rows *rows, double *sums);

/* For layers with `spans_lanes`: calls `add` for each lane and folds the n sums of the lanes, and in
 * backward the gradients. The sums over this rank's lanes are then at the start of `levels`,
 * (LS_LANES_DEPTH, n). */
void layer_sum_lanes(const ls_layer *layer, const ls_pass *pass, const ls_rows *all, layer_add_rows add,
                     size_t n, double *levels);

/* dW = dz^T x + beta dW over the rows. Calls `ready` for each block of rows of dW as soon as it is final.
 * dz: (rows, n_out), dw: (n_out, n_in) */
void layer_weight_gradient(const ls_pass *pass, const ls_rows *rows, size_t n_out, size_t n_in,
                           const float *dz, float *dw);

/* rows->dx = dz W, unless it is NULL. Calls `ready` in between, so that communication progresses.
 * dz: (rows, n_out), w: (n_out, n_in) */
void layer_input_gradient(const ls_pass *pass, const ls_rows *rows, size_t n_out, size_t n_in,
                          const float *dz, const float *w);

#endif
