/* math: kernels over arrays with their shapes. Row-major, float32, contiguous.
 *
 * Products call BLAS; all else is plain loops, which the compiler vectorises for several processors.
 * All functions are local. Except for ls_normalizer_create and _add_targets they allocate nothing and
 * cannot fail. Output arrays must not overlap other arrays. */
#ifndef LOCKSTEP_MATH_H
#define LOCKSTEP_MATH_H

#include "lockstep/base.h"

#define LS_SHAPE_MAX 4

/* The dims of a sample, such as (H, W, C), channels last; or of one row of a block of parameters. */
typedef struct ls_shape {
  size_t n_dims; /* 0: a single number */
  size_t dims[LS_SHAPE_MAX];
} ls_shape;

/* The shape (n). */
static inline ls_shape ls_shape_of(size_t n) {
  return (ls_shape){.n_dims = 1, .dims = {n}};
}

/* Stores the number of elements, 1 without dims. Returns false on overflow. */
bool ls_shape_count(const ls_shape *shape, size_t *count);

bool ls_shape_equal(const ls_shape *a, const ls_shape *b);

/* Writes "(28, 28, 1)" into `text` of `size` bytes and returns it. */
const char *ls_shape_describe(const ls_shape *shape, char *text, size_t size);

/* The same for more than one dim; otherwise the number of features, such as "784". */
const char *ls_shape_brief(const ls_shape *shape, char *text, size_t size);

/* A named block of a flat vector of parameters, with `rows` rows of the shape `row`: a vector if `row` has
 * no dims, a matrix if it has one. */
typedef enum ls_segment_kind { LS_SEGMENT_WEIGHT, LS_SEGMENT_BIAS, LS_SEGMENT_SCALE } ls_segment_kind;

typedef struct ls_segment {
  char path[128]; /* "0-dense/W" */
  ls_segment_kind kind;
  size_t offset; /* of its first element in the flat vector */
  size_t rows;
  ls_shape row;
  double l1, l2;        /* penalty: l1 sum |w| + l2 sum w^2 */
  double multiply_adds; /* multiplications with its elements in forward of one sample */
} ls_segment;

/* The number of elements of a segment. */
static inline size_t ls_segment_count(const ls_segment *segment) {
  size_t count = segment->rows;
  for (size_t i = 0; i < segment->row.n_dims; i++) count *= segment->row.dims[i];
  return count;
}

/* The targets of a batch. */
typedef struct ls_targets {
  const int32_t *classes; /* (rows): class numbers; NULL if the targets are numbers */
  const float *values;    /* (rows, cols): numbers; NULL if the targets are class numbers */
  const float *weights;   /* (rows): sample weights; NULL: all 1 */

  /* Mixed classes: row i belongs to classes[i] with the share shares[i] (0 to 1), otherwise to partners[i].
   * NULL without mixup. */
  const int32_t *partners; /* (rows) */
  const float *shares;     /* (rows) */
} ls_targets;

/* Returns the targets of the rows from `first` on. */
static inline ls_targets ls_targets_from(const ls_targets *targets, size_t first, size_t cols) {
  return (ls_targets){.classes = targets->classes ? targets->classes + first : NULL,
                      .values = targets->values ? targets->values + first * cols : NULL,
                      .weights = targets->weights ? targets->weights + first : NULL,
                      .partners = targets->partners ? targets->partners + first : NULL,
                      .shares = targets->shares ? targets->shares + first : NULL};
}

/* ------------------------------------------------------------- normaliser */

/* x' = (x - offset) * factor, per feature. */
typedef struct ls_normalizer ls_normalizer;
struct ls_normalizer {
  size_t n_features;
  double *offset, *factor;    /* (n_features) each, owned */
  float *offset32, *factor32; /* the same in float32, owned */
  ls_normalizer *targets;     /* the same for y, one feature per output; owned; NULL: y stays unchanged */
};

/* Creates the identity. The caller destroys it. LS_ERR_INTERNAL. */
ls_status ls_normalizer_create(size_t n_features, ls_normalizer **out);
void ls_normalizer_destroy(ls_normalizer **normalizer);

/* Adds a normaliser of the targets, which is the identity at first. LS_ERR_INTERNAL. */
ls_status ls_normalizer_add_targets(ls_normalizer *normalizer, size_t n_outputs);

