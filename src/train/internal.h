/* The state of a training run, divided by duty, and the functions shared by the files of train.
 *
 * Each part of the trainer is written by the file that is named with it; other files read it. */
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

/* rate.c: the learning rate. */
typedef struct train_rate {
  double fixed; /* replaces the schedule's rate; 0: the schedule's */
  double last;  /* of the latest step */
} train_rate;

/* clock.c: the time spent in the current epoch by this process, in seconds. */
typedef struct train_times {
  double total, compute, data; /* total includes the others */
  double communication;        /* of the sync when the epoch began */
} train_times;

/* deadline.c: train.max_time. Times are of ls_clock, in seconds. */
typedef struct train_deadline {
  double at;                         /* rank 0; 0: none */
  bool is_near;                      /* rank 0: the run must stop */
  double longest_step, longest_turn; /* so far in this process */
  double turn_began;
} train_deadline;

/* save.c: what has been saved. */
typedef struct train_saves {
  ls_saver *saver;     /* owned by rank 0; NULL elsewhere and if nothing is written */
  uint64_t step;       /* of the newest checkpoint, which may still be being written; UINT64_MAX: none */
  uint64_t best_epoch; /* the best epoch that has been saved; 0: none */
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
  ls_setup *setup; /* borrowed */
  bool is_root;
  char *config;          /* owned: the resolved config */
  char *platform;        /* owned: the libraries that determine how results are rounded */
  ls_rundir dir;         /* rank 0 only */
  ls_sync *sync;         /* owned */
  char summation[160];   /* mode.c: description of how gradients are summed */
  ls_progress progress;  /* saved in checkpoints; steps and samples: step.c, epochs: epoch.c, best epoch and
                            patience: monitor.c, seconds: clock.c; skipped steps: skip.c */
  bool is_resumed;       /* resume.c: the run continues from a checkpoint */
  bool lacks_model;      /* best.c: rank 0: best.h5 exists, but model.h5 must be made from it */
  bool is_stopping;      /* step.c: a rank was asked to stop */
  float *kept_state;     /* skip.c: (n_state), owned: the model's state before the step; NULL: unused */
  bool has_warned;       /* monitor.c: of a monitored column without a value */
  ls_metric *metric;     /* epoch.c: owned; the sums of the epoch's steps */
  ls_metric *evaluation; /* epoch.c: owned; the sums of the latest evaluation */
  train_batches batches;
  train_rate rate;
  train_times times;
  train_deadline deadline;
  train_saves saves;
  train_report report;
  train_diagnostics *diagnostics; /* owned; NULL: off */
  train_initial_weights *initial; /* owned by rank 0; NULL: all weights are random */
} trainer;

/* --------------------------------------------------------------------- trainer.c */

/* Collective. Creates what steps and epochs need, except for the optimizer's state: see train_choose_mode.
 * Steps allocate nothing after that. train_destroy is necessary after a failure too. */
ls_status train_create(trainer *t, ls_comm *comm, ls_setup *setup);
void train_destroy(trainer *t);

/* Collective. Initialises parameters and state from the seed. All ranks get those of rank 0, as different
 * processors may round differently. */
void train_initialise(trainer *t);

/* Local. Whether the config asks for no more steps. */
bool train_is_finished(const trainer *t);

/* ------------------------------------------------------------------------ rate.c */

/* Local. The learning rate of the next step. */
double train_lr(const trainer *t);

/* Local. Replaces the learning rates of the schedule; 0: uses them again. */
void train_fix_lr(trainer *t, double lr);

/* Local. Records the learning rate of a step that was taken. */
void train_record_lr(trainer *t, double lr);

/* ----------------------------------------------------------------------- clock.c */

/* A stretch of time, and the seconds of communication in it. */
typedef struct train_timer {
  double start, communication;
} train_timer;

/* Local. Starts a timer. */
train_timer train_time(const trainer *t);

/* Local. Adds the time since then: all of it to the epoch and to its total; all of it to the time for data;
 * all but the communication to the time for computing. */
void train_add_total(trainer *t, train_timer timer);
void train_add_data(trainer *t, train_timer timer);
void train_add_compute(trainer *t, train_timer timer);

/* Local. Starts the times of an epoch. */
void train_reset_times(trainer *t);

