/* What the report knows about runs, and its sections. */
#ifndef LOCKSTEP_REPORT_INTERNAL_H
#define LOCKSTEP_REPORT_INTERNAL_H

#include "lockstep/job.h"
#include "lockstep/metric.h"
#include "lockstep/report.h"
#include "lockstep/rundir.h"
#include "lockstep/sweep.h"

#include "page.h"

/* -------------------------------------------------------------------------- csv.c */

/* A table of numbers, metrics.csv or diagnostics.csv. All pointers are owned. */
typedef struct report_csv {
  size_t n_columns, n_rows;
  char **names;   /* (n_columns) */
  double *values; /* (n_rows, n_columns); NaN: an empty cell, or a label */
  char **labels;  /* (n_rows): the cells of the column `layer`; NULL without one */
  char *text;     /* has the names and labels */
} report_csv;

/* Local. Reads a table whose first column is `epoch`. A last line without its end, which a run may be
 * writing, is ignored. A missing file gives an empty table. LS_ERR_DATA if the file cannot be read or is
 * damaged. */
ls_status report_csv_read(const char *path, report_csv *out);
void report_csv_destroy(report_csv *csv);

/* Local. The position of a column, or -1; the value of a row in a column, NaN if the column is -1. */
int report_csv_find(const report_csv *csv, const char *name);
double report_csv_at(const report_csv *csv, size_t row, int column);

/* -------------------------------------------------------------------------- log.c */

enum { REPORT_SHARES = 4, REPORT_WARNINGS = 20 };
extern const char *const report_share_names[REPORT_SHARES];

/* What train.log says. All pointers are owned. */
typedef struct report_log {
  bool exists;
  size_t n_starts;
  char first[20], last[20];        /* date and time of the first and of the last line; "": none */
  char *start;                     /* the lines of the latest start, up to "ready in"; NULL: none */
  char *end;                       /* the line that ended the latest process normally; NULL: none */
  double shares[REPORT_SHARES];    /* percent of the time of all epochs */
  double seconds;                  /* of the epochs with shares; 0: none */
  size_t n_warnings;               /* and errors */
  char *warnings[REPORT_WARNINGS]; /* the last ones */
} report_log;

/* Local. Ignores a missing file. LS_ERR_DATA if it cannot be read, LS_ERR_INTERNAL. */
ls_status report_log_read(const char *path, report_log *out);
void report_log_destroy(report_log *log);

/* ------------------------------------------------------------------- evaluate.c */

enum {
  REPORT_WORST = 24,
  REPORT_CURVES = 8,
  REPORT_BINS = 10,
  REPORT_OUTPUTS = 4,
  REPORT_POINTS = 4096,
  REPORT_SCORES = 1024,
  REPORT_FEATURES = 3,
  REPORT_FEATURES_MOST = 4096,  /* of a sample that is explained */
  REPORT_INTEGRAL_POINTS = 1024 /* of the integrated gradients of a sample, at most */
};

/* The samples with the largest errors, in descending order. */
typedef struct report_worst {
  size_t n;
  double errors[REPORT_WORST];
  uint64_t samples[REPORT_WORST];
} report_worst;

/* A feature of a sample and its share in the prediction. */
typedef struct report_feature {
  char *name; /* owned */
  double value, attribution;
} report_feature;

/* One of the worst errors. Texts are owned. */
typedef struct report_case {
  uint64_t sample;
  double error;
  bool is_wrong; /* the prediction is another class, or other labels */
  char *truth, *predicted;
  char *picture;     /* PNG in base64; NULL: the sample is not an image */
  size_t n_features; /* strongest first; 0: unknown */
  report_feature features[REPORT_FEATURES];
} report_case;

/* The results of a model on data. All pointers are owned. */
typedef struct report_evaluation {
  char *data;                   /* "test data: FILE" */
  ls_metric *metric;            /* the results of ls_evaluate */
  size_t n_names;               /* classes, or labels; 0 for numbers */
  char **names;                 /* (n_names) */
  size_t n_curves;              /* ROC curves: of the classes with the lowest area, if there are many */
  size_t curves[REPORT_CURVES]; /* their classes */
  double *scores; /* (n_curves, 2, REPORT_SCORES): weights of negative and positive samples by score */
  double bins[3][REPORT_BINS]; /* weight, and weighted sums of the probability and of [it is right] */
  size_t n_points, n_outputs;  /* regression: samples and outputs that are shown */
  double *truth, *predicted;   /* (n_outputs, n_points) */
  size_t n_cases;
  bool is_too_wide;     /* the samples have too many features to be explained */
  size_t n_approximate; /* of them, those whose integrated gradients have not converged */
  report_case cases[REPORT_WORST];
} report_evaluation;

