/* A sweep from its file to its best trial. */
#include "internal.h"

#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool is_root(const sweep *s) {
  return ls_comm_rank(s->world) == 0;
}

/* ------------------------------------------------------------------------ the config */

/* Collective. Reads a config file on all ranks; *text is owned by the caller. */
static ls_status load(sweep *s, const char *path, char **text) {
  LS_TRY(ls_comm_agree(s->world, is_root(s) ? ls_config_load(path, text) : LS_OK));
  return ls_comm_broadcast_text(s->world, text);
}

/* Collective. */
static ls_status read_plan(sweep *s) {
  char *text = NULL;
  ls_status status = load(s, s->options->path, &text);
  if (status == LS_OK) status = ls_comm_agree(s->world, sweep_plan_read(text, s->options, &s->plan));
  free(text);
  if (status != LS_OK) return status;
  const uint64_t ranks = (uint64_t)ls_comm_size(s->world);
  ls_node *const root = ls_config_root(s->plan.config);
  if (s->plan.ranks_per_trial > ranks)
    ls_config_error(s->plan.config, ls_node_find(root, "ranks_per_trial"),
                    "more ranks than there are; must be at most %llu, the number of ranks",
                    (unsigned long long)ranks);
  if (s->n_parts > 1 && s->plan.search == SWEEP_HALVING)
    ls_config_error(s->plan.config, ls_node_find(root, "search"),
                    "compares all trials after each rung; cannot be used with --part");
  return LS_OK;
}

/* Local. The errors of the sweep file, in ls_message(), together with those of the base. base_text: NULL if
 * memory is short */
static ls_status join_errors(ls_status own, ls_status base, const char *base_text) {
  if (!base_text) return ls_fail_memory("a message", 0);
  if (base == LS_OK) return own;
  return own == LS_OK ? ls_fail(base, "%s", base_text)
                      : ls_fail(LS_ERR_CONFIG, "%s\n%s", ls_message(), base_text);
}

/* Collective. Reads the base, and checks it and the trials: all errors are reported together. */
static ls_status read_base(sweep *s) {
  ls_status status = s->plan.base ? load(s, s->plan.base_path, &s->base_text) : LS_OK;
  if (s->base_text) status = sweep_job_create(&s->plan, s->base_text, UINT64_MAX, NULL, &s->base);
  char *const text = ls_strdup(ls_message());
  ls_status own = ls_config_status(s->plan.config);
  const bool is_wrong = own != LS_OK || status != LS_OK; /* else the trials are checked */
  own = is_wrong && s->base_text ? sweep_check_parameters(&s->plan, s->base_text) : LS_OK;
  if (own == LS_OK) own = ls_config_status(s->plan.config);
  status = ls_comm_agree(s->world, join_errors(own, status, text));
  free(text);
  LS_TRY(status);
  const bool checks = is_root(s);
  LS_TRY(ls_comm_agree(s->world, checks ? sweep_check_trials(&s->plan, s->base_text) : LS_OK));
  s->rungs = sweep_rungs_of(&s->plan, s->base->train.epochs);
  s->is_maximized = ls_column_is_maximized(s->base, ls_column_find(s->base, s->base->train.monitor));
  return LS_OK;
}

/* Local. "I/N" */
static ls_status read_part(sweep *s) {
  const char *const text = s->options->part;
  char *end = NULL;
  s->n_parts = 1;
  if (!text) return LS_OK;
  s->part = strtoull(text, &end, 10);
  if (end != text && *end == '/') s->n_parts = strtoull(end + 1, &end, 10);
  if (*end == '\0' && text[0] != '-' && s->n_parts > 0 && s->n_parts <= SWEEP_TRIALS_MAX &&
      s->part < s->n_parts)
    return LS_OK;
  return ls_fail(LS_ERR_CONFIG, "--part %s: must be I/N with I from 0 to N - 1, for example 0/4", text);
}