/* Local. Adds the epoch's seconds to those of the run, and starts those of the next epoch. */
void train_end_epoch_seconds(trainer *t);

/* -------------------------------------------------------------------- deadline.c */

/* Local. Starts the clock of train.max_time, if it is set. */
void train_set_deadline(trainer *t);

/* Local. Records the duration of a step, for train_check_deadline. */
void train_record_step_time(trainer *t, double seconds);

/* Local, before a step, on rank 0. Returns and notes whether the run must stop after this step to be
 * finished by the deadline. Otherwise the time until the next call (a turn: a step, and perhaps the end of
 * an epoch with evaluation and the copy of a checkpoint) must still fit, then some steps, the save in
 * progress, model.h5 and the last checkpoint. The longest durations of this process are used for these;
 * before the first save, saving is taken to run at 50 MB/s. */
bool train_check_deadline(trainer *t);

/* --------------------------------------------------------------------- batches.c */

ls_status train_batches_create(trainer *t);
void train_batches_destroy(trainer *t);

/* Collective. Forward and backward of the batches of the next step, of which the end of an epoch has fewer.
 * Fills the model's gradient and the step's metric. Returns the number of samples of all ranks. */
uint64_t train_run_batches(trainer *t);

/* Collective. Forward and backward of a partition of training samples, in the given order, without dropout,
 * augmentation and updates of running averages. Fills the model's gradient and the step's metric with sums
 * over this rank's rows. */
void train_probe(trainer *t, const ls_order *order, ls_batch *batch, const ls_partition *partition);

/* ------------------------------------------------------------------------ step.c */

/* Collective. Runs one step of the current epoch, in the order of the setup, and adds its sums to
 * t->metric. A skipped step counts, but changes nothing else. LS_ERR_NUMERIC on all ranks. */
ls_status train_run_step(trainer *t);

/* Collective. Runs the computation and communication of a step whose result does not matter. */
void train_try_step(trainer *t);

/* ------------------------------------------------------------------------ skip.c */

/* Collective. Enables the skipping of steps that are not finite, if the config asks for it. */
ls_status train_enable_skips(trainer *t);

/* Local. Keeps the state that train_skip_step restores. */
void train_keep_state(trainer *t);

/* Local, with the same result on all ranks. Skips a step that was not finite, after which parameters and
 * optimizer are unchanged. LS_ERR_NUMERIC, based on ls_message(), if the run must end. */
ls_status train_skip_step(trainer *t);

/* ------------------------------------------------------------------------ mode.c */

/* Collective. Chooses how gradients are summed and creates the optimizer's state for that: as in the
 * config, else as `saved` (LS_SYNC_AUTO: unknown), else the fastest in a trial. Parameters and state must
 * be set after it. */
ls_status train_choose_mode(trainer *t, ls_sync_mode saved);

/* --------------------------------------------------------------------- monitor.c */

/* Local. After an epoch: updates the best epoch, early stopping and the plateau schedule from its row, with
 * the same result on all ranks. Ties go to the earlier epoch. */
void train_update_monitor(trainer *t, const train_row *row);

/* Local. Resets early stopping and the plateau, when a different column is monitored from now on. */
void train_reset_monitor(trainer *t);

/* Local. Forgets the best epoch. */
void train_forget_best(trainer *t);

/* Local. Whether early stopping ends the run. */
bool train_is_stopped_early(const trainer *t);

/* ----------------------------------------------------------------------- epoch.c */

ls_status train_epochs_create(trainer *t);
void train_epochs_destroy(trainer *t);

/* Collective. After the last step of an epoch: evaluation, monitor, diagnostics, row of metrics.csv. */
ls_status train_end_epoch(trainer *t);

/* Local. Rewrites metrics.csv and diagnostics.csv with the rows of the finished epochs. Rank 0 only. */
ls_status train_reset_rows(const trainer *t);

/* Collective. Evaluates model.h5 on the test data, if there are any, and reports the result. */
ls_status train_test(trainer *t);

/* ------------------------------------------------------------------------ save.c */

/* Local. Creates the saver of rank 0. */
ls_status train_saves_create(trainer *t);

/* Local. Records the state of a checkpoint as saved, or (newest == false) as still to be saved. */
void train_record_saved(trainer *t, bool is_newest);

/* Local. Whether the best epoch has not been saved yet. */
bool train_has_unsaved_best(const trainer *t);

