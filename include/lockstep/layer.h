/* layer: the operators of a model, and its losses.
 *
 * A layer type is a constant table of functions, ls_layer_type, with private options, in a file of its own:
 * see "A layer" in src/README.md. All functions are local. */
#ifndef LOCKSTEP_LAYER_H
#define LOCKSTEP_LAYER_H

#include "lockstep/base.h"
#include "lockstep/config.h"
#include "lockstep/math.h"

/* ------------------------------------------------------------------ a pass */

typedef enum ls_pass_mode {
  LS_PREDICT, /* the result of a row depends on that row alone */
  LS_TRAIN, /* dropout is active; batch norm uses the batch's statistics and updates its running averages */
  LS_PROBE  /* as LS_TRAIN, but without dropout and updates: the model as one smooth function */
} ls_pass_mode;

/* A forward or backward pass over the rows of a batch. The rows are divided into lanes: lane l has the rows
 * lanes[l] .. lanes[l + 1] - 1. Each lane is computed separately, independently of the other rows of this
 * rank. Sums over lanes are folded as the leaves of a binary tree, ((0 + 1) + (2 + 3)) + ...; each rank
 * holds a subtree (see ls_comm_tree). If `sum` is set, ranks without rows must take part too. */
typedef struct ls_pass {
  size_t n_lanes;      /* at least 1; in backward, at most the max_lanes for which memory is reserved */
  const size_t *lanes; /* (n_lanes + 1), starts with 0 */
  ls_pass_mode mode;
  bool adds;      /* backward adds to the gradients of the parameters */
  bool is_packed; /* LS_PREDICT: weights are as ls_model_pack leaves them */
  bool is_ready; /* LS_PREDICT: layers keep what they prepared in an earlier pass, as the parameters and the
                    state have not changed since */
  uint64_t seed, step;     /* key of the random numbers */
  const uint64_t *samples; /* (rows): sample numbers, part of the key; may be NULL unless LS_TRAIN */

  /* Replaces x[i], i < n, by its sum over all ranks, with the same bits on every rank. NULL: this rank has
   * the whole global batch. */
  void (*sum)(void *context, double *x, size_t n);

  /* Backward calls this as gradients become final: all gradients before `end` in the model's memory are
   * final. end NULL: no new ones, but pending communication may progress. NULL: not needed. */
  void (*ready)(void *context, const float *end);
  void *context;
} ls_pass;

/* The number of rows of a pass. */
static inline size_t ls_pass_rows(const ls_pass *pass) {
  return pass->lanes[pass->n_lanes];
}

/* ------------------------------------------------------------------ a layer */

/* A block of parameters or state of a layer, with `rows` rows of the shape `row` (see ls_segment). The
 * model owns the memory and sets the views; those of the parameters of a layer are adjacent. */
typedef struct ls_param {
  const char *name; /* "W" */
  ls_segment_kind kind;
  size_t rows;
  ls_shape row;
  bool has_l1, has_l2; /* whether l1 and l2 replace the model's penalties, which apply to weights only */
  double l1, l2;
  float *value, *grad; /* grad: NULL for state */
} ls_param;

/* The number of elements of a block. */
static inline size_t ls_param_count(const ls_param *param) {
  size_t count = param->rows;
  for (size_t i = 0; i < param->row.n_dims; i++) count *= param->row.dims[i];
  return count;
}

#define LS_LAYER_PARAMS_MAX 4
#define LS_LAYER_STATES_MAX 2

#define LS_LAYERS_MAX      1000 /* in the config's list */
#define LS_LAYER_INDEX_MAX 2048 /* including inner layers */

typedef struct ls_layer_type ls_layer_type;

typedef struct ls_layer ls_layer;

