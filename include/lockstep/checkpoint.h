/* checkpoint: saves and restores model, optimizer and position; finds, keeps and removes checkpoints.
 *
 * Only rank 0 writes and reads files. Nothing in them is per rank, so that any number of ranks can resume.
 */
#ifndef LOCKSTEP_CHECKPOINT_H
#define LOCKSTEP_CHECKPOINT_H

#include "lockstep/base.h"
#include "lockstep/comm.h"
#include "lockstep/config.h"
#include "lockstep/model.h"
#include "lockstep/modelfile.h"
#include "lockstep/optim.h"
#include "lockstep/store.h"

/* The section `checkpoint:`. */
typedef struct ls_checkpoint_config {
  uint64_t every_steps;  /* 0: not after steps */
  uint64_t every_epochs; /* 0: not after epochs */
  uint64_t keep;         /* the number of newest checkpoints to keep, at least 1 */
} ls_checkpoint_config;

extern const ls_key ls_checkpoint_keys[];

/* Local. Reads the section; collects errors. */
void ls_checkpoint_configure(ls_config *config, ls_checkpoint_config *out);

/* The position of a run. */
typedef struct ls_progress {
  uint64_t epoch;           /* finished epochs */
  uint64_t epoch_samples;   /* samples used in the current epoch */
  uint64_t step;            /* steps, including skipped ones */
  uint64_t samples;         /* samples seen in the run */
  uint64_t skipped_steps;   /* steps without a finite loss and gradient */
  uint64_t best_epoch;      /* from 1; 0: none */
  double best_value;        /* of the monitored column in that epoch */
  uint64_t n_stale;         /* consecutive epochs without improvement, for early stopping */
  uint64_t has_stale_value; /* 0 or 1 */
  double stale_value;       /* the value to improve on */
  ls_plateau plateau;       /* state of the learning rate schedule */
  double total_seconds;     /* of training in the run */
  double epoch_seconds;     /* of the current epoch */
  uint64_t seed;
  /* Fingerprints of the training and validation data: of all bytes, 0 if they were not in memory, and of a
   * selection of the samples, 0 if the file predates it. Those of validation are also 0 if there are no
   * such data. */
  ls_digest data, data_selection;
  ls_digest validation, validation_selection;
  ls_digest blocks; /* of the training data, if the order has windows; otherwise 0 */
  size_t n_sums;
  double *sums; /* (n_sums), borrowed: sums of loss and metrics of the current epoch */
} ls_progress;

/* The contents of a checkpoint. All borrowed. */
typedef struct ls_snapshot {
  ls_modelfile_content content;
  const ls_optim *optim;
  const float
      *slots; /* (n_slots, n_params): the optimizer's state of all parameters; NULL: optim holds it */
  const ls_progress *progress;
  const char *comm_mode; /* how gradients are summed on n_ranks ranks; NULL: sums do not depend on it */
  uint64_t n_ranks;
  const double *class_weights; /* (n_classes): of class_weight: balanced; NULL: none */
  size_t n_classes;
} ls_snapshot;

/* Local. Publishes a checkpoint at `path`. LS_ERR_OUTPUT. */
ls_status ls_checkpoint_write(const char *path, const ls_snapshot *snapshot);

/* The files to publish from a snapshot, in this order; each is durable before the next. Paths are borrowed
 * until the save has completed; NULL: not published. */
typedef struct ls_save {
  const char *average; /* model-ema.h5: the model with the average of the optimizer as its parameters */
  const char *model;   /* model.h5, without optimizer and progress */
  const char *best;    /* best.h5 */
  const char *folder;  /* of checkpoints: publishes that of the step, then calls ls_checkpoint_prune */
  uint64_t keep;
  uint64_t spared; /* the step of a checkpoint that is never removed; LS_SPARED_NONE */
} ls_save;

/* A saver copies a snapshot and publishes it on a thread, one at a time, while the caller continues. The
 * thread does not call MPI. If HDF5 is not thread-safe, ls_saver_submit publishes before it returns. The
 * saver logs each published file with its size and duration. */
typedef struct ls_saver ls_saver;

/* Local. Allocates memory for copies of a model, the whole state of its optimizer and n_sums sums, and
 * starts the thread. LS_ERR_INTERNAL. */
ls_status ls_saver_create(const ls_model *model, const ls_optim *optim, size_t n_sums, ls_saver **out);

