/* What the files of train share: the run's files, the trainer, its reports. */
#ifndef LOCKSTEP_TRAIN_INTERNAL_H
#define LOCKSTEP_TRAIN_INTERNAL_H

#include "lockstep/rundir.h"
#include "lockstep/train.h"

/* A row: `n` values, of which NaN is none. */
typedef struct epoch_row {
  int n;
  double values[LS_COLUMNS_MAX];
} epoch_row;

/* ------------------------------------------------------------------ the trainer */

/* What is measured of each layer after an epoch. */
typedef struct diagnostics diagnostics;

/* What a new run took from another model, in words. */
typedef struct inheritance inheritance;

/* Seconds of the epoch at hand. */
typedef struct times {
  double all; /* of this process: the parts below are of it */
  double compute, data;
  double communication; /* the sync's seconds when the epoch began */
} times;

typedef struct trainer {
  ls_comm *comm;
  ls_setup *setup; /* borrowed */
  bool is_root;
  ls_rundir files;
  char *config;   /* owned: resolved */
  char *platform; /* owned: what the same bits depend on */
  ls_sync *sync;
  ls_metric *step_metric, *epoch_metric, *validation_metric;
  ls_progress progress;
  bool goes_on;        /* from a checkpoint */
  bool lacks_model;    /* rank 0: best.h5 is there, and model.h5 is to be made from it */
  uint64_t saved_step; /* of the newest checkpoint, maybe still under way; UINT64_MAX: none */
  ls_saver *saver;     /* rank 0's, owned: NULL elsewhere, and where nothing is written */
  char how[160];       /* gradients are summed, in words */
  bool wants_stop;
  double deadline; /* of max_time, on ls_clock; rank 0's, 0: none */
  bool is_late;    /* rank 0: it is what wants to stop */
  struct {
    double step, turn; /* the longest so far of this process, in seconds: see train_is_near_deadline */
    double turn_began;
  } longest;
  bool told_no_value; /* of the monitored column */
  bool is_new_best;   /* the epoch that ended was the best so far, and is not saved yet */
  float *total_grads; /* (n_params), owned: reproducible, of several batches; NULL: not needed */
  double *total_sums; /* (n_sums), owned, likewise */
  float *kept_state;  /* (n_state), owned: the model's before the step; NULL: no step is skipped */
  double last_lr;     /* of the newest step */
  double fixed_lr;    /* wins over the schedule; 0: the schedule's */
  times times;
  diagnostics *diagnostics; /* NULL: off */
  inheritance *inherited;   /* rank 0's, of a new run: owned; NULL: the weights are the seed's */
  bool has_bar;             /* stderr is a terminal */
  double bar_drawn;         /* when */
  double started;           /* when this process began to train */
  uint64_t started_samples;
} trainer;

/* Collective. What steps and epochs need but for the optimizer's state: see train_choose_mode. Steps
 * allocate nothing after it. trainer_destroy is needed after a failure too. */
ls_status trainer_create(trainer *t, ls_comm *comm, ls_setup *setup);
void trainer_destroy(trainer *t);

/* Collective. Puts a way to sum gradients in force and makes the optimizer's state for it: what the config
 * asks for, else `saved` (LS_SYNC_AUTO: none), else the fastest in a trial. Parameters and state are to be
 * set after it. */
ls_status train_choose_mode(trainer *t, ls_sync_mode saved);

/* Collective. Parameters and state from the seed: rank 0's, as unlike processors may draw another last
 * digit. */
void train_initialise(trainer *t);

/* Collective. Steps that are not finite are skipped from now on, where the config says so. */
ls_status train_allow_skips(trainer *t);

/* Collective. One step as train_run_step takes it, which counts for nothing, finite or not. */
void train_try_step(trainer *t);

/* Collective. One step of the current epoch, in the order of the setup; t->epoch_metric takes its sums. One
 * that is skipped counts, but leaves nothing else behind. LS_ERR_NUMERIC, alike on all ranks. */
ls_status train_run_step(trainer *t);

/* Collective where the model sees the whole batch. Forward and backward over the rows of a cut of the
 * training part, in the order of its first epoch, nothing drawn, nothing learnt: fills the model's gradient
 * and the step's metric with the sums over this rank's rows. */
void train_probe(trainer *t, const ls_order *order, ls_batch *batch, const ls_partition *cut);

