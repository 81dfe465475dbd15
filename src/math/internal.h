/* CLONES compiles a function for several processors; the version is chosen when the program starts.
 * Products and sums are never contracted into fused ones (-ffp-contract=off), so that an elementwise kernel
 * gives the same bits in every version (tests/unit/same_bits.py). LS_NO_CLONES: one version, for the
 * processor that the flags name. */
#ifndef LOCKSTEP_MATH_INTERNAL_H
#define LOCKSTEP_MATH_INTERNAL_H

#if defined(LS_NO_CLONES)
#define CLONES
#elif defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 12
#define CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#elif defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CLONES
#endif

#endif
