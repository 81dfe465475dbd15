/* Logging: information to stdout, warnings and errors to stderr, a copy to the log of the run. */
#include "lockstep/base.h"

#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BAR_SECONDS 0.1 /* between two drawings */

static bool enabled = true;
static bool is_quiet = false;
static bool spares_stdout = false;
static bool bar_shown = false;
static FILE *log_copy = NULL;
static char fatal_name[300];
static char fatal_path[PATH_MAX];

static const char *const prefixes[] = {"", "warning: ", "error: "};

void ls_log_enable(bool on) {
  enabled = on;
}

void ls_log_quiet(bool quiet) {
  is_quiet = quiet;
}

void ls_log_spare_stdout(void) {
  spares_stdout = true;
}

void ls_log_tee(FILE *file) {
  log_copy = file;
}

static void erase_bar(void) {
  if (!bar_shown) return;
  fputs("\r\033[K", stderr);
  bar_shown = false;
}

#define STAMP_MAX 32

static void make_stamp(char stamp[STAMP_MAX]) {
  const time_t now = time(NULL);
  struct tm local;
  stamp[0] = '\0';
  if (localtime_r(&now, &local)) strftime(stamp, STAMP_MAX, "%Y-%m-%d %H:%M:%S ", &local);
}

static void tee_line(const char *prefix, const char *text) {
  char stamp[STAMP_MAX];
  make_stamp(stamp);
  fprintf(log_copy, "%s%s%s\n", stamp, prefix, text);
  fflush(log_copy);
}

static void print_line(ls_log_level level, const char *text) {
  FILE *const out = level == LS_LOG_INFO && !spares_stdout ? stdout : stderr;
  erase_bar();
  fprintf(out, "%s%s%s\n", level == LS_LOG_INFO ? "" : "lockstep: ", prefixes[level], text);
  fflush(out);
}

void ls_log(ls_log_level level, const char *format, ...) {
  if (!enabled) return;
  char text[LS_MESSAGE_MAX];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);

  if (!is_quiet) print_line(level, text);
  if (log_copy) tee_line(prefixes[level], text);
}

void ls_log_note(const char *format, ...) {
  char text[LS_MESSAGE_MAX];
  va_list arguments;
  if (!log_copy) return;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  tee_line("", text);
}

void ls_log_bar(const char *text) {
  if (!enabled || is_quiet) return;
  erase_bar();
  if (text[0] == '\0') return;
  fprintf(stderr, "\r%s\033[K", text);
  fflush(stderr);
  bar_shown = true;
}

bool ls_log_bar_is_due(void) {
  static double due = 0.0;
  const double now = ls_clock();
  if (now < due || !isatty(STDERR_FILENO)) return false;
  due = now + BAR_SECONDS;
  return true;
}

void ls_log_fatal_set(const char *name, const char *path) {
  snprintf(fatal_name, sizeof fatal_name, "%s%s", name ? name : "", name ? ": " : "");
  snprintf(fatal_path, sizeof fatal_path, "%s", path ? path : "");
}

/* Ignores failures: there is no other place to report them. */
static void write_line(int descriptor, const char *line) {
  const ssize_t n = write(descriptor, line, strlen(line));
  (void)n;
}

void ls_log_fatal(const char *format, ...) {
  char text[LS_MESSAGE_MAX];
  char line[LS_MESSAGE_MAX + 400];
  char stamp[STAMP_MAX];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  snprintf(line, sizeof line, "lockstep: error: %s%s\n", fatal_name, text);
  write_line(STDERR_FILENO, line);
  const int file = fatal_path[0] ? open(fatal_path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NONBLOCK) : -1;
  if (file < 0) return;
  make_stamp(stamp);
  snprintf(line, sizeof line, "%serror: %s%s\n", stamp, fatal_name, text);
  write_line(file, line);
  close(file);
}
