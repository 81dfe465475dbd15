/* Shared by the layer types: their tables, and helpers that keep lanes out of them. */
#ifndef LOCKSTEP_LAYER_INTERNAL_H
#define LOCKSTEP_LAYER_INTERNAL_H

#include "lockstep/layer.h"

/* The layer types, in the order of `lockstep keys`: name -> the table layer_name, in a file of its own. */
#define LAYER_TYPES(entry)                                                                                 \
  entry(dense) entry(conv1d) entry(conv2d) entry(conv3d) entry(max_pool) entry(avg_pool)                   \
      entry(global_max_pool) entry(global_avg_pool) entry(flatten) entry(batch_norm) entry(layer_norm)     \
          entry(dropout) entry(residual) entry(linear) entry(sigmoid) entry(tanh) entry(relu)              \
              entry(leaky_relu) entry(elu) entry(gelu) entry(softplus) entry(softmax)

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

/* Creates the convN_d layer of a skip: n_dims dims, a 1x1 kernel without bias, strides (n_dims). NULL if
 * memory is short. */
ls_layer *layer_create_conv_projection(const ls_layer *parent, size_t n_dims, size_t filters,
                                       const size_t *stride);

/* The layers of a list in turn, as one layer; not in the config. `list` is the node of its layers. */
ls_layer *layer_create_chain(ls_node *list, uint32_t index, char *where);

/* For layers with a chain of inner layers, children[0] to [n - 1]; all of them called for all rows.
 *   shape     infers their shapes from layer->in; sets layer->out to the shape of the last output
 *   reserve   takes their outputs from the arena, of the last one only if takes_last, and requests two
 *             blocks of workspace first
 *   set_output  sets the output of the last one, (rows, n_out)
 *   forward   returns the output of the last one
 *   backward  from dy, which it overwrites; returns dL/dx, in the workspace, or NULL if !needs_dx */
ls_status layer_chain_shape(ls_layer *layer, size_t n);
void layer_chain_reserve(ls_layer *layer, ls_arena *arena, size_t rows, size_t n, bool takes_last);
void layer_chain_set_output(const ls_layer *layer, size_t n, float *y);
const float *layer_chain_forward(const ls_layer *layer, const ls_pass *pass, size_t n, const float *x);
float *layer_chain_backward(const ls_layer *layer, const ls_pass *pass, size_t n, const float *x, float *dy,
                            bool needs_dx);

/* ---------------------------------------------------------------- weights */

/* The options of layers with weights W and a bias b. */
typedef struct layer_weights {
  int activation; /* ls_activation */
  double alpha;
  ls_node *init_node;
  ls_init init;
  bool bias;
  int bias_init; /* 0: zeros, 1: normal */
  double l1, l2;
  bool has_l1, has_l2;
} layer_weights;

extern const char *const layer_bias_init_names[];

/* Rows of a table of keys, for the member `part` of `record`. */
#define LAYER_WEIGHTS_KEYS(record, part)                                                                   \
  LS_CHOICE_KEY("activation", record, part.activation, "linear", ls_activation_names,                      \
                "function applied to W x + b"),                                                            \
      LS_REAL_KEY("alpha", record, part.alpha, ALPHA_LEAKY_RELU, 0, ALPHA_ELU_MAX,                         \
                  "leaky_relu: slope for x < 0, at most 1; elu: scale for x < 0, "                         \
                  "default " ALPHA_ELU,                                                                    \
                  .flags = LS_KEY_ELSEWHERE),                                                              \
      LS_NODE_KEY("init", record, part.init_node,                                                          \
                  "initial W: default (he_normal for relu, leaky_relu, elu and gelu, else "                \
                  "xavier_uniform), xavier_uniform, xavier_normal, he_uniform, he_normal, lecun_normal, "  \
                  "normal, uniform, zeros, or as in {type: normal, std: 0.01}",                            \
                  .fallback = "default"),                                                                  \
      LS_REAL_KEY("gain", record, part.init.gain, "1", 0, 1e6, "factor of the initial W"),                 \
      LS_BOOL_KEY("bias", record, part.bias, "true", "whether the layer has a bias b"),                    \
      LS_CHOICE_KEY("bias_init", record, part.bias_init, "zeros", layer_bias_init_names,                   \
                    "initial b; normal: standard deviation 0.01"),                                         \
      LS_REAL_KEY("l1", record, part.l1, NULL, 0, 1e6, "penalty.l1 of this W; default: the global one"),   \
      LS_REAL_KEY("l2", record, part.l2, NULL, 0, 1e6, "penalty.l2 of this W; default: the global one")

/* For `check`: reads what the table cannot describe. */
void layer_weights_check(layer_weights *weights, ls_config *config, ls_node *node);

/* For `shape`: sets the parameters W, (rows, row), and b, (rows). */
void layer_weights_shape(const layer_weights *weights, size_t rows, const ls_shape *row, ls_layer *layer);

