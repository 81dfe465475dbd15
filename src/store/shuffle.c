/* The inverse of the filter shuffle, and the checksum fletcher32. */
#include "internal.h"

#include <string.h>

/* Versions of a loop for processors with wider vectors; the linker chooses one when the program starts. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(LS_NO_CLONES)
#define CLONES __attribute__((target_clones("avx2", "default")))
#else
#define CLONES
#endif

/* Unaligned integers. */
typedef uint16_t loose16 __attribute__((aligned(1), may_alias));
typedef uint32_t loose32 __attribute__((aligned(1), may_alias));
typedef uint64_t loose64 __attribute__((aligned(1), may_alias));

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
CLONES static void unshuffle2(size_t n, const unsigned char *restrict in, loose16 *restrict out) {
  for (size_t i = 0; i < n; i++) out[i] = (uint16_t)(in[i] | in[n + i] << 8);
}

CLONES static void unshuffle4(size_t n, const unsigned char *restrict in, loose32 *restrict out) {
  for (size_t i = 0; i < n; i++)
    out[i] =
        in[i] | (uint32_t)in[n + i] << 8 | (uint32_t)in[2 * n + i] << 16 | (uint32_t)in[3 * n + i] << 24;
}

CLONES static void unshuffle8(size_t n, const unsigned char *restrict in, loose64 *restrict out) {
  for (size_t i = 0; i < n; i++) {
    uint64_t v = 0;
    for (int k = 0; k < 8; k++) v |= (uint64_t)in[(size_t)k * n + i] << (8 * k);
    out[i] = v;
  }
}
#endif

/* Byte k of element i is at k n + i. Bytes that fill no element follow unchanged. */
void store_unshuffle(size_t element, const unsigned char *in, size_t bytes, unsigned char *out) {
  const size_t n = bytes / element;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  const bool is_done = element == 2 || element == 4 || element == 8;
  if (element == 2) unshuffle2(n, in, (loose16 *)(void *)out);
  if (element == 4) unshuffle4(n, in, (loose32 *)(void *)out);
  if (element == 8) unshuffle8(n, in, (loose64 *)(void *)out);
#else
  const bool is_done = false;
#endif
  for (size_t k = 0; !is_done && k < element; k++)
    for (size_t i = 0; i < n; i++) out[i * element + k] = in[k * n + i];
  memcpy(out + n * element, in + n * element, bytes - n * element);
}

#define WORDS 256 /* of a block, whose sums fit 32 bits */

/* Sums of big-endian 16-bit words: *sum = w_0 + w_1 + ..., *weighted = WORDS w_0 + (WORDS - 1) w_1 + ... */
CLONES static void sum_block(const loose16 *words, uint32_t *sum, uint32_t *weighted) {
  uint32_t a = 0;
  uint32_t b = 0;
  for (uint32_t i = 0; i < WORDS; i++) {
    const uint32_t w = (uint16_t)(words[i] << 8 | words[i] >> 8);
    a += w;
    b += (WORDS - i) * w;
  }
  *sum = a;
  *weighted = b;
}

/* Modulo 65535, in ones' complement: only 0 gives 0. */
static uint32_t fold(uint64_t x) {
  while (x >> 16) x = (x & 0xffff) + (x >> 16);
  return (uint32_t)x;
}

/* Fletcher's sums of big-endian 16-bit words: a = w_0 + ... + w_i, b = the sum of all a. A last odd byte is
 * a word with a second byte of 0. (Fletcher, 1982; HDF5 stores b in the upper half.) */
uint32_t store_fletcher32(const unsigned char *data, size_t bytes) {
  uint64_t a = 0;
  uint64_t b = 0;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  for (; bytes >= 2 * WORDS; bytes -= 2 * WORDS, data += 2 * WORDS) {
    uint32_t sum;
    uint32_t weighted;
    sum_block((const loose16 *)(const void *)data, &sum, &weighted);
    b = fold(b + WORDS * a + weighted);
    a = fold(a + sum);
  }
#endif
  for (; bytes > 0; data += 2) {
    a = fold(a + ((uint32_t)data[0] << 8 | (bytes > 1 ? data[1] : 0)));
    b = fold(b + a);
    bytes -= ls_size_min(bytes, 2);
  }
  return (uint32_t)b << 16 | (uint32_t)a;
}
