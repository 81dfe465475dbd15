/* Shared by the layer types: their tables, and helpers that keep lanes out of them. */
#ifndef LOCKSTEP_LAYER_INTERNAL_H
#define LOCKSTEP_LAYER_INTERNAL_H

#include "lockstep/layer.h"

extern const ls_layer_type layer_dense;
extern const ls_layer_type layer_dropout;
extern const ls_layer_type layer_batch_norm;
extern const ls_layer_type layer_residual;
extern const ls_layer_type layer_linear;
extern const ls_layer_type layer_sigmoid;
extern const ls_layer_type layer_tanh;
extern const ls_layer_type layer_relu;
extern const ls_layer_type layer_leaky_relu;
extern const ls_layer_type layer_elu;
extern const ls_layer_type layer_gelu;
extern const ls_layer_type layer_softplus;
extern const ls_layer_type layer_softmax;

/* The first row of every table. The struct `options` of a type begins with `const char *layer`. */
#define LAYER_KEY LS_TEXT_KEY("layer", options, layer, "layer type", .flags = LS_KEY_REQUIRED)

/* Defaults and limit of alpha: the slope of leaky_relu, the scale of elu. */
#define ALPHA_LEAKY_RELU "0.01"
#define ALPHA_ELU        "1"
#define ALPHA_ELU_MAX    100

/* Creates a layer with options of zeros and without a place in the config. NULL if memory is short. */
ls_layer *layer_create(const ls_layer_type *type, uint32_t index);

/* Creates a dense layer for `units` outputs without bias and activation, with the default initialiser. NULL
 * if memory is short. */
ls_layer *layer_create_projection(size_t units, uint32_t index);

/* For `shape`: the output has the shape of the input. */
ls_status layer_keep_shape(ls_layer *layer);

/* Elements of all parameters of a layer. */
static inline size_t layer_n_params(const ls_layer *layer) {
  size_t n = 0;
  for (size_t p = 0; p < layer->n_params; p++) n += ls_param_count(&layer->params[p]);
  return n;
}

/* The activation that the layer applies itself. */
static inline ls_activation layer_activation(const ls_layer *layer) {
  return layer->is_linked ? LS_LINEAR : layer->type->activation(layer);
}

/* Adds sums over the rows of a lane to `sums`; in backward, also writes rows->grads. */
typedef void (*layer_add_rows)(const ls_layer *layer, const ls_rows *rows, double *sums);

/* For layers with `spans_lanes`: calls `add` for each lane of the pass and folds the n sums of the lanes,
 * and in backward the gradients. The sums of all lanes of this rank are then at the start of `levels`,
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
