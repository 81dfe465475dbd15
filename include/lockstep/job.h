/* job: from a config to datasets, model and optimizer; forward, loss and backward; evaluation; the gradient
 * check. */
#ifndef LOCKSTEP_JOB_H
#define LOCKSTEP_JOB_H

#include "lockstep/base.h"
#include "lockstep/checkpoint.h"
#include "lockstep/comm.h"
#include "lockstep/config.h"
#include "lockstep/data.h"
#include "lockstep/metric.h"
#include "lockstep/model.h"
#include "lockstep/optim.h"
#include "lockstep/sync.h"

/* ---------------------------------------------------------------------- a job */

/* Reaction to a loss or gradient that is not finite. */
typedef enum ls_on_nan { LS_ON_NAN_STOP, LS_ON_NAN_SKIP } ls_on_nan;

/* The value of train.tensorboard. */
typedef struct ls_tensorboard_config {
  bool is_on;      /* an event file is written */
  bool histograms; /* with histograms of the weights */
} ls_tensorboard_config;

/* The top level of the config and its section `train:`. Texts are borrowed from the config; the help texts
 * of the keys explain the members. */
typedef struct ls_train_config {
  uint64_t seed;
  const char *output; /* the run directory */
  ls_loss loss;       /* as in the model */
  uint64_t epochs;
  uint64_t batch_size; /* global; 0: all samples */
  uint64_t accumulate;
  bool has_max_steps;
  uint64_t max_steps;                     /* in total, over resumes */
  double max_time;                        /* seconds from the start of the process; 0: no limit */
  const char *monitor;                    /* a column of metrics.csv */
  double clip_grad_norm, clip_grad_value; /* 0: off */
  double ema;                             /* decay of the average of the weights; 0: off */
  uint64_t patience;                      /* of early stopping, in epochs; 0: off */
  double min_delta;
  bool reproducible;
  uint64_t lanes;       /* a power of two */
  int on_nan;           /* ls_on_nan */
  uint64_t max_skipped; /* in total, over resumes */
  bool diagnostics;
  ls_tensorboard_config tensorboard;
  uint64_t log_every;    /* steps; 0: only epochs */
  ls_node *class_weight; /* `balanced` or a list of numbers, in the document; NULL: all 1 */
  ls_node *metrics;      /* the list `metrics:`, or NULL */
} ls_train_config;

/* An entry of `metrics:`, a quality measure in addition to loss and accuracy. */
typedef struct ls_measure_kind ls_measure_kind;
typedef struct ls_measure {
  const ls_measure_kind *kind;
  size_t k;        /* top_K; 0 for others */
  char column[32]; /* of metrics.csv, e.g. "val_top_5" */
} ls_measure;

#define LS_MEASURES_MAX LS_METRIC_TOPS_MAX
typedef struct ls_measures {
  size_t n;
  ls_measure list[LS_MEASURES_MAX];
} ls_measures;

/* The tables of keys at the top level and in `train:`, for `lockstep keys`. */
extern const ls_key ls_top_keys[];
extern const ls_key ls_train_keys[];

/* A config after all checks. Owns its parts. */
typedef struct ls_job {
  ls_config *config;
  ls_train_config train;
  ls_data_config data;
  ls_checkpoint_config checkpoint;
  ls_sync_config sync;
  ls_penalty penalty;
  ls_schedule schedule; /* parsed; ls_setup_create sets its length */
  ls_model *model;      /* parsed; ls_setup_create builds it */
  ls_optim *optim;      /* likewise */
  ls_task task;
  ls_measures measures;
  const struct ls_setup *lender; /* for sweep: a setup whose data are open; if this job needs the same, it
                                    uses those. Borrowed; NULL: none */
  bool is_estimate;  /* for plan: the normaliser of streamed data is learned from a few blocks, and balanced
                        class weights are 1 */
  bool is_alone;     /* for sweep: no other group of ranks trains at the same time */
  bool lacks_memory; /* set by ls_setup_create and ls_train when the memory of each node suffices for this
                        group of ranks, but not for all groups */
  bool is_too_large; /* likewise, when it does not even suffice for this group */
} ls_job;

