/* Which products use the kernels for few rows. */
#include "few.h"

#include "conv_vector.h"

/* clang-format off */
/* Speed relative to OpenBLAS 0.3.21 on one core of AMD Zen 4, y = x W^T | dW = dz^T x | dx = dz W:
 *
 *   rows                  2                   8                  16                  32                  64
 *   its kernels for AVX2
 *   W 512 x 784    4.2 | 2.4 | 2.8    1.6 | 2.0 | 1.6    1.2 | 1.5 | 1.4    1.0 | 1.2 | 1.2    1.0 | 1.0 | 1.1
 *   W 10 x 512     6.5 | 2.4 | 1.9    2.9 | 2.2 | 1.8    1.9 | 1.7 | 1.9    1.9 | 1.9 | 1.8    1.7 | 1.8 | 1.8
 *   W 2048 x 2048  2.7 | 2.4 | 2.0    1.4 | 1.9 | 1.4    1.2 | 1.2 | 1.3    1.0 | 0.9 | 1.1    0.9 | 0.8 | 0.9
 *   its kernels for AVX-512, which do not pack small products either
 *   W 512 x 512    0.8 | 1.4 | 0.6    1.0 | 1.0 | 1.0    1.0 | 1.0 | 1.0    1.0 | 1.0 | 1.0    1.0 | 1.1 | 1.1
 *   W 2048 x 2048  1.0 | 1.3 | 1.8    1.0 | 2.9 | 4.2    1.0 | 2.5 |  10    1.7 | 1.3 | 1.7    1.3 | 1.2 | 1.3
 *
 * One row of x is a product of a matrix and a vector, for which OpenBLAS is as fast. */
/* clang-format on */
#define ROWS      32 /* of the batch, at most */
#define TERMS_MIN 64 /* of a dot product */

const char *ls_math_kernels_name(void) {
  return conv_level_of_processor() == CONV_PORTABLE ? "kernels 2" : "kernels 2 with FMA";
}

#ifdef CONV_X86

static bool is_possible(void) {
  return conv_level_of_processor() != CONV_PORTABLE;
}

/* Parts of a product for ls_parallel: each about PART multiplications, and a multiple of the rows and
 * columns of all tiles, unless it is the last. */
#define PART ((size_t)1 << 20)
#define UNIT 48

static size_t part_length(size_t each) {
  return ls_size_max(PART / each, UNIT) / UNIT * UNIT;
}

static void run_outputs(void *context, size_t first, size_t count) {
  math_few part = *(const math_few *)context;
  part.n = count;
  part.b += first * part.b_row;
  part.c += first;
  math_few_dots(&part);
}

static void run_columns(void *context, size_t first, size_t count) {
  math_few part = *(const math_few *)context;
  part.n = count;
  part.b += first;
  part.c += first;
  math_few_tiles(&part);
}

static void run_rows(void *context, size_t first, size_t count) {
  math_few part = *(const math_few *)context;
  part.m = count;
  part.a += first * part.a_row;
  part.c += first * part.c_row;
  math_few_tiles(&part);
}

bool math_few_product_nt(const math_few *p) {
  const bool applies = p->m >= 2 && p->m <= ROWS && p->n > 0 && p->k >= TERMS_MIN && is_possible();
  math_few whole = *p;
  if (applies) ls_parallel_range(p->n, part_length(p->m * p->k), run_outputs, &whole);
  return applies;
}

bool math_few_product_nn(const math_few *p) {
  const bool applies = p->m >= 2 && p->m <= ROWS && p->n > 0 && p->k > 0 && is_possible();
  math_few whole = *p;
  if (applies) ls_parallel_range(p->n, part_length(p->m * p->k), run_columns, &whole);
  return applies;
}

bool math_few_product_tn(const math_few *p) {
  const bool applies = p->m > 0 && p->n > 0 && p->k > 0 && p->k <= ROWS && is_possible();
  math_few whole = *p;
  if (applies) ls_parallel_range(p->m, part_length(p->n * p->k), run_rows, &whole);
  return applies;
}

#else

bool math_few_product_nt(const math_few *p) {
  (void)p;
  return false;
}

bool math_few_product_nn(const math_few *p) {
  (void)p;
  return false;
}

bool math_few_product_tn(const math_few *p) {
  (void)p;
  return false;
}

#endif