/* -------------------------------------------------------------------- the directory */

/* Rank 0. The directory that has table and lock: that of the sweep, or of this part of it. */
static ls_status make_paths(sweep *s) {
  char *const folder = s->options->part
                           ? ls_format("%s/parts/%llu-of-%llu", s->folder, (unsigned long long)s->part,
                                       (unsigned long long)s->n_parts)
                           : ls_strdup(s->folder);
  const ls_status status = folder ? ls_rundir_create(&s->dir, folder) : ls_fail_memory("a path", 0);
  if (status == LS_OK) s->table_path = ls_format("%s/trials.csv", folder);
  free(folder);
  return status == LS_OK && !s->table_path ? ls_fail_memory("a path", 0) : status;
}

/* In a job that Slurm has restarted, --overwrite was done at the first start. */
static bool overwrites(const sweep *s) {
  const char *const restarts = getenv("SLURM_RESTART_COUNT");
  const bool is_requeued = restarts && strtoul(restarts, NULL, 10) > 0;
  if (s->options->overwrite && is_requeued)
    ls_log(LS_LOG_WARNING, "--overwrite is ignored, as this job was requeued (SLURM_RESTART_COUNT is %s)",
           restarts);
  return s->options->overwrite && !is_requeued;
}

/* Rank 0. Locks the directory. */
static ls_status open_folder(sweep *s) {
  LS_TRY(make_paths(s));
  LS_TRY(ls_rundir_lock_existing(&s->dir));
  if (ls_rundir_has_run(&s->dir))
    return ls_fail(LS_ERR_OUTPUT, "%s: the directory has a run; choose another output", s->dir.folder);
  return ls_rundir_lock(&s->dir);
}

/* Rank 0. Adds the rows of a part, if its trials are those of this sweep. */
static ls_status read_folder(sweep *s, const char *folder) {
  LS_TRY(sweep_check_config(&s->plan, s->data, s->folder, folder));
  char *const path = ls_format("%s/trials.csv", folder);
  const ls_status status =
      path ? sweep_table_read(&s->table, path) : ls_fail_memory("a path", strlen(folder));
  free(path);
  return status;
}

/* Rank 0. Adds the rows of a sweep in parts. */
static ls_status read_parts(sweep *s) {
  glob_t found = {0};
  char *const pattern = ls_format("%s/parts/*", s->folder);
  if (!pattern) return ls_fail_memory("a path", strlen(s->folder));
  ls_status status = LS_OK;
  if (glob(pattern, 0, NULL, &found) == 0)
    for (size_t i = 0; i < found.gl_pathc && status == LS_OK; i++)
      status = read_folder(s, found.gl_pathv[i]);
  globfree(&found);
  free(pattern);
  return status;
}

/* Rank 0. Makes the folder of the trials: a trial that fails at its start removes the folders that it has
 * made, but not this one, which another may need. */
static ls_status make_trials(const sweep *s) {
  char *const path = ls_format("%s/trials", s->folder);
  if (!path) return ls_fail_memory("a path", strlen(s->folder));
  const bool is_made = mkdir(path, 0777) == 0 || errno == EEXIST;
  const ls_status status = is_made ? LS_OK : ls_fail(LS_ERR_OUTPUT, "%s: %s", path, strerror(errno));
  free(path);
  return status;
}

/* Rank 0. Resumes or starts the table. An earlier sweep is removed only now, when the data are open. */
static ls_status open_table(sweep *s) {
  if (overwrites(s)) LS_TRY(sweep_remove(s->folder, s->dir.folder, s->part, s->n_parts));
  LS_TRY(make_trials(s));
  LS_TRY(sweep_check_config(&s->plan, s->data, s->folder, s->dir.folder));
  LS_TRY(sweep_save_config(&s->plan, s->data, s->dir.folder));
  LS_TRY(sweep_table_create(&s->plan, s->base->train.monitor, s->rungs.n, &s->table));
  LS_TRY(sweep_table_read(&s->table, s->table_path));
  if (!s->options->part) LS_TRY(read_parts(s));
  return sweep_table_write(&s->table, s->table_path);
}