/* Collective. Verifies the state before it is saved. LS_ERR_INTERNAL if the ranks hold different
 * parameters, LS_ERR_NUMERIC if a parameter or a number of the optimizer's state is not finite,
 * LS_ERR_OUTPUT if the run has lost its lock. */
ls_status train_check_state(trainer *t);

/* Collective. Makes rank 0's saver publish this step, unless it has been published. After the best epoch so
 * far, model.h5 (if there is validation) and best.h5 precede the checkpoint, which refers to them. Returns
 * the failure of an earlier save; a failure of this one is returned later. */
ls_status train_save_checkpoint(trainer *t);

/* Collective. Waits for the save in progress and returns its status on all ranks. LS_ERR_OUTPUT. */
ls_status train_wait_for_saves(trainer *t);

/* Collective. At the end of a run: saves the checkpoint, best.h5 and, if no epoch has set it, model.h5, and
 * waits for them. */
ls_status train_save_final(trainer *t);

/* ----------------------------------------------------------------------- space.c */

/* Local, on rank 0. LS_ERR_OUTPUT if there is no space for the files that will certainly be saved; warns if
 * there is not enough for all that may be kept. */
ls_status train_check_space(const trainer *t, bool overwrites);

/* ---------------------------------------------------------------------- resume.c */

/* Collective. Starts a new run or resumes one: sets parameters, optimizer and progress. *is_complete (false
 * before): the run was finished already, and its model is there. */
ls_status train_start_or_resume(trainer *t, const ls_train_options *options, bool *is_complete);

/* --------------------------------------------------------------------- compare.c */

/* Local, on rank 0. Whether a checkpoint can be resumed with this config and these data. LS_ERR_MODEL,
 * LS_ERR_CONFIG or LS_ERR_DATA. */
ls_status train_check_compatible(const trainer *t, const ls_modelfile *saved);

/* Local, on rank 0. *same: whether the best epoch was chosen by the same column on the same data. */
ls_status train_compare_monitor(const trainer *t, const ls_modelfile *saved, bool *same);

/* Local, on rank 0. Logs the differences of config and platform that are allowed. */
void train_log_changes(const trainer *t, const ls_modelfile *saved);

/* Local. The fingerprint of the validation data; 0 without. */
ls_digest train_validation_digest(const trainer *t);

/* ------------------------------------------------------------------------ best.c */

/* Local, on rank 0. *found: best.h5 holds the best epoch of the progress. Notes whether model.h5 must be
 * made from it. */
ls_status train_find_best(trainer *t, bool *found);

/* Local, on rank 0. *found: model.h5 is there and, unless `other` is NULL, has the same weights. */
ls_status train_find_model(const trainer *t, const ls_modelfile *other, bool *found);

/* Local, on rank 0. Makes model.h5 from best.h5, if it is missing or has different weights. */
ls_status train_restore_model(const trainer *t);

/* Local. LS_OK instead of a status that means that a file is not as expected; keeps lack of memory. */
ls_status train_ignore_mismatch(ls_status status);

/* ------------------------------------------------------------------- init_from.c */

/* Collective. Reads weights from options->init_from into the initialised model. LS_ERR_MODEL if none fit,
 * or not those that were requested. */
ls_status train_init_from(trainer *t, const ls_train_options *options);

/* Local. Reports what was read. */
void train_report_initial(const trainer *t);

/* -------------------------------------------------------------------- diagnose.c */

/* Local. Allocates the diagnostics of a built model. */
ls_status train_diagnostics_create(const ls_setup *setup, train_diagnostics **out);
void train_diagnostics_destroy(train_diagnostics **out);

/* Collective. After an epoch: measures, warns of problems (once each), appends to diagnostics.csv.
 * Overwrites the model's gradient and activations. */
ls_status train_diagnose(trainer *t);

/* ---------------------------------------------------------------------- report.c */

/* Collective. Reports the run before its first step; the log gets more: hosts, files, fingerprints.
 * LS_ERR_INTERNAL if memory is short. */
ls_status train_report_start(trainer *t);

/* Local. After a step: redraws the bar, or prints a line every log_every steps. */
void train_report_step(trainer *t, double loss, double quality);

/* Local. After an epoch. */
void train_report_epoch(const trainer *t, const train_row *row);

#endif