struct ls_layer {
  const ls_layer_type *type;
  const char *role; /* name of an inner layer in paths, such as "skip"; NULL: its index and type */
  char *where;      /* owned; place in the config, "FILE:LINE: model.1", for messages */
  uint32_t index;   /* key of random numbers: position in the config's list, from 0; inner layers count from
                       LS_LAYERS_MAX in the order of the config */
  void *options;    /* owned; filled by the type's table of keys */
  ls_shape in, out; /* of one sample */
  size_t n_in, n_out; /* their numbers of elements */
  bool predicts; /* takes part in passes in LS_PREDICT alone, without gradients; set by ls_layer_reserve */
  const struct ls_layer *twin; /* borrowed: the same layer of another model that predicts, whose prepared
                                  weights this one uses: see ls_layer_set_twin. NULL: its own */
  bool is_linked;              /* the loss applies the activation of this last layer: see ls_loss_link */
  bool adds_output;            /* forward adds its result to y */
  bool applies_relu;           /* of the next layer, which is fused: see ls_layers_fuse */
  bool is_fused;               /* the layer before applies this one, and both have the same output */
  struct ls_layer
      *sums_output; /* borrowed: the next layer, if it has `reduce`: gathers sums of y. NULL: none */
  struct ls_layer *sums_delta; /* borrowed: the same for the layer before and dx */
  const float *input;          /* (rows, n_in) of the latest forward pass, for types with `reduce` */
  bool is_gathered;            /* `gather` was called for all rows before `reduce` */
  const float *addend; /* (rows, n_out), borrowed: forward adds it to its result; NULL: nothing to add. For
                          types with `fuses` */
  bool addend_then_relu; /* then relu of the sum, which the owner of the addend differentiates */
  size_t n_params;
  ls_param params[LS_LAYER_PARAMS_MAX];
  size_t n_states; /* saved with the parameters, but not trained */
  ls_param states[LS_LAYER_STATES_MAX];
  size_t n_children;
  ls_layer **children;   /* owned: the inner layers */
  void *kept;            /* memory of this layer alone, such as a mask that backward needs */
  size_t threads;        /* among which some types divide rows; set by the first ls_layer_reserve */
  size_t workspace_size; /* bytes that this layer requested, without those of inner layers */
  void *workspace;       /* shared with all other layers; undefined at the start of each call */
  float *piece_deltas;   /* (2, threads LS_PIECE_FLOATS), shared with all other layers: see
                            ls_layers_backward; NULL:   no group of layers needs them */
  size_t fold;           /* offset in the workspace: gradients of lanes, (levels, parameters); */
  float *kept_fold;      /* or memory of this layer alone, for layers in pieces, whose lanes alternate */
  float *output;         /* (rows, n_out): result of the latest forward pass, before a linked activation;
                            memory of the model or the enclosing layer */
};

/* The number of elements of a layer's own parameters, without inner layers. */
static inline size_t ls_layer_n_params(const ls_layer *layer) {
  size_t n = 0;
  for (size_t p = 0; p < layer->n_params; p++) n += ls_param_count(&layer->params[p]);
  return n;
}

/* Rows of a batch that a layer computes together: a lane, or all rows of the pass. */
typedef struct ls_rows {
  size_t first;   /* number of the first row in the pass */
  size_t n;       /* may be 0 */
  const float *x; /* (n, n_in) */
  float *y;       /* (n, n_out): written by forward, read by backward */
  float *dy;      /* (n, n_out): dL/dy in backward, which may overwrite it; NULL in forward */
  float *dx;      /* (n, n_in): dL/dx, to be written by backward; NULL: not needed, on any rank */
  float *grads[LS_LAYER_PARAMS_MAX]; /* where backward writes the gradients of the parameters: */
  float beta;                        /* grads = beta grads + sum over the rows; 0 or 1 */
} ls_rows;

/* The functions of a layer type. Those without a comment on NULL are required. */
struct ls_layer_type {
  const char *name;
  const char *help;   /* one line */
  const ls_key *keys; /* of the layer's map; the first is `layer` */
  size_t options_size;

  /* forward and backward get all rows of a pass in one call, without `grads`, instead of one call for each
   * lane: for layers with inner layers. */
  bool spans_lanes;

  /* forward and backward may be called for pieces of the rows of a lane, one after the other. Consecutive
   * layers of this kind process a piece in turn, so that it stays in the cache. */
  bool in_pieces;