typedef struct ls_job_source {
  const char *path;             /* the config file; read on rank 0 */
  const char *text;             /* its content, the same on all ranks, if it is not to be read; else NULL */
  const char *const *overrides; /* KEY=VALUE */
  size_t n_overrides;
  const char *output; /* replaces `output:`; or NULL */
} ls_job_source;

/* Collective. Reads and checks a config. LS_ERR_CONFIG with all its errors. The caller destroys the job. */
ls_status ls_job_create(ls_comm *comm, const ls_job_source *source, ls_job **out);
void ls_job_destroy(ls_job **job);

/* Local. The same from source->text. The caller destroys the job, after a failure too. */
ls_status ls_job_create_text(const ls_job_source *source, ls_job **out);

/* Local. Creates the job of a saved config, with the defaults of keys that it does not have; `path` is its
 * file. LS_ERR_MODEL if the config is not valid. */
ls_status ls_job_create_saved(const char *text, const char *path, ls_job **out);

/* A saved model that is ready for prediction. */
typedef struct ls_predictor {
  ls_modelfile *saved; /* rank 0 only; NULL elsewhere */
  ls_job *job;         /* job->model has its weights */
  ls_normalizer *normalizer;
} ls_predictor;

/* Collective. Loads a model or checkpoint for passes of at most LS_EVALUATE_ROWS rows. LS_ERR_MODEL. */
ls_status ls_predictor_create(ls_comm *comm, const char *path, ls_predictor **out);
void ls_predictor_destroy(ls_predictor **predictor);

/* Data for a saved model. All pointers are borrowed. */
typedef struct ls_predictor_data {
  const char *spec;    /* FILE[:GROUP], or a pattern; with a list its first name */
  const char *name;    /* for warnings; NULL: that of spec */
  const ls_node *list; /* of such names; NULL: one */
  const char *role;    /* "train", "validation" or "test" */
  const char *x, *y;   /* explicit names of the arrays; NULL: those of the training data, or usual names */
  ls_data_memory memory; /* where the samples are kept */
  bool with_targets;
} ls_predictor_data;

/* Collective. Opens and reads data for a saved model. Warns if they are unlike its training data.
 * LS_ERR_DATA.
 */
ls_status ls_predictor_open_data(ls_comm *comm, const ls_predictor *predictor,
                                 const ls_predictor_data *data, ls_dataset **out);

/* Local, on rank 0. What a saved model assumes about its data. Borrowed from the file. */
ls_facts ls_facts_of_model(const ls_modelfile *saved);

/* Local. The task of a loss, and the targets that it needs. */
ls_task ls_task_of(ls_loss loss);
ls_target_kind ls_target_of(ls_loss loss);

/* Local. Whether the losses of two jobs are the same, as are `loss: focal` and `loss: {type: focal}`. */
bool ls_job_same_loss(const ls_job *a, const ls_job *b);

/* Rows of a pass outside training: enough for products at nearly full speed. */
#define LS_EVALUATE_ROWS 256

/* -------------------------------------------------------------------- the setup */

/* The samples of training, validation or test, and a batch of them. */
typedef struct ls_split {
  ls_dataset *dataset; /* owned unless is_shared or is_lent */
  bool is_shared;      /* validation that is split off the training data */
  bool is_lent;        /* the dataset belongs to the job's lender */
  ls_view view;        /* view.n is 0 without a dataset */
  ls_batch *batch;     /* owned */
} ls_split;

/* A job with its data open and its model built. */
typedef struct ls_setup {
  ls_job *job; /* borrowed */
  ls_split train, validation, test;
  ls_facts facts; /* rank 0: of the training samples */
  ls_feed *feed;  /* of the training samples, into train.batch; owned */
  ls_normalizer *normalizer;
  ls_cache *cache;   /* of data.cache, owned; NULL: none on this rank */
  bool has_warned;   /* that the cache is full or fails */
  uint64_t window;   /* samples of a window of the order; 0: none */
  size_t batch_size; /* global, at most the number of training samples */
  uint64_t steps_per_epoch;
  ls_comm_tree *tree;    /* owned: over the lanes of the reproducible mode; else NULL */
  int threads;           /* of this rank */
  double *class_weights; /* (n_classes), owned: in training; NULL: all 1 */
  size_t n_classes;
  const ls_modelfile *resumed; /* borrowed, during ls_setup_create, on rank 0: see there */
  bool is_resumed;             /* what was learned from the data is from a checkpoint */
  ls_data_errors *errors;      /* borrowed: of a check of all data, see ls_dataset_request; else NULL */
} ls_setup;

