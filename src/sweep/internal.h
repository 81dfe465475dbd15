/* What the files of sweep share. Its files in order of dependency: sobol, value, distinct, plan, rungs,
 * check, table, results, saved, remove, groups, report, trial, best, sweep. */
#ifndef LOCKSTEP_SWEEP_INTERNAL_H
#define LOCKSTEP_SWEEP_INTERNAL_H

#include "lockstep/job.h"
#include "lockstep/rundir.h"
#include "lockstep/sweep.h"
#include "lockstep/train.h"

#include <limits.h>

#define SWEEP_PARAMETERS_MAX 32
#define SWEEP_TRIALS_MAX     10000

/* ------------------------------------------------------------------------- plan.c */

typedef enum sweep_search { SWEEP_GRID, SWEEP_RANDOM, SWEEP_SOBOL, SWEEP_HALVING } sweep_search;
extern const char *const sweep_searches[]; /* their names, ended by NULL */

/* A sweep file. Texts are borrowed from the config. */
typedef struct sweep_plan {
  ls_config *config; /* owned */
  const char *base;  /* relative to the folder of the sweep file */
  char *base_path;   /* owned */
  const char *output;
  const char *monitor; /* NULL: that of the base */
  ls_node *parameters_node;
  int search; /* sweep_search */
  uint64_t seed, trials, factor, first, ranks_per_trial;
  size_t n_parameters;
  ls_sweep_parameter parameters[SWEEP_PARAMETERS_MAX];
  uint32_t *draws; /* (trials), owned: the number of the draw that each trial has; NULL: its own number */
} sweep_plan;

/* Local. Reads a sweep file; collects errors in plan->config. LS_ERR_CONFIG if it is not valid YAML. */
ls_status sweep_plan_read(const char *text, const ls_sweep_options *options, sweep_plan *plan);
void sweep_plan_destroy(sweep_plan *plan);

/* ------------------------------------------------------------------------ value.c */

/* Local. The value of parameter k in a trial, as in the table. */
void sweep_value(const sweep_plan *plan, uint64_t trial, size_t k, char text[LS_SWEEP_VALUE_MAX]);

/* Local. "KEY=VALUE" for ls_config_override, which the caller frees; NULL if memory is short. */
char *sweep_assignment(const sweep_plan *plan, uint64_t trial, size_t k);

/* --------------------------------------------------------------------- distinct.c */

/* Local. Chooses a different combination of values for each trial of a plan without errors, except for a
 * grid, where each differs already. Collects an error if there are too few. */
ls_status sweep_choose_draws(sweep_plan *plan);

/* -------------------------------------------------------------------------- rungs.c */

/* Local. The rungs of successive halving; other searches have one. `epochs`: of the base. Jamieson and
 * Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization", AISTATS 2016. */
ls_sweep_rungs sweep_rungs_of(const sweep_plan *plan, uint64_t epochs);

/* ------------------------------------------------------------------------- check.c */

/* Local. The job of a trial, or of the base without one (`trial` = UINT64_MAX), from the text of the base
 * config. output: its run directory, or NULL. The caller destroys the job. */
ls_status sweep_job_create(const sweep_plan *plan, const char *base, uint64_t trial, const char *output,
                           ls_job **out);

/* Local. Checks each parameter by itself, without those that have no values; collects errors in
 * plan->config. */
ls_status sweep_check_parameters(const sweep_plan *plan, const char *base);

/* Local. Checks the configs of all trials; collects errors in plan->config. */
ls_status sweep_check_trials(const sweep_plan *plan, const char *base);

/* ------------------------------------------------------------------------- table.c */

/* trials.csv, on rank 0. */
typedef struct sweep_table {
  const sweep_plan *plan;
  const char *monitor;
  uint64_t n_trials;
  size_t n_rungs;
  ls_sweep_row *rows; /* (n_rungs, n_trials), owned */
} sweep_table;

/* Local. The run directory of a trial, which the caller frees; NULL if memory is short. */
char *sweep_trial_folder(const char *folder, uint64_t trial);

/* Local. Creates an empty table. */
ls_status sweep_table_create(const sweep_plan *plan, const char *monitor, size_t n_rungs,
                             sweep_table *table);
void sweep_table_destroy(sweep_table *table);

static inline ls_sweep_row *sweep_table_row(const sweep_table *table, size_t rung, uint64_t trial) {
  return table->rows + rung * table->n_trials + trial;
}

/* Local. Adds the rows of a file, if it exists. Ignores a last row that a kill has truncated, and rows that
 * are there already. LS_ERR_OUTPUT if it is not a table of this sweep. */
ls_status sweep_table_read(sweep_table *table, const char *path);

/* Local. Writes all rows, ordered by rung and trial, to a file. */
ls_status sweep_table_write(const sweep_table *table, const char *path);

/* Local. Adds a row, rounded as in the file, and appends it there, synced. */
ls_status sweep_table_append(sweep_table *table, const ls_rundir *dir, const char *path,
                             const ls_sweep_row *row);

/* Local. The trials of a rung with a value, best first; of equal ones, the one with the lower number.
 * trials: (n_trials). Returns how many there are. */
size_t sweep_table_rank(const sweep_table *table, size_t rung, bool is_maximized, uint64_t *trials);

/* Local. The best trial of the last rung that has one, without those that diverged or failed later, and the
 * rung. trials: (n_trials), overwritten. False if there is none. */
bool sweep_table_best(const sweep_table *table, bool is_maximized, uint64_t *trials, size_t *rung,
                      uint64_t *best);

/* Local. The state of a trial in the last rung that it has reached. */
int sweep_table_last_state(const sweep_table *table, uint64_t trial);

/* ------------------------------------------------------------------------- saved.c */