/* Copies offsets and factors, (n_features) each. */
void ls_normalizer_set(ls_normalizer *normalizer, const double *offset, const double *factor);

/* From y' back to y = y' / factor + offset, in double, since an offset may be large. The normaliser must
 * have one of the targets.  from, y: (rows, n_outputs) */
void ls_normalizer_restore_targets(const ls_normalizer *normalizer, size_t rows, const float *from,
                                   double *y);

/* ------------------------------------------------------------------ BLAS */

/* Sets the number of threads that compute in this process, at least 1: those of BLAS and of ls_parallel.
 * LS_ERR_INTERNAL if a thread cannot be started. */
ls_status ls_math_threads_set(int threads);

/* Describes the BLAS library, its version and its kernels in one line. Borrowed. */
const char *ls_math_blas_name(void);

/* Describes the kernels of this module: the version of their arithmetic, which changes if their results do,
 * and whether they use fused multiplications, as versions for AVX2 and AVX-512 do with the same bits. */
const char *ls_math_kernels_name(void);

/* c = a b^T + beta c.  a: (m, k), b: (n, k), c: (m, n) */
void ls_math_product_nt(size_t m, size_t n, size_t k, const float *a, const float *b, float beta, float *c);

/* The same for weights that were packed, which serve many calls. Uses this thread alone and not BLAS. The
 * bits of a row of c depend on this row of a alone.
 *   pack:    w: (n, k), packed: (n k)
 *   product: a: (m, k), packed: (n k), c: (m, n) */
void ls_math_pack_weights(size_t n, size_t k, const float *w, float *packed);
void ls_math_product_packed(size_t m, size_t n, size_t k, const float *a, const float *packed, float beta,
                            float *c);

/* c = a b + beta c, for `count` columns of c from `first` on.  a: (m, k), b: (k, n), c: (m, n) */
void ls_math_product_nn_columns(size_t first, size_t count, size_t m, size_t n, size_t k, const float *a,
                                const float *b, float beta, float *c);

/* c = a^T b + beta c, for `count` rows of c from `first` on.  a: (k, m), b: (k, n), c: (m, n) */
void ls_math_product_tn_rows(size_t first, size_t count, size_t m, size_t n, size_t k, const float *a,
                             const float *b, float beta, float *c);

/* ------------------------------------------------------------ activations */

typedef enum ls_activation {
  LS_LINEAR,
  LS_SIGMOID,
  LS_TANH,
  LS_RELU,
  LS_LEAKY_RELU,
  LS_ELU,
  LS_GELU,
  LS_SOFTPLUS,
  LS_SOFTMAX
} ls_activation;

/* The names in the config, in the order of the enumeration, ended by NULL. */
extern const char *const ls_activation_names[];

/* z = f(z + b), in place. b may be NULL.  z: (rows, cols), b: (cols)
 * `alpha` >= 0: for z <= 0, the slope of leaky_relu and the scale of elu. softmax applies to each row.
 * Accurate to 3 ulp, gelu to 9 (tests/unit/test_math.c). NaN gives NaN. */
void ls_math_activate(ls_activation f, float alpha, size_t rows, size_t cols, const float *b, float *z);

/* Whether the derivative of f needs z, because it does not follow from a = f(z). */
bool ls_math_activation_needs_z(ls_activation f);

/* d = d f'(z), in place: from d = da to d = dz.
 * a: a = f(z), or z if f needs it, (rows, cols); d: (rows, cols) */
void ls_math_activate_backward(ls_activation f, float alpha, size_t rows, size_t cols, const float *a,
                               float *d);

/* ------------------------------------------------------------------ sums */

/* out[j] = beta out[j] + sum_i x[i][j]. The error does not grow with the number of rows.
 * x: (rows, cols), out: (cols) */
void ls_math_sum_rows(size_t rows, size_t cols, const float *x, float beta, float *out);

/* The sum of squares, in double. It is finite exactly if all elements are and it does not overflow double.
 */
double ls_math_sum_squares(size_t n, const float *x);

/* out[i] = ((terms[0][i] + terms[1][i]) + terms[2][i]) + ... Returns the sum of squares of out, in double.
 * out may be one of the terms.  terms: (n_terms) arrays of n, n_terms >= 2; out: (n) */
double ls_math_fold(size_t n, size_t n_terms, const float *const *terms, float *out);

