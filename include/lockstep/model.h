/* model: the list of layers, its parameters and gradients as two flat vectors, forward and backward. What
 * layers keep beside their parameters (batch norm's running averages) is a third, the state.
 *
 * A model is parsed from the config first, without knowing its inputs, and built when these are known. One
 * aligned block holds all parameters and one all gradients, in the order in which the backward pass
 * finishes them: the last layer's come first. All functions are local. */
#ifndef LOCKSTEP_MODEL_H
#define LOCKSTEP_MODEL_H

#include "lockstep/base.h"
#include "lockstep/config.h"
#include "lockstep/layer.h"
#include "lockstep/math.h"

/* A layer that is not only a list of others, or what such a layer has of its own (a residual's skip). */
typedef struct ls_leaf {
  char path[128]; /* "0-dense", "3-residual/0-dense", "3-residual/skip" */
  ls_layer *layer;
  size_t segment, n_segments; /* its first in the model's table, and how many; its blocks are path/name */
} ls_leaf;

typedef struct ls_model {
  ls_loss loss;
  size_t n_layers;
  ls_layer **layers; /* owned */
  double l1, l2;     /* penalties of the weights that have none of their own; to be set before building */
  size_t max_lanes;  /* the most lanes of a pass, likewise; 0: 1 */

  /* From here on set by ls_model_build. */
  size_t n_in, n_out;
  size_t max_rows;       /* the most rows of a pass */
  size_t n_params;       /* elements of params and grads */
  float *params, *grads; /* (n_params) each, views into `arena` */
  size_t n_segments;
  ls_segment *segments; /* owned; in the order of params: path, kind, offset, shape of each block */
  size_t n_state;       /* elements of state */
  float *state;         /* (n_state), a view into `arena`: saved and restored with params, not trained */
  size_t n_state_segments;
  ls_segment *state_segments; /* owned; likewise, of the state */
  size_t n_leaves;
  ls_leaf *leaves;    /* owned; in the order of the config, those inside a layer before what is its own */
  ls_arena arena;     /* parameters, gradients, activations, scratch: all the memory of a step */
  const float *input; /* (rows, n_in), borrowed: of the latest forward pass */
  float **outputs;    /* (n_layers), owned; [l] is layer l's output (max_rows, its n_out) */
  float *deltas[2];   /* dL/d(activation) of the layer at hand and of the one before it */
} ls_model;

/* Parses the list of layers (`model:`) for a loss. Mistakes are collected in the config: layers that do not
 * fit each other or the loss too. LS_ERR_INTERNAL where memory is short. The caller destroys it. */
ls_status ls_model_parse(ls_config *config, ls_loss loss, ls_model **out);

/* Gives the model its shapes and memory for passes of at most `max_rows` rows of `n_in` features.
 * LS_ERR_CONFIG where that does not fit this machine, or layers lie so deep that a path is too long. */
ls_status ls_model_build(ls_model *model, size_t n_in, size_t max_rows);

void ls_model_destroy(ls_model **model);

/* Sets all parameters and the state to their initial values, keyed on the seed alone. */
void ls_model_initialise(ls_model *model, uint64_t seed);

/* Forward over the rows of x, (rows, n_in), which the model borrows until backward has run. Returns the
 * outputs of the last layer, (rows, n_out): if the loss has a link (see ls_loss_link), z before the last
 * activation. Valid until the next pass. */
const float *ls_model_forward(ls_model *model, const ls_pass *pass, const float *x);

/* After ls_model_forward: where dL/d(output) is to be put, (rows, n_out). */
float *ls_model_output_gradient(ls_model *model);

/* Backward from the output's gradient: fills model->grads with sums over the rows (or adds them: see
 * ls_pass). Where dx_input, (rows, n_in), is not NULL it becomes dL/d(input). */
void ls_model_backward(ls_model *model, const ls_pass *pass, float *dx_input);

/* After ls_model_forward over `rows` rows: turns its outputs into predictions, in place, by applying the
 * link where there is one, and returns them, (rows, n_out). */
const float *ls_model_predict(ls_model *model, size_t rows);

/* Bytes of the memory that ls_model_build took. */
size_t ls_model_bytes(const ls_model *model);

#endif
