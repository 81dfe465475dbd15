/* Convolutions of images with a 3x3 kernel, stride 1 and one group by Winograd's algorithm F(2x2, 3x3).
 *
 * An image of outputs is divided into tiles of 2x2 positions; a tile sees 4x4 sources d. With the kernel g
 *   y = A^T [sum_c (G g G^T) o (B^T d B)] A          o: element by element, 16 elements
 *   A^T = 1 1  1  0      G = 1    0   0              B^T = 1  0 -1  0
 *         0 1 -1 -1          1/2  1/2 1/2                  0  1  1  0
 *                            1/2 -1/2 1/2                  0 -1  1  0
 *                            0    0   1                    0  1  0 -1
 * (Lavin and Gray, 2016). The sums over channels are 16 products of matrices, for a block of tiles at a
 * time, with 4/9 of the multiplications. The gradient of the kernel is the transpose of the same formula:
 *   dg = G^T [sum_tiles (A dy A^T) o (B^T d B)] G
 * A source that is infinite or NaN makes all outputs of the tiles that see it NaN, up to 4x4 of them,
 * although only 3x3 depend on it. */
#ifndef LOCKSTEP_MATH_WINOGRAD_H
#define LOCKSTEP_MATH_WINOGRAD_H

#include "lockstep/math.h"

#define WINOGRAD_ELEMENTS 16 /* of a transformed tile */

typedef struct math_winograd {
  size_t channels, outputs;
  size_t lanes;              /* outputs, rounded up to whole blocks of MATH_LANE */
  size_t source[2], dest[2]; /* H, W */
  size_t before[2];          /* padding */
  size_t tiles[2];           /* of an image */
  size_t block;              /* tiles that are transformed together */
  float *w;                  /* (elements, blocks of outputs, channels, MATH_LANE): transformed weights */
} math_winograd;

/* Whether the convolution and its gradients use the algorithm; depends on the shape of the layer alone. */
bool math_winograd_fits(const ls_conv *conv);

/* Plans the outputs, or with is_data the gradient of the sources; takes w from the arena, as ls_arena_take
 * does, unless the convolution has a twin. */
void math_winograd_plan(const ls_conv *conv, bool is_data, ls_arena *arena, math_winograd *out);

/* The bytes of its workspace. */
size_t math_winograd_bytes(const math_winograd *w);

/* Transforms weights.  packed: (blocks of outputs, 9, channels, MATH_LANE) */
void math_winograd_transform_weights(const math_winograd *w, const float *packed);

/* y = f(x * w + b); adds: y = f(y + x * w + b), for n images. The bits of an output do not depend on n.
 * b: (lanes) or NULL */
void math_winograd_convolve(const math_winograd *w, size_t n, const float *x, const float *b, bool adds,
                            ls_activation f, float alpha, float *y, void *workspace);

/* The transformed gradient of the weights, dw, as w.
 *   add_products     dw += the products of the tiles of n images from tile `first` on, at most a block.
 *                    Returns their number; 0 if there is none
 *   restore_weights  packed += G^T dw G; sets dw to 0.  packed: as for math_winograd_transform_weights */
size_t math_winograd_add_products(const math_winograd *w, size_t n, size_t first, const float *x,
                                  const float *dy, float *dw, void *workspace);
void math_winograd_restore_weights(const math_winograd *w, float *dw, float *packed);

/* ---------------------------------------------------------------- kernels */

/* c = a b, or c += a b with `adds`, for matrices of any strides. The terms are added in the order of k, in
 * fused steps where the processor has them, so that the bits of an element do not depend on its row.
 * a: (m, k), b: (k, blocks of MATH_LANE columns), c: (m, blocks of MATH_LANE columns). Rows and blocks of b
 * and c are aligned to a block. */
typedef struct math_winograd_product {
  size_t m, k, blocks;
  const float *a;
  size_t a_row, a_column;
  const float *b;
  size_t b_row, b_block;
  float *c;
  size_t c_row, c_block;
  bool adds;
} math_winograd_product;

void math_winograd_multiply(const math_winograd_product *p);

/* Rows of an image that some tiles of a row see. */
typedef struct math_winograd_rows {
  size_t first, end;   /* columns inside the image, from the first column of the first tile on */
  const float *row[4]; /* column `first` of each row */
  size_t step[4];      /* floats between columns; 0: a row of zeros */
  const float *ahead;  /* (2, ahead_row): the next two rows, which are prefetched; NULL: none */
  size_t ahead_row;    /* floats between them */
} math_winograd_rows;

/* out = B^T d B for n tiles.  out: (16, stride) with `channels` elements a tile */
void math_winograd_transform(size_t n, size_t channels, const math_winograd_rows *d, size_t stride,
                             float *out);

/* out = A dy A^T for n tiles, which see two rows.  out: (16, stride) with `lanes` elements a tile, of which
 * those after `channels` are not written */
void math_winograd_spread(size_t n, size_t channels, size_t lanes, const math_winograd_rows *dy,
                          size_t stride, float *out);

/* y = A^T m A + b for n tiles of a row. */
typedef struct math_winograd_outputs {
  size_t n, channels, lanes;
  const float *m; /* (16, stride) with `lanes` elements a tile */
  size_t stride;
  const float *b;       /* (lanes) */
  bool adds, is_relu;   /* y = y + A^T m A + b; then y = max(y, 0) */
  size_t columns, rows; /* of y; columns: 2 n, or 2 n - 1, rows: 2 or 1 */
  float *y;
  size_t row;         /* floats between rows of y */
  const float *ahead; /* the next two rows of y, which are prefetched; NULL: none */
  float *skipped;     /* (channels): receives columns and rows outside */
} math_winograd_outputs;

void math_winograd_put(const math_winograd_outputs *o);

#endif
