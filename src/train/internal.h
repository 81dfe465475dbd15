/* What the files of train share: the run's files, the trainer, its reports. */
#ifndef LOCKSTEP_TRAIN_INTERNAL_H
#define LOCKSTEP_TRAIN_INTERNAL_H

#include "lockstep/train.h"

/* ------------------------------------------------------------ the run directory */

/* Paths and open files of a run directory; rank 0's alone. All owned. */
typedef struct run_files {
  char *folder, *checkpoints, *config, *metrics, *model, *best, *log;
  FILE *log_file;
} run_files;

/* Local. Builds the paths; touches nothing. */
ls_status run_files_create(run_files *files, const char *folder);
void run_files_destroy(run_files *files);

/* Local. Whether the folder holds a run: a config or checkpoints of one. */
bool run_files_exist(const run_files *files);

/* Local. Removes a run's own files, and nothing else. */
ls_status run_files_remove(const run_files *files);

/* Local. Makes the folders, writes config.yaml, opens the log, and leaves metrics.csv with its header and
 * the rows of the first `epochs` epochs. */
ls_status run_files_open(run_files *files, const char *config, ls_task task, uint64_t epochs);

/* The columns of metrics.csv. */
enum {
  COLUMN_EPOCH,
  COLUMN_STEP,
  COLUMN_LR,
  COLUMN_TRAIN_LOSS,
  COLUMN_TRAIN_QUALITY,
  COLUMN_VAL_LOSS,
  COLUMN_VAL_QUALITY,
  COLUMN_SAMPLES_PER_SECOND,
  COLUMN_SECONDS,
  COLUMNS
};

/* Local. The name of a column for a task. */
const char *column_name(int column, ls_task task);

/* Local. Appends a row; a NaN leaves its column empty. */
ls_status run_files_append(const run_files *files, const double row[COLUMNS]);

/* ------------------------------------------------------------------ the trainer */

/* Seconds of the epoch at hand. */
typedef struct times {
  double compute, data;
  double communication; /* the sync's seconds when the epoch began */
} times;

typedef struct trainer {
  ls_comm *comm;
  ls_setup *setup; /* borrowed */
  bool is_root;
  run_files files;
  char *config; /* owned: resolved */
  ls_sync *sync;
  ls_metric *step_metric, *epoch_metric, *validation_metric;
  ls_progress progress;
  uint64_t saved_step; /* of the newest checkpoint; UINT64_MAX: none */
  bool wants_stop;
  times times;
  bool has_bar;     /* stderr is a terminal */
  double bar_drawn; /* when */
  double started;   /* when this process began to train */
  uint64_t started_samples;
} trainer;

/* Local. What steps and epochs need; nothing is allocated after it. trainer_destroy is needed after a
 * failure too. */
ls_status trainer_create(trainer *t, ls_comm *comm, ls_setup *setup);
void trainer_destroy(trainer *t);

/* Collective. One step of the epoch at hand, whose order is given; t->epoch_metric takes its sums. */
ls_status run_step(trainer *t, const ls_order *order);

/* Local. How many optimizer steps an epoch has. */
uint64_t steps_per_epoch(const trainer *t);

/* Local. Whether the config asks for no more. */
bool is_finished(const trainer *t);

/* ----------------------------------------------------------------- saving, resuming */

/* Local, and the same on all ranks: LS_ERR_NUMERIC where a parameter is not finite. Nothing of such a state
 * is saved. */
ls_status check_finite(const trainer *t);

/* Collective. Publishes the checkpoint of this step unless it is there, and removes old ones. */
ls_status save_checkpoint(trainer *t);

/* Collective. After an epoch: model.h5 (where there is validation) and best.h5, if it was the best so far.
 */
ls_status save_best(trainer *t, const double row[COLUMNS]);

/* Collective. The end of a run: model.h5 where no epoch has set it, and the final checkpoint. */
ls_status save_final(trainer *t);

/* Collective. Starts anew or from a checkpoint; parameters, optimizer and progress are set. */
ls_status start_or_resume(trainer *t, const ls_train_options *options);

/* ---------------------------------------------------------------------- reporting */

/* Local. What a run is, before its first step. */
void report_start(const trainer *t);

/* Local. After a step: the bar, or a line each log_every steps. loss is the step's. */
void report_step(trainer *t, double loss, double quality);

/* Local. After an epoch. `seconds` is the epoch's. */
void report_epoch(const trainer *t, const double row[COLUMNS], double seconds);

#endif
