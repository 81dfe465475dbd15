/* math: kernels over arrays with their shapes. Row-major, float32, contiguous.
 *
 * Products go to BLAS; the rest is plain loops that the compiler vectorises for the processor at hand.
 * All functions are local. Except for ls_normalizer_create and _add_targets they allocate nothing and
 * cannot fail. Arrays that are written overlap no others. */
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

/* A named block of a flat vector of parameters, with `rows` rows of the shape `row`: a vector if `row` has
 * no dims, a matrix if it has one. */
typedef enum ls_segment_kind { LS_SEGMENT_WEIGHT, LS_SEGMENT_BIAS, LS_SEGMENT_SCALE } ls_segment_kind;

typedef struct ls_segment {
  char path[128]; /* "0-dense/W" */
  ls_segment_kind kind;
  size_t offset; /* of its first element in the flat vector */
  size_t rows;
  ls_shape row;
  double l1, l2; /* penalty: l1 sum |w| + l2 sum w^2 */
} ls_segment;

/* The number of elements of a segment. */
static inline size_t ls_segment_count(const ls_segment *segment) {
  size_t count = segment->rows;
  for (size_t i = 0; i < segment->row.n_dims; i++) count *= segment->row.dims[i];
  return count;
}

/* What a batch of outputs is compared with. */
typedef struct ls_targets {
  const int32_t *classes; /* (rows): where each sample is of one class; else NULL */
  const float *values;    /* (rows, cols): where targets are numbers; else NULL */
  const float *weights;   /* (rows): of the samples; NULL: all 1 */

  /* Classes that are mixed: row i is `shares[i]` (0 to 1) of classes[i], the rest of partners[i]. */
  const int32_t *partners; /* (rows), or NULL: none is */
  const float *shares;     /* (rows), or NULL */
} ls_targets;

/* Local. Those of the rows from `first` on. */
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

/* From y' back to y, in place: y = y' / factor + offset. Changes nothing without a normaliser of the
 * targets.  y: (rows, n_outputs) */
void ls_normalizer_restore_targets(const ls_normalizer *normalizer, size_t rows, float *y);

/* ------------------------------------------------------------------ BLAS */

/* The threads of BLAS products in this process, at least 1. */
void ls_math_threads_set(int threads);

/* The BLAS library, its version and the kernels it chose, one line. Borrowed. */
const char *ls_math_blas_name(void);

/* c = a b^T + beta c.  a: (m, k), b: (n, k), c: (m, n) */
void ls_math_product_nt(size_t m, size_t n, size_t k, const float *a, const float *b, float beta, float *c);

/* c = a b + beta c.    a: (m, k), b: (k, n), c: (m, n) */
void ls_math_product_nn(size_t m, size_t n, size_t k, const float *a, const float *b, float beta, float *c);

/* c = a^T b + beta c.  a: (k, m), b: (k, n), c: (m, n) */
void ls_math_product_tn(size_t m, size_t n, size_t k, const float *a, const float *b, float beta, float *c);

/* Of these two, only `count` columns or rows of c, from `first` on. */
void ls_math_product_nn_columns(size_t first, size_t count, size_t m, size_t n, size_t k, const float *a,
                                const float *b, float beta, float *c);
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

/* Their names in the config, in the order of the enumeration, ended by NULL. */
extern const char *const ls_activation_names[];

/* z = f(z + b), in place. b may be NULL.  z: (rows, cols), b: (cols)
 * `alpha` >= 0 is, for z <= 0, the slope of leaky_relu and the scale of elu. softmax goes along a row.
 * Within 3 ulp but gelu, within 9 (tests/unit/test_math.c); a NaN stays one. */
void ls_math_activate(ls_activation f, float alpha, size_t rows, size_t cols, const float *b, float *z);

/* Whether the derivative of f needs z, as a = f(z) does not tell it. */
bool ls_math_activation_needs_z(ls_activation f);

/* d = d f'(z), in place, from a = f(z): the chain rule's step from da to dz. In the place of a stands z
 * where f needs it.  a, d: (rows, cols) */
void ls_math_activate_backward(ls_activation f, float alpha, size_t rows, size_t cols, const float *a,
                               float *d);

/* ------------------------------------------------------------------ sums */

/* out[j] = beta out[j] + sum_i x[i][j].  x: (rows, cols), out: (cols) */
void ls_math_sum_rows(size_t rows, size_t cols, const float *x, float beta, float *out);

/* Sum of squares, in double; not finite exactly where an element is not (or the sum overflows double). */
double ls_math_sum_squares(size_t n, const float *x);

/* out[i] = ((terms[0][i] + terms[1][i]) + terms[2][i]) + ...; returns the sum of its squares, in
 * double. out may be one of the terms.  terms: (n_terms) arrays of n, out: (n) */
double ls_math_fold(size_t n, size_t n_terms, const float *const *terms, float *out);

/* out = x, past the caches: for what other processors read next, whose caches need not be told then.
 * out: (n), aligned to LS_ALIGNMENT */
void ls_math_copy_nontemporal(size_t n, const float *x, float *out);

/* x + error rounded to bfloat16, the upper half of a float (8 significant bits), to nearest, ties to even;
 * what was rounded away is the new error, to be added to what comes next.  x, error, out: (n) */