void report_evaluation_destroy(report_evaluation **evaluation);

/* Collective. Evaluates a model on all samples of a view. LS_ERR_DATA, LS_ERR_INTERNAL. *out is complete on
 * rank 0 only. data: copied */
ls_status report_evaluate(ls_comm *comm, const ls_predictor *predictor, const ls_view *view,
                          const char *data, report_evaluation **out);

/* --------------------------------------------------------------------- worst.c */

void report_worst_add(report_worst *worst, double error, uint64_t sample);

/* Collective. Makes the list that of all ranks, the same on all. LS_ERR_INTERNAL. */
ls_status report_worst_merge(ls_comm *comm, report_worst *worst);

/* --------------------------------------------------------------------- cases.c */

/* Collective. Describes the worst errors, on rank 0. LS_ERR_DATA, LS_ERR_INTERNAL. */
ls_status report_cases_create(ls_comm *comm, const ls_predictor *predictor, const ls_view *view,
                              const report_worst *worst, report_evaluation *e);

/* ------------------------------------------------------------------- picture.c */

/* Local, on rank 0. Whether the samples of a dataset are images. Flat rows whose features have names are a
 * table. */
bool report_has_pictures(const ls_dataset *dataset, bool has_names);

/* Local. The image as a PNG file in base64, reduced if it is large. The caller frees it. LS_ERR_INTERNAL.
 * x: (n_features), raw values; training: the values of the training data, which black and white stand for
 */
ls_status report_picture(const ls_dataset *dataset, const ls_values *training, const float *x, char **out);

/* ----------------------------------------------------------------------- run.c */

/* A run. All pointers but `path` are owned. */
typedef struct report_run {
  const char *path; /* as given */
  ls_rundir dir;
  report_csv metrics, diagnostics;
  report_log log;
  char *config; /* text; NULL: none */
  ls_config *document;
  ls_job *job;         /* of the config; NULL: none, or one that this version rejects */
  char *model;         /* path of the model; NULL: none */
  char *platform;      /* attribute of the model; NULL: unknown */
  char *not_evaluated; /* why there is no evaluation; NULL: there is one, or no model */
  report_evaluation *evaluation;
} report_run;

/* Local, on rank 0. Reads the files of a run, except the model. LS_ERR_DATA. */
ls_status report_run_read(const char *path, report_run *run);
void report_run_destroy(report_run *run);

/* Local. The state of a run in a few words. */
const char *report_run_state(const report_run *run);

/* Local. The column of train.monitor, or -1; the row of the best epoch by it, SIZE_MAX if unknown. */
int report_run_monitor(const report_run *run);
size_t report_run_best(const report_run *run);

/* ---------------------------------------------------------------------- data.c */

/* Collective. Evaluates the model of a run on the data of the options, or on its own. Failures to read the
 * run's own model or data are noted in the run and logged as warnings. */
ls_status report_run_evaluate(ls_comm *comm, const ls_report_options *options, report_run *run);

/* -------------------------------------------------------------------- sections */

typedef struct report_runs {
  size_t n;
  report_run *list; /* (n) */
} report_runs;

/* Local. Each writes a section. LS_ERR_INTERNAL if memory is short. */
void report_summary(report_page *page, const report_runs *runs);
ls_status report_training(report_page *page, const report_runs *runs);
ls_status report_layers(report_page *page, const report_runs *runs);
ls_status report_results(report_page *page, const report_runs *runs);
ls_status report_classes(report_page *page, const report_evaluation *e);
ls_status report_values(report_page *page, const report_evaluation *e);
void report_cases(report_page *page, const report_evaluation *e);
ls_status report_settings(report_page *page, const report_runs *runs);

/* Local. Begins a block of one run, open if it is the first; ends it. */
void report_run_begin(report_page *page, const report_runs *runs, size_t i);
void report_run_end(report_page *page, const report_runs *runs);

