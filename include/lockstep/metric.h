/* metric: loss and quality as sums that can be added over batches and ranks, and the values that follow.
 *
 * Only sums are added, never means, so uneven shards and short batches are exact. All sums of a metric are
 * one array of doubles, ready for a reduction. Only ROC AUC cannot be computed from sums; the metric keeps
 * the scores of this rank's samples if the caller asks for it. All functions are local.
 *
 * Notation: sample i has the weight w_i (1 by default), the output row z_i or a_i, and the target y_i. */
#ifndef LOCKSTEP_METRIC_H
#define LOCKSTEP_METRIC_H

#include "lockstep/base.h"
#include "lockstep/math.h"

typedef enum ls_task {
  LS_TASK_CLASSES,   /* one of n_outputs classes, predicted by argmax z */
  LS_TASK_LABELS,    /* n_outputs labels, each predicted by z > 0; one output: two classes */
  LS_TASK_REGRESSION /* n_outputs numbers */
} ls_task;

#define LS_METRIC_TOPS_MAX 16

/* A score for ROC AUC. */
typedef struct ls_scored {
  uint32_t output; /* counted from the first of the outputs that are ranked together */
  float score;
  float weight; /* of the sample; negative if it does not belong to the class or label of the output */
} ls_scored;

/* What ROC AUC needs of this rank's samples. All arrays are owned. */
typedef struct ls_ranking {
  size_t max_rows, rows; /* capacity, and number of samples since the last reset */
  float *scores;         /* (n_outputs, max_rows): row k has the scores of output k */
  float *weights;        /* (max_rows) */
  int32_t *classes;      /* (max_rows): the class of each sample; NULL for labels */
  bool *labels;          /* (n_outputs, max_rows): whether the sample has the label; NULL for classes */
  size_t most;           /* outputs that are ranked together */
  size_t capacity;       /* scores of them that this rank sorts */
  ls_scored *samples;    /* (2, capacity): these scores, and the buffer of the sort */
  double *auc;           /* (n_outputs): the results; NaN if undefined */
} ls_ranking;

typedef struct ls_metric {
  ls_task task;
  size_t n_outputs;
  bool is_detailed; /* also counts the confusion matrix */
  size_t n_tops;
  size_t tops[LS_METRIC_TOPS_MAX]; /* the k of each top-k accuracy */
  size_t n_sums;
  double *sums;        /* (n_sums), owned, with space for all tops; may be added over ranks */
  float *pivots;       /* (n_outputs), owned: regression: subtracted from y before summing, to avoid
                          cancellation; the same on all ranks; initially 0 */
  double *units;       /* (n_outputs), owned: regression: the value of 1 of each output in the units of mse
                          and mae; the same on all ranks; initially 1 */
  ls_ranking *ranking; /* owned; NULL if scores are not kept */
  double *levels;      /* (levels, n_sums), owned: partial sums of the fold over lanes; NULL: no lanes */
  double *all;         /* the sums over all lanes while `sums` points to those of a lane; else NULL */
} ls_metric;

/* Creates a metric with all sums 0. LS_ERR_INTERNAL if memory is exhausted. */
ls_status ls_metric_create(ls_task task, size_t n_outputs, bool is_detailed, ls_metric **out);
void ls_metric_destroy(ls_metric **metric);

/* Adds top-k accuracy, for classes only and before the first row. Of equal scores the class with the
 * smaller index comes first. At most LS_METRIC_TOPS_MAX different k >= 1; a repeated k has no effect. */
void ls_metric_add_top(ls_metric *metric, size_t k);

/* Keeps scores, weights and targets of up to `max_rows` rows for ROC AUC, for classes and labels only and
 * before the first row. `most` outputs, at most LS_AUC_OUTPUTS_MAX, are ranked together, for which this
 * rank sorts up to `capacity` scores, at least most * max_rows. LS_ERR_INTERNAL if memory is exhausted. */
ls_status ls_metric_keep_scores(ls_metric *metric, size_t max_rows, size_t most, size_t capacity);

/* Fills `samples` of the ranking with the scores of outputs first .. first + count - 1, count <= most, and
 * returns their number. */
size_t ls_metric_scores(const ls_metric *metric, size_t first, size_t count);

/* Sums rows by lane, at most n_lanes of them, and adds the lanes in the order of ls_lane_fold. Call it
 * after ls_metric_add_top. LS_ERR_INTERNAL if memory is exhausted. */
ls_status ls_metric_keep_lanes(ls_metric *metric, size_t n_lanes);

/* Enclose the rows of one lane. The end of the last of n_lanes adds all lanes to the sums. Without
 * ls_metric_keep_lanes, rows are added to the sums at once. */
void ls_metric_begin_lane(ls_metric *metric, size_t lane);
void ls_metric_end_lane(ls_metric *metric, size_t lane, size_t n_lanes);

/* Sets the sums to 0 and drops the scores. */
void ls_metric_reset(ls_metric *metric);

/* Adds `rows` rows. outputs: (rows, n_outputs), z (before softmax or sigmoid) for classes and labels, a for
 * regression; loss_sum: the weighted sum of their losses. */