/* For `initialise`. A layer has two instances of the random numbers, for W and for b. */
void layer_weights_initialise(const layer_weights *weights, const ls_layer *layer, size_t fan_out,
                              uint64_t seed);

/* For `reserve`: keeps z, (rows, n_out), if the derivative of the activation needs it. */
void layer_weights_reserve(ls_layer *layer, ls_arena *arena, size_t rows);
float *layer_weights_kept(const ls_layer *layer, const ls_rows *rows);

/* ---------------------------------------------------------------- windows */

/* One number for all dims (n = 1), or one for each. */
typedef struct layer_sizes {
  size_t n;
  size_t values[LS_WINDOW_DIMS];
} layer_sizes;

/* The options of a window. */
typedef struct layer_window {
  ls_node *size_node, *stride_node, *padding_node, *dilation_node;
  layer_sizes size, stride, dilation; /* n = 0: not given */
  bool is_same;                       /* padding: same */
  layer_sizes before, after;          /* padding otherwise */
} layer_window;

#define LAYER_PADDING_HELP                                                                                 \
  "valid (none), same (the output has ceil(size / stride) positions; the odd one is added after), a "      \
  "number, or a list of one number or [before, after] for each dim"

/* For `check`: reads the nodes of a window; sizes of n_dims dims, 0: unknown. */
void layer_window_read(layer_window *window, ls_config *config, size_t n_dims);

/* The shape of the input with n_dims dims and its channels, which may be absent. LS_ERR_CONFIG if it does
 * not have these dims. */
ls_status layer_window_input(const ls_layer *layer, size_t n_dims, ls_shape *out);

/* Sets the window over an input of shape `in` from layer_window_input. LS_ERR_CONFIG if it does not fit. */
ls_status layer_window_fit(const ls_layer *layer, const layer_window *window, const ls_shape *in,
                           ls_window *out);

/* Sets layer->out to the positions of the window and `channels`. */
void layer_window_output(ls_layer *layer, const ls_window *window, size_t n_dims, size_t channels);

/* Appends ", pads 1+1 1+1" and the like to the description of a layer. */
void layer_window_describe(const ls_window *window, size_t n_dims, char *text, size_t size);

/* ----------------------------------------------------------------- shapes */

/* The last dim of a shape: the channels of a position, or the features. */
static inline size_t layer_channels(const ls_shape *shape) {
  return shape->n_dims > 0 ? shape->dims[shape->n_dims - 1] : 1;
}

/* For `shape`: the output has the shape of the input. */
ls_status layer_keep_shape(ls_layer *layer);

/* The activation that the layer applies itself. */
static inline ls_activation layer_activation(const ls_layer *layer) {
  return layer->is_linked ? LS_LINEAR : layer->type->activation(layer);
}

/* Sets the blocks that backward overwrites with the gradients of a lane, and beta. */
void layer_set_gradients(const ls_layer *layer, const ls_pass *pass, size_t lane, ls_rows *rows);

/* Folds the complete gradients of a lane. */
void layer_fold_gradients(const ls_layer *layer, const ls_pass *pass, size_t lane);

/* For layers with `reduce`; other layers are not passed, but NULL is.
 *   gather  adds rows of a lane, from rows->first on, while they are in the cache
 *   reduce  gathers all rows, unless that is done, and reduces the sums */
void layer_gather(ls_layer *layer, const ls_pass *pass, size_t lane, const ls_rows *rows);
void layer_reduce(ls_layer *layer, const ls_pass *pass, const ls_rows *all);

/* The gradient of a block over a lane, from its sums: (n). */
void layer_put_sums(const ls_rows *rows, size_t param, size_t n, const double *sums);

/* dW = dz^T x + beta dW over the rows. Calls `ready` for each block of rows of dW as soon as it is final.
 * dz: (rows, n_out), dw: (n_out, n_in) */
void layer_weight_gradient(const ls_pass *pass, const ls_rows *rows, size_t n_out, size_t n_in,
                           const float *dz, float *dw);

/* rows->dx = dz W, unless it is NULL. Calls `ready` in between, so that communication progresses.
 * dz: (rows, n_out), w: (n_out, n_in) */
void layer_input_gradient(const ls_pass *pass, const ls_rows *rows, size_t n_out, size_t n_in,
                          const float *dz, const float *w);

/* ------------------------------------------------------------------ focal loss */

/* A row of ls_loss_apply for LS_FOCAL and LS_FOCAL_LABELS: weight times the loss.  z, dz, y: (cols) */
double layer_focal_classes(const ls_loss_options *o, const ls_targets *targets, size_t i, size_t cols,
                           const float *z, double weight, float *dz);
double layer_focal_labels(const ls_loss_options *o, size_t cols, const float *z, const float *y,
                          double weight, float *dz);

#endif
