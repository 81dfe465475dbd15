/* The state of a training run, and the functions shared by the files of train.
 *
 * After creation and resuming, only the files that are named with a part of the trainer write it; other
 * files read it. */
#ifndef LOCKSTEP_TRAIN_INTERNAL_H
#define LOCKSTEP_TRAIN_INTERNAL_H

#include "lockstep/rundir.h"
#include "lockstep/train.h"

/* A row of metrics.csv: n values, of which NaN means none. */
typedef struct train_row {
  int n;
  double values[LS_COLUMNS_MAX];
} train_row;

/* Measurements of each layer after an epoch. */
typedef struct train_diagnostics train_diagnostics;

/* Description of the weights that a new run read from another model. */
typedef struct train_initial_weights train_initial_weights;

/* batches.c: the batches of the current step. */
typedef struct train_batches {
  ls_metric *metric;  /* owned: the step's sums */
  float *total_grads; /* (n_params), owned: reproducible mode, several batches a step; else NULL */
  double *total_sums; /* (n_sums), owned, likewise */
} train_batches;

/* clock.c: the time spent in the current epoch by this process, in seconds. */
typedef struct train_times {
  double total, compute, data; /* total includes the others; data: batches.c */
  double communication;        /* of the sync when the epoch began */
} train_times;

/* deadline.c: train.max_time. Times are of ls_clock, in seconds. */
typedef struct train_deadline {
  double at;                         /* rank 0; 0: none */
  bool is_near;                      /* rank 0: the run must stop */
  double longest_step, longest_turn; /* so far in this process; longest_step: step.c */
  double turn_began;
} train_deadline;

/* resume.c, rank 0: how the run starts. */
typedef struct train_start {
  bool is_auto;      /* from the newest checkpoint, or anew */
  bool removes_run;  /* the files of the run in the directory are removed first */
  bool goes_back;    /* checkpoints later than the one that is resumed are removed */
  bool is_requeued;  /* Slurm has started the job before */
  bool is_unchanged; /* the checkpoint that is resumed has its place in the directory and stays there */
} train_start;

/* save.c: the saved files. */
typedef struct train_saves {
  ls_saver *saver;     /* owned by rank 0; NULL elsewhere and if nothing is written */
  uint64_t step;       /* of the newest checkpoint, which may still be being written; UINT64_MAX: none */
  uint64_t best_epoch; /* the best epoch that has been saved; 0: none */
  uint64_t spared;     /* resume.c: the step of --resume FILE, which is never removed; LS_SPARED_NONE */
} train_saves;

/* report.c: lines and the progress bar. */
typedef struct train_report {
  bool has_bar;     /* stderr is a terminal */
  double drawn;     /* time of the latest drawing */
  double started;   /* time when this process began to train */
  uint64_t samples; /* seen before that */
} train_report;

typedef struct trainer {
  ls_comm *comm;
  ls_setup *setup;                 /* borrowed */
  const ls_train_options *options; /* borrowed; NULL in other uses than ls_train */
  bool is_root;
  char *config;         /* owned: the resolved config */
  char *platform;       /* owned: the libraries and the layout of ranks, which determine rounding */
  ls_rundir dir;        /* rank 0 only */
  ls_sync *sync;        /* owned */
  char summation[160];  /* mode.c: description of how gradients are summed */
  ls_progress progress; /* saved in checkpoints; steps and samples: step.c, epochs: epoch.c, best epoch and
                           patience: monitor.c, seconds: clock.c and epoch.c, skipped steps: skip.c, all of
                           it at  the start: resume.c, lr_find.c */
  bool is_resumed;      /* resume.c: the run continues from a checkpoint */
  bool lacks_model;     /* best.c: rank 0: best.h5 exists, but model.h5 must be made from it */
  bool is_stopping;     /* step.c: a rank was asked to stop */
  double fixed_lr;      /* mode.c, lr_find.c: replaces the learning rate of the schedule; 0: unused */
  double last_lr;       /* step.c: of the latest step */
  float *kept_state;    /* skip.c: (n_state), owned: the model's state before the step; NULL: unused */
  bool has_warned_targets; /* targets.c */
  bool has_warned;         /* monitor.c: of a monitored column without a value */
  ls_metric *metric;       /* epoch.c: owned; the sums of the epoch's steps */
  ls_metric *evaluation;   /* epoch.c: owned; the sums of the latest evaluation */
  train_batches batches;
  train_times times;
  train_deadline deadline;
  train_start start;
  train_saves saves;
  train_report report;
  train_diagnostics *diagnostics; /* owned; NULL: off */
  train_initial_weights *initial; /* owned by rank 0; NULL: all weights are random */
} trainer;

