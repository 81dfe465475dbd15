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
#define EACH6(M) M(0) M(1) M(2) M(3) M(4) M(5)
#define EACH8(M) EACH6(M) M(6) M(7)
#define EACH9(M) EACH8(M) M(8)

/* For inner loops with a constant as argument. */
#define ALWAYS_INLINE __attribute__((always_inline))

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

#endif