void ls_metric_add(ls_metric *metric, size_t rows, const float *outputs, const ls_targets *targets,
                   double loss_sum);

/* Adds the sums, but not the scores, of another metric of the same kind. */
void ls_metric_merge(ls_metric *metric, const ls_metric *other);

double ls_metric_weight(const ls_metric *metric); /* sum_i w_i */
uint64_t ls_metric_samples(const ls_metric *metric);
double ls_metric_loss(const ls_metric *metric); /* sum_i w_i loss_i / sum_i w_i; NaN without samples */

/* Accuracy, sum_i w_i [prediction = y_i] / sum_i w_i (labels: the mean over outputs); for regression R^2,
 * the mean of 1 - sum_i w_i (y_i - a_i)^2 / sum_i w_i (y_i - mean y)^2 over the outputs whose targets are
 * not constant. NaN if undefined: no samples, or all targets constant. */
double ls_metric_quality(const ls_metric *metric);

/* Regression: weighted mean and standard deviation of the targets of output k, as the loss sees them;
 * without samples, the pivot and 0. */
void ls_metric_targets(const ls_metric *metric, size_t k, double *mean, double *std);

/* "accuracy" or "r2". */
const char *ls_metric_quality_name(ls_task task);

/* Regression: the weighted mean over samples, and mean over outputs, of u^2 (y - a)^2 and of u |y - a|,
 * with u the unit of the output. */
double ls_metric_mse(const ls_metric *metric);
double ls_metric_mae(const ls_metric *metric);

typedef struct ls_output_quality {
  double mse, mae, r2; /* NaN if undefined */
} ls_output_quality;

/* Regression: the same of one output. */
ls_output_quality ls_metric_output(const ls_metric *metric, size_t index);

/* Top-k accuracy, sum_i w_i [y_i among the k largest z_i] / sum_i w_i; NaN without samples. k must have
 * been added by ls_metric_add_top. */
double ls_metric_top(const ls_metric *metric, size_t k);

/* The number of classes of ls_metric_class: n_outputs; 2 for one label; 0 for regression. */
size_t ls_metric_n_classes(const ls_metric *metric);

/* Whether each sample has exactly one class, so that a confusion matrix exists. */
bool ls_metric_has_confusion(const ls_metric *metric);

/* Detailed: the total weight of the samples of class `truth` that were predicted as `predicted`. */
double ls_metric_confusion(const ls_metric *metric, size_t truth, size_t predicted);

/* With the weights of true positives TP, false positives FP and false negatives FN: precision TP / (TP +
 * FP), recall TP / (TP + FN), f1 2 precision recall / (precision + recall), support TP + FN. 0 if the
 * denominator is 0, as in scikit-learn. */
typedef struct ls_class_quality {
  double precision, recall, f1, support;
} ls_class_quality;

/* Detailed: of one class or label. */
ls_class_quality ls_metric_class(const ls_metric *metric, size_t index);

/* Detailed: the unweighted means over classes or labels, and the sum of supports. */
ls_class_quality ls_metric_macro(const ls_metric *metric);

/* ------------------------------------------------------------------- ROC AUC */

/* The area under the ROC curve: with p over the positive and n over the negative samples,
 *   sum_p sum_n w_p w_n ([s_p > s_n] + [s_p = s_n] / 2) / (sum_p w_p  sum_n w_n)
 * (Mann & Whitney 1947), exact as scikit-learn's roc_auc_score. Samples of weight 0 have no effect. A NaN
 * among the scores makes it undefined, which the caller must find.
 *
 * Sums are added in the order of scores, and of samples where scores are equal. They may continue with
 * samples on another rank, so that the same samples give the same bits for any number of ranks. */
typedef struct ls_auc {
  uint32_t output;
  float score;                        /* of the last group of equal scores */
  double positive, negative;          /* weights of this group */
  double positives, negatives, pairs; /* of the groups before it */
} ls_auc;

#define LS_AUC_KEY_BITS    44
#define LS_AUC_OUTPUTS_MAX 4096 /* ranked together: 12 bits of the key */

/* Keys have the order of outputs, then of scores that are not NaN; -0 and 0 are equal. */
uint64_t ls_auc_key(const ls_scored *sample);

/* Sorts samples by key; equal ones keep their order. buffer: (n) */
void ls_auc_sort(size_t n, ls_scored *samples, ls_scored *buffer);

/* Adds sorted samples of one output to the sums, which are zeroed at first. */
void ls_auc_add(ls_auc *auc, size_t n, const ls_scored *samples);

/* The area over the samples added so far. NaN if one side has no weight. */
double ls_auc_value(const ls_auc *auc);

/* The AUC of one class against the rest, or of one label, after the scores were kept and ranked
 * (ls_evaluate). The two classes of one label have the same AUC. */
double ls_metric_auc(const ls_metric *metric, size_t index);

/* The unweighted mean over the classes or labels whose AUC is defined; NaN if there is none. */
double ls_metric_macro_auc(const ls_metric *metric);

#endif
