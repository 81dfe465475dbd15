/* Training a trial up to the current rung. */
#include "internal.h"
#include "lockstep/store.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Records the failure in ls_message(), unless there is one already. */
static void note_failure(sweep *s, ls_status status) {
  if (s->failure != LS_OK) return;
  s->failure = status;
  s->failure_text = ls_strdup(ls_message());
}

/* -------------------------------------------------------------------------- messages */

/* Rank 0. */
static void add_result(sweep *s, const sweep_message *message) {
  const ls_status status = sweep_table_append(&s->table, &s->dir, s->table_path, &message->row);
  s->n_ended++;
  sweep_report_trial(s, message);
  if (status == LS_OK) return;
  note_failure(s, status);
  sweep_groups_stop(&s->groups); /* what cannot be recorded would be trained in vain */
}

void sweep_receive(void *context) {
  sweep *const s = context;
  sweep_message message;
  while (ls_mailbox_receive(s->groups.box, &message))
    if (message.is_stop)
      s->groups.is_stopping = true;
    else
      add_result(s, &message);
  if (ls_stop_signal() != 0) sweep_groups_stop(&s->groups);
  if (ls_comm_rank(s->world) == 0) sweep_report_draw(s);
}

/* The leader of the group. Syncs the files of a trial that trains for long: from now on, they are synced as
 * they are written. */
static void sync_long_trial(sweep *s) {
  ls_text_file file;
  s->sync_due = INFINITY;
  ls_status status = ls_store_sync_postponed();
  if (status == LS_OK) status = ls_text_end(&file, ls_text_begin(&file, s->synced_path));
  if (status == LS_OK) return;
  note_failure(s, status);
  sweep_groups_stop(&s->groups);
}

#define POLL_SECONDS 2e-3 /* a step may be much shorter, and MPI may yield the core whenever it looks */

/* Before each step. */
static bool must_stop(void *context) {
  sweep *const s = context;
  const double now = ls_clock();
  if (now - s->polled >= POLL_SECONDS) {
    s->polled = now;
    sweep_receive(s);
    if (now >= s->sync_due) sync_long_trial(s);
  }
  return s->groups.is_stopping;
}

/* -------------------------------------------------------------------------- the run */

/* The epoch at which a trial pauses; 0: none, in the last rung. */
static uint64_t pause_of(const sweep *s) {
  return s->rung + 1 < s->rungs.n ? s->rungs.epochs[s->rung] : 0;
}

/* A trial in a later state than its rung has lost its rows. */
static ls_status check_epoch(const sweep *s, const char *output, const ls_train_result *result) {
  const uint64_t until = pause_of(s);
  if (until == 0 || result->epoch <= until) return LS_OK;
  return ls_fail(LS_ERR_OUTPUT,
                 "%s: is at epoch %llu, but trials.csv lacks its row of rung %zu, at epoch %llu; restore "
                 "trials.csv, or start again with --overwrite",
                 output, (unsigned long long)result->epoch, s->rung, (unsigned long long)until);
}

/* Whether a failed start is a result: the values of the trial cannot be trained. A trial that is resumed
 * has had a start, and so has one that continues from an earlier rung. */
static bool is_of_values(const sweep *s, bool is_resumed, ls_status status) {
  return s->rung == 0 && !is_resumed && (status == LS_ERR_CONFIG || status == LS_ERR_DATA);
}

/* How a trial has ended. The same on all ranks of the group. */
typedef struct outcome {
  ls_status status;
  bool is_result;    /* instead of a failure of the machine */
  bool lacks_memory; /* which the other groups use */
  ls_train_result result;
} outcome;

/* Collective over the group. */
static void train(sweep *s, uint64_t trial, const char *output, outcome *end) {
  ls_comm *const comm = s->groups.mine;
  ls_job *job = NULL;
  ls_setup *setup = NULL;
  ls_modelfile *resumed = NULL;
  const ls_train_options options = {.resume = "auto",
                                    .command = s->options->command,
                                    .found = &resumed,
                                    .until_epoch = pause_of(s),
                                    .must_stop = must_stop,
                                    .context = s,
                                    .result = &end->result};
  ls_status status = ls_comm_agree(comm, sweep_job_create(&s->plan, s->base_text, trial, output, &job));
  end->is_result = is_of_values(s, false, status);
  if (status == LS_OK) {
    job->lender = s->data;
    job->is_alone = s->is_alone;
    status = ls_train_find_resumed(comm, job, &options, &resumed);
  }
  if (status == LS_OK) {
    status = ls_setup_create(comm, job, resumed, &setup);
    end->is_result = is_of_values(s, resumed != NULL, status);
  }
  if (status == LS_OK) {
    status = ls_train(comm, setup, &options);
    end->is_result = job->is_too_large && is_of_values(s, resumed != NULL, status);
  }
  end->lacks_memory = job && job->lacks_memory;
  if (status == LS_OK) status = check_epoch(s, output, &end->result);
  if (status == LS_OK || status == LS_ERR_NUMERIC) end->is_result = true;
  end->status = status;
  ls_modelfile_close(&resumed);
  ls_setup_destroy(comm, &setup);
  ls_job_destroy(&job);
}

