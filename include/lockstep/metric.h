/* metric: loss and quality as sums that can be added over batches and ranks, and what follows from them.
 *
 * Nothing is averaged before it is summed, so uneven shards and short batches are exact. All functions are
 * local; the sums are one array of doubles, ready for a reduction. */
#ifndef LOCKSTEP_METRIC_H
#define LOCKSTEP_METRIC_H

#include "lockstep/base.h"
#include "lockstep/math.h"

typedef enum ls_task {
  LS_TASK_CLASSES,   /* one of n_outputs classes: z -> argmax */
  LS_TASK_LABELS,    /* each output is a yes or no: z > 0. One output: two classes */
  LS_TASK_REGRESSION /* n_outputs numbers */
} ls_task;

typedef struct ls_metric {
  ls_task task;
  size_t n_outputs;
  bool is_detailed; /* keeps the confusion counts too */
  size_t n_sums;
  double *sums;  /* (n_sums), owned: may be added over ranks element by element */
  float *pivots; /* (n_outputs), owned: regression: subtracted from y before summing, against
                    cancellation; the same on all ranks. 0 at first */
  double *units; /* (n_outputs), owned: regression: what a 1 of each output is worth where mse and mae are
                    told; the same on all ranks. 1 at first */
} ls_metric;

/* Makes one with all sums 0. LS_ERR_INTERNAL where memory is short. */
ls_status ls_metric_create(ls_task task, size_t n_outputs, bool is_detailed, ls_metric **out);
void ls_metric_destroy(ls_metric **metric);

/* Sums to 0. */
void ls_metric_reset(ls_metric *metric);

/* Adds `rows` rows. outputs: (rows, n_outputs), z for classes and labels (before softmax or sigmoid), a for
 * regression; loss_sum: the weighted sum of their losses. */
void ls_metric_add(ls_metric *metric, size_t rows, const float *outputs, const ls_targets *targets,
                   double loss_sum);

/* Adds the sums of another of the same kind. */
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
double ls_metric_macro_f1(const ls_metric *metric);

#endif
