/* The trial of reading in place and of copies, see ls_sync_trial. */
#include "internal.h"

#include <math.h>

#define STEPS    5    /* of each kind in a trial, of which the first only warms up the caches */
#define INTERVAL 1024 /* steps between the starts of two trials: both together cost less than 0.5 % */
#define BETTER   0.97 /* a smaller advantage is noise */

/* Whether a step uses copies. */
static bool copies_at(const ls_sync_trial *t, uint64_t step) {
  return step < 2 * STEPS ? step >= STEPS : t->prefers;
}

static void choose(ls_sync_trial *t) {
  const double now = t->least[t->prefers];
  const double other = t->least[!t->prefers];
  if (!(other < BETTER * now)) return;
  t->prefers = !t->prefers;
  ls_log_note("the ranks of a node now %s", t->prefers
                                                ? "exchange copies of gradients and parameters"
                                                : "read each other's gradients and parameters in place");
}

void sync_trial_start(ls_sync_trial *t) {
  *t = (ls_sync_trial){.least = {INFINITY, INFINITY}};
}

void sync_trial_advance(ls_sync_trial *t, double seconds) {
  const double now = ls_clock();
  const uint64_t timed = t->step - 1; /* `seconds` belongs to the step before the one that ends now */
  if (t->step > 0 && timed < 2 * STEPS && timed % STEPS > 0) {
    double *const least = &t->least[copies_at(t, timed)];
    *least = fmin(*least, seconds);
  }
  if (t->step == 2 * STEPS) choose(t);
  t->seconds = t->ended > 0.0 ? now - t->ended : 0.0;
  t->ended = now;
  t->step = (t->step + 1) % INTERVAL;
  if (t->step == 0) t->least[0] = t->least[1] = INFINITY;
  t->copies = copies_at(t, t->step);
}