  /* forward can read its first block of parameters, W (n_out, n_in), packed by ls_math_pack_weights: see
   * ls_pass. */
  bool reads_packed;

  /* forward and backward can apply the relu after it, and forward can add `addend`. backward leaves dy
   * unchanged. */
  bool fuses;

  /* Reads keys that the table cannot describe and checks the options against each other; collects errors.
   * NULL: nothing to do. */
  void (*check)(ls_layer *layer, ls_config *config, ls_node *node);

  /* Returns the list of the inner layers, which become the children. NULL: no inner layers. */
  ls_node *(*list)(const ls_layer *layer);

  /* Returns the list of the layers of another child, the last one, with the role `skip`. Its result may be
   * NULL: no such child. NULL: never. */
  ls_node *(*skip)(const ls_layer *layer);

  /* Sets `out`, params and states from `in`; or, with inner layers, `out` alone, and infers their shapes.
   * LS_ERR_CONFIG if the layer cannot process the input; the message names both shapes. */
  ls_status (*shape)(ls_layer *layer);

  /* Sets the initial values of its own parameters and state, keyed on (seed, layer, block, row, element).
   * NULL: has none. */
  void (*initialise)(const ls_layer *layer, uint64_t seed);

  /* Takes `kept` from the arena, and requests workspace by ls_layer_request, for passes of at most `rows`
   * rows. Called twice: see ls_arena. NULL: needs no memory. */
  void (*reserve)(ls_layer *layer, ls_arena *arena, size_t rows);

  /* Prepares forward or backward over all rows. NULL: nothing to do. */
  void (*start)(ls_layer *layer, bool is_backward, bool needs_dx);

  /* For layers in pieces whose rows depend on sums over the batch. NULL: no sums.
   *   gather  adds pieces of a lane to the sums of forward, or of backward if `rows` has dy; `rows` has x
   * too. All pieces of a lane come in order, at least one; the last one completes its gradients of the
   *           parameters. Other layers may run in between
   *   reduce  computes the sums over all lanes and ranks, before forward or backward. Of `all`, dy and dx
   *           tell the pass and whether dx is needed */
  void (*gather)(ls_layer *layer, const ls_pass *pass, size_t lane, const ls_rows *rows);
  void (*reduce)(ls_layer *layer, const ls_pass *pass, const ls_rows *all);

  /* y = layer(x) */
  void (*forward)(ls_layer *layer, const ls_pass *pass, const ls_rows *rows);

  /* Computes the gradients of the parameters and dx. */
  void (*backward)(ls_layer *layer, const ls_pass *pass, const ls_rows *rows);

  /* Completes the gradients after backward over all rows of a lane, and prepares the next lane; `rows` are
   * those of the lane. NULL: nothing to do. */
  void (*finish)(ls_layer *layer, const ls_rows *rows);

  /* The final activation of the layer; LS_LINEAR: none. NULL: none. And its alpha, see ls_math_activate. */
  ls_activation (*activation)(const ls_layer *layer);
  double (*alpha)(const ls_layer *layer);

  /* The window of a convolution or of pooling, set by `shape`. NULL: none. */
  const ls_window *(*window)(const ls_layer *layer);

  /* Multiplications with weights in forward of one sample, without inner layers. NULL: none. */
  double (*multiply_adds)(const ls_layer *layer);

  /* The spatial dims of its input, so that a missing channel dim can be recognised; 0: any number. NULL:
   * any number. */
  size_t (*spatial_dims)(const ls_layer *layer);

  /* Appends what its shapes do not show, such as the padding, to `text`. NULL: nothing. */
  void (*describe)(const ls_layer *layer, char *text, size_t size);
};

/* The layer types, ended by NULL. */
extern const ls_layer_type *const ls_layer_types[];

/* Creates a layer from its map, with its inner layers, whose indices start at *next. Returns NULL if the
 * type is unknown or memory is short; the error is collected. The caller destroys it. */
ls_layer *ls_layer_create(ls_config *config, ls_node *node, uint32_t index, uint32_t *next);
void ls_layer_destroy(ls_layer **layer);

