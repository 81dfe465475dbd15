/* What a person sees of long work. */
#include "internal.h"

#include <unistd.h>

void explain_report(const char *what, uint64_t done, uint64_t all) {
  static double drawn;
  if (!isatty(STDERR_FILENO)) return;
  const double now = ls_clock();
  if (done < all && now - drawn < 0.1) return;
  drawn = now;
  char text[100] = "";
  if (done < all)
    snprintf(text, sizeof text, "%s: %llu of %llu", what, (unsigned long long)done,
             (unsigned long long)all);
  ls_log_bar(text);
}