/* Local. Waits for the current save and ends the thread. Logs an unreported failure as a warning, unless
 * ls_message() is the same. */
void ls_saver_destroy(ls_saver **saver);

/* Local. Bytes of the copies. */
size_t ls_saver_bytes(const ls_model *model, const ls_optim *optim);

/* Local. Waits for the current save and returns a buffer, (n_slots, n_params), for the optimizer's state of
 * all parameters. A snapshot whose `slots` is this buffer is not copied again. */
float *ls_saver_slots(ls_saver *saver);

/* Local. Waits for the current save, copies a snapshot, and starts to publish it. Copies the arrays of
 * model and optimizer, and the progress with its sums; borrows the rest until the save has completed. */
void ls_saver_submit(ls_saver *saver, const ls_snapshot *snapshot, const ls_save *save);

/* Local. Whether there is an unreported failure. Does not wait. */
bool ls_saver_has_failed(ls_saver *saver);

/* Local. Seconds of the longest save so far; 0 if none has completed. Does not wait. */
double ls_saver_longest(ls_saver *saver);

/* Local. Waits for the current save and reports the first failure since the last call: LS_ERR_OUTPUT, or
 * LS_ERR_INTERNAL if memory was short. */
ls_status ls_saver_wait(ls_saver *saver);

/* Local. Reads the progress of a checkpoint, and progress->sums, (progress->n_sums), unless it is NULL.
 * LS_ERR_MODEL. */
ls_status ls_checkpoint_read_progress(const ls_modelfile *file, ls_progress *progress);

/* Collective. Restores all ranks from rank 0's `file` (NULL on other ranks): parameters, state and
 * normaliser (with that of the targets if it has one); the state of the parameters that the optimizer
 * updates, and the progress, unless these are NULL. With an optimizer, overwrites the model's gradient.
 * LS_ERR_MODEL on all ranks if shapes differ. */
ls_status ls_checkpoint_restore(ls_comm *comm, const ls_modelfile *file, ls_model *model,
                                ls_normalizer *normalizer, ls_optim *optim, ls_progress *progress);

/* Collective. Restores the normaliser alone, in the same way. */
ls_status ls_checkpoint_restore_normalizer(ls_comm *comm, const ls_modelfile *file,
                                           ls_normalizer *normalizer);

#define LS_CHECKPOINT_CLASS_WEIGHTS "/class_weights" /* snapshot->class_weights, in a checkpoint */

/* Local. The path of the checkpoint of a step in `folder`, which the caller frees; NULL if memory is short.
 */
char *ls_checkpoint_path(const char *folder, uint64_t step);

/* Local. The step of the newest checkpoint of `folder`, valid or not. *found: there is one. LS_ERR_MODEL
 * if the folder cannot be read. */
ls_status ls_checkpoint_newest(const char *folder, uint64_t *step, bool *found);

/* Local. Opens the newest valid checkpoint of `folder`, with a warning for each damaged one that it skips.
 * *out is NULL if there are no checkpoints. known: a checkpoint that is open (NULL: none), which becomes
 * *out and is set to NULL if it is the one, unchanged. LS_ERR_MODEL if none is valid, or if one that may be
 * intact cannot be read; LS_ERR_INTERNAL if memory is short. */
ls_status ls_checkpoint_find(const char *folder, ls_modelfile **known, ls_modelfile **out);

/* Local. Likewise, but without warnings of damaged checkpoints, and *out is NULL if none is valid.
 * LS_ERR_MODEL if one that may be intact cannot be read; LS_ERR_INTERNAL. */
ls_status ls_checkpoint_try_find(const char *folder, ls_modelfile **out);

/* Local. Removes the checkpoints of step `first` and later, the latest first, and syncs the folder.
 * LS_ERR_OUTPUT, or LS_ERR_MODEL if the folder cannot be read. */
ls_status ls_checkpoint_remove_from(const char *folder, uint64_t first);

/* Local. Of the checkpoints up to step `newest`, removes all but the newest `keep` and that of step
 * `spared` (LS_SPARED_NONE: none). Also removes temporary files of killed runs. A failure to remove a file
 * is only a warning. LS_ERR_OUTPUT if the check of ls_store_set_guard fails. */
#define LS_SPARED_NONE UINT64_MAX
ls_status ls_checkpoint_prune(const char *folder, uint64_t newest, uint64_t keep, uint64_t spared);

#endif