/* The value of a key of the layer: a number, or 1 or 0 for true or false. */
double ls_layer_number(const ls_layer *layer, const char *key);

/* Sets the shapes of a layer, its inner layers and their parameters from the shape of its input; once.
 * LS_ERR_CONFIG if the layer cannot process it, LS_ERR_INTERNAL. */
ls_status ls_layer_infer_shapes(ls_layer *layer, const ls_shape *in);

/* Takes the memory of a layer and its inner layers for passes of at most `rows` rows in `max_lanes` lanes,
 * or with max_lanes 0 only for passes in LS_PREDICT without gradients; called twice: see ls_arena. Returns
 * the bytes of workspace that they need. */
size_t ls_layer_reserve(ls_layer *layer, ls_arena *arena, size_t rows, size_t max_lanes);

/* Before ls_layer_reserve, for a layer that predicts and its inner layers: uses the weights that the same
 * layer of another model prepares in its first pass, which must precede all passes of this one. */
void ls_layer_set_twin(ls_layer *layer, const ls_layer *twin);

/* Sets the workspace, of that many bytes, and piece_deltas, of a layer and its inner layers. Borrowed; all
 * layers of a model may share them. */
void ls_layer_set_workspace(ls_layer *layer, void *workspace, float *piece_deltas);

/* For `reserve`: requests count * size bytes of workspace and returns their offset in it. */
size_t ls_layer_request(ls_layer *layer, ls_arena *arena, size_t count, size_t size);

/* Takes (rows, width) floats from the arena; an overflow of the product becomes the arena's. */
float *ls_layer_take_rows(ls_arena *arena, size_t rows, size_t width);

/* Of n layers whose shapes are inferred, marks each relu that the layer before can apply. The caller gives
 * both the same output, and leaves out the backward pass of the fused one. Sets sums_output and sums_delta.
 */
void ls_layers_fuse(ls_layer *const *layers, size_t n);

/* layer->output = layer(x).  x: (rows, n_in) */
void ls_layer_forward(ls_layer *layer, const ls_pass *pass, const float *x);

/* After forward, from dy = dL/d(output): overwrites the gradients of the parameters with their sums over
 * all rows (adds the sums if pass->adds), and sets dx = dL/dx unless dx is NULL (on all ranks or none).
 * Overwrites dy. */
void ls_layer_backward(ls_layer *layer, const ls_pass *pass, const float *x, float *dy, float *dx);

/* The layers that process their rows together, in pieces, or a single one. Forward and backward have
 * different groups: a layer with `reduce` is the first of a group forward, and the last one backward.
 *   forward_group    from the first of n layers on; returns their number
 *   backward_group   up to layer `last`; returns the first one
 *   need_deltas      whether a group of n layers, or of their inner layers, has several backward */
size_t ls_layers_forward_group(ls_layer *const *layers, size_t n);
size_t ls_layers_backward_group(ls_layer *const *layers, size_t last);
bool ls_layers_need_deltas(ls_layer *const *layers, size_t n);

/* The floats of a piece, for each thread: the most of dL/d(activation) between two layers that process it.
 */
#define LS_PIECE_FLOATS ((size_t)64 << 10)

/* As ls_layer_forward and ls_layer_backward, for such a group.  dy: of the last one, dx: of the first one;
 * those between them are in piece_deltas */
void ls_layers_forward(ls_layer *const *layers, size_t n, const ls_pass *pass, const float *x);
void ls_layers_backward(ls_layer *const *layers, size_t n, const ls_pass *pass, const float *x, float *dy,
                        float *dx);

/* --------------------------------------------------------------- initialisers */

typedef enum ls_init_kind {
  LS_INIT_DEFAULT, /* he_normal for relu, leaky_relu, elu and gelu, xavier_uniform otherwise */
  LS_XAVIER_UNIFORM,
  LS_XAVIER_NORMAL,
  LS_HE_UNIFORM,
  LS_HE_NORMAL,
  LS_LECUN_NORMAL,
  LS_INIT_NORMAL, /* with the standard deviation `std` */
  LS_INIT_UNIFORM,
  LS_INIT_ZEROS
} ls_init_kind;

