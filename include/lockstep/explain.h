/* explain: attributions of a model's outputs to the features of a sample (integrated gradients), and the
 * importance of each feature for the model (permutation importance).
 *
 * Outputs are those of prediction: probabilities if the loss has a link. */
#ifndef LOCKSTEP_EXPLAIN_H
#define LOCKSTEP_EXPLAIN_H

#include "lockstep/base.h"
#include "lockstep/comm.h"
#include "lockstep/data.h"
#include "lockstep/metric.h"
#include "lockstep/model.h"
#include "lockstep/store.h"

/* ---------------------------------------------------------------------- outputs */

/* Local. The number of outputs that can be explained: classes (two for one sigmoid output), labels, or
 * numbers of a regression. */
size_t ls_explain_n_outputs(const ls_model *model);

/* Names of classes and features; NULL if unknown. */
typedef struct ls_explain_names {
  const char *const *classes, *const *features;
  size_t n_classes, n_features;
} ls_explain_names;

/* Local. The name of an output: a class name or number, or y, y0, y1 ... for a regression. Names that are
 * not in `names` are written to `text`. */
const char *ls_explain_output_name(const ls_explain_names *names, const ls_model *model, size_t k,
                                   char *text, size_t size);

/* Local. The name of a feature, or its position in x, such as x[3,5], written to `text`. */
const char *ls_explain_feature_name(const ls_explain_names *names, const ls_dataset *dataset, size_t j,
                                    char *text, size_t size);

/* Local. Finds an output by name or else by number. LS_ERR_CONFIG. */
ls_status ls_explain_find_output(const ls_explain_names *names, const ls_model *model, const char *name,
                                 uint64_t *output);

/* --------------------------------------------------------- integrated gradients */

/* The attribution to feature i of a sample x, with the baseline x0 and the explained output F, is
 *
 *   A_i = (x_i - x0_i) integral_0^1 dF/dx_i (x0 + a (x - x0)) da
 *
 * (Sundararajan, Taly & Yan, "Axiomatic attribution for deep networks", ICML 2017). Attributions add up to
 * F(x) - F(x0) except for a gap, the error of the numeric integral. Kinks (ReLU) make the integrand
 * discontinuous, so the number of points is doubled until the gap is small. */

/* The sample that represents the absence of features. */
typedef enum ls_baseline {
  LS_BASELINE_ZERO, /* all features 0 as stored: a black image */
  LS_BASELINE_MEAN  /* the mean of the data */
} ls_baseline;

extern const char *const ls_baseline_names[];

/* Local. The default baseline for data of this shape: zero for images, where it is black, and the mean for
 * tables, where 0 has no special meaning. */
ls_baseline ls_baseline_for(const ls_array *x);

#define LS_EXPLAIN_POINTS_MOST 16384 /* of one integral */

typedef struct ls_explain_options {
  ls_model *model;                 /* borrowed; at least 2 rows per pass; its gradients are overwritten */
  const ls_normalizer *normalizer; /* borrowed */
  const ls_dataset *dataset;       /* borrowed */
  ls_baseline baseline;
  bool has_output; /* explain `output`; else the predicted class or label, or each output of a regression */
  uint64_t output; /* below ls_explain_n_outputs */
  size_t points;   /* initial points of an integral, from 1 */
  size_t most;     /* points at most, from `points` to LS_EXPLAIN_POINTS_MOST */
} ls_explain_options;

/* Explanations, each of one output of one sample. */
typedef struct ls_attribution {
  size_t n;
  uint64_t *samples, *outputs;      /* (n) each: the explained sample and output */
  uint64_t *points;                 /* (n): of the integral */
  double *values, *baseline_values; /* (n) each: F(x), F(x0) */
  double *gaps;                     /* (n): sum_i A_i - (F(x) - F(x0)) */
  float *attributions;              /* (n, n_features): A, in the unit of F */
} ls_attribution;

typedef struct ls_explainer {
  ls_explain_options options;
  size_t per_sample;  /* explanations per sample */
  size_t max_samples; /* samples per call */
  ls_batch *batch;    /* owned; of one row */
  float *x0;          /* (n_features): the normalised baseline */
  const float *x;     /* (n_features): the current sample, normalised; in the batch */
  float *path;        /* (rows of a pass, n_features): the inputs of a pass */
  float *dx;          /* (rows of a pass, n_features) */
  double *sums;       /* (n_features): partial sums of the integral */
  ls_attribution result;
  ls_arena arena, results; /* hold the arrays above, and those of `result` */
} ls_explainer;

