/* Lines for people: stdout for information, stderr for the rest, a copy in the run's log. */
#include "lockstep/base.h"

#include <stdarg.h>
#include <time.h>

static bool enabled = true;
static bool bar_shown = false;
static FILE *tee = NULL;

static const char *const prefixes[] = {"", "warning: ", "error: "};

void ls_log_enable(bool on) {
  enabled = on;
}

void ls_log_tee(FILE *file) {
  tee = file;
}

static void wipe_bar(void) {
  if (!bar_shown) return;
  fputs("\r\033[K", stderr);
  bar_shown = false;
}

static void tee_line(const char *prefix, const char *text) {
  char stamp[32] = "";
  const time_t now = time(NULL);
  struct tm local;
  if (localtime_r(&now, &local)) strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M:%S ", &local);
  fprintf(tee, "%s%s%s\n", stamp, prefix, text);
  fflush(tee);
}

void ls_log(ls_log_level level, const char *format, ...) {
  if (!enabled) return;
  char text[LS_MESSAGE_MAX];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);

  wipe_bar();
  FILE *const out = level == LS_LOG_INFO ? stdout : stderr;
  fprintf(out, "%s%s%s\n", level == LS_LOG_INFO ? "" : "lockstep: ", prefixes[level], text);
  fflush(out);
  if (tee) tee_line(prefixes[level], text);
}

void ls_log_note(const char *format, ...) {
  char text[LS_MESSAGE_MAX];
  va_list arguments;
  if (!tee) return;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  tee_line("", text);
}

void ls_log_bar(const char *text) {
  if (!enabled) return;
  wipe_bar();
  if (text[0] == '\0') return;
  fprintf(stderr, "\r%s\033[K", text);
  fflush(stderr);
  bar_shown = true;
}