/* Local. Starts the clock of max_time, where there is one. */
void train_set_deadline(trainer *t);

/* Local, before a step. Rank 0: whether the run must stop after it to be done by the deadline. If it goes
 * on, what is between this and the next time of asking (a turn: a step, and maybe an epoch's end with its
 * evaluation and a checkpoint's copy) must still fit, and then some steps, what is being saved, model.h5
 * and the last checkpoint. These may take as long as they ever did in this process; saving, until it was
 * seen, as long as at 50 MB/s. */
bool train_is_near_deadline(trainer *t);

/* Local. Counts the time since `start` as training of the epoch at hand. */
void train_count_time(trainer *t, double start);

/* Local. Whether the config asks for no more. */
bool train_is_finished(const trainer *t);

/* Local. Whether any weight has a penalty, and what they come to. They are not in the reported loss, so
 * that it compares with that of validation. */
bool train_has_penalty(const trainer *t);
double train_penalty(const trainer *t);

/* Local. The learning rate of the next step. */
double train_lr(const trainer *t);

/* ----------------------------------------------------------- the monitored column */

/* Local, and the same on all ranks. */
int train_monitored(const trainer *t);

/* Whether the epoch of this row is the best so far. Ties go to the earlier one. */
bool train_is_best(const trainer *t, const epoch_row *row);

/* After an epoch: early stopping and the plateau take note of its row. */
void train_update_monitor(trainer *t, const epoch_row *row);

/* Starts the two anew, where another column is watched from now on. */
void train_reset_monitor(trainer *t);

/* Whether early stopping ends the run. */
bool train_is_stopped_early(const trainer *t);

/* ----------------------------------------------------------------- saving, resuming */

/* Collective. LS_ERR_INTERNAL where the ranks hold different parameters, LS_ERR_NUMERIC where a parameter
 * or a number of the optimizer's state is not finite, LS_ERR_OUTPUT where the run has lost its lock.
 * Nothing of such a state is saved. */
ls_status train_check_state(trainer *t);

/* Collective. Has rank 0's saver publish this step, unless it has been: after the best epoch so far
 * model.h5 (where there is validation) and best.h5, then the checkpoint, which refers to them. Fails where
 * what was under way has failed; what is published now fails later. */
ls_status train_save_checkpoint(trainer *t);

/* Collective. Waits for what is under way; all ranks learn how it went. LS_ERR_OUTPUT. */
ls_status train_settle_saves(trainer *t);

/* Rank 0: LS_ERR_OUTPUT where there is no room for what will surely be saved; a warning where there is none
 * for all that may be kept. */
ls_status train_check_room(const trainer *t, bool overwrites);

/* Collective. The end of a run: likewise, with model.h5 where no epoch has set it, and waits for all of it.
 */
ls_status train_save_final(trainer *t);

/* Collective. Starts anew or from a checkpoint; parameters, optimizer and progress are set. *is_complete
 * (false before): the run was done already, its model included. */
ls_status train_start_or_resume(trainer *t, const ls_train_options *options, bool *is_complete);

/* Rank 0: makes model.h5 from best.h5, where it is not there or has other weights. */
ls_status train_remake_model(const trainer *t);

/* Collective. The weights of options->init_from go into the initialised model. LS_ERR_MODEL where there are
 * none to take, or not those that were asked for. */
ls_status train_inherit(trainer *t, const ls_train_options *options);

/* Local. Tells of it, where it was done. */
void train_report_inherited(const trainer *t);

/* -------------------------------------------------------------------- diagnostics */

/* Local. What they need, from a built model. */
ls_status diagnostics_create(const ls_setup *setup, diagnostics **out);
void diagnostics_destroy(diagnostics **out);

/* Collective. After an epoch: measures, warns of what goes wrong (once each), appends to diagnostics.csv.
 * The model's gradient and activations are used up. */
ls_status train_diagnose(trainer *t);

/* ---------------------------------------------------------------------- reporting */

/* Collective. What a run is, before its first step; in the log more of it: hosts, files, fingerprints.
 * LS_ERR_INTERNAL where memory is short. */
ls_status train_report_start(trainer *t);

/* Local. After a step: the bar, or a line each log_every steps. loss is the step's. */
void train_report_step(trainer *t, double loss, double quality);

/* Local. After an epoch. */
void train_report_epoch(const trainer *t, const epoch_row *row);

#endif