/* Collective. Opens all that the trials need. */
static ls_status open_sweep(sweep *s) {
  s->folder = ls_strdup(s->plan.output);
  LS_TRY(ls_comm_agree(s->world, s->folder ? LS_OK : ls_fail_memory("a path", strlen(s->plan.output))));
  for (size_t n = strlen(s->folder); n > 1 && s->folder[n - 1] == '/'; n--) s->folder[n - 1] = '\0';
  LS_TRY(ls_comm_agree(s->world, is_root(s) ? open_folder(s) : LS_OK));
  LS_TRY(sweep_groups_create(s->world, (int)s->plan.ranks_per_trial, &s->groups));
  LS_TRY(ls_setup_create_lender(s->world, s->base, sweep_groups_is_leader(&s->groups), &s->data));
  return ls_comm_agree(s->world, is_root(s) ? open_table(s) : LS_OK);
}

/* ------------------------------------------------------------------------- the rungs */

/* Rank 0. The trials of the current rung: all of this part, or the best of the rung before. trials:
 * (n_trials) */
static size_t choose_trials(const sweep *s, uint64_t *trials) {
  size_t n = 0;
  if (s->rung > 0) {
    n = sweep_table_rank(&s->table, s->rung - 1, s->is_maximized, trials);
    return ls_size_min(n, s->rungs.trials[s->rung]);
  }
  for (uint64_t i = s->part; i < s->plan.trials; i += s->n_parts) trials[n++] = i;
  return n;
}

/* Rank 0. Leaves out those that the table has. */
static void drop_ended(const sweep *s, uint64_t *trials, size_t *n) {
  size_t kept = 0;
  for (size_t i = 0; i < *n; i++)
    if (sweep_table_row(&s->table, s->rung, trials[i])->state == LS_TRIAL_ABSENT)
      trials[kept++] = trials[i];
  *n = kept;
}

/* Collective. trials: (n_trials), becomes those to train; returns whether the rung has any trial. */
static bool begin_rung(sweep *s, uint64_t *trials) {
  size_t n = is_root(s) ? choose_trials(s, trials) : 0;
  bool has_trials = n > 0;
  if (is_root(s)) drop_ended(s, trials, &n);
  s->n_pending = n;
  s->n_ended = 0;
  ls_comm_broadcast(s->world, &has_trials, sizeof has_trials);
  ls_comm_broadcast(s->world, &s->n_pending, sizeof s->n_pending);
  ls_comm_broadcast(s->world, trials, s->n_pending * sizeof *trials);
  if (is_root(s)) sweep_report_rung(s);
  sweep_groups_restart(&s->groups);
  return has_trials;
}

/* Rank 0. */
static ls_status order_table(const sweep *s) {
  LS_TRY(ls_rundir_check_lock(&s->dir));
  return sweep_table_write(&s->table, s->table_path);
}

/* Collective. LS_STOPPED if the sweep was asked to stop. */
static ls_status end_rung(sweep *s) {
  ls_mailbox_wait(s->world, s->groups.box, sweep_receive, s);
  uint64_t counts[] = {s->groups.is_stopping, s->n_ended};
  ls_status status =
      s->failure == LS_OK ? LS_OK : ls_fail(s->failure, "%s", s->failure_text ? s->failure_text : "");
  if (is_root(s)) sweep_report_erase(s);
  ls_comm_sum_u64(s->world, counts, 2);
  LS_TRY(ls_comm_agree(s->world, status));
  if (counts[0] > 0 && counts[1] < s->n_pending)
    return ls_fail(
        LS_STOPPED,
        "stopped by a signal or train.max_time: %llu of %llu trials of rung %zu are left, saved in "
        "%s; to resume, on any number of ranks, run: %s",
        (unsigned long long)(s->n_pending - counts[1]), (unsigned long long)s->n_pending, s->rung,
        s->folder, s->options->command ? s->options->command : "the same command without --overwrite");
  return ls_comm_agree(s->world, is_root(s) ? order_table(s) : LS_OK);
}

