/* Counter-based random numbers and the keyed permutation. */
#include "lockstep/base.h"

#include <Random123/philox.h>
#include <math.h>

/* The 128-bit counter consists of block (32 bits), sample (40), time (40) and purpose (16); the key is the
 * seed. Different arguments give different counters, so no two draws share a block. */
#define FIELD_BITS   40
#define PURPOSE_BITS 12 /* of the instance */

ls_rng ls_rng_make(uint64_t seed, ls_rng_purpose purpose, uint32_t instance, uint64_t time) {
  LS_ASSERT(instance < (1U << PURPOSE_BITS));
  LS_ASSERT(time >> FIELD_BITS == 0);
  const uint32_t packed = ((uint32_t)purpose << PURPOSE_BITS) | instance;
  return (ls_rng){.seed = seed, .time = time, .purpose = (uint16_t)packed};
}

void ls_rng_block(const ls_rng *rng, uint64_t sample, uint32_t block, uint32_t out[4]) {
  const uint32_t high = (uint32_t)(sample >> 32) << 24 | (uint32_t)(rng->time >> 32) << 16 | rng->purpose;
  const philox4x32_ctr_t counter = {{block, (uint32_t)sample, (uint32_t)rng->time, high}};
  const philox4x32_key_t key = {{(uint32_t)rng->seed, (uint32_t)(rng->seed >> 32)}};
  const philox4x32_ctr_t words = philox4x32(counter, key);
  for (int i = 0; i < 4; i++) out[i] = words.v[i];
}

void ls_rng_words(const ls_rng *rng, uint64_t sample, size_t n, uint32_t *out) {
  LS_ASSERT(n / 4 < UINT32_MAX);
  uint32_t block = 0;
  size_t i = 0;
  for (; i + 4 <= n; i += 4) ls_rng_block(rng, sample, block++, out + i);
  if (i < n) {
    uint32_t words[4];
    ls_rng_block(rng, sample, block, words);
    for (size_t k = 0; i + k < n; k++) out[i + k] = words[k];
  }
}

void ls_rng_uniform(const ls_rng *rng, uint64_t sample, size_t n, float *out) {
  uint32_t words[4] = {0};
  for (size_t i = 0; i < n; i++) {
    if (i % 4 == 0) ls_rng_block(rng, sample, (uint32_t)(i / 4), words);
    out[i] = (float)(words[i % 4] >> 8) * 0x1p-24F;
    ls_heartbeat_every(i);
  }
}

void ls_rng_normal(const ls_rng *rng, uint64_t sample, size_t n, float *out) {
  const double two_pi = 6.283185307179586;
  uint32_t words[4] = {0};
  for (size_t i = 0; i < n; i += 2) {
    if (i % 4 == 0) ls_rng_block(rng, sample, (uint32_t)(i / 4), words);
    const uint32_t *const pair = words + i % 4;
    const double radius = sqrt(-2.0 * log(((double)pair[0] + 1.0) * 0x1p-32));
    const double angle = two_pi * (double)pair[1] * 0x1p-32;
    out[i] = (float)(radius * cos(angle));
    if (i + 1 < n) out[i + 1] = (float)(radius * sin(angle));
    ls_heartbeat_every(i + 1);
  }
}

/* Rounds of the network. Small domains need more: with 16 rounds the permutations of 3 elements are uniform
 * to better than one part in a thousand if the round function is uniform. */
#define ROUNDS_SMALL 16
#define ROUNDS       8
#define SMALL_DOMAIN 256

ls_permutation ls_permutation_make(ls_rng rng, uint64_t n) {
  LS_ASSERT(n >> FIELD_BITS == 0);
  uint64_t a = (uint64_t)sqrt((double)n);
  while (a * a < n) a++;
  if (a == 0) a = 1;
  const uint64_t b = (n + a - 1) / a;
  return (ls_permutation){.rng = rng, .n = n, .a = (uint32_t)a, .b = (uint32_t)(b ? b : 1)};
}

/* The round function: a number below `range` from Philox of (half, round). */
static uint32_t round_value(const ls_permutation *p, uint32_t half, uint32_t round, uint32_t range) {
  uint32_t words[4];
  ls_rng_block(&p->rng, half, round, words);
  return (uint32_t)(((uint64_t)words[0] * range) >> 32);
}

static uint32_t add_modulo(uint32_t x, uint32_t y, uint32_t modulus) {
  const uint32_t sum = x + y; /* both below 2^20 + 1 */
  return sum >= modulus ? sum - modulus : sum;
}

