/* The area under the ROC curve, exactly: samples sorted by score, pairs counted group by group. */
#include "lockstep/metric.h"

#include <math.h>
#include <string.h>

/* Bits whose order as whole numbers is that of the scores; -0 is 0. */
static uint32_t key_of(float score) {
  const float plain = score + 0.0F;
  uint32_t bits = 0;
  memcpy(&bits, &plain, sizeof bits);
  return bits & 0x80000000U ? ~bits : bits | 0x80000000U;
}

#define DIGIT_BITS 11
#define DIGITS     (1U << DIGIT_BITS)

/* Sorts by one digit of the key; samples with the same digit keep their order. */
static void sort_by_digit(size_t n, unsigned shift, const ls_scored *from, ls_scored *to) {
  size_t place[DIGITS] = {0};
  size_t before = 0;
  for (size_t i = 0; i < n; i++) place[key_of(from[i].score) >> shift & (DIGITS - 1)]++;
  for (size_t digit = 0; digit < DIGITS; digit++) {
    const size_t count = place[digit];
    place[digit] = before;
    before += count;
  }
  for (size_t i = 0; i < n; i++) to[place[key_of(from[i].score) >> shift & (DIGITS - 1)]++] = from[i];
}

double ls_auc_of(size_t n, ls_scored *samples, ls_scored *room) {
  for (size_t i = 0; i < n; i++)
    if (isnan(samples[i].score)) return NAN;
  sort_by_digit(n, 0, samples, room);
  sort_by_digit(n, DIGIT_BITS, room, samples);
  sort_by_digit(n, 2 * DIGIT_BITS, samples, room);
  double positives = 0.0;
  double negatives = 0.0; /* below the group at hand */
  double pairs = 0.0;
  for (size_t i = 0; i < n;) {
    double positive = 0.0;
    double negative = 0.0;
    const float score = room[i].score;
    for (; i < n && room[i].score <= score; i++)
      *(room[i].weight > 0.0F ? &positive : &negative) += fabs((double)room[i].weight);
    pairs += positive * (negatives + 0.5 * negative);
    positives += positive;
    negatives += negative;
  }
  return positives > 0.0 && negatives > 0.0 ? pairs / (positives * negatives) : NAN;
}
