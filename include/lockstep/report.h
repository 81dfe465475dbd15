/* report: an HTML page about runs. It shows their curves, diagnostics, results on data, worst errors,
 * configs and environments, in one file that needs no other. */
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

#endif
