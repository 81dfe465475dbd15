/* What a user sees: on a terminal a table of the best trials with a bar, otherwise a line for each result.
 */
#include "internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BEST_SHOWN   5
#define BAR_WIDTH    24
#define DRAW_SECONDS 0.2

const char *sweep_describe(const sweep_plan *plan, uint64_t trial, char *text, size_t size) {
  char value[LS_SWEEP_VALUE_MAX];
  text[0] = '\0';
  for (size_t k = 0; k < plan->n_parameters; k++) {
    sweep_value(plan, trial, k, value);
    ls_append(text, size, "%s%s=%s", k > 0 ? " " : "", plan->parameters[k].key, value);
  }
  return text;
}

void sweep_report_start(const sweep *s) {
  const sweep_groups *const g = &s->groups;
  const int idle = ls_comm_size(s->world) - g->n * g->size;
  ls_log(LS_LOG_INFO, "sweep: %llu trials of %s on %d group%s of %d rank%s; output %s",
         (unsigned long long)s->plan.trials, s->plan.base_path, g->n, g->n == 1 ? "" : "s", g->size,
         g->size == 1 ? "" : "s", s->folder);
  if (idle > 0)
    ls_log(LS_LOG_WARNING, "%d of %d ranks have no work, as ranks_per_trial is %d", idle,
           ls_comm_size(s->world), g->size);
}

void sweep_report_rung(sweep *s) {
  const uint64_t n = s->rungs.trials[s->rung];
  s->report.is_terminal = isatty(STDERR_FILENO);
  sweep_report_erase(s);
  if (s->rungs.n > 1)
    ls_log(LS_LOG_INFO, "rung %zu of %zu: %llu trial%s to epoch %llu, %llu left", s->rung, s->rungs.n - 1,
           (unsigned long long)n, n == 1 ? "" : "s", (unsigned long long)s->rungs.epochs[s->rung],
           (unsigned long long)s->n_pending);
  else if (s->n_pending < s->plan.trials)
    ls_log(LS_LOG_INFO, "%llu trial%s left", (unsigned long long)s->n_pending,
           s->n_pending == 1 ? "" : "s");
}

/* The value of a row, or why it has none. */
static const char *describe_value(const sweep *s, const ls_sweep_row *row, char *text, size_t size) {
  if (row->state == LS_TRIAL_DONE && !isnan(row->value))
    snprintf(text, size, "%s %.4f", s->table.monitor, row->value);
  else if (row->state == LS_TRIAL_DONE)
    snprintf(text, size, "%s has no value", s->table.monitor);
  else
    snprintf(text, size, "%s", row->state == LS_TRIAL_DIVERGED ? "diverged" : "failed");
  return text;
}

void sweep_report_trial(sweep *s, const sweep_message *message) {
  const ls_sweep_row *const row = &message->row;
  char value[128];
  char parameters[1024];
  const bool is_failure = row->state == LS_TRIAL_FAILED;
  if (s->report.is_terminal && isatty(STDOUT_FILENO) && !is_failure) return;
  sweep_report_erase(s);
  fprintf(is_failure ? stderr : stdout, "%strial %llu  rung %llu  epochs %llu  %s  %.1f s  %s%s%s\n",
          is_failure ? "lockstep: warning: " : "", (unsigned long long)row->trial,
          (unsigned long long)row->rung, (unsigned long long)row->epochs,
          describe_value(s, row, value, sizeof value), row->seconds,
          sweep_describe(&s->plan, row->trial, parameters, sizeof parameters), is_failure ? ": " : "",
          is_failure ? message->text : "");
  fflush(is_failure ? stderr : stdout);
}

/* ------------------------------------------------------------------------ on a terminal */

void sweep_report_erase(sweep *s) {
  if (s->report.lines > 0) fprintf(stderr, "\r\033[%dA\033[J", s->report.lines);
  s->report.lines = 0;
}

/* The columns of the terminal; a longer line would fill two. */
static size_t count_columns(void) {
  struct winsize size = {0};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1U : 79U;
}

/* Position i of the ranking. */
static void draw_trial(const sweep *s, size_t i, uint64_t trial, size_t columns) {
  char line[512];
  char value[128];
  char parameters[256];
  const ls_sweep_row *const row = sweep_table_row(&s->table, s->rung, trial);
  snprintf(line, sizeof line, "%2zu. trial %-5llu %s  %s", i + 1, (unsigned long long)trial,
           describe_value(s, row, value, sizeof value),
           sweep_describe(&s->plan, trial, parameters, sizeof parameters));
  fprintf(stderr, "%.*s\n", ls_clip(line, columns), line);
}

static void draw_bar(const sweep *s) {
  const double part = s->n_pending > 0 ? (double)s->n_ended / (double)s->n_pending : 1.0;
  const int filled = (int)(BAR_WIDTH * part);
  fprintf(stderr, "rung %zu/%zu [%.*s%.*s] %llu of %llu trials\n", s->rung, s->rungs.n - 1, filled,
          "########################", BAR_WIDTH - filled, "........................",
          (unsigned long long)s->n_ended, (unsigned long long)s->n_pending);
}

void sweep_report_draw(sweep *s) {
  const double now = ls_clock();
  if (!s->report.is_terminal || now - s->report.drawn < DRAW_SECONDS) return;
  uint64_t *const trials = ls_calloc(s->table.n_trials, sizeof *trials);
  const size_t columns = count_columns();
  s->report.drawn = now;
  sweep_report_erase(s);
  const size_t n = trials ? sweep_table_rank(&s->table, s->rung, s->is_maximized, trials) : 0;
  for (size_t i = 0; i < n && i < BEST_SHOWN; i++) {
    LS_ASSERT(trials);
    draw_trial(s, i, trials[i], columns);
    s->report.lines++;
  }
  draw_bar(s);
  s->report.lines++;
  fflush(stderr);
  free(trials);
}
