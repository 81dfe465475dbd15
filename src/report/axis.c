/* Axes: ranges, ticks and their labels. */
#include "page.h"

#include <math.h>
#include <string.h>

#define TICKS_WANTED 5

/* The distance of ticks: 1, 2 or 5 times a power of ten. */
static double step_for(double range) {
  const double raw = range / TICKS_WANTED;
  const double power = pow(10.0, floor(log10(raw)));
  const double share = raw / power;
  return power * (share <= 1.0 ? 1.0 : share <= 2.0 ? 2.0 : share <= 5.0 ? 5.0 : 10.0);
}

report_axis report_axis_make(double low, double high, bool is_log, bool is_round, double from, double to) {
  report_axis axis = {.low = low, .high = high, .from = from, .to = to, .is_log = is_log};
  const double margin = fmax(fabs(low) * 0.05, 1e-12);
  const bool is_narrow = high - low < 1e-9 * fmax(fabs(low), fabs(high)) || high <= low;
  if (is_narrow && is_log) axis = (report_axis){low / 2.0, high * 2.0, from, to, true};
  if (is_narrow && !is_log) axis = (report_axis){low - margin, high + margin, from, to, false};
  if (low == 0.0 && high == 0.0) axis = (report_axis){0.0, 1.0, from, to, false};
  if (!is_round || is_log) return axis;
  const double step = step_for(axis.high - axis.low);
  axis.low = step * floor(axis.low / step + 1e-9);
  axis.high = step * ceil(axis.high / step - 1e-9);
  return axis;
}

double report_place(const report_axis *axis, double value) {
  const double share = axis->is_log ? log(value / axis->low) / log(axis->high / axis->low)
                                    : (value - axis->low) / (axis->high - axis->low);
  return axis->from + (axis->to - axis->from) * share;
}

double report_place_within(const report_axis *axis, double value) {
  return report_place(axis, fmin(fmax(value, axis->low), axis->high));
}

int report_compare_numbers(const void *a, const void *b) {
  const double x = *(const double *)a;
  const double y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Powers of ten and, if there are few, 2 and 5 times these. */
static size_t log_ticks(const report_axis *axis, double ticks[REPORT_TICKS_MAX]) {
  static const double factors[] = {1.0, 2.0, 5.0};
  const double decades = log10(axis->high / axis->low);
  const size_t n_factors = decades < 2.5 ? 3 : 1;
  const int stride = (int)fmax(1.0, ceil(decades / 8.0));
  size_t n = 0;
  for (int power = (int)floor(log10(axis->low)); power <= (int)ceil(log10(axis->high)); power += stride)
    for (size_t i = 0; i < n_factors; i++) {
      const double value = factors[i] * pow(10.0, power);
      const bool is_inside = value >= axis->low * 0.999 && value <= axis->high * 1.001;
      if (is_inside && n < REPORT_TICKS_MAX) ticks[n++] = value;
    }
  return n;
}

size_t report_ticks(const report_axis *axis, bool is_whole, double ticks[REPORT_TICKS_MAX]) {
  if (axis->is_log) {
    const size_t found = log_ticks(axis, ticks);
    if (found > 1) return found;
    ticks[0] = axis->low;
    ticks[1] = axis->high;
    return 2;
  }
  const double step =
      is_whole ? fmax(1.0, step_for(axis->high - axis->low)) : step_for(axis->high - axis->low);
  size_t n = 0;
  for (double k = ceil(axis->low / step - 1e-9);
       k * step <= axis->high + 1e-9 * step && n < REPORT_TICKS_MAX; k++)
    ticks[n++] = k * step + 0.0; /* no negative zero */
  return n;
}

const char *report_tick_label(double value, char text[REPORT_NUMBER]) {
  const double size = fabs(value);
  if (size >= 1e12 || (size > 0.0 && size < 1e-3))
    snprintf(text, REPORT_NUMBER, "%.3g", value);
  else if (size >= 1e9)
    snprintf(text, REPORT_NUMBER, "%.5gG", value / 1e9);
  else if (size >= 1e6)
    snprintf(text, REPORT_NUMBER, "%.5gM", value / 1e6);
  else if (size >= 1e4)
    snprintf(text, REPORT_NUMBER, "%.5gk", value / 1e3);
  else
    snprintf(text, REPORT_NUMBER, "%.5g", value);
  return text;
}