/* Collective. LS_ERR_INTERNAL if memory is short, LS_ERR_DATA if samples cannot be read. */
ls_status ls_explainer_create(ls_comm *comm, const ls_explain_options *options, ls_explainer **out);
void ls_explainer_destroy(ls_explainer **explainer);

/* Collective. Explains n <= max_samples samples, divided among the ranks. *out: n * per_sample
 * explanations in the order of `samples`, the same on all ranks; borrowed, valid until the next call.
 * LS_ERR_DATA if samples cannot be read. */
ls_status ls_explainer_explain(ls_comm *comm, ls_explainer *explainer, const uint64_t *samples, size_t n,
                               const ls_attribution **out);

/* Local. Whether the gap of explanation i is at most 1e-3 of |F(x) - F(x0)|, or at most: 1e-4 for a
 * probability; 1e-6 of the larger of |F(x)| and |F(x0)| for a number; 1e-5 of the standard deviation for a
 * standardised number. */
bool ls_attribution_is_complete(const ls_explainer *explainer, const ls_attribution *attribution, size_t i);

/* ------------------------------------------------------------------------ files */

/* Local. Creates a file for the explanations of n_samples samples: /attribution (n, ...) float32 and /x (n,
 * ...) in the shape of the data's x; /sample, /class, /output, /baseline_output, /gap and /points (n). The
 * caller publishes it with ls_store_publish. LS_ERR_OUTPUT. */
ls_status ls_explain_create_file(const ls_explainer *explainer, const ls_explain_names *names,
                                 size_t n_samples, const char *path, ls_store_writer **out);

/* Local. Appends explanations. LS_ERR_OUTPUT. */
ls_status ls_explain_append(const ls_explainer *explainer, const ls_attribution *attribution,
                            ls_store_writer *writer);

/* --------------------------------------------------------------------- pictures */

typedef struct ls_picture {
  size_t height, width, channels; /* channels: 1 (grey) or 3 (RGB) */
} ls_picture;

/* Local. Whether x holds images: (N, H, W), (N, H, W, 1 or 3), or (N, H * H) with H of at least 8. */
bool ls_picture_of(const ls_array *x, ls_picture *out);

/* Local. Writes a PNG file, atomically: the image, scaled from its minimum to its maximum, and beside it a
 * heat map of the attributions, summed over channels: white for 0, red for positive, blue for negative, the
 * largest in full colour. LS_ERR_OUTPUT.  image, attribution: (height, width, channels) */
ls_status ls_picture_write(const char *path, const ls_picture *picture, const float *image,
                           const float *attribution);

/* A folder of pictures of explanations. */
typedef struct ls_pictures ls_pictures;

/* Local. Creates the folder if it does not exist. ls_pictures_destroy is needed after a failure too.
 * LS_ERR_DATA if the samples are not images. LS_ERR_OUTPUT. */
ls_status ls_pictures_create(const char *folder, const ls_dataset *dataset, ls_pictures **out);
void ls_pictures_destroy(ls_pictures **pictures);

/* Local. Writes sample-<number>-class-<name>.png for explanation i of the last ls_explainer_explain.
 * LS_ERR_OUTPUT. */
ls_status ls_pictures_draw(ls_pictures *pictures, const ls_explainer *explainer, size_t i,
                           const char *name);

/* ------------------------------------------------------- permutation importance */

#define LS_IMPORTANCE_FEATURES_MOST 4096

/* How much worse the model becomes if the values of a feature are permuted among the samples (Breiman,
 * "Random forests", 2001; scikit-learn's permutation_importance). Means and standard deviations (of the
 * population) over the repeats. */
typedef struct ls_importance_row {
  size_t feature;
  double drop, drop_std; /* of accuracy or R^2 */
  double rise, rise_std; /* of the loss */
} ls_importance_row;

typedef struct ls_importance {
  uint64_t samples;
  size_t repeats;
  double loss, quality;    /* without permutation */
  size_t n;                /* features */
  ls_importance_row *rows; /* (n), owned: in descending order of drop, then of rise */
} ls_importance;

/* Collective. Measures the importance of all features on a dataset with targets; permutations are keyed on
 * (seed, feature, repeat). Needs only the first three options. LS_ERR_DATA if there are more than
 * LS_IMPORTANCE_FEATURES_MOST features. */
ls_status ls_importance_create(ls_comm *comm, const ls_explain_options *options, uint64_t seed,
                               size_t repeats, ls_importance **out);
void ls_importance_destroy(ls_importance **importance);

#endif
