/* model: the list of layers; parameters and gradients as two flat vectors; forward and backward passes. The
 * state, such as the running averages of batch norm, is a third vector.
 *
 * ls_model_parse reads the config, ls_model_infer_shapes sets the shapes for a given input, and
 * ls_model_build allocates the memory: one aligned block for all parameters and one for all gradients, in
 * the order in which the backward pass finishes them, the last layer's first. All functions are local. */
#ifndef LOCKSTEP_MODEL_H
#define LOCKSTEP_MODEL_H

#include "lockstep/base.h"
#include "lockstep/config.h"
#include "lockstep/layer.h"
#include "lockstep/math.h"

/* A layer without inner layers. */
typedef struct ls_leaf {
  char path[128]; /* "0-dense", "3-residual/0-dense", "3-residual/skip" */
  ls_layer *layer;
  size_t segment; /* the first of its blocks in the model's table, which are named path/name */
} ls_leaf;

typedef struct ls_model {
  ls_loss loss;                 /* of a model that ends with sigmoid, `focal` is LS_FOCAL_LABELS */
  ls_loss_options loss_options; /* initially 0; set by the caller */
  size_t n_layers;
  ls_layer **layers; /* owned */
  double l1, l2;     /* penalties of weights that have none of their own; set before ls_model_build */
  size_t max_lanes;  /* of a pass; set before ls_model_build; 0: 1 */
  bool predicts;     /* has passes in LS_PREDICT alone, and no gradients; set before ls_model_build */
  const struct ls_model *twin; /* borrowed: an equal model that predicts, whose parameters, state and
                                  prepared weights this one uses, as may others at the same time; set before
                                  ls_model_build. NULL: its own */

  /* Set by ls_model_infer_shapes. */
  ls_shape in, out;   /* of one sample */
  size_t n_in, n_out; /* their numbers of elements */

  /* Set by ls_model_measure and ls_model_build. */
  size_t max_rows;       /* of a pass */
  size_t n_params;       /* elements of params and grads */
  float *params, *grads; /* (n_params) each, views into `arena`, or borrowed */
  size_t n_segments;
  ls_segment *segments; /* owned; in the order of params */
  size_t n_state;       /* elements of state */
  float *state;         /* (n_state), a view into `arena`: saved with params, not trained */
  size_t n_state_segments;
  ls_segment *state_segments; /* owned; in the order of state */
  size_t n_leaves;
  ls_leaf *leaves;    /* owned; in the order of the config */
  ls_arena arena;     /* all memory of a step: parameters, gradients, activations and workspace */
  const float *input; /* (rows, n_in), borrowed: of the latest forward pass */
  float *deltas[2];   /* dL/d(activation) of the current layer and of the one before it */
} ls_model;

/* Parses the list of layers (`model:`) for a loss. Collects errors in the config, including layers that do
 * not fit the loss. LS_ERR_INTERNAL if memory is short. The caller destroys the model. */
ls_status ls_model_parse(ls_config *config, ls_loss loss, ls_model **out);

/* The spatial dims of a sample, by the first convolution or pooling layer that determines them; 0: none. */
size_t ls_model_spatial_dims(const ls_model *model);

/* Sets the shapes of all layers from that of a sample; once. LS_ERR_CONFIG if a layer cannot process its
 * input, LS_ERR_INTERNAL. */
ls_status ls_model_infer_shapes(ls_model *model, const ls_shape *input);

/* Sets n_params and model->arena.used, the memory for passes of at most `max_rows` rows. LS_ERR_CONFIG if
 * this machine's memory is too small, or layers are nested so deeply that a path is too long. */
ls_status ls_model_measure(ls_model *model, size_t max_rows);

/* Allocates the arena, after measuring it unless that was done. LS_ERR_CONFIG as ls_model_measure;
 * LS_ERR_INTERNAL. */
ls_status ls_model_build(ls_model *model, size_t max_rows);

/* Uses other memory for parameters and gradients, (n_params) each, zeroed, which the model borrows until
 * ls_model_return, and gives its own to the system. */
void ls_model_borrow(ls_model *model, float *params, float *grads);

/* Uses other copies of the parameters and gradients from now on, which the model borrows. */
void ls_model_set_vectors(ls_model *model, float *params, float *grads);

/* Replaces the weights of dense layers by packed ones, for passes with `is_packed`, which must follow.
 * LS_ERR_INTERNAL. */
ls_status ls_model_pack(ls_model *model);

/* Copies the borrowed parameters to the model's own memory, and uses that again. The gradient becomes
 * undefined. */
void ls_model_return(ls_model *model);

void ls_model_destroy(ls_model **model);

/* Sets all parameters and the state to their initial values, keyed on the seed alone. */
void ls_model_initialise(ls_model *model, uint64_t seed);

/* Forward over the rows of x, (rows, n_in), which the model borrows until backward has run. Returns the
 * outputs of the last layer, (rows, n_out): if the loss has a link (see ls_loss_link), z before the last
 * activation. Valid until the next pass. */
const float *ls_model_forward(ls_model *model, const ls_pass *pass, const float *x);

/* After ls_model_forward: the buffer for dL/d(output), (rows, n_out). */
float *ls_model_output_gradient(ls_model *model);

/* Backward from the output's gradient: sets model->grads to sums over the rows (adds them if pass->adds).
 * Sets dx_input, (rows, n_in), to dL/d(input) unless it is NULL. */
void ls_model_backward(ls_model *model, const ls_pass *pass, float *dx_input);

/* After ls_model_forward over `rows` rows: applies the link, if any, to the outputs in place, and returns
 * these predictions, (rows, n_out). */
const float *ls_model_predict(ls_model *model, size_t rows);

#endif