/* Local. Writes the section `id` with what `write` gives for each run, until it fails. */
ls_status report_section(report_page *page, const report_runs *runs, const char *id, const char *title,
                         ls_status (*write)(report_page *page, const report_run *run));

/* ---------------------------------------------------------------------- scale.c */

/* A key that varies, as an axis: numbers, or named values at equal distances, in their order. */
typedef struct report_parameter {
  const ls_sweep_parameter *of; /* borrowed */
  bool is_named, is_log, is_whole;
  double low, high;
  double *positions; /* (of->n_choices), owned: of each value of a list on the axis */
} report_parameter;

/* Local. LS_ERR_INTERNAL. The caller destroys it, after a failure too. */
ls_status report_parameter_create(const ls_sweep_parameter *of, report_parameter *p);
void report_parameter_destroy(report_parameter *p);

/* Local. The position of a value, given as in the table of trials, on the axis. */
double report_parameter_position(const report_parameter *p, const char *value);

/* Local. The axis of a parameter, or of numbers, with labels. from, to: in pixels. n_labels: of named
 * values, at most; some are left out if there are more. */
report_scale report_parameter_scale(const report_parameter *p, double from, double to, size_t n_labels);
report_scale report_scale_of(double low, double high, bool is_log, bool is_whole, double from, double to);

/* -------------------------------------------------------------------- ranking.c */

/* A trial with a result. */
typedef struct report_trial {
  uint64_t number;
  const ls_sweep_row *row; /* of the last rung that it has reached; borrowed */
  double key;              /* its value, negated if larger ones are better; NaN: none */
  int colour;              /* from 1 to REPORT_RANKS, the best; 0: without a value */
} report_trial;

enum { REPORT_TRIALS = 200, REPORT_TRIALS_BEST = 50 };

/* A sweep. All pointers are owned. */
typedef struct report_sweep {
  char *path; /* as given, without slashes at its end */
  ls_sweep_results results;
  char *state;
  report_parameter *parameters; /* (results.n_parameters) */
  size_t n, n_ranked;           /* trials with a result, and with a value */
  report_trial
      *trials;    /* (n), best first: those of later rungs, then by value; those without a value last */
  size_t n_shown; /* in figures */
  size_t shown[REPORT_TRIALS]; /* ascending positions in `trials`: of all, or the best and some others */
  double low, high;            /* the axis of the monitor; low > high: there are no values */
  bool is_log;
  size_t n_beyond; /* values that are far worse than the others, and beyond the end of the axis */
} report_sweep;

/* Local. Orders the trials, and selects those that figures show. LS_ERR_INTERNAL. */
ls_status report_ranking_create(report_sweep *sweep);

/* Local. The value of a trial in a rung; NaN: none. */
double report_trial_value(const report_sweep *sweep, size_t rung, uint64_t trial);

/* Local. The number of trials of the sweep, or of the part of it that the directory has. */
size_t report_trials_wanted(const report_sweep *sweep);

/* Local. The number of trials in a state in a rung; the number of results that the rung lacks. */
size_t report_rung_count(const report_sweep *sweep, size_t rung, ls_trial_state state);
size_t report_rung_missing(const report_sweep *sweep, size_t rung);

/* Local. Appends a sentence about values beyond the end of the axis, if there are any. */
void report_ranking_beyond(const report_sweep *sweep, char *text, size_t size);

/* Local. Writes a note about trials and values that figures do not show. */
void report_ranking_note(report_page *page, const report_sweep *sweep);

/* ------------------------------------------------------- sections of a sweep's page */

/* Local. Each writes a section. LS_ERR_INTERNAL if memory is short. */
void report_sweep_summary(report_page *page, const report_sweep *sweep);
ls_status report_sweep_trials(report_page *page, const report_sweep *sweep);
void report_sweep_parameters(report_page *page, const report_sweep *sweep);
ls_status report_sweep_progress(report_page *page, const report_sweep *sweep);

/* Local. Draw figures of lines: parallel coordinates, and the values over the rungs. LS_ERR_INTERNAL. */
ls_status report_parallel_draw(report_page *page, const report_sweep *sweep);
ls_status report_rungs_draw(report_page *page, const report_sweep *sweep);

/* Local. Writes a table of trials with their values. n: of `positions` in the ranking, or the first n
 * without them */
void report_trials_table(report_page *page, const report_sweep *sweep, const char *caption, size_t n,
                         const size_t *positions);

#endif
