/* The area under the ROC curve: sorts the samples by score and counts pairs by groups of equal scores. */
#include "lockstep/metric.h"

#include <math.h>
#include <string.h>

uint64_t ls_auc_key(const ls_scored *sample) {
  const float plain = sample->score + 0.0F; /* -0 becomes 0 */
  uint32_t bits = 0;
  memcpy(&bits, &plain, sizeof bits);
  const uint32_t ordered = bits & 0x80000000U ? ~bits : bits | 0x80000000U;
  return (uint64_t)sample->output << 32 | ordered;
}

#define DIGIT_BITS 11
#define DIGITS     (1U << DIGIT_BITS)

/* One pass of a radix sort; stable. */
static void sort_by_digit(size_t n, unsigned shift, const ls_scored *from, ls_scored *to) {
  size_t position[DIGITS] = {0};
  size_t before = 0;
  for (size_t i = 0; i < n; i++) {
    position[ls_auc_key(&from[i]) >> shift & (DIGITS - 1)]++;
    ls_heartbeat_every(i);
  }
  for (size_t digit = 0; digit < DIGITS; digit++) {
    const size_t count = position[digit];
    position[digit] = before;
    before += count;
  }
  for (size_t i = 0; i < n; i++) {
    to[position[ls_auc_key(&from[i]) >> shift & (DIGITS - 1)]++] = from[i];
    ls_heartbeat_every(i);
  }
}

void ls_auc_sort(size_t n, ls_scored *samples, ls_scored *buffer) {
  _Static_assert(LS_AUC_KEY_BITS == 4 * DIGIT_BITS, "an even number of passes ends in `samples`");
  for (unsigned shift = 0; shift < LS_AUC_KEY_BITS; shift += 2 * DIGIT_BITS) {
    sort_by_digit(n, shift, samples, buffer);
    sort_by_digit(n, shift + DIGIT_BITS, buffer, samples);
  }
}

/* Counts the pairs of the last group with all negatives up to it. */
static void end_group(ls_auc *auc) {
  auc->pairs += auc->positive * (auc->negatives + 0.5 * auc->negative);
  auc->positives += auc->positive;
  auc->negatives += auc->negative;
  auc->positive = auc->negative = 0.0;
}

void ls_auc_add(ls_auc *auc, size_t n, const ls_scored *samples) {
  ls_auc a = *auc;
  for (size_t i = 0; i < n; i++) {
    const double weight = (double)samples[i].weight;
    if (samples[i].score != a.score) {
      end_group(&a);
      a.score = samples[i].score;
    }
    a.positive += weight > 0.0 ? weight : 0.0;
    a.negative += weight > 0.0 ? 0.0 : -weight;
    ls_heartbeat_every(i);
  }
  *auc = a;
}

double ls_auc_value(const ls_auc *auc) {
  ls_auc all = *auc;
  end_group(&all);
  const bool is_defined = all.positives > 0.0 && all.negatives > 0.0;
  return is_defined ? all.pairs / (all.positives * all.negatives) : (double)NAN;
}
