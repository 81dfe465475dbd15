/* train: the training loop: steps, epochs, early stopping, signals, saving, resuming, reports. */
#ifndef LOCKSTEP_TRAIN_H
#define LOCKSTEP_TRAIN_H

#include "lockstep/base.h"
#include "lockstep/comm.h"
#include "lockstep/job.h"

#include <signal.h>

typedef struct ls_train_options {
  const char *resume;      /* "auto", "never", or a checkpoint's path */
  bool overwrite;          /* remove the run of that directory first */
  const char *init_from;   /* the model or checkpoint whose weights a new run starts with; NULL: none */
  const bool *init_layers; /* (layers in the config's list): those to take from it, whose weights must all
                              be there in the same shape; NULL: whatever is */
} ls_train_options;

/* Collective. Trains: LS_OK when done or nothing is left to do, LS_STOPPED when stopped by a signal or by
 * train.max_time after saving. */
ls_status ls_train(ls_comm *comm, ls_setup *setup, const ls_train_options *options);

/* -------------------------------------------------------- learning rate range test */

/* A step of the test. */
typedef struct ls_lr_point {
  double lr;
  double loss;     /* of its batch, before the step */
  double smoothed; /* the running mean of the losses so far, the newest weighing a tenth */
} ls_lr_point;

typedef struct ls_lr_curve {
  ls_lr_point *points; /* (n), owned */
  size_t n;            /* at most the steps that were asked for */
  bool diverged;       /* ended before them: the loss was not finite, or beyond 4 times its least */
  size_t least;        /* the point of the least smoothed loss */
  double suggested;    /* a tenth of the rate there; 0 where the loss never fell */
} ls_lr_curve;

/* Collective. Trains the initial model for at most n_steps steps at rates that rise by a constant factor
 * from `from` to `to` (Smith, "Cyclical learning rates for training neural networks", WACV 2017). Nothing
 * is written; the model is not to be used after it. curve->points is to be freed by the caller. */
ls_status ls_lr_find(ls_comm *comm, ls_setup *setup, double from, double to, size_t n_steps,
                     ls_lr_curve *curve);

/* Local. From now on SIGUSR1, SIGTERM, SIGINT, SIGHUP and SIGPIPE ask the run to stop. SIGHUP and SIGPIPE
 * are ignored instead if they are in `ignored` (borrowed): the signals that the program's caller has set to
 * be ignored, as nohup does. To be called before MPI starts. */
void ls_stop_install(const sigset_t *ignored);

/* Local. The signal that asked, or 0. */
int ls_stop_signal(void);

#endif
