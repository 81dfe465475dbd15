/* Sums over separate arrays and over lanes, nontemporal copies and bfloat16. */
#include "internal.h"
#include "lockstep/math.h"

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define BLOCK 1024 /* elements: the sums of a block stay in the first-level cache */

CLONES static void add_pair(size_t n, const float *restrict a, const float *restrict b,
                            float *restrict sum) {
  for (size_t i = 0; i < n; i++) sum[i] = a[i] + b[i];
}

CLONES static void add(size_t n, const float *restrict a, float *restrict sum) {
  for (size_t i = 0; i < n; i++) sum[i] += a[i];
}

/* Adds the terms in the order of the list. */
static void fold_block(size_t n, size_t n_terms, const float *const *terms, size_t offset, float *sum) {
  if (n_terms == 1) memcpy(sum, terms[0] + offset, n * sizeof *sum);
  if (n_terms >= 2) add_pair(n, terms[0] + offset, terms[1] + offset, sum);
  for (size_t k = 2; k < n_terms; k++) add(n, terms[k] + offset, sum);
}

typedef struct fold {
  size_t n_terms;
  const float *const *terms;
  float *out;
} fold;

static double fold_range(void *context, size_t first, size_t count) {
  const fold *const f = context;
  _Alignas(LS_ALIGNMENT) float sum[BLOCK];
  double squares = 0.0;
  for (size_t offset = first; offset < first + count; offset += BLOCK) {
    const size_t length = ls_size_min(BLOCK, first + count - offset);
    fold_block(length, f->n_terms, f->terms, offset, sum);
    squares += ls_math_sum_squares(length, sum);
    memcpy(f->out + offset, sum, length * sizeof *sum);
  }
  return squares;
}

double ls_math_fold(size_t n, size_t n_terms, const float *const *terms, float *out) {
  fold f = {.n_terms = n_terms, .terms = terms, .out = out};
  return ls_parallel_sum(n, LS_PARALLEL_ITEMS, fold_range, &f);
}

void ls_lane_fold(double *levels, size_t n, size_t lane, size_t n_lanes) {
  size_t top = ls_lane_level(lane);
  for (size_t merges = ls_lane_merges(lane, n_lanes); merges > 0; merges--, top--) {
    const double *const upper = levels + top * n;
    double *const lower = levels + (top - 1) * n;
    for (size_t i = 0; i < n; i++) lower[i] += upper[i];
  }
}

/* Copies four floats at a time; the processor combines them into whole cache lines. */
void ls_math_copy_nontemporal(size_t n, const float *x, float *out) {
  size_t i = 0;
  LS_ASSERT(n == 0 || (uintptr_t)out % LS_ALIGNMENT == 0);
#ifdef __SSE2__
  for (; i + 4 <= n; i += 4) _mm_stream_ps(out + i, _mm_loadu_ps(x + i));
#endif
  memcpy(out + i, x + i, (n - i) * sizeof *x);
#ifdef __SSE2__
  _mm_sfence(); /* the stores must be visible before anyone signals that the data are complete */
#endif
}

static inline uint32_t bits_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

static inline float float_of(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/* The upper half, rounded to nearest, ties to even. NaN stays NaN. */
static inline uint32_t rounded(float x) {
  const uint32_t bits = bits_of(x);
  const uint32_t up = bits + 0x7fffU + ((bits >> 16) & 1U);
  return (x == x ? up : bits | 0x400000U) >> 16;
}

CLONES void ls_math_to_bf16(size_t n, const float *restrict x, float *restrict error,
                            uint16_t *restrict out) {
  for (size_t i = 0; i < n; i++) {
    const float wanted = x[i] + error[i];
    const uint32_t kept = rounded(wanted);
    const float lost = wanted - float_of(kept << 16);
    error[i] = lost - lost == 0.0F ? lost : 0.0F; /* an error that is not finite is dropped */
    out[i] = (uint16_t)kept;
  }
}

CLONES void ls_math_from_bf16(size_t n, const uint16_t *restrict x, float *restrict out) {
  for (size_t i = 0; i < n; i++) out[i] = float_of((uint32_t)x[i] << 16);
}