/* Collective. Logs what all ranks have read from data.cache and added to it, and warns once if it is full
 * or fails. */
void ls_setup_report_cache(ls_comm *comm, ls_setup *setup);

/* Local. Whether the class weights are a function of the data: train.class_weight: balanced. */
bool ls_class_weights_are_learned(const ls_job *job);

/* This rank's rows of a batch or a view, divided into lanes. */
typedef struct ls_partition {
  size_t first; /* row */
  size_t n_lanes;
  size_t lanes[LS_LANES_MAX + 1]; /* (n_lanes + 1): the first row of each lane, then the number of rows */
} ls_partition;

/* Local. Divides `rows` rows among the ranks: this rank's lanes of the tree, or without a tree its shard,
 * as one lane. */
void ls_partition_rows(const ls_comm *comm, const ls_comm_tree *tree, size_t rows, ls_partition *out);

/* Local. Rows of a batch on the rank that has most of them, of `size` ranks. lanes: 0 if the run is not
 * reproducible. */
size_t ls_partition_most_rows(size_t batch_size, uint64_t lanes, int size);

/* Collective. Opens the data, learns the normaliser, builds the model, sets the number of threads. Does not
 * initialise the parameters, nor allocate the state of the optimizer. resumed: on rank 0 the checkpoint of
 * the run, from which the normaliser, the class weights and the range of x are then read, so that no pass
 * over the data is needed; NULL: a new run. */
ls_status ls_setup_create(ls_comm *comm, ls_job *job, const ls_modelfile *resumed, ls_setup **out);
void ls_setup_destroy(ls_comm *comm, ls_setup **setup);

/* Collective. Only opens and reads the data of a job, as a lender to the jobs of groups of these ranks. All
 * ranks with has_names get the names of classes and features. */
ls_status ls_setup_create_lender(ls_comm *comm, ls_job *job, bool has_names, ls_setup **out);

/* The result of reading all data. */
typedef struct ls_data_check {
  uint64_t samples, bytes; /* bytes: of the samples in memory */
  ls_data_errors errors;
} ls_data_check;

/* Collective. Reads all data of a job, whose model is not built yet, and adds what it finds to a zeroed
 * check: the files that cannot be read of each split, before the errors in its samples. */
ls_status ls_job_check_data(ls_comm *comm, ls_job *job, ls_data_check *check);

/* Collective. Compares the memory that all ranks of each node need with the memory that they may use: data,
 * models with activations, and `more` bytes of this rank. The model is measured. LS_ERR_CONFIG. */
ls_status ls_setup_check_memory(ls_comm *comm, const ls_setup *setup, size_t more);

/* Local. Bytes of the samples in memory of all splits. only_private: without those in shared memory. */
size_t ls_setup_data_bytes(const ls_setup *setup, bool only_private);

/* ----------------------------------------------------- forward, loss, backward */

/* What is computed from the outputs z of a pass: the loss, or another function of them. All borrowed. */
typedef struct ls_objective {
  const ls_targets *targets; /* the loss is computed against these */
  ls_metric *metric;         /* gets the sums of the rows, lane by lane; NULL: none */
  bool needs_gradient;       /* run backward, which fills the model's gradient */
  float *dx;                 /* (rows, n_in): then becomes the gradient of the input; NULL: not needed */

  /* Replaces the loss: fills dz, the gradient of another function of z, row by row. z, dz: (rows, n_out).
   * NULL: the loss is used. */
  void (*set_gradient)(void *context, size_t rows, const float *z, float *dz);
  void *context;
} ls_objective;

/* Collective through the functions of the pass, if it has any; else local. Runs the model forward over the
 * rows of x, (rows, n_in), applies the objective, and runs backward if it needs a gradient. Returns the sum
 * of the losses of the rows; 0 with set_gradient. */
double ls_forward_backward(ls_model *model, const ls_pass *pass, const float *x, const ls_objective *o);

/* -------------------------------------------------------------------- evaluation */

/* Local. Makes a metric keep scores for the ROC AUC of views of at most `samples` samples: those of this
 * rank's shard, and buffers to sort its part of the scores of one or a few outputs. LS_ERR_INTERNAL if
 * memory is short. */