void ls_math_to_bf16(size_t n, const float *x, float *error, uint16_t *out);
void ls_math_from_bf16(size_t n, const uint16_t *x, float *out);

/* y += c x. */
void ls_math_add_scaled(size_t n, float c, const float *x, float *y);

/* x = min(max(x, -limit), limit); a NaN stays one. */
void ls_math_clamp(size_t n, float limit, float *x);

/* w = sign(w) max(|w| - by, 0); a NaN stays one. */
void ls_math_soft_threshold(size_t n, float by, float *w);

/* ----------------------------------------------------------------- lanes */

/* Lanes are parts of a batch. What they have is added up as the leaves of a binary tree, so that the order
 * does not depend on who holds them: of four, (0 + 1) + (2 + 3).
 *
 * The most lanes there may be, and the partial sums of them that are there at once. */
#define LS_LANES_MAX   1024
#define LS_LANES_DEPTH 11

/* Local. Folding: lane l is put on level ls_lane_level(l), then ls_lane_merges(l, n) times the highest
 * level is added to the one below it. After lane n - 1 the sum is on level 0. */
static inline size_t ls_lane_level(size_t lane) {
  return (size_t)__builtin_popcountll(lane);
}
static inline size_t ls_lane_merges(size_t lane, size_t n_lanes) {
  return lane + 1 == n_lanes ? ls_lane_level(lane) : (size_t)__builtin_ctzll(~(unsigned long long)lane);
}

/* Local. Levels that n lanes need. */
static inline size_t ls_lane_depth(size_t n_lanes) {
  size_t depth = 1;
  while (n_lanes > 1) {
    n_lanes = (n_lanes + 1) / 2;
    depth++;
  }
  return depth;
}

/* Local. The same with levels of n doubles: `levels`, (LS_LANES_DEPTH, n), has lane l on its level. */
void ls_lane_fold(double *levels, size_t n, size_t lane, size_t n_lanes);

/* --------------------------------------------------------- optimizer steps */

/* In all of them G = scale g + decay w. */

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
  double alpha; /* double: 1 - alpha would lose digits in float */
  float lr, eps, decay;
} ls_rmsprop_step;

/* v = alpha v + (1 - alpha) G^2, w -= lr G / (sqrt(v) + eps).  g, v, w: (n) */
void ls_math_rmsprop_step(size_t n, const ls_rmsprop_step *s, float scale, const float *g, float *v,
                          float *w);

typedef struct ls_adam_step {
  double beta1, beta2; /* double: 1 - beta2 would lose four digits in float */
  float rate;          /* lr / (1 - beta1^t) */
  float root;          /* 1 / sqrt(1 - beta2^t) */
  float eps;
  float decay;
  double shrink; /* the part of w that decoupled decay takes; double, as it is taken from 1 */
} ls_adam_step;

/* m = beta1 m + (1 - beta1) G, v = beta2 v + (1 - beta2) G^2,
 * w = (1 - shrink) w - rate m / (root sqrt(v) + eps).  g, m, v, w: (n) */
void ls_math_adam_step(size_t n, const ls_adam_step *s, float scale, const float *g, float *m, float *v,
                       float *w);

/* ------------------------------------------------------------- gathering */

/* out[j] = (row[j] - offset[j]) * factor[j], j < n: a stored row made into the net's input.
 * One for each stored type. */
void ls_math_normalize_u8(size_t n, const uint8_t *row, const float *offset, const float *factor,
                          float *out);
void ls_math_normalize_f32(size_t n, const float *row, const float *offset, const float *factor,
                           float *out);
void ls_math_normalize_f64(size_t n, const double *row, const double *offset, const double *factor,
                           float *out);

/* ------------------------------------------------------------ batch norm */

/* In double, all of (cols) but x, y, dy, dx: (rows, cols). With xhat = (x - mean) inverse:
 *   sums           sums += sum_i x_i - pivot, squares += sum_i (x_i - pivot)^2
 *   norm           y = gamma xhat + beta
 *   backward_sums  sums += sum_i dy_i, products += sum_i dy_i xhat_i
 *   backward       dx = gamma inverse (dy - mean_dy - xhat mean_product) */
void ls_math_norm_sums(size_t rows, size_t cols, const float *x, const float *pivot, double *sums,
                       double *squares);
void ls_math_norm(size_t rows, size_t cols, const float *x, const double *mean, const double *inverse,
                  const float *gamma, const float *beta, float *y);
void ls_math_norm_backward_sums(size_t rows, size_t cols, const float *x, const double *mean,
                                const double *inverse, const float *dy, double *sums, double *products);
void ls_math_norm_backward(size_t rows, size_t cols, const float *x, const double *mean,
                           const double *inverse, const float *gamma, const double *mean_dy,
                           const double *mean_product, const float *dy, float *dx);

/* --------------------------------------------------------------- dropout */

/* mask[j] = 1 with probability 1 - rate, else 0, from words drawn for (sample, j); y = x mask / (1 - rate).
 * words: (n), x, y: (n), mask: (n). An element is dropped where its word is below rate * 2^32. */
void ls_math_dropout(size_t n, float rate, const uint32_t *words, const float *x, uint8_t *mask, float *y);

/* dx = dy mask / (1 - rate). */
void ls_math_dropout_backward(size_t n, float rate, const uint8_t *mask, const float *dy, float *dx);

#endif
