/* checkpoint: models and checkpoints, one format: saved whole, verified before they are read, found again.
 *
 * Files are written and read by rank 0 alone; nothing in them is per rank. */
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
  uint64_t every_steps;  /* 0: not by steps */
  uint64_t every_epochs; /* 0: not by epochs */
  uint64_t keep;         /* the last so many are kept, at least 1 */
} ls_checkpoint_config;

extern const ls_key ls_checkpoint_keys[];

/* Local. Reads the section; collects mistakes. */
void ls_checkpoint_configure(ls_config *config, ls_checkpoint_config *out);

/* Where a run stands. */
typedef struct ls_progress {
  uint64_t epoch;           /* epochs finished */
  uint64_t epoch_samples;   /* samples used of the epoch at hand */
  uint64_t step;            /* steps done, skipped ones included */
  uint64_t samples;         /* samples seen in all */
  uint64_t skipped_steps;   /* whose loss or gradient was not finite */
  uint64_t best_epoch;      /* from 1; 0: none yet */
  double best_value;        /* of the monitored column there */
  uint64_t n_stale;         /* epochs in a row that early stopping found no better */
  uint64_t has_stale_value; /* 0 or 1 */
  double stale_value;       /* what they have to be better than */
  ls_plateau plateau;       /* of the learning rate's schedule */
  double total_seconds;     /* of training */
  double epoch_seconds;     /* of the epoch at hand */
  uint64_t seed;
  ls_digest data;       /* the fingerprint of the training data */
  ls_digest validation; /* of the validation data; 0 where there are none, or the file is older */
  size_t n_sums;
  double *sums; /* (n_sums), borrowed: the sums of loss and metrics of the epoch at hand */
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
} ls_snapshot;

/* Local. Publishes a checkpoint at `path`. LS_ERR_OUTPUT. */
ls_status ls_checkpoint_write(const char *path, const ls_snapshot *snapshot);

/* What to publish of a snapshot, in this order: each is durable before the next. Paths are borrowed until
 * it is done; NULL: not. */
typedef struct ls_save {
  const char *model;  /* model.h5: without optimizer and progress */
  const char *best;   /* best.h5 */
  const char *folder; /* that of checkpoints, which gets the one of the step; then old ones are removed: */
  uint64_t keep;      /* see ls_checkpoint_prune */
} ls_save;

/* A saver copies a snapshot and publishes it by a thread of its own, one at a time, while the caller goes
 * on. The thread makes no calls of MPI. Where HDF5 is not safe for threads the caller's does the work, in
 * ls_saver_submit; all else is the same. What is published is noted in the log, with size and time. */
typedef struct ls_saver ls_saver;

/* Local. Takes the memory for copies of a model, of the whole state of its optimizer, and of n_sums sums,
 * and starts the thread. LS_ERR_INTERNAL. */
ls_status ls_saver_create(const ls_model *model, const ls_optim *optim, size_t n_sums, ls_saver **out);

/* Local. Waits for what is under way, and ends the thread. A failure that nobody was told of is a warning.
 */
void ls_saver_destroy(ls_saver **saver);

/* Local. Bytes of those copies. */
size_t ls_saver_bytes(const ls_model *model, const ls_optim *optim);

/* Local. Whether it has a thread. */
bool ls_saver_has_thread(const ls_saver *saver);

/* Local. Waits for what is under way; then the state of all parameters may be put in here,
 * (n_slots, n_params), for a snapshot whose `slots` this is: it is not copied again. */
float *ls_saver_slots(ls_saver *saver);

/* Local. Waits for what is under way, copies a checkpoint's snapshot, and has it published. The model's and
 * the optimizer's arrays, the progress and its sums are copied; the rest is borrowed until it is done. */
void ls_saver_submit(ls_saver *saver, const ls_snapshot *snapshot, const ls_save *save);

/* Local. Whether something failed that nobody was told of yet. Waits for nothing. */
bool ls_saver_has_failed(ls_saver *saver);

/* Local. Seconds of the longest so far from its start to its end; 0: none has ended. Waits for nothing. */
double ls_saver_longest(ls_saver *saver);

/* Local. Waits for what is under way. The first failure since the last time of asking: LS_ERR_OUTPUT, or
 * LS_ERR_INTERNAL where memory was short. */
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

/* Local. The path of the checkpoint of a step in `folder`: to be freed by the caller. */
char *ls_checkpoint_path(const char *folder, uint64_t step);

/* Local. Opens the newest valid checkpoint of `folder`; a warning names each that is damaged or can't be
 * read, and is passed over. *out is NULL where there are none at all. LS_ERR_MODEL where there are only
 * damaged ones, LS_ERR_INTERNAL where memory is short. */
ls_status ls_checkpoint_find(const char *folder, ls_modelfile **out);

/* Local. Removes the checkpoints later than step `newest`, where a run now stands (they are damaged, or it
 * went back before them), all but the newest `keep` of the others, and temporary files that a killed run
 * left. */
ls_status ls_checkpoint_prune(const char *folder, uint64_t newest, uint64_t keep);

#endif