/* out = x, bypassing the caches: for data that other processors read next, since no cache line must then be
 * transferred between caches. Other threads can read them after ls_math_end_nontemporal on this thread and
 * then a signal from it.  out: (n), aligned to LS_ALIGNMENT */
void ls_math_copy_nontemporal(size_t n, const float *x, float *out);
void ls_math_end_nontemporal(void);

/* out = x + error, rounded to bfloat16, the upper half of a float (8 significant bits), to nearest, ties to
 * even. error becomes the rounding error, to be added to the next x.  x, error, out: (n) */
void ls_math_to_bf16(size_t n, const float *x, float *error, uint16_t *out);
void ls_math_from_bf16(size_t n, const uint16_t *x, float *out);

/* sum = a + b */
void ls_math_add(size_t n, const float *a, const float *b, float *sum);

/* y += c x. */
void ls_math_add_scaled(size_t n, float c, const float *x, float *y);

/* x = min(max(x, -limit), limit). NaN stays NaN. */
void ls_math_clamp(size_t n, float limit, float *x);

/* w = sign(w) max(|w| - by, 0). NaN stays NaN. */
void ls_math_soft_threshold(size_t n, float by, float *w);

/* ----------------------------------------------------------------- lanes */

/* Lanes are the parts of a batch in reproducible mode. Their sums are added as the leaves of a binary tree,
 * so that the order of additions does not depend on the ranks that hold the lanes: (0 + 1) + (2 + 3). */
#define LS_LANES_MAX   1024
#define LS_LANES_DEPTH 11 /* partial sums that exist at the same time, for LS_LANES_MAX lanes */

/* Folding: store the sum of lane l on level ls_lane_level(l), then add the highest level to the one below
 * it ls_lane_merges(l, n) times. After lane n - 1, level 0 has the sum of all lanes. */
static inline size_t ls_lane_level(size_t lane) {
  return (size_t)__builtin_popcountll(lane);
}
static inline size_t ls_lane_merges(size_t lane, size_t n_lanes) {
  return lane + 1 == n_lanes ? ls_lane_level(lane) : (size_t)__builtin_ctzll(~(unsigned long long)lane);
}

/* The number of levels for n lanes. */
static inline size_t ls_lane_depth(size_t n_lanes) {
  size_t depth = 1;
  while (n_lanes > 1) {
    n_lanes = (n_lanes + 1) / 2;
    depth++;
  }
  return depth;
}

/* Folds n doubles of a lane, which are on its level.  levels: (LS_LANES_DEPTH, n) */
void ls_lane_fold(double *levels, size_t n, size_t lane, size_t n_lanes);

/* --------------------------------------------------------- optimizer steps */

/* In all of these, G = scale g + decay w. */

/* w -= lr G.  g, w: (n) */
void ls_math_sgd_step(size_t n, float lr, float decay, float scale, const float *g, float *w);

typedef struct ls_momentum_step {
  float lr, momentum, decay;
  bool nesterov;
} ls_momentum_step;

/* v = momentum v + G, w -= lr v; nesterov: w -= lr (G + momentum v).  g, v, w: (n) */
void ls_math_momentum_step(size_t n, const ls_momentum_step *s, float scale, const float *g, float *v,
                           float *w);

typedef struct ls_adagrad_step {
  float lr, eps, decay;
} ls_adagrad_step;

/* sum += G^2, w -= lr G / (sqrt(sum) + eps).  g, sum, w: (n) */
void ls_math_adagrad_step(size_t n, const ls_adagrad_step *s, float scale, const float *g, float *sum,
                          float *w);

typedef struct ls_rmsprop_step {
  double alpha; /* double, since 1 - alpha loses digits in float */
  float lr, eps, decay;
} ls_rmsprop_step;

/* v = alpha v + (1 - alpha) G^2, w -= lr G / (sqrt(v) + eps).  g, v, w: (n) */
void ls_math_rmsprop_step(size_t n, const ls_rmsprop_step *s, float scale, const float *g, float *v,
                          float *w);

typedef struct ls_adam_step {
  double beta1, beta2; /* double, since 1 - beta2 loses four digits in float */
  float rate;          /* lr / (1 - beta1^t) */
  float root;          /* 1 / sqrt(1 - beta2^t) */
  float eps;
  float decay;
  double shrink; /* fraction of w that decoupled decay removes; double, since it is subtracted from 1 */
} ls_adam_step;

