/* train: the training loop: steps, epochs, early stopping, signals, saving, resuming, reports. */
#ifndef LOCKSTEP_TRAIN_H
#define LOCKSTEP_TRAIN_H

#include "lockstep/base.h"
#include "lockstep/comm.h"
#include "lockstep/job.h"

#include <signal.h>

/* The state of a run at the end of ls_train. */
typedef struct ls_train_result {
  bool is_finished;    /* the run needs no more steps */
  uint64_t epoch;      /* finished epochs */
  uint64_t best_epoch; /* from 1; 0: none */
  double best_value;   /* of train.monitor in that epoch */
  double seconds;      /* of training, over resumes */
} ls_train_result;

typedef struct ls_train_options {
  const char *resume;      /* "auto", "never", or the path of a checkpoint */
  bool overwrite;          /* first remove the run that the directory has; with a checkpoint of that run,
                              only its later checkpoints */
  const char *command;     /* the command that resumes the run, for messages; NULL: described in words */
  const char *init_from;   /* model, checkpoint or safetensors file with the initial weights of a new run;
                              NULL: random */
  const char *init_map;    /* names of the tensors of a safetensors file; NULL: those of our export */
  const bool *init_layers; /* (layers in the config's list): those to read from it, all of whose weights
                              must exist in the same shape; NULL: all weights that fit */
  ls_modelfile **found; /* what ls_train_find_resumed has opened: becomes NULL if it is still the checkpoint
                           to resume, which is then not opened again */
  uint64_t until_epoch; /* the run pauses after this epoch, as if it were stopped there; 0: never. Nothing
                           else depends on it, so that a run that continues equals one that did not pause */
  bool (*must_stop)(void *context); /* called before each step: whether to stop and save, as after a signal;
                                       NULL: only after signals and train.max_time */
  void *context;
  ls_train_result *result; /* set on all ranks, after a failure too; NULL: not wanted */
} ls_train_options;

/* Local. Whether --init-from names a safetensors file, by its ending. */
bool ls_train_is_safetensors(const char *path);

/* Collective. The checkpoint of a run that is resumed, for ls_setup_create. *out: on rank 0, NULL for a new
 * run and on other ranks; the caller closes it, after a failure too. Without data.window in the config, the
 * run keeps the window of the checkpoint. LS_ERR_MODEL if a checkpoint that may be intact cannot be read;
 * ls_train reports other errors. */
ls_status ls_train_find_resumed(ls_comm *comm, ls_job *job, const ls_train_options *options,
                                ls_modelfile **out);

/* Local. Whether the newest usable checkpoint in a run directory, best.h5 and metrics.csv belong together,
 * or there is no checkpoint. They do unless a power failure came before they were synced. LS_ERR_MODEL and
 * LS_ERR_OUTPUT if a file that may be intact cannot be read. */
ls_status ls_train_check_intact(const char *output, bool *is_intact);

/* Local. LS_ERR_DATA unless the training and validation data of a setup are those of a checkpoint, wherever
 * their files are. */
ls_status ls_train_check_data(const ls_setup *setup, const ls_modelfile *saved);

/* Collective. Trains. LS_OK if the run is finished or has reached until_epoch, LS_STOPPED if it was stopped
 * by a signal or by train.max_time, after saving. */
ls_status ls_train(ls_comm *comm, ls_setup *setup, const ls_train_options *options);

/* -------------------------------------------------------- learning rate range test */

/* A step of the test. */
typedef struct ls_lr_point {
  double lr;
  double loss;     /* of its batch, before the step */
  double smoothed; /* running mean of the losses so far, where the latest has weight 0.1 */
} ls_lr_point;

typedef struct ls_lr_curve {
  ls_lr_point *points; /* (n), owned */
  size_t n;            /* at most n_steps */
  bool diverged;       /* the test ended early: the loss was not finite, or above 4 times its minimum */
  size_t least;        /* the point with the minimum of the smoothed loss */
  double suggested;    /* a tenth of its rate; 0 if the loss never fell */
} ls_lr_curve;

/* Collective. Trains the initial model for at most n_steps steps at rates that increase by a constant
 * factor from `from` to `to` (Smith, "Cyclical learning rates for training neural networks", WACV 2017).
 * Writes no files. The model must not be used afterwards. The caller frees curve->points. */
ls_status ls_lr_find(ls_comm *comm, ls_setup *setup, double from, double to, size_t n_steps,
                     ls_lr_curve *curve);

/* -------------------------------------------------------------------------- signals */

/* Local. Makes SIGUSR1, SIGTERM, SIGINT, SIGHUP and SIGPIPE ask the run to stop. SIGHUP and SIGPIPE are
 * ignored instead if they are in `ignored` (borrowed): the signals that the program's caller ignores, as
 * nohup does. Must be called before MPI starts. */
void ls_stop_install(const sigset_t *ignored);

/* Local. The signal that asked the run to stop, or 0. */
int ls_stop_signal(void);

#endif