/* One pass of the network over 0 .. a b - 1, a bijection: x = left + a * right. */
static uint64_t feistel(const ls_permutation *p, uint64_t x) {
  uint32_t left = (uint32_t)(x % p->a);
  uint32_t right = (uint32_t)(x / p->a);
  const uint32_t rounds = p->n < SMALL_DOMAIN ? ROUNDS_SMALL : ROUNDS;
  for (uint32_t round = 0; round < rounds; round += 2) {
    left = add_modulo(left, round_value(p, right, round, p->a), p->a);
    right = add_modulo(right, round_value(p, left, round + 1, p->b), p->b);
  }
  return left + (uint64_t)p->a * right;
}

/* The inverse of feistel. */
static uint64_t feistel_inverse(const ls_permutation *p, uint64_t x) {
  uint32_t left = (uint32_t)(x % p->a);
  uint32_t right = (uint32_t)(x / p->a);
  const uint32_t rounds = p->n < SMALL_DOMAIN ? ROUNDS_SMALL : ROUNDS;
  for (uint32_t round = rounds; round > 0; round -= 2) {
    right = add_modulo(right, p->b - round_value(p, left, round - 1, p->b), p->b);
    left = add_modulo(left, p->a - round_value(p, right, round - 2, p->a), p->a);
  }
  return left + (uint64_t)p->a * right;
}

uint64_t ls_permutation_at(const ls_permutation *p, uint64_t i) {
  LS_ASSERT(i < p->n);
  do i = feistel(p, i);
  while (i >= p->n);
  return i;
}

uint64_t ls_permutation_inverse(const ls_permutation *p, uint64_t x) {
  LS_ASSERT(x < p->n);
  do x = feistel_inverse(p, x);
  while (x >= p->n);
  return x;
}

/* ------------------------------------------------------------- many values at once */

/* Versions of a loop for processors with wider vectors; the linker chooses one when the program starts. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(LS_NO_CLONES)
#define CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define CLONES
#endif

#define MANY ((size_t)32) /* values of one call */
#define FEW  ((size_t)8)

typedef struct halves {
  uint32_t left[MANY], right[MANY];
} halves;

/* One round of the network for MANY values: adds the round function of `half` to `other`, or subtracts it.
 */
CLONES static void turn_many(const ls_rng *rng, uint32_t round, uint32_t range, bool adds,
                             const uint32_t *restrict half, uint32_t *restrict other) {
  const uint32_t time = (uint32_t)rng->time;
  const uint32_t high = (uint32_t)(rng->time >> 32) << 16 | rng->purpose;
  const philox4x32_key_t key = {{(uint32_t)rng->seed, (uint32_t)(rng->seed >> 32)}};
  for (size_t i = 0; i < MANY; i++) {
    const philox4x32_ctr_t counter = {{round, half[i], time, high}};
    const uint32_t value = (uint32_t)(((uint64_t)philox4x32(counter, key).v[0] * range) >> 32);
    const uint32_t sum = other[i] + (adds ? value : range - value);
    other[i] = sum >= range ? sum - range : sum;
  }
}

/* feistel, or its inverse, of n <= MANY values */
static void feistel_many(const ls_permutation *p, bool inverts, size_t n, uint64_t *x) {
  halves h = {0};
  const uint32_t rounds = p->n < SMALL_DOMAIN ? ROUNDS_SMALL : ROUNDS;
  for (size_t i = 0; i < n; i++) {
    LS_ASSERT(x[i] < p->n);
    h.left[i] = (uint32_t)(x[i] % p->a);
    h.right[i] = (uint32_t)(x[i] / p->a);
  }
  for (uint32_t k = 0; k < rounds; k++) {
    const uint32_t round = inverts ? rounds - 1 - k : k;
    if (round % 2 == 0)
      turn_many(&p->rng, round, p->a, !inverts, h.right, h.left);
    else
      turn_many(&p->rng, round, p->b, !inverts, h.left, h.right);
  }
  for (size_t i = 0; i < n; i++) x[i] = h.left[i] + (uint64_t)p->a * h.right[i];
}

/* Replaces n values by those of feistel, or of its inverse. A few values are not worth a round of MANY. */
static void feistel_all(const ls_permutation *p, bool inverts, size_t n, uint64_t *x) {
  size_t done = 0;
  for (size_t some; n - done >= FEW; done += some) {
    some = n - done < MANY ? n - done : MANY;
    feistel_many(p, inverts, some, x + done);
  }
  for (; done < n; done++) x[done] = inverts ? feistel_inverse(p, x[done]) : feistel(p, x[done]);
}

void ls_permutation_apply(const ls_permutation *p, size_t n, uint64_t *x) {
  feistel_all(p, false, n, x);
  for (size_t i = 0; i < n; i++)
    while (x[i] >= p->n) x[i] = feistel(p, x[i]);
}

void ls_permutation_invert(const ls_permutation *p, size_t n, uint64_t *x) {
  feistel_all(p, true, n, x);
  for (size_t i = 0; i < n; i++)
    while (x[i] >= p->n) x[i] = feistel_inverse(p, x[i]);
}
