/* lockstep info: the state of a run. */
#include "lockstep/report.h"

#include "info.h"

#include <limits.h>
#include <math.h>
#include <string.h>
#include <time.h>

#define TEXT_SIZE (4 * PATH_MAX)

static const char *const phases[] = {[LS_RUN_STOPPED] = "stopped",
                                     [LS_RUN_RUNNING] = "running",
                                     [LS_RUN_FINISHED] = "finished",
                                     [LS_RUN_UNKNOWN] = "unknown"};

/* The command that resumes the run in any place: its own config, with all --set. "": it cannot be resumed.
 */
static void make_command(const char *path, const ls_run_state *s, char text[TEXT_SIZE]) {
  char config[PATH_MAX + 16];
  text[0] = '\0';
  const bool has_begun = s->has_checkpoints || s->has_model || s->step > 0;
  if (has_begun && !s->can_resume) return; /* it would start anew */
  snprintf(config, sizeof config, "%s/config.yaml", path);
  ls_append(text, TEXT_SIZE, "lockstep train");
  app_add_word(text, TEXT_SIZE, config);
  ls_append(text, TEXT_SIZE, " --output");
  app_add_word(text, TEXT_SIZE, path);
}

/* ------------------------------------------------------------------------- text */

static void print_phase(const char *path, const ls_run_state *s) {
  printf("%s: %s", path, phases[s->phase]);
  if (s->phase == LS_RUN_RUNNING) printf(", %s", s->owner);
  if (s->phase == LS_RUN_UNKNOWN)
    printf(": perhaps used by %s", s->owner[0] ? s->owner : "a run that the lock does not name");
  printf("\n");
}

/* The best epoch, or why there is none. */
static void print_best(const ls_run_state *s) {
  if (s->best_epoch)
    printf("best         epoch %llu: %s %.6g\n", (unsigned long long)s->best_epoch, s->monitor, s->best);
  else if (s->epoch == 0)
    printf("best         no epoch has ended\n");
  else if (s->monitor[0])
    printf("best         unknown: metrics.csv has no value of %s\n", s->monitor);
  else
    printf("best         unknown: config.yaml, which names the monitor, is missing or not valid\n");
}

static void print_progress(const ls_run_state *s) {
  printf("progress     epoch %llu", (unsigned long long)s->epoch);
  if (s->epochs) printf(" of %llu", (unsigned long long)s->epochs);
  printf(", step %llu", (unsigned long long)s->step);
  if (s->steps)
    printf(" of %llu (%.0f %%)", (unsigned long long)s->steps,
           floor(100.0 * fmin(1.0, (double)s->step / (double)s->steps)));
  printf("\n");
  print_best(s);
}

/* "3 h 25 min", in units that fit. */
static const char *describe_time(double seconds, char text[64]) {
  const double minutes = floor(seconds / 60.0);
  if (seconds < 120.0)
    snprintf(text, 64, "%.0f s", seconds);
  else if (minutes < 120.0)
    snprintf(text, 64, "%.0f min %02.0f s", minutes, floor(seconds - 60.0 * minutes));
  else
    snprintf(text, 64, "%.0f h %02.0f min", floor(minutes / 60.0), minutes - 60.0 * floor(minutes / 60.0));
  return text;
}

static void print_end(const ls_run_state *s) {
  char left[64];
  char at[64] = "";
  const time_t end = time(NULL) + (time_t)fmin(s->left, 1e12);
  struct tm local;
  if (localtime_r(&end, &local)) strftime(at, sizeof at, "%Y-%m-%d %H:%M:%S", &local);
  describe_time(s->left, left);
  if (s->phase == LS_RUN_STOPPED)
    printf("; the rest takes about %s", left);
  else
    printf("; ends in about %s, at %s", left, at);
}

static void print_speed(const ls_run_state *s) {
  if (s->samples_per_second <= 0.0) {
    printf("speed        unknown before the end of an epoch\n");
    return;
  }
  printf("speed        %.0f samples/s, %.2f s per epoch", s->samples_per_second, s->per_epoch);
  if (!isnan(s->left)) print_end(s);
  printf("\n");
}

static void print_resume(const char *path, const ls_run_state *s) {
  char again[TEXT_SIZE];
  make_command(path, s, again);
  if (s->phase == LS_RUN_FINISHED)
    printf("resume       not needed: the model is %s/model.h5\n", path);
  else if (!again[0])
    printf("resume       not possible: no checkpoint is valid\n");
  else
    printf("resume       %s%s\n", s->phase == LS_RUN_RUNNING ? "if it stops: " : "", again);
}

/* ------------------------------------------------------------------ the command */

static void print_json(const char *path, const ls_run_state *s) {
  char again[TEXT_SIZE];
  make_command(path, s, again);
  app_json_open(NULL, '{');
  app_json_text("path", path);
  app_json_text("type", "run");
  app_json_text("state", phases[s->phase]);
  app_json_text("owner", s->owner[0] ? s->owner : NULL);
  APP_JSON_COUNTS({"epoch", (double)s->epoch}, {"epochs", s->epochs ? (double)s->epochs : NAN},
                  {"step", (double)s->step}, {"steps", s->steps ? (double)s->steps : NAN},
                  {"best_epoch", s->best_epoch ? (double)s->best_epoch : NAN});
  app_json_text("monitor", s->monitor[0] ? s->monitor : NULL);
  APP_JSON_NUMBERS({"best", s->best_epoch ? s->best : NAN},
                   {"samples_per_second", s->samples_per_second > 0.0 ? s->samples_per_second : NAN},
                   {"seconds_per_epoch", s->per_epoch > 0.0 ? s->per_epoch : NAN},
                   {"seconds_left", s->left});
  app_json_text("resume", s->phase == LS_RUN_FINISHED || !again[0] ? NULL : again);
  app_json_close('}');
  printf("\n");
}

ls_status app_info_print_run(const char *path, bool json) {
  ls_run_state state;
  LS_TRY(ls_run_state_read(path, &state));
  if (json) {
    print_json(path, &state);
    return LS_OK;
  }
  print_phase(path, &state);
  print_progress(&state);
  print_speed(&state);
  print_resume(path, &state);
  return LS_OK;
}