/* m = beta1 m + (1 - beta1) G, v = beta2 v + (1 - beta2) G^2,
 * w = (1 - shrink) w - rate m / (root sqrt(v) + eps).  g, m, v, w: (n) */
void ls_math_adam_step(size_t n, const ls_adam_step *s, float scale, const float *g, float *m, float *v,
                       float *w);

typedef struct ls_lamb_step {
  double beta1, beta2; /* as in ls_adam_step */
  float rate;          /* 1 / (1 - beta1^t) */
  float root;          /* 1 / sqrt(1 - beta2^t) */
  float eps;
  float decay;
} ls_lamb_step;

/* m = beta1 m + (1 - beta1) scale g, v = beta2 v + (1 - beta2) (scale g)^2.  g, m, v: (n) */
void ls_math_lamb_moments(size_t n, const ls_lamb_step *s, float scale, const float *g, float *m, float *v);

/* r = rate m / (root sqrt(v) + eps) + decay w.  m, v, w, r: (n) */
void ls_math_lamb_update(size_t n, const ls_lamb_step *s, const float *m, const float *v, const float *w,
                         float *r);

/* y += c (x - y).  x, y: (n) */
void ls_math_approach(size_t n, float c, const float *x, float *y);

/* ------------------------------------------------------------- gathering */

/* out[j] = (row[j] - offset[j]) * factor[j], j < n: from a stored row to the model's input, for each stored
 * type. */
void ls_math_normalize_u8(size_t n, const uint8_t *row, const float *offset, const float *factor,
                          float *out);
void ls_math_normalize_f32(size_t n, const float *row, const float *offset, const float *factor,
                           float *out);
void ls_math_normalize_f64(size_t n, const double *row, const double *offset, const double *factor,
                           float *out);

/* ------------------------------------------------------------ batch norm */

/* y = f((x - center) scale + shift), f = relu or the identity; (cols) each, borrowed. center is the mean as
 * float, so that x - center loses no digits. */
typedef struct ls_norm {
  const float *center, *scale, *shift;
  bool has_relu;
} ls_norm;

/* x, y, dy, dx: (rows, cols), all others: (cols). g = dy where the input of relu is above 0, otherwise 0;
 * without relu, g = dy.
 *   moments        sums += sum_i x_i - pivot, squares += sum_i (x_i - pivot)^2
 *   norm           y = f((x - center) scale + shift + addend); addend, (rows, cols), may be NULL or y
 *   backward_sums  sums += sum_i g_i, products += sum_i g_i (x_i - center)
 *   backward       dx = scale (g - offset - slope (x - center)) */
void ls_math_norm_moments(size_t rows, size_t cols, const float *x, const float *pivot, double *sums,
                          double *squares);
void ls_math_norm(const ls_norm *norm, size_t rows, size_t cols, const float *x, const float *addend,
                  float *y);
void ls_math_norm_backward_sums(const ls_norm *norm, size_t rows, size_t cols, const float *x,
                                const float *dy, double *sums, double *products);
void ls_math_norm_backward(const ls_norm *norm, size_t rows, size_t cols, const float *x,
                           const float *offset, const float *slope, const float *dy, float *dx);

/* Layer norm over each row: mean and variance of its cols elements, xhat = (x - mean) / sqrt(var + eps),
 * y = gamma xhat + beta.  x, y, dy, dx: (rows, cols), gamma, beta: (cols)
 *   backward  dx from dy; sums += sum_i dy_i, products += sum_i dy_i xhat_i, (cols) each. dx may be NULL.
 */
void ls_math_layer_norm(size_t rows, size_t cols, double eps, const float *x, const float *gamma,
                        const float *beta, float *y);
void ls_math_layer_norm_backward(size_t rows, size_t cols, double eps, const float *x, const float *gamma,
                                 const float *dy, float *dx, double *sums, double *products);

/* ---------------------------------------------------------------- windows */

#define LS_WINDOW_DIMS 3

/* A window that slides over the dims of a sample with channels last. Unused dims come first and have sizes
 * of 1. Output o of a dim sees the inputs o stride - before + k dilation, k < size; inputs outside [0, in)
 * are padding. */
