/* Products of a layer with few rows of a batch, without packing. Each version for a processor adds the same
 * terms in the same order with fused multiplications, so that it gives the same bits. The bits of an
 * element depend on its terms alone: neither on its position, nor on the number of rows, columns or
 * threads. */
#ifndef LOCKSTEP_MATH_FEW_H
#define LOCKSTEP_MATH_FEW_H

#include <stdbool.h>
#include <stddef.h>

/* c = op(a) op(b) + beta c, op(a): (m, k), op(b): (k, n), c: (m, n) with rows of c_row elements. Element
 * (i, p) of op(a) is a[i a_row + p a_col]. */
typedef struct math_few {
  size_t m, n, k;
  const float *a;
  size_t a_row, a_col;
  const float *b;
  size_t b_row;
  float beta;
  float *c;
  size_t c_row;
} math_few;

/* Computes a product if it has few rows of the batch; otherwise returns false. A function of m, n, k and
 * the processor chooses. nt  y = x W^T, with a_col 1; the rows of b are those of W nn  dx = dz W tn  dW =
 * dz^T x; k is the number of rows */
bool math_few_product_nt(const math_few *p);
bool math_few_product_nn(const math_few *p);
bool math_few_product_tn(const math_few *p);

/* Only for processors of which conv_level_of_processor() names the kernels; m, n, k >= 1.
 *   tiles   Element (p, j) of op(b) is b[p b_row + j]. A sum is that of blocks of MATH_FEW_TERMS terms,
 * each in the order of p. dots    a_col is 1; element (p, j) of op(b) is b[j b_row + p]. A sum is that of
 * equal blocks of at most MATH_FEW_DOT terms; each has MATH_LANE parts, over the terms p, p + MATH_LANE,
 * ..., which are folded in halves: part j plus part j + 8, and so on. */
#define MATH_FEW_TERMS 256
#define MATH_FEW_DOT   1024

void math_few_tiles(const math_few *p);
void math_few_dots(const math_few *p);

/* The first element of part i of n elements in `parts` parts of nearly equal size. */
static inline size_t math_few_start(size_t n, size_t parts, size_t i) {
  const size_t longer = n % parts;
  return i * (n / parts) + (i < longer ? i : longer);
}

#endif
