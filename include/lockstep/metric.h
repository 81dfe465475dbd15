/* metric: loss and quality as sums that can be added over batches and ranks, and what follows from them.
 *
 * Nothing is averaged before it is summed, so uneven shards and short batches are exact. All functions are
 * local; the sums are one array of doubles, ready for a reduction. ROC AUC alone needs the scores
 * themselves: they are kept where it is asked for. */
#ifndef LOCKSTEP_METRIC_H
#define LOCKSTEP_METRIC_H

#include "lockstep/base.h"
#include "lockstep/math.h"

typedef enum ls_task {
  LS_TASK_CLASSES,   /* one of n_outputs classes: z -> argmax */
  LS_TASK_LABELS,    /* each output is a yes or no: z > 0. One output: two classes */
  LS_TASK_REGRESSION /* n_outputs numbers */
} ls_task;

#define LS_METRIC_TOPS_MAX 16

/* A sample as ROC AUC sees it: one of `weight` > 0 is of the class, one of `weight` < 0 is not. */
typedef struct ls_scored {
  float score, weight;
} ls_scored;

/* Scores kept for ROC AUC, which no sums can give. All arrays are owned. */
typedef struct ls_ranking {
  size_t max_rows, rows; /* of this rank's samples: at most, and kept since the last reset */
  float *scores;         /* (n_outputs, max_rows): an output's scores side by side */
  size_t all_rows;       /* where they are ranked, the samples of all ranks; 0 elsewhere */
  uint64_t *order;       /* (all_rows): their numbers, in the order of the scores */
  float *gathered;       /* (all_rows): the scores of one output */
  ls_scored *samples;    /* (2 * all_rows): the same with their weights, and room to sort them */
  double *auc;           /* (n_outputs): the results; NaN where not defined */
} ls_ranking;

typedef struct ls_metric {
  ls_task task;
  size_t n_outputs;
  bool is_detailed; /* keeps the confusion counts too */
  size_t n_tops;
  size_t tops[LS_METRIC_TOPS_MAX]; /* the k of each top-k accuracy */
  size_t n_sums;
  double *sums;        /* (n_sums), owned: may be added over ranks element by element */
  float *pivots;       /* (n_outputs), owned: regression: subtracted from y before summing, against
                          cancellation; the same on all ranks. 0 at first */
  double *units;       /* (n_outputs), owned: regression: what a 1 of each output is worth where mse and mae
                          are told; the same on all ranks. 1 at first */
  ls_ranking *ranking; /* owned; NULL where scores are not kept */
  double *levels;      /* (levels, n_sums), owned: lanes being folded; NULL: all rows are one lane */
  double *all;         /* the sums, while `sums` is those of a lane; else NULL */
} ls_metric;

/* Makes one with all sums 0. LS_ERR_INTERNAL where memory is short. */
ls_status ls_metric_create(ls_task task, size_t n_outputs, bool is_detailed, ls_metric **out);
void ls_metric_destroy(ls_metric **metric);

/* To be called before the first row, for classes: top-k accuracy for this k >= 1 too. A sample is right
 * where fewer than k classes have a larger score than the true one, or the same score and a smaller number.
 * At most LS_METRIC_TOPS_MAX different ones; one that is there already changes nothing. LS_ERR_INTERNAL
 * where memory is short. */
ls_status ls_metric_add_top(ls_metric *metric, size_t k);

/* To be called before the first row, for classes and labels: keeps the scores of up to `max_rows` rows for
 * ROC AUC, and where they are to be ranked has room for the `all_rows` of all ranks (0 elsewhere).
 * LS_ERR_INTERNAL where memory is short. */
ls_status ls_metric_keep_scores(ls_metric *metric, size_t max_rows, size_t all_rows);

/* Has rows added lane by lane, at most n_lanes of them, in the order of ls_lane_fold. After all of
 * ls_metric_add_top. LS_ERR_INTERNAL where memory is short. */
ls_status ls_metric_keep_lanes(ls_metric *metric, size_t n_lanes);

/* What is added between the two is of one lane, and with the last of n_lanes joins the sums. Where no lanes
 * are kept, it does at once. */
void ls_metric_begin_lane(ls_metric *metric, size_t lane);
void ls_metric_end_lane(ls_metric *metric, size_t lane, size_t n_lanes);

/* Sums to 0, no scores. */
void ls_metric_reset(ls_metric *metric);

/* Adds `rows` rows. outputs: (rows, n_outputs), z for classes and labels (before softmax or sigmoid), a for
 * regression; loss_sum: the weighted sum of their losses. */
void ls_metric_add(ls_metric *metric, size_t rows, const float *outputs, const ls_targets *targets,
                   double loss_sum);

/* Adds the sums of another of the same kind; not its scores. */
void ls_metric_merge(ls_metric *metric, const ls_metric *other);

double ls_metric_weight(const ls_metric *metric); /* the sum of weights */
uint64_t ls_metric_samples(const ls_metric *metric);
double ls_metric_loss(const ls_metric *metric); /* the weighted mean; NaN without samples */

/* The weighted accuracy (labels: the mean over outputs), or R^2 (the mean over outputs) for regression; NaN
 * where it is not defined (no samples, or targets that do not vary). */
double ls_metric_quality(const ls_metric *metric);

/* "accuracy" or "r2". */
const char *ls_metric_quality_name(ls_task task);

/* Regression: the mean over samples and outputs of (y - a)^2, and of |y - a|, each output in its unit. */
double ls_metric_mse(const ls_metric *metric);
double ls_metric_mae(const ls_metric *metric);

typedef struct ls_output_quality {
  double mse, mae, r2; /* NaN where not defined */
} ls_output_quality;

/* Regression: of one output, in its unit. */
ls_output_quality ls_metric_output(const ls_metric *metric, size_t index);

/* The weighted top-k accuracy of a k given to ls_metric_add_top; NaN without samples. */
double ls_metric_top(const ls_metric *metric, size_t k);

/* Classes that ls_metric_class knows: n_outputs; 2 for one label; 0 for regression. */
size_t ls_metric_n_classes(const ls_metric *metric);

/* Whether each sample is of one class, so that there is a confusion matrix. */
bool ls_metric_has_confusion(const ls_metric *metric);

/* Detailed: the weighted count of samples of class `truth` that were predicted as `predicted`. */
double ls_metric_confusion(const ls_metric *metric, size_t truth, size_t predicted);

typedef struct ls_class_quality {
  double precision, recall, f1, support; /* 0 where the denominator is 0, as in scikit-learn */
} ls_class_quality;

/* Detailed: of one class or label. */
ls_class_quality ls_metric_class(const ls_metric *metric, size_t index);

/* Detailed: the plain means over classes or labels, and the sum of supports. */
ls_class_quality ls_metric_macro(const ls_metric *metric);

/* ------------------------------------------------------------------- ROC AUC */

/* The area under the ROC curve: the probability that a sample of the class has a larger score than one that
 * is not of it, ties counted half (Mann & Whitney 1947), each pair by the product of its weights; exact, as
 * scikit-learn's roc_auc_score. NaN where either side has no weight, or a score is NaN. Samples of weight 0
 * do not count. The same bits for the same samples in the same order. Sorts them; `room`: (n). */
double ls_auc_of(size_t n, ls_scored *samples, ls_scored *room);

/* With scores kept, once they are ranked (ls_evaluate does): the AUC of one class against the rest, or of
 * one label. The two classes of one label have the same. */
double ls_metric_auc(const ls_metric *metric, size_t index);

/* The plain mean over the classes or labels that have one; NaN where none has. */
double ls_metric_macro_auc(const ls_metric *metric);

#endif