/* Local. Compares the sweep with the one that a directory has in sweep.yaml and base.yaml, if it has them.
 * LS_ERR_CONFIG if its trials would be others, LS_ERR_DATA if their data would be. data: of the base;
 * folder: of the trials; own: the directory, of the sweep or of a part */
ls_status sweep_check_config(const sweep_plan *plan, const ls_setup *data, const char *folder,
                             const char *own);

/* Local. Writes sweep.yaml and base.yaml. */
ls_status sweep_save_config(const sweep_plan *plan, const ls_setup *data, const char *own);

/* ------------------------------------------------------------------------ remove.c */

/* Local. Removes the files of a sweep, those with results before the trials. With a part: what `own` has of
 * the part, the merged results, parts of another number of parts, and only the trials whose numbers are
 * `part` modulo n_parts. LS_ERR_OUTPUT, before anything is removed, if another process uses one of these
 * folders. */
ls_status sweep_remove(const char *folder, const char *own, uint64_t part, uint64_t n_parts);

/* A file of a trial that has trained for longer than its syncs are postponed: its files are synced. */
#define SWEEP_SYNCED "synced"

/* Local. Removes the run of a trial. LS_ERR_OUTPUT, also if another process trains it. */
ls_status sweep_remove_trial(const char *path);

/* ------------------------------------------------------------------------ groups.c */

/* A message between groups. */
typedef struct sweep_message {
  bool is_stop; /* the sweep stops; otherwise a result, for rank 0 */
  ls_sweep_row row;
  char text[700]; /* why the trial failed or diverged; or "" */
} sweep_message;

/* The groups of ranks. */
typedef struct sweep_groups {
  ls_comm *world; /* borrowed */
  ls_comm *mine;  /* owned; NULL on ranks without work */
  int n, size;    /* groups, and ranks of each */
  int index;      /* of this rank's group; -1: none */
  int *domains;   /* (ranks), owned: ranks with the same number share a counter */
  ls_shared counter;
  ls_mailbox *box;
  bool is_stopping; /* ranks of a group may differ */
  bool has_posted;
} sweep_groups;

/* Collective. Divides the ranks into groups of `size`. The caller destroys them, after a failure too. */
ls_status sweep_groups_create(ls_comm *world, int size, sweep_groups *groups);
void sweep_groups_destroy(sweep_groups *groups);

/* Local. Whether this rank reports the results of its group. */
bool sweep_groups_is_leader(const sweep_groups *groups);

/* Collective. Starts the assignment of trials anew. */
void sweep_groups_restart(sweep_groups *groups);

/* Collective over the group. The next of n trials that no group of its domain has. Returns n if there is
 * none, or if the sweep stops. */
uint64_t sweep_groups_claim(sweep_groups *groups, uint64_t n);

/* Collective over the group. Whether the sweep stops. Only the leader of a group is informed by others. */
bool sweep_groups_must_stop(const sweep_groups *groups);

/* Local. Stops the sweep, and informs the leaders of the other groups. */
void sweep_groups_stop(sweep_groups *groups);

/* ------------------------------------------------------------------------ report.c */

/* What a user sees, on rank 0. */
typedef struct sweep_report {
  bool is_terminal;
  int lines; /* of the table that is drawn */
  double drawn;
} sweep_report;

/* The state of a sweep. */
typedef struct sweep {
  ls_comm *world; /* borrowed */
  const ls_sweep_options *options;
  sweep_plan plan;
  char *base_text; /* owned */
  ls_job *base;    /* owned */
  bool is_maximized;
  uint64_t part, n_parts;
  ls_sweep_rungs rungs;
  sweep_groups groups;
  ls_setup *data;    /* owned: lends the data to the trials */
  ls_rundir dir;     /* rank 0 */
  char *folder;      /* owned: for the trials */
  char *table_path;  /* owned, rank 0 */
  sweep_table table; /* rank 0 */
  sweep_report report;
  double sync_due;     /* time when the postponed syncs of the trial are due; leaders */
  char *synced_path;   /* owned: SWEEP_SYNCED of the trial; leaders */
  double polled;       /* time of the last look for messages during a step */
  size_t rung;         /* the current one */
  uint64_t n_pending;  /* trials of the rung that are to be trained now */
  uint64_t n_ended;    /* of them; rank 0 */
  uint64_t *postponed; /* (trials), owned: trials of this group that need more memory than its share */
  uint64_t n_postponed;
  bool is_alone;      /* one group trains at a time */
  ls_status failure;  /* of this rank, which ends the sweep after the rung */
  char *failure_text; /* owned */
} sweep;

/* Local, on rank 0. */
void sweep_report_start(const sweep *s);
void sweep_report_rung(sweep *s);
void sweep_report_trial(sweep *s, const sweep_message *message);

/* Local, on rank 0. Redraws the table of the best trials and the bar, on a terminal. */
void sweep_report_draw(sweep *s);
void sweep_report_erase(sweep *s);

/* Local. The values of a trial: "optimizer.lr=0.01 model.0.units=64". */
const char *sweep_describe(const sweep_plan *plan, uint64_t trial, char *text, size_t size);

/* ------------------------------------------------------------------------- trial.c */

/* Collective over the group. Trains a trial up to the current rung, and sends its result to rank 0. */
void sweep_train_trial(sweep *s, uint64_t trial);

/* Local. Receives messages: rank 0 adds results to the table. context: the sweep */
void sweep_receive(void *context);

/* -------------------------------------------------------------------------- best.c */

/* Local, on rank 0. Writes best.yaml and best.h5 of the best trial, and reports it. LS_ERR_NUMERIC if no
 * trial has a value. */
ls_status sweep_write_best(sweep *s);

#endif
