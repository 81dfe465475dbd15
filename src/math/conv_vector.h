/* The processors that the inner loops of convolutions are written for. Each version adds the same terms in
 * the same order with fused multiplications, so that it gives the same bits; the portable version does so
 * only if the compiler's target has fused multiplications. */
#ifndef LOCKSTEP_MATH_CONV_VECTOR_H
#define LOCKSTEP_MATH_CONV_VECTOR_H

#include "internal.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define CONV_X86
#include <immintrin.h>
#endif

#define AVX2   __attribute__((target("avx2,fma")))
#define AVX512 __attribute__((target("avx512f,avx2,fma")))

/* Named accumulators, one statement for each: GCC spills an array of them. */
#define EACH4(M) M(0) M(1) M(2) M(3)
#define EACH6(M) M(0) M(1) M(2) M(3) M(4) M(5)
#define EACH8(M) EACH6(M) M(6) M(7)
#define EACH9(M) EACH8(M) M(8)

/* For inner loops with a constant as argument. */
#define ALWAYS_INLINE __attribute__((always_inline))

/* Keeps a pointer in a register; GCC would otherwise compute it again in each iteration. */
#define KEEP(pointer) __asm__("" : "+r"(pointer))

typedef enum conv_level { CONV_PORTABLE, CONV_AVX2, CONV_AVX512 } conv_level;

/* LS_NO_CLONES: for the processor that the flags name, as for CLONES. */
static inline conv_level conv_level_of_processor(void) {
#if defined(CONV_X86) && defined(LS_NO_CLONES)
#if defined(__AVX512F__)
  return CONV_AVX512;
#elif defined(__AVX2__) && defined(__FMA__)
  return CONV_AVX2;
#else
  return CONV_PORTABLE;
#endif
#elif defined(CONV_X86)
  if (__builtin_cpu_supports("avx512f")) return CONV_AVX512;
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? CONV_AVX2 : CONV_PORTABLE;
#else
  return CONV_PORTABLE;
#endif
}

/* a b + c, fused if that is one instruction. */
static inline float conv_multiply_add(float a, float b, float c) {
#ifdef __FP_FAST_FMAF
  return __builtin_fmaf(a, b, c);
#else
  return a * b + c;
#endif
}

/* The source of position q, or of the last one. */
static inline const float *conv_source(const math_tiles *t, size_t q) {
  return t->x + t->from[q < t->n ? q : t->n - 1];
}

/* Stores n channels of position q, from channel c on. */
static inline void conv_put(const math_tiles *t, size_t q, size_t c, size_t n, const float *block) {
  float *const y = t->y + t->to[q] + c;
  for (size_t j = 0; j < n; j++) y[j] = t->adds ? y[j] + block[j] : block[j];
}

#ifdef CONV_X86

/* The first n lanes of a block, at most all. */
AVX512 static inline __mmask16 conv_mask(size_t n) {
  return (__mmask16)((1U << ls_size_min(MATH_LANE, n)) - 1U);
}

/* The first n of eight lanes, at most all. */
AVX2 static inline __m256i conv_mask_avx2(size_t n) {
  static const int32_t lanes[] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
  return _mm256_loadu_si256((const __m256i *)(lanes + 8 - ls_size_min(n, 8)));
}

/* Stores the lanes of a mask at y; adds: adds them. */
AVX512 static inline void conv_put_avx512(float *y, __mmask16 mask, bool adds, __m512 a) {
  _mm512_mask_storeu_ps(y, mask, adds ? _mm512_add_ps(_mm512_maskz_loadu_ps(mask, y), a) : a);
}

#endif

#endif