ls_status ls_evaluate_keep_scores(const ls_comm *comm, const ls_comm_tree *tree, uint64_t samples,
                                  ls_metric *metric);

/* Local. About the bytes that it allocates; SIZE_MAX if too many. */
size_t ls_evaluate_scores_bytes(const ls_comm *comm, const ls_comm_tree *tree, uint64_t samples,
                                size_t n_outputs);

/* Collective. Sets `metric` to the sums over all samples of a view, of which each rank evaluates its shard,
 * and computes the ROC AUC if it keeps scores. All of `metric` except the scores is then the same on all
 * ranks. LS_ERR_DATA if samples cannot be read. */
ls_status ls_evaluate(ls_comm *comm, ls_comm_tree *tree, ls_model *model, const ls_normalizer *normalizer,
                      const ls_view *view, ls_batch *batch, ls_metric *metric);

/* Local. Sets the units and pivots of a metric for regression, for normalised targets; the pivots are those
 * of a sample, the same on all ranks. LS_ERR_DATA if it cannot be read. */
ls_status ls_evaluate_set_scale(const ls_normalizer *normalizer, const ls_dataset *dataset, uint64_t sample,
                                ls_metric *metric);

/* ----------------------------------------------------------- columns of metrics.csv */

enum {
  LS_COLUMN_EPOCH,
  LS_COLUMN_STEP,
  LS_COLUMN_LR,
  LS_COLUMN_TRAIN_LOSS,
  LS_COLUMN_TRAIN_QUALITY,
  LS_COLUMN_VAL_LOSS,
  LS_COLUMN_VAL_QUALITY,
  LS_COLUMN_SAMPLES_PER_SECOND,
  LS_COLUMN_SECONDS,
  LS_COLUMNS_FIXED, /* the columns of `metrics:` follow, then two of the averaged weights with train.ema */
  LS_COLUMNS_MAX = LS_COLUMNS_FIXED + LS_MEASURES_MAX + 2
};

/* Local. The number of columns of a job. */
int ls_columns_count(const ls_job *job);

/* Local. The column of the validation loss of the averaged weights, which that of their quality follows; -1
 * without train.ema. */
int ls_columns_average(const ls_job *job);

/* Local. The name of a column; the column of a name, or -1. */
const char *ls_column_name(const ls_job *job, int column);
int ls_column_find(const ls_job *job, const char *name);

/* Local. Whether larger values of a column are better. */
bool ls_column_is_maximized(const ls_job *job, int column);

/* Local. Creates a metric that computes the measures of a job on validation and test data. The caller
 * destroys it, after a failure too. */
ls_status ls_measures_create_metric(const ls_comm *comm, const ls_setup *setup, ls_metric **out);

/* Local. About the bytes of the scores that this metric keeps on this rank; SIZE_MAX if too many. */
size_t ls_measures_bytes(const ls_comm *comm, const ls_setup *setup);

/* Local. The values of the measures, from a metric made by ls_measures_create_metric.
 * values: (measures->n) */
void ls_measures_values(const ls_measures *measures, const ls_metric *metric, double *values);

/* Local. Appends "  val_f1 0.9876" for each measure to `text`; without "val_" for test data. */
void ls_measures_describe(const ls_measures *measures, const double *values, bool is_validation, char *text,
                          size_t size);

/* -------------------------------------------------------------------- gradient check */

/* The check of one block of parameters: derivatives of the mean loss along two directions in it. */
typedef struct ls_gradcheck_row {
  const char *path;    /* "0-dense/W" */
  double analytic;     /* along the gradient, by backward: about its norm */
  double numeric;      /* along the gradient, by central differences */
  double error;        /* |analytic - numeric| / the larger of the two; 0 if both are tiny */
  double random_error; /* along a random direction, relative to norm / sqrt(n), the usual size there */
} ls_gradcheck_row;

/* Collective. Checks each block at the current parameters on the first `rows` training samples, at most a
 * batch. table: (model->n_segments). LS_ERR_DATA if the sample weights sum to 0, or samples cannot be read.
 */
ls_status ls_gradcheck(ls_comm *comm, ls_setup *setup, size_t rows, ls_gradcheck_row *table);

#endif
