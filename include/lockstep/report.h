/* report: an HTML page about runs, with their curves, diagnostics, results on data, worst errors, configs
 * and environments, or about a sweep, with its trials. It is one file that needs no other. */
#ifndef LOCKSTEP_REPORT_H
#define LOCKSTEP_REPORT_H

#include "lockstep/base.h"
#include "lockstep/comm.h"
#include "lockstep/data.h"

typedef struct ls_report_options {
  const char *const *runs; /* (n_runs): run directories; borrowed, like all texts here */
  size_t n_runs;
  const char *output; /* the HTML file */
  const char *data;   /* FILE[:GROUP] on which the models are evaluated; NULL: the test data of each run, or
                         its validation data if it has none */
  const char *x, *y;  /* explicit names of its arrays, or NULL */
  ls_data_memory memory; /* where the samples are kept */
} ls_report_options;

/* Collective. Reads the runs, evaluates their models, and writes the page. What a run does not have is
 * missing from the page, which says so; data of a run that cannot be read cause a warning. LS_ERR_DATA if a
 * directory is not a run or one of its tables is damaged, or if options->data cannot be read.
 * LS_ERR_OUTPUT.
 */
ls_status ls_report_write(ls_comm *comm, const ls_report_options *options);

/* Local. Writes the page about the directory of a sweep, which may be running: its trials, and how the
 * parameters influence their results. LS_ERR_DATA if a file is missing or damaged, LS_ERR_OUTPUT. */
ls_status ls_report_sweep(const char *folder, const char *output);

/* ------------------------------------------------------------------ state of a run */

typedef enum ls_run_phase {
  LS_RUN_STOPPED,
  LS_RUN_RUNNING,
  LS_RUN_FINISHED,
  LS_RUN_UNKNOWN /* its lock belongs to a process whose state is unknown here */
} ls_run_phase;

/* Numbers are 0, and texts empty, where they are unknown. */
typedef struct ls_run_state {
  ls_run_phase phase;
  char owner[448];        /* of the lock: "process 7 on host, since ..." */
  uint64_t epoch, epochs; /* finished; in total */
  uint64_t step, steps;   /* the newest that is known; in total, unless the run ends earlier */
  char monitor[64];       /* the column that selects the best epoch */
  uint64_t best_epoch;
  double best;                          /* its value */
  double samples_per_second, per_epoch; /* of the latest epochs; per_epoch: seconds */
  double left;                          /* seconds until the end, of a run that trains; NaN: unknown */
  bool has_checkpoints, can_resume;     /* can_resume: a checkpoint is valid */
  bool has_model;                       /* model.h5 exists */
} ls_run_state;

/* Local. Reads the state of a run from its files, which another process may be writing. LS_ERR_DATA if the
 * directory is not that of a run, or a file is damaged. */
ls_status ls_run_state_read(const char *folder, ls_run_state *out);

#endif
