/* layer: the operators a net is made of, and its losses.
 *
 * A kind of layer is a constant table of functions, ls_layer_type, and options of its own: a new kind is
 * one new file and one line in the list of src/layer/layer.c. All functions are local. */
#ifndef LOCKSTEP_LAYER_H
#define LOCKSTEP_LAYER_H

#include "lockstep/base.h"
#include "lockstep/config.h"
#include "lockstep/math.h"

/* ------------------------------------------------------------------ a layer */

/* What a sweep is for. */
typedef enum ls_pass_mode {
  LS_PREDICT, /* a row's result depends on that row alone */
  LS_TRAIN,   /* dropout is on, batch norm uses the batch's statistics and moves its running averages */
  LS_PROBE    /* as in training, but nothing is drawn and nothing kept: the net as one smooth function */
} ls_pass_mode;

/* One sweep over a batch. Rows are worked on lane by lane: lane l is the rows lanes[l] .. lanes[l + 1] - 1,
 * each with products of its own, so that a lane's result does not depend on what else the rank holds. Sums
 * over lanes are folded as the leaves of a binary tree, ((0 + 1) + (2 + 3)) + ..., whose subtrees are what
 * the ranks hold: see ls_comm_tree.
 * A rank without rows takes part as well, where `sum` is set. */
typedef struct ls_pass {
  size_t n_lanes;      /* at least 1 */
  const size_t *lanes; /* (n_lanes + 1), from 0 */
  ls_pass_mode mode;
  bool adds;               /* backward adds to the parameters' gradients that are there */
  uint64_t seed, step;     /* key of what is drawn */
  const uint64_t *samples; /* (rows): the sample numbers, likewise; may be NULL unless LS_TRAIN */

  /* x[i], i < n, becomes its sum over the rows of all ranks, the same bits on all of them: for what depends
   * on the whole global batch. NULL: this rank has the whole batch. */
  void (*sum)(void *context, double *x, size_t n);

  /* Called in backward as gradients become final: all those before `end` in the model's memory; NULL says
   * nothing new, but lets what waits for gradients go on. Without it nothing waits. */
  void (*ready)(void *context, const float *end);
  void *context;
} ls_pass;

/* Local. All rows of a pass. */
static inline size_t ls_pass_rows(const ls_pass *pass) {
  return pass->lanes[pass->n_lanes];
}

/* A block of parameters or state of a layer. The views are set by the model that owns the memory. */
typedef struct ls_param {
  const char *name; /* "W" */
  ls_segment_kind kind;
  size_t rows, cols;   /* cols 0: a vector of rows elements */
  bool has_l1, has_l2; /* has penalties of its own; else the model's, where it is a weight */
  double l1, l2;
  float *value, *grad; /* state has no grad */
} ls_param;

/* Local. Elements of a block. */
static inline size_t ls_param_count(const ls_param *param) {
  return param->cols ? param->rows * param->cols : param->rows;
}

#define LS_LAYER_PARAMS_MAX 4
#define LS_LAYER_STATES_MAX 2

#define LS_LAYERS_MAX      1000 /* in the config's list */
#define LS_LAYER_INDEX_MAX 2048 /* with those inside others */

typedef struct ls_layer_type ls_layer_type;

typedef struct ls_layer ls_layer;

struct ls_layer {
  const ls_layer_type *type;
  uint32_t index; /* key of what is drawn: in the config's list, from 0; those inside others are counted
                     from LS_LAYERS_MAX on in the order of reading */
  void *options;  /* owned; filled by the type's table of keys */
  size_t n_in, n_out;
  bool is_linked; /* the loss applies this last layer's activation itself: see ls_loss */
  size_t n_params;
  ls_param params[LS_LAYER_PARAMS_MAX];
  size_t n_states; /* saved with the parameters, but not trained */
  ls_param states[LS_LAYER_STATES_MAX];
  size_t n_children;
  ls_layer **children; /* owned: the layers inside this one */
  void *scratch;       /* a view into the model's arena */
  float *room;         /* (levels, room_size): for folding lanes, shared; NULL: one lane a pass */
  size_t room_size;    /* the most parameters that any layer has */
  const float *output; /* (rows, n_out): of the latest forward; the last of a net: before its link */
};

/* Local. Where backward puts the gradient of a block of parameters over one lane, and what the numbers that
 * are there count (0: nothing, 1: they are added to); and, once it is there, folding it. */
float *ls_lane_gradient(const ls_layer *layer, const ls_pass *pass, size_t param, size_t lane, float *beta);
void ls_lane_end(const ls_layer *layer, const ls_pass *pass, size_t param, size_t lane);

/* The functions of a kind of layer. Those without a comment on NULL must be there. */
struct ls_layer_type {
  const char *name;
  const char *help;   /* one line */
  const ls_key *keys; /* of the layer's map; the first is `layer` */
  size_t options_size;

  /* Reads what the table of keys can't tell, and checks options against each other; collects mistakes.
   * NULL: nothing to do. */
  void (*check)(ls_layer *layer, ls_config *config, ls_node *node);

  /* The list of the layers inside, which become its children. NULL: there are none. */
  ls_node *(*list)(const ls_layer *layer);