/* Rank 0 of the group. */
static void send_result(sweep *s, uint64_t trial, const ls_train_result *result, ls_trial_state state) {
  sweep_message message = {.row = {.trial = trial,
                                   .rung = s->rung,
                                   .epochs = result->epoch,
                                   .state = state,
                                   .value = NAN,
                                   .seconds = result->seconds}};
  const bool has_value = state == LS_TRIAL_DONE && result->best_epoch > 0 && isfinite(result->best_value);
  if (has_value) message.row.value = result->best_value;
  if (state != LS_TRIAL_DONE) snprintf(message.text, sizeof message.text, "%s", ls_message());
  if (ls_comm_rank(s->world) == 0)
    add_result(s, &message);
  else
    ls_mailbox_send(s->groups.box, 0, &message);
}

/* Postpones a trial that needs memory which the other groups use. */
static void postpone(sweep *s, uint64_t trial) {
  s->postponed[s->n_postponed++] = trial;
  if (ls_comm_rank(s->world) == 0) sweep_report_erase(s);
  ls_log_enable(sweep_groups_is_leader(&s->groups));
  ls_log(LS_LOG_INFO, "trial %llu trains after the others of its rung: %s", (unsigned long long)trial,
         ls_message());
  ls_log_enable(ls_comm_rank(s->world) == 0);
}

/* A failure of the machine ends the sweep, but not the other trials. */
static void note_outcome(sweep *s, uint64_t trial, const outcome *end) {
  const ls_trial_state state = end->status == LS_OK            ? LS_TRIAL_DONE
                               : end->status == LS_ERR_NUMERIC ? LS_TRIAL_DIVERGED
                                                               : LS_TRIAL_FAILED;
  if (end->status == LS_STOPPED) sweep_groups_stop(&s->groups);
  if (end->lacks_memory)
    postpone(s, trial);
  else if (!sweep_groups_is_leader(&s->groups))
    return;
  else if (end->is_result)
    send_result(s, trial, &end->result, state);
  else if (end->status != LS_STOPPED)
    note_failure(s, ls_fail(end->status, "trial %llu: %s", (unsigned long long)trial, ls_message()));
}

/* ------------------------------------------------------------------- files of the trial */

/* The leader of the group. Removes a trial of which a power failure has left files that do not belong
 * together: its row, if it has one, is of an earlier rung, and training it again gives the same row. */
static ls_status remove_damaged(sweep *s, uint64_t trial, const char *output) {
  bool is_intact = false;
  LS_TRY(ls_train_check_intact(output, &is_intact));
  if (is_intact) return LS_OK;
  if (ls_comm_rank(s->world) == 0) sweep_report_erase(s);
  ls_log(LS_LOG_WARNING,
         "trial %llu: files in %s are damaged or missing, as after a power failure; it starts anew",
         (unsigned long long)trial, output);
  return sweep_remove_trial(output);
}

#define POSTPONED_SECONDS 60.0 /* a trial that trains for longer is as safe as any run */

/* The leader of the group. Small trials would spend much of their time on syncs: those of a trial are
 * postponed until it ends, or has trained for long. */
static ls_status begin_postponed(sweep *s, uint64_t trial, const char *output) {
  s->synced_path = ls_format("%s/" SWEEP_SYNCED, output);
  if (!s->synced_path) return ls_fail_memory("a path", strlen(output));
  if (ls_rundir_exists(s->synced_path)) return LS_OK;
  LS_TRY(remove_damaged(s, trial, output));
  ls_store_postpone_syncs(output, POSTPONED_SECONDS);
  s->sync_due = ls_clock() + POSTPONED_SECONDS;
  return LS_OK;
}

/* Collective over the group. Prepares the files of a trial. */
static ls_status begin_files(sweep *s, uint64_t trial, const char *output) {
  ls_status status = output ? LS_OK : ls_fail_memory("a path", 0);
  s->sync_due = INFINITY;
  if (status == LS_OK && sweep_groups_is_leader(&s->groups)) status = begin_postponed(s, trial, output);
  return ls_comm_agree(s->groups.mine, status);
}

/* Collective over the group. Syncs the files of a trial, before its row is written. */
static void end_files(sweep *s, outcome *end) {
  const bool is_leader = sweep_groups_is_leader(&s->groups);
  const ls_status synced = ls_comm_agree(s->groups.mine, is_leader ? ls_store_sync_postponed() : LS_OK);
  free(s->synced_path);
  s->synced_path = NULL;
  if (synced == LS_OK) return;
  end->is_result = end->lacks_memory = false;
  end->status = synced;
}

/* The lines of the trial go to its log only. */
void sweep_train_trial(sweep *s, uint64_t trial) {
  const bool is_root = ls_comm_rank(s->world) == 0;
  outcome end = {.is_result = false};
  char *const output = sweep_trial_folder(s->folder, trial);
  ls_log_enable(sweep_groups_is_leader(&s->groups));
  end.status = begin_files(s, trial, output);
  ls_log_quiet(true);
  if (end.status == LS_OK) train(s, trial, output, &end);
  end_files(s, &end);
  ls_log_quiet(false);
  ls_log_enable(is_root);
  ls_comm_set_log(s->world, NULL);
  note_outcome(s, trial, &end);
  free(output);
}