/* --------------------------------------------------------------------- trainer.c */

/* Collective. Allocates all that steps and epochs need, except for the optimizer's state, which
 * train_choose_mode allocates. The caller calls train_destroy, after a failure too. */
ls_status train_create(trainer *t, ls_comm *comm, ls_setup *setup);
void train_destroy(trainer *t);

/* Collective. Initialises parameters and state from the seed. All ranks get those of rank 0, as different
 * processors may round differently. */
void train_initialise(trainer *t);

/* Local. The learning rate of the next step. */
double train_lr(const trainer *t);

/* Local. Whether the run needs no more steps. */
bool train_is_finished(const trainer *t);

/* Local. Whether the run has reached options->until_epoch. */
bool train_is_paused(const trainer *t);

/* ----------------------------------------------------------------------- clock.c */

/* A stretch of time, and the seconds of communication in it. */
typedef struct train_timer {
  double start, communication;
} train_timer;

/* Local. Starts a timer. */
train_timer train_time(const trainer *t);

/* Local. Adds the time since the start of a timer to the epoch's total, or without the communication to its
 * time for computing. */
void train_add_total(trainer *t, train_timer timer);
void train_add_compute(trainer *t, train_timer timer);

/* Local. Starts the times of an epoch. */
void train_reset_times(trainer *t);

/* -------------------------------------------------------------------- deadline.c */

/* Local. Starts the clock of train.max_time, if it is set. */
void train_set_deadline(trainer *t);

/* Local, before a step, on rank 0. Returns and records whether the run must stop after this step to end
 * before the deadline. It need not if there is time for a turn, i.e. all until the next call (a step, and
 * perhaps the end of an epoch), then some steps and three saves. Estimates these by the longest durations
 * in this process; before the first save, by a speed of 50 MB/s. */
bool train_check_deadline(trainer *t);

/* --------------------------------------------------------------------- batches.c */

/* Local. Creates a metric for loss and accuracy (R2) on the training data. */
ls_status train_create_metric(const trainer *t, ls_metric **out);

ls_status train_batches_create(trainer *t);
void train_batches_destroy(trainer *t);

/* Collective. Forward and backward of the batches of the next step. Fills the model's gradient and the
 * step's metric. *samples: of all ranks. LS_ERR_DATA on all ranks if samples cannot be read. */
ls_status train_run_batches(trainer *t, uint64_t *samples);

/* Collective. Forward and backward of a gathered batch, without dropout, augmentation and updates of
 * running averages. Fills the model's gradient and the step's metric with sums over this rank's rows. */
void train_probe(trainer *t, const ls_batch *batch, const ls_partition *partition);

/* ------------------------------------------------------------------------ step.c */

/* Collective. Runs one step of the current epoch and adds its sums to t->metric. A skipped step counts, but
 * changes nothing else. LS_ERR_NUMERIC on all ranks, or LS_ERR_DATA if samples cannot be read. */
ls_status train_run_step(trainer *t);

/* Collective. Runs the computation and communication of a step whose result does not matter. LS_ERR_DATA on
 * all ranks if samples cannot be read. */
ls_status train_try_step(trainer *t);

/* --------------------------------------------------------------------- average.c */

/* Local. Whether the run keeps an average of the weights. */
bool train_has_average(const trainer *t);

/* Collective. Makes the average the parameters of the model, in the memory of the gradient, for evaluation;
 * ends that. */
void train_use_average(trainer *t);
void train_use_weights(trainer *t);

/* ------------------------------------------------------------------------ skip.c */

