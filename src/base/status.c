/* Failure messages and bugs. */
#include "lockstep/base.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local char last_message[LS_MESSAGE_MAX];
static void (*bug_handler)(void);

ls_status ls_fail(ls_status status, const char *format, ...) {
  /* Formatted into a separate buffer first, because the arguments may point into last_message. */
  char text[LS_MESSAGE_MAX];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  memcpy(last_message, text, sizeof last_message);
  return status;
}

ls_status ls_fail_memory(const char *what, size_t bytes) {
  return ls_fail(LS_ERR_INTERNAL, "out of memory: %s needs %.1f MB", what, (double)bytes / 1e6);
}

const char *ls_message(void) {
  return last_message;
}

void ls_bug(const char *file, int line, const char *what) {
  ls_log_fatal("internal error at %s:%d: %s", file, line, what);
  if (bug_handler) bug_handler();
  exit(LS_ERR_INTERNAL);
}

void ls_bug_handler_set(void (*handler)(void)) {
  bug_handler = handler;
}
