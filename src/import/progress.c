/* The progress bar of an import. */
#include "internal.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define BAR_SECONDS   0.2 /* between two drawings */
#define GUESS_SECONDS 2.0 /* before the time left is shown */

/* Of the bar that is shown, or was last. */
static struct {
  const char *what;
  double started, drawn;
} bar;

void import_progress(const char *what, uint64_t done, uint64_t n, const char *unit) {
  char text[160];
  const double now = ls_clock();
  if (bar.what != what) bar.started = bar.drawn = now;
  bar.what = what;
  if (now - bar.drawn < BAR_SECONDS || !isatty(STDERR_FILENO)) return;
  bar.drawn = now;
  snprintf(text, sizeof text, "%s: %" PRIu64 " of %" PRIu64 " %s", what, done, n, unit);
  const double used = now - bar.started;
  if (used > GUESS_SECONDS && done > 0 && done < n) {
    const uint64_t left = (uint64_t)(used * ((double)(n - done) / (double)done));
    ls_append(text, sizeof text, ", %" PRIu64 ":%02" PRIu64 " left", left / 60, left % 60);
  }
  ls_log_bar(text);
}