typedef struct ls_window {
  size_t in[LS_WINDOW_DIMS], out[LS_WINDOW_DIMS];
  size_t size[LS_WINDOW_DIMS], stride[LS_WINDOW_DIMS], dilation[LS_WINDOW_DIMS];
  size_t before[LS_WINDOW_DIMS], after[LS_WINDOW_DIMS]; /* padding */
} ls_window;

/* Sets out = floor((in + before + after - dilation (size - 1) - 1) / stride) + 1. Returns false if the
 * window is larger than the padded input. */
bool ls_window_set_out(ls_window *w);

/* Whether no window lies entirely in the padding. */
bool ls_window_is_inside(const ls_window *w);

/* The number of elements of three dims. */
static inline size_t ls_window_count(const size_t *dims) {
  return dims[0] * dims[1] * dims[2];
}

/* y = x * w + b, a cross-correlation: y[o][f] = b[f] + sum_k,c x[o stride - before + k dilation][c]
 * w[f][k][c], where filter f sees the channels of its group. x: (n, in, channels), y: (n, out, filters), w:
 * (filters, size, channels / groups), b: (filters) */
typedef struct ls_conv {
  ls_window window;
  size_t channels, filters, groups;
  bool predicts;  /* takes no memory for gradients: only ls_conv_start_forward and ls_conv_forward follow */
  size_t threads; /* among which the functions divide samples, each with memory of its own; 0: one */
  const struct ls_conv_plan *twin; /* predicts: uses the weights that the plan of an equal convolution has
                                      packed; borrowed. NULL: packs its own */
} ls_conv;

/* What a convolution keeps between calls: packed weights, packed gradients, and tables of positions. */
typedef struct ls_conv_plan ls_conv_plan;

/* Takes a plan from the arena; called twice, see ls_arena: sets *out to NULL in the first call. Returns the
 * bytes of workspace, aligned to LS_ALIGNMENT, that the functions below need. */
size_t ls_conv_reserve(const ls_conv *conv, ls_arena *arena, ls_conv_plan **out);

/* y = f(x * w + b); adds: y = f(y + x * w + b). b may be NULL. The bits of an output do not depend on n.
 * start_forward packs w and b for the calls of ls_conv_forward that follow. */
void ls_conv_start_forward(ls_conv_plan *plan, const float *w, const float *b);
void ls_conv_forward(ls_conv_plan *plan, size_t n, const float *x, bool adds, ls_activation f, float alpha,
                     float *y, void *workspace);

/* dx = the gradient of x. start_data packs w. */
void ls_conv_start_data(ls_conv_plan *plan, const float *w);
void ls_conv_backward_data(ls_conv_plan *plan, size_t n, const float *dz, float *dx, void *workspace);

/* The gradient of w is the sum over all calls between start_weights and finish_weights, which sets dw =
 * beta dw + the sum. With several threads, its rounding depends on their number. */
void ls_conv_start_weights(ls_conv_plan *plan);
void ls_conv_backward_weights(ls_conv_plan *plan, size_t n, const float *x, const float *dz,
                              void *workspace);
void ls_conv_finish_weights(ls_conv_plan *plan, float beta, float *dw);

/* Pooling over windows, for each channel. x: (n, in, channels), y: (n, out, channels). Maximum: padding
 * never counts; in backward, the first of equal maxima gets the gradient; NaN gives NaN. Average: the sum
 * over the inputs inside the window, divided by their number or, with all, by that of the window. */
typedef enum ls_pooling { LS_POOL_MAX, LS_POOL_AVERAGE, LS_POOL_AVERAGE_ALL } ls_pooling;

void ls_pool_forward(ls_pooling kind, const ls_window *w, size_t n, size_t channels, const float *x,
                     float *y);
void ls_pool_backward(ls_pooling kind, const ls_window *w, size_t n, size_t channels, const float *x,
                      const float *y, const float *dy, float *dx);

/* --------------------------------------------------------------- dropout */

/* mask[j] = words[j] >= rate 2^32: 1 with probability 1 - rate, otherwise 0; y = x mask / (1 - rate).
 * words: random, x, y, mask: (n) each */
void ls_math_dropout(size_t n, float rate, const uint32_t *words, const float *x, uint8_t *mask, float *y);

/* dx = dy mask / (1 - rate). */
void ls_math_dropout_backward(size_t n, float rate, const uint8_t *mask, const float *dy, float *dx);

#endif