/* Local. Warns once if the targets of a regression are far from unit scale and the epoch that just ended
 * was worse than a constant. */
void train_warn_targets(trainer *t);

/* Local. "; ...: set data.standardize_targets: true" if the targets in the metric are far from unit scale,
 * otherwise "". */
const char *train_targets_remedy(const trainer *t, const ls_metric *metric);

/* Collective. Enables the skipping of steps that are not finite, if the config asks for it. */
ls_status train_enable_skips(trainer *t);

/* Local. Keeps the state that train_skip_step restores. */
void train_keep_state(trainer *t);

/* Local, with the same result on all ranks. Skips a step that was not finite, and restores the state of
 * train_keep_state. LS_ERR_NUMERIC, with a message based on ls_message(), if the run must end. */
ls_status train_skip_step(trainer *t);

/* ------------------------------------------------------------------------ mode.c */

/* Collective. Sets the mode in which gradients are summed: that of the config, else `saved` unless it is
 * LS_SYNC_AUTO, else the fastest in a trial. Creates the optimizer's state for it. Overwrites parameters
 * and state of the model. */
ls_status train_choose_mode(trainer *t, ls_sync_mode saved);

/* --------------------------------------------------------------------- monitor.c */

/* Local, with the same result on all ranks. Updates the best epoch, early stopping and the plateau schedule
 * from the row of an epoch. Of equal epochs, the earliest is the best. */
void train_update_monitor(trainer *t, const train_row *row);

/* Local. Resets early stopping and the plateau, when a different column is monitored from now on. */
void train_reset_monitor(trainer *t);

/* Local. Whether early stopping ends the run. */
bool train_is_stopped_early(const trainer *t);

/* ----------------------------------------------------------------------- epoch.c */

/* Collective. After the last step of an epoch: evaluation, monitor, diagnostics, row of metrics.csv. */
ls_status train_end_epoch(trainer *t);

/* Local. Rewrites metrics.csv and diagnostics.csv with the rows of the finished epochs. Rank 0 only. */
ls_status train_reset_rows(const trainer *t);

/* Collective. Evaluates model.h5 on the test data, if there are any, and reports the result. */
ls_status train_test(trainer *t);

/* ------------------------------------------------------------------------ save.c */

/* Local. Records the best epoch and, if is_newest, also this step as saved. */
void train_record_saved(trainer *t, bool is_newest);

/* Local. Whether the best epoch has not been saved yet. */
bool train_has_unsaved_best(const trainer *t);

/* Collective. Verifies the state before it is saved. LS_ERR_INTERNAL if parameters differ between ranks,
 * LS_ERR_NUMERIC if parameters or optimizer state are not finite, LS_ERR_OUTPUT if the lock is lost. */
ls_status train_check_state(trainer *t);

/* Collective. Starts to save this step, unless it is saved. After the best epoch so far, model.h5 (if there
 * is validation) and best.h5 precede the checkpoint, which refers to them. Returns the failure of an
 * earlier save; a later call returns that of this one. */
ls_status train_save_checkpoint(trainer *t);

/* Collective. Waits for the save in progress and returns its status on all ranks. LS_ERR_OUTPUT. */
ls_status train_wait_for_saves(trainer *t);

/* Collective. At the end of a run: saves the checkpoint, best.h5 and, unless an earlier epoch is the best,
 * model.h5, and waits for them. */
ls_status train_save_final(trainer *t);

/* ----------------------------------------------------------------------- space.c */

/* Local, on rank 0. LS_ERR_OUTPUT if there is no space for one checkpoint and model.h5; warns if there is
 * too little for all checkpoints that may exist at a time. */
ls_status train_check_space(const trainer *t);

/* --------------------------------------------------------------------- memory.c */

/* Collective. LS_ERR_CONFIG if the ranks of a node need more memory than they may use, with optimizer,
 * exchange of gradients and the copy that checkpoints are written from. */
ls_status train_check_memory(ls_comm *comm, const ls_setup *setup);

/* ---------------------------------------------------------------------- resume.c */

/* Collective. Starts a new run or resumes one: sets parameters, optimizer and progress. *is_complete (false
 * before): the run is finished, and model.h5 exists. */
