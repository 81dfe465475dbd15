/* The area under the ROC curve: sorts the samples by score and counts pairs by groups of equal scores. */
#include "lockstep/metric.h"

#include <math.h>
#include <string.h>

/* Maps a score to an integer of the same order; -0 and 0 are equal. */
static uint32_t sort_key(float score) {
  const float plain = score + 0.0F;
  uint32_t bits = 0;
  memcpy(&bits, &plain, sizeof bits);
  return bits & 0x80000000U ? ~bits : bits | 0x80000000U;
}

#define DIGIT_BITS 11
#define DIGITS     (1U << DIGIT_BITS)

/* One pass of a radix sort; stable. */
static void sort_by_digit(size_t n, unsigned shift, const ls_scored *from, ls_scored *to) {
  size_t position[DIGITS] = {0};
  size_t before = 0;
  for (size_t i = 0; i < n; i++) {
    position[sort_key(from[i].score) >> shift & (DIGITS - 1)]++;
    ls_heartbeat_every(i);
  }
  for (size_t digit = 0; digit < DIGITS; digit++) {
    const size_t count = position[digit];
    position[digit] = before;
    before += count;
  }
  for (size_t i = 0; i < n; i++) {
    to[position[sort_key(from[i].score) >> shift & (DIGITS - 1)]++] = from[i];
    ls_heartbeat_every(i);
  }
}

double ls_auc_compute(size_t n, ls_scored *samples, ls_scored *buffer) {
  for (size_t i = 0; i < n; i++)
    if (isnan(samples[i].score)) return NAN;
  sort_by_digit(n, 0, samples, buffer);
  sort_by_digit(n, DIGIT_BITS, buffer, samples);
  sort_by_digit(n, 2 * DIGIT_BITS, samples, buffer);
  double positives = 0.0;
  double negatives = 0.0; /* with scores below the current group */
  double pairs = 0.0;
  for (size_t i = 0; i < n;) {
    double positive = 0.0;
    double negative = 0.0;
    const float score = buffer[i].score;
    for (; i < n && buffer[i].score <= score; i++) {
      *(buffer[i].weight > 0.0F ? &positive : &negative) += fabs((double)buffer[i].weight);
      ls_heartbeat_every(i);
    }
    pairs += positive * (negatives + 0.5 * negative);
    positives += positive;
    negatives += negative;
  }
  return positives > 0.0 && negatives > 0.0 ? pairs / (positives * negatives) : NAN;
}