  /* What its own parameters stand under, beside its children's. NULL: has no children. */
  const char *own_name;

  /* From n_in: sets n_out, and the names and shapes of params and states; its children's too. */
  void (*shape)(ls_layer *layer);

  /* Sets the values of its own parameters and state, keyed on (seed, layer, block, row, element). NULL: has
   * none. */
  void (*initialise)(const ls_layer *layer, uint64_t seed);

  /* Takes the scratch for at most `rows` rows, its children's too. NULL: needs none. */
  void (*reserve)(ls_layer *layer, ls_arena *arena, size_t rows);

  /* y = layer(x).  x: (rows, n_in), y: (rows, n_out) */
  void (*forward)(ls_layer *layer, const ls_pass *pass, const float *x, float *y);

  /* From dy = dL/dy: the gradients of the parameters, overwritten with (or, where pass->adds, added to by)
   * sums over all rows, and dx = dL/dx unless dx is NULL (on all ranks or none). dy is used up.
   * y: as forward left it */
  void (*backward)(ls_layer *layer, const ls_pass *pass, const float *x, const float *y, float *dy,
                   float *dx);

  /* The activation with which the layer ends, LS_LINEAR where it has none. NULL: none. */
  ls_activation (*activation)(const ls_layer *layer);
};

/* Local. The kinds of layers, ended by NULL. */
extern const ls_layer_type *const ls_layer_types[];

/* Local. Makes a layer from its map, with its children, which take their indices from *next on. Returns
 * NULL where the kind is unknown (a mistake is collected) or memory is short (ls_fail_memory, and a
 * mistake). The caller destroys it. */
ls_layer *ls_layer_create(ls_config *config, ls_node *node, uint32_t index, uint32_t *next);
void ls_layer_destroy(ls_layer **layer);

/* Local. y = layer(x), and notes y as its output. */
static inline void ls_layer_forward(ls_layer *layer, const ls_pass *pass, const float *x, float *y) {
  layer->type->forward(layer, pass, x, y);
  layer->output = y;
}

/* Local. Takes (rows, width) floats; a product that does not fit is noted as the arena's overflow. */
float *ls_layer_take_rows(ls_arena *arena, size_t rows, size_t width);

/* --------------------------------------------------------------- initialisers */

typedef enum ls_init_kind {
  LS_INIT_DEFAULT, /* he_normal for relu, leaky_relu, elu and gelu, xavier_uniform otherwise */
  LS_XAVIER_UNIFORM,
  LS_XAVIER_NORMAL,
  LS_HE_UNIFORM,
  LS_HE_NORMAL,
  LS_LECUN_NORMAL,
  LS_INIT_NORMAL, /* of a deviation of its own */
  LS_INIT_UNIFORM,
  LS_INIT_ZEROS
} ls_init_kind;

extern const char *const ls_init_names[];

typedef struct ls_init {
  int kind;    /* ls_init_kind */
  double gain; /* what the standard deviation is multiplied by */
  double std;  /* of LS_INIT_NORMAL and LS_INIT_UNIFORM */
} ls_init;

/* Local. Reads the value of the key `init`: a name, or {type: normal, std: 0.01}; sets kind and std.
 * Collects mistakes. */
void ls_init_read(ls_config *config, ls_node *node, ls_init *out);

/* Local. Fills W: (n_out, n_in), keyed on (seed, instance, row, element). Variances, but for gain^2: xavier
 * 2 / (n_in + n_out) (Glorot & Bengio 2010), he 2 / n_in (He et al. 2015), lecun 1 / n_in (LeCun et al.
 * 1998), normal and uniform std^2; a uniform distribution ends at sqrt(3) standard deviations. */
void ls_init_weights(const ls_init *init, ls_activation f, uint64_t seed, uint32_t instance, size_t n_out,
                     size_t n_in, float *w);

/* ---------------------------------------------------------------------- losses */

/* Losses, as sums over rows of weight * loss:
 *   categorical_cross_entropy  -log softmax(z)_y                            link: softmax
 *   binary_cross_entropy       -sum_k y_k log s(z_k) + (1 - y_k) log(1 - s(z_k))   link: sigmoid
 *   mse                        1/2 sum_k (y_k - a_k)^2                      no link
 * With a link, the net's last activation is fused into the loss: it takes z, and dL/dz = a - y.
 * A class that is mixed (see ls_targets) has the mix of its two classes' losses. */
typedef enum ls_loss { LS_CATEGORICAL_CROSS_ENTROPY, LS_BINARY_CROSS_ENTROPY, LS_MSE } ls_loss;

extern const char *const ls_loss_names[];

/* Local. The activation that the last layer must have, or LS_LINEAR: any but softmax. */
ls_activation ls_loss_link(ls_loss loss);

/* Local. The sum of the losses of `rows` rows, in double. Where dz is not NULL, dz = weight * dL/dz.
 * z, dz: (rows, cols); z is a where the loss has no link */
double ls_loss_apply(ls_loss loss, size_t rows, size_t cols, const float *z, const ls_targets *targets,
                     float *dz);

#endif