/* Collective over the group. Trains the trials that this group takes. */
static void train_trials(sweep *s, const uint64_t *trials) {
  s->n_postponed = 0;
  while (s->groups.mine) {
    sweep_receive(s); /* trials that cannot start have no steps at which to look */
    const uint64_t i = sweep_groups_claim(&s->groups, s->n_pending);
    if (i >= s->n_pending) break;
    sweep_train_trial(s, trials[i]);
  }
}

/* Collective. Trains the trials that need more memory than the share of their group: one group after the
 * other, while the rest of the ranks wait. */
static void train_postponed(sweep *s) {
  uint64_t n = s->n_postponed;
  ls_mailbox_wait(s->world, s->groups.box, sweep_receive, s);
  ls_comm_sum_u64(s->world, &n, 1);
  s->is_alone = true;
  for (int group = 0; n > 0 && group < s->groups.n; group++) {
    for (uint64_t i = 0;
         group == s->groups.index && i < s->n_postponed && !sweep_groups_must_stop(&s->groups); i++)
      sweep_train_trial(s, s->postponed[i]);
    ls_mailbox_wait(s->world, s->groups.box, sweep_receive, s);
  }
  s->is_alone = false;
}

/* Collective. */
static ls_status run_rungs(sweep *s, uint64_t *trials) {
  for (s->rung = 0; s->rung < s->rungs.n; s->rung++) {
    if (!begin_rung(s, trials)) break;
    train_trials(s, trials);
    train_postponed(s);
    LS_TRY(end_rung(s));
  }
  return LS_OK;
}

/* Local. What follows the last rung, on rank 0. */
static ls_status conclude(sweep *s) {
  if (!s->options->part) return sweep_write_best(s);
  ls_log(LS_LOG_INFO, "done: %s; after all parts, run the command without --part for the best trial",
         s->table_path);
  return LS_OK;
}

/* Collective. */
static ls_status run(sweep *s) {
  uint64_t *const trials = ls_calloc(s->plan.trials, sizeof *trials);
  s->postponed = ls_calloc(s->plan.trials, sizeof *trials);
  const bool has_memory = trials && s->postponed;
  ls_status status = ls_comm_agree(
      s->world, has_memory ? LS_OK : ls_fail_memory("the list of trials", s->plan.trials * sizeof *trials));
  if (status == LS_OK && is_root(s)) sweep_report_start(s);
  if (status == LS_OK) {
    LS_ASSERT(trials && s->postponed);
    status = run_rungs(s, trials);
  }
  free(trials);
  LS_TRY(status);
  return ls_comm_agree(s->world, is_root(s) ? conclude(s) : LS_OK);
}

/* Collective. */
static void destroy(sweep *s) {
  ls_setup_destroy(s->world, &s->data);
  sweep_groups_destroy(&s->groups);
  sweep_table_destroy(&s->table);
  ls_rundir_destroy(&s->dir);
  ls_job_destroy(&s->base);
  sweep_plan_destroy(&s->plan);
  free(s->folder);
  free(s->table_path);
  free(s->base_text);
  free(s->failure_text);
  free(s->postponed);
}

ls_status ls_sweep_run(ls_comm *comm, const ls_sweep_options *options) {
  sweep s = {.world = comm, .options = options};
  ls_status status = ls_comm_agree(comm, read_part(&s));
  if (status == LS_OK) status = read_plan(&s);
  if (status == LS_OK) status = read_base(&s);
  if (status == LS_OK) status = open_sweep(&s);
  if (status == LS_OK) status = run(&s);
  destroy(&s);
  return status;
}