ls_status train_start_or_resume(trainer *t, const ls_train_options *options, bool *is_complete);

/* --------------------------------------------------------------------- compare.c */

/* Local, on rank 0. Whether a checkpoint can be resumed with this config and these data. LS_ERR_MODEL,
 * LS_ERR_CONFIG or LS_ERR_DATA. */
ls_status train_check_compatible(const trainer *t, const ls_modelfile *saved);

/* Local, on rank 0. *same: whether the best epoch was chosen by the same column on the same data. */
ls_status train_compare_monitor(const trainer *t, const ls_modelfile *saved, bool *same);

/* Local, on rank 0. For a finished run, which trains no more. LS_ERR_CONFIG if the config has another value
 * of a key that the training or the choice of the best epoch depends on. has_same_best: the result of
 * train_compare_monitor. */
ls_status train_check_finished(const trainer *t, const ls_modelfile *saved, bool has_same_best);

/* Local, on rank 0. Logs the differences of config and platform that are allowed. */
void train_log_changes(const trainer *t, const ls_modelfile *saved);

/* ------------------------------------------------------------------------ best.c */

/* Local, on rank 0. *found: best.h5 holds the best epoch of the progress. Notes whether model.h5 must be
 * made from it. */
ls_status train_find_best(trainer *t, bool *found);

/* Local, on rank 0. *found: model.h5 exists and, unless `other` is NULL, has its weights. */
ls_status train_find_model(const trainer *t, const ls_modelfile *other, bool *found);

/* Local, on rank 0. Makes model.h5 from best.h5, if it is missing or has different weights. */
ls_status train_restore_model(const trainer *t);

/* Local. Replaces a failure by LS_OK, except for LS_ERR_INTERNAL, e.g. lack of memory. */
ls_status train_ignore_mismatch(ls_status status);

/* ------------------------------------------------------------------- init_from.c */

/* Collective. Reads weights from options->init_from into the initialised model. LS_ERR_MODEL if none fit,
 * or not those that were requested. */
ls_status train_init_from(trainer *t, const ls_train_options *options);

/* Local, on rank 0. Rearranges the weights of the first layer, which were read from a model, for features
 * in another order. *columns: the feature of that model for each feature, owned by the caller, also after a
 * failure; NULL: the same order. LS_ERR_DATA if features or shapes do not match. */
ls_status train_transfer_features(ls_model *model, const ls_facts *mine, const ls_facts *other,
                                  size_t **columns);

/* Local, on rank 0. The same for the last layer and classes. Warns of classes that the other model does not
 * have. */
ls_status train_transfer_classes(ls_model *model, const ls_facts *mine, const ls_facts *other);

/* Local. Reports what was read. */
void train_report_initial(const trainer *t);

/* -------------------------------------------------------------------- diagnose.c */

/* Local. Allocates the diagnostics of a built model, and gathers this rank's share of their samples. The
 * caller destroys them, after a failure too. */
ls_status train_diagnostics_create(const ls_comm *comm, const ls_setup *setup, train_diagnostics **out);
void train_diagnostics_destroy(train_diagnostics **out);

/* Collective. After an epoch: measures, warns of problems (once each), appends to diagnostics.csv.
 * Overwrites the model's gradient and activations. */
ls_status train_diagnose(trainer *t);

/* ----------------------------------------------------------------- tensorboard.c */

/* Local, on rank 0. Appends the event of an epoch, if the config asks for it. */
ls_status train_write_events(const trainer *t, const train_row *row);

/* Local, on rank 0. Removes events later than the current step. */
ls_status train_reset_events(const trainer *t);

/* ---------------------------------------------------------------------- report.c */

/* Collective. Reports the run before its first step; the log gets more: hosts, files, fingerprints.
 * LS_ERR_INTERNAL if memory is short. */
ls_status train_report_start(trainer *t);

/* Local. After a step: redraws the bar, or prints a line every log_every steps. */
void train_report_step(trainer *t, double loss, double quality);

/* Local. After an epoch. */
void train_report_epoch(const trainer *t, const train_row *row);

#endif
