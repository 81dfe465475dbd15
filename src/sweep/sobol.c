/* Sobol's sequence: points that fill a cube more evenly than random ones.
 *
 * Direction numbers of S. Joe and F. Y. Kuo, "Constructing Sobol sequences with better two-dimensional
 * projections", SIAM Journal on Scientific Computing 30 (2008), the set new-joe-kuo-6. */
#include "lockstep/sweep.h"

#define BITS 32

/* A primitive polynomial of degree s, whose inner coefficients are the bits of a, and the first s direction
 * numbers m. Dimension 0 has none: its numbers are powers of 2. */
typedef struct direction {
  unsigned s, a;
  uint32_t m[7];
} direction;

static const direction directions[LS_SOBOL_DIMS] = {
    {0, 0, {0}},
    {1, 0, {1}},
    {2, 1, {1, 3}},
    {3, 1, {1, 3, 1}},
    {3, 2, {1, 1, 1}},
    {4, 1, {1, 1, 3, 3}},
    {4, 4, {1, 3, 5, 13}},
    {5, 2, {1, 1, 5, 5, 17}},
    {5, 4, {1, 1, 5, 5, 5}},
    {5, 7, {1, 1, 7, 11, 19}},
    {5, 11, {1, 1, 5, 1, 1}},
    {5, 13, {1, 1, 1, 3, 11}},
    {5, 14, {1, 3, 5, 5, 31}},
    {6, 1, {1, 3, 3, 9, 7, 49}},
    {6, 13, {1, 1, 1, 15, 21, 21}},
    {6, 16, {1, 3, 1, 13, 27, 49}},
    {6, 19, {1, 1, 1, 15, 7, 5}},
    {6, 22, {1, 3, 1, 15, 13, 25}},
    {6, 25, {1, 1, 5, 5, 19, 61}},
    {7, 1, {1, 3, 7, 11, 23, 15, 103}},
    {7, 4, {1, 3, 7, 13, 13, 15, 69}},
};

/* v[i]: direction number i, m_i / 2^i, times 2^32. Joe and Kuo, eq. (2.1). */
static void fill_numbers(const direction *d, uint32_t v[BITS]) {
  const unsigned s = d->s;
  for (unsigned i = 0; i < BITS; i++) {
    if (s == 0 || i < s) {
      v[i] = (s == 0 ? 1U : d->m[i]) << (BITS - 1 - i);
      continue;
    }
    v[i] = v[i - s] ^ (v[i - s] >> s);
    for (unsigned k = 1; k < s; k++)
      if ((d->a >> (s - 1 - k)) & 1U) v[i] ^= v[i - k];
  }
}

/* The points are in the order of the Gray code of the index. */
uint32_t ls_sobol(uint32_t index, size_t dim) {
  uint32_t v[BITS];
  uint32_t x = 0;
  LS_ASSERT(dim < LS_SOBOL_DIMS);
  fill_numbers(&directions[dim], v);
  const uint32_t gray = index ^ (index >> 1);
  for (unsigned i = 0; i < BITS; i++)
    if ((gray >> i) & 1U) x ^= v[i];
  return x;
}