extern const char *const ls_init_names[];

typedef struct ls_init {
  int kind;    /* ls_init_kind */
  double gain; /* factor of the standard deviation */
  double std;  /* of LS_INIT_NORMAL and LS_INIT_UNIFORM */
} ls_init;

/* Reads the value of the key `init`: a name, or {type: normal, std: 0.01}; sets kind and std. Collects
 * errors. */
void ls_init_read(ls_config *config, ls_node *node, ls_init *out);

/* Fills W, (n_out, n_in), keyed on (seed, instance, row, element). The variance is gain^2 times: xavier
 * 2 / (n_in + n_out) (Glorot & Bengio 2010), he 2 / n_in (He et al. 2015), lecun 1 / n_in (LeCun et al.
 * 1998), normal and uniform std^2. A uniform distribution has the bounds +-sqrt(3) standard deviations. */
void ls_init_weights(const ls_init *init, ls_activation f, uint64_t seed, uint32_t instance, size_t n_out,
                     size_t n_in, float *w);

/* The same for filters, (n_out, n_in), whose inputs have `fan_out` outputs each, in place of n_out. */
void ls_init_filters(const ls_init *init, ls_activation f, uint64_t seed, uint32_t instance, size_t n_out,
                     size_t n_in, size_t fan_out, float *w);

/* ---------------------------------------------------------------------- losses */

/* Losses, as sums over rows of weight * loss:
 *   categorical_cross_entropy  -log p_y with p = softmax(z)                 link: softmax
 *   binary_cross_entropy       -sum_k y_k log s(z_k) + (1 - y_k) log(1 - s(z_k))   link: sigmoid
 *   mse                        1/2 sum_k (y_k - a_k)^2                      no link
 *   mae                        sum_k |y_k - a_k|                            no link
 *   huber                      sum_k e^2 / 2 for |e| <= delta, else delta (|e| - delta / 2); e = y_k - a_k
 *   focal                      -(1 - p_y)^gamma log p_y                     link: softmax
 *   focal of labels            the same per label with p = s(z_k), summed   link: sigmoid
 * With a link, the last activation of the model is fused into the loss, which reads z. The loss of a mixed
 * class (see ls_targets) is the weighted mean of the losses of its two classes. */
typedef enum ls_loss {
  LS_CATEGORICAL_CROSS_ENTROPY,
  LS_BINARY_CROSS_ENTROPY,
  LS_MSE,
  LS_MAE,
  LS_HUBER,
  LS_FOCAL,
  LS_LOSSES,                  /* the number of names in the config */
  LS_FOCAL_LABELS = LS_LOSSES /* the loss `focal` of a model that ends with sigmoid */
} ls_loss;

/* The keys of the section `loss:` besides its type. Zero is the default of all but those of its type. */
typedef struct ls_loss_options {
  double label_smoothing; /* cross-entropies: the share of a label that is divided among all classes */
  double delta;           /* huber */
  double gamma;           /* focal */
  double alpha;           /* focal of labels: weight of label 1; 1 - alpha is that of 0. 0: both 1 */
} ls_loss_options;

/* The names in the config, ended by NULL, and the name of any loss. */
extern const char *const ls_loss_names[];
const char *ls_loss_name(ls_loss loss);

/* The keys of `loss:` as a map, for `lockstep keys`. */
extern const ls_key ls_loss_keys[];

/* Reads `loss:`, a name or a map {type: NAME, ...}. Collects errors; an unknown loss becomes the first. */
void ls_loss_configure(ls_config *config, ls_loss *loss, ls_loss_options *options);

/* The activation that the last layer must have; LS_LINEAR: any but softmax. */
ls_activation ls_loss_link(ls_loss loss);

/* Returns the sum of the losses of `rows` rows, in double. Sets dz = weight * dL/dz unless dz is NULL.
 * z, dz: (rows, cols); z is a if the loss has no link */
double ls_loss_apply(ls_loss loss, const ls_loss_options *options, size_t rows, size_t cols, const float *z,
                     const ls_targets *targets, float *dz);

#endif
