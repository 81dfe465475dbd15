/* explain: what a model's outputs come from: which features of a sample speak for a class and which against
 * it (integrated gradients), and which features the model needs at all (permutation importance).
 *
 * A model is explained as it predicts: in the mode LS_PREDICT, with probabilities where its loss has a
 * link.
 */
#ifndef LOCKSTEP_EXPLAIN_H
#define LOCKSTEP_EXPLAIN_H

#include "lockstep/base.h"
#include "lockstep/comm.h"
#include "lockstep/data.h"
#include "lockstep/metric.h"
#include "lockstep/model.h"
#include "lockstep/store.h"

/* ------------------------------------------------------------ the output explained */

/* Local. Outputs to choose from: classes (two for one sigmoid output), labels, or numbers. */
size_t ls_explain_n_outputs(const ls_model *model);

/* ------------------------------------------------------------- integrated gradients */

/* For a sample x, a baseline x0, and F, the probability of a class or an output of a regression,
 *
 *   A_i = (x_i - x0_i) integral_0^1 dF/dx_i (x0 + a (x - x0)) da
 *
 * (Sundararajan, Taly & Yan, "Axiomatic attribution for deep networks", ICML 2017). They add up to
 * F(x) - F(x0), "completeness"; how far a numeric integral is from that tells how good it is. Kinks (ReLU)
 * make the integrand jump, so points are doubled until the gap is small. */

/* The sample that stands for "nothing". */
typedef enum ls_baseline {
  LS_BASELINE_ZERO, /* all features 0 as stored: a black image */
  LS_BASELINE_MEAN  /* the mean of the data: a sample like all and like none */
} ls_baseline;

extern const char *const ls_baseline_names[];

/* Local. The one that suits data of this shape: 0 for images, where it is black and says nothing; the mean
 * for tables, where 0 is a value as any other, and often one that no sample has. */
ls_baseline ls_baseline_for(const ls_array *x);

#define LS_EXPLAIN_POINTS_MOST 16384 /* of an integral, however large its gap */

typedef struct ls_explain_options {
  ls_model *model; /* borrowed, as the next two; of at least 2 rows a pass. Its gradients are overwritten */
  const ls_normalizer *normalizer;
  const ls_dataset *dataset;
  ls_baseline baseline;
  bool has_output; /* explain `output`; else the predicted class or label, or each output of a regression */
  size_t output;   /* below ls_explain_n_outputs */
  size_t points; /* of an integral at first, from 1 to LS_EXPLAIN_POINTS_MOST; rounded up to whole panels */
} ls_explain_options;

/* Explanations: each is of one output for one sample. All arrays are views. */
typedef struct ls_attribution {
  size_t n;
  uint64_t *samples, *outputs;      /* (n) each: what is explained */
  uint64_t *points;                 /* (n): of the integral */
  double *values, *baseline_values; /* (n) each: F(x), F(x0) */
  double *gaps;                     /* (n): sum_i A_i - (F(x) - F(x0)) */
  float *attributions;              /* (n, n_features): A, in the unit of F */
} ls_attribution;

typedef struct ls_explainer {
  ls_explain_options options;
  size_t per_sample;  /* explanations of a sample */
  size_t max_samples; /* of one call */
  ls_batch *batch;    /* owned; of one row */
  float *x0;          /* (n_features): the baseline, normalised */
  const float *x;     /* (n_features): the current sample, likewise; borrowed from the batch */
  float *path;        /* (rows of a pass, n_features): the inputs of a pass */
  float *dx;          /* (rows of a pass, n_features) */
  double *sums;       /* (n_features): the integral so far */
  ls_attribution result;
  ls_arena arena; /* of all these arrays */
} ls_explainer;

/* Collective. The caller destroys it. LS_ERR_INTERNAL where memory is short. */
ls_status ls_explainer_create(ls_comm *comm, const ls_explain_options *options, ls_explainer **out);
void ls_explainer_destroy(ls_explainer **explainer);

/* Collective. Explains n <= max_samples samples, shared out over the ranks: n * per_sample explanations,
 * the same on all ranks, in the order of `samples`. Borrowed; valid until the next call. */
const ls_attribution *ls_explainer_explain(ls_comm *comm, ls_explainer *explainer, const uint64_t *samples,
                                           size_t n);

/* Local. Whether explanation i is complete: its gap is at most 1e-3 of |F(x) - F(x0)|, or 1e-4 of a
 * probability, 1e-6 of the larger of |F(x)| and |F(x0)| of a number, 1e-5 of the deviation of a
 * standardised one. */
bool ls_attribution_is_complete(const ls_explainer *explainer, const ls_attribution *attribution, size_t i);

/* ---------------------------------------------------------------------------- files */

/* Names for attributes; NULL where they are not known. */
typedef struct ls_explain_names {
  const char *const *classes, *const *features;
  size_t n_classes, n_features;
} ls_explain_names;

/* Local. Begins a file of the explanations of n_samples samples: /attribution (n, ...) float32 and /x (n,
 * ...) in the shape of the data's x, /sample, /class, /output, /baseline_output, /gap and /points (n).
 * LS_ERR_OUTPUT. ls_store_publish ends it. */
ls_status ls_explain_create_file(const ls_explainer *explainer, const ls_explain_names *names,
                                 size_t n_samples, const char *path, ls_store_writer **out);

/* Local. Appends explanations. LS_ERR_OUTPUT. */
ls_status ls_explain_append(const ls_explainer *explainer, const ls_attribution *attribution,
                            ls_store_writer *writer);

/* ------------------------------------------------------------------------- pictures */

typedef struct ls_picture {
  size_t height, width, channels; /* 1: grey, 3: red, green, blue; a pixel's channels side by side */
} ls_picture;

/* Local. Whether rows of x are pictures: (N, H, W), (N, H, W, 1 or 3), or (N, H * H) from 8 x 8 on. */
bool ls_picture_of(const ls_array *x, ls_picture *out);

/* Local. Writes a PNG file: the image, from its darkest to its brightest value, and beside it what each
 * pixel contributes (the sum over its channels): red for, blue against, white nothing, the strongest pixel
 * in full colour. LS_ERR_OUTPUT.  image, attribution: (height, width, channels) */
ls_status ls_picture_write(const char *path, const ls_picture *picture, const float *image,
                           const float *attribution);

/* ----------------------------------------------------------- permutation importance */

#define LS_IMPORTANCE_FEATURES_MOST 4096

/* What becomes worse where a feature's values are dealt out anew among the samples, which cuts its tie to
 * the targets and to the other features (Breiman, "Random forests", 2001; scikit-learn's
 * permutation_importance). Means and standard deviations (of the population) over the repeats. */
typedef struct ls_importance_row {
  size_t feature;
  double drop, drop_std; /* of accuracy, or R^2 */
  double rise, rise_std; /* of the loss */
} ls_importance_row;

typedef struct ls_importance {
  uint64_t samples;
  size_t repeats;
  double loss, quality;    /* with all features as they are */
  size_t n;                /* features */
  ls_importance_row *rows; /* (n), owned: the greatest drop first, then the greatest rise */
} ls_importance;

/* Collective. Measures the importance of all features on a data set with targets; permutations are keyed on
 * (seed, feature, repeat). LS_ERR_DATA where there are more than LS_IMPORTANCE_FEATURES_MOST. The caller
 * destroys it. */
ls_status ls_importance_create(ls_comm *comm, const ls_explain_options *options, uint64_t seed,
                               size_t repeats, ls_importance **out);
void ls_importance_destroy(ls_importance **importance);

#endif
