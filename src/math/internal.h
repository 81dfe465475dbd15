/* CLONES compiles a function for several processors; the version is chosen when the program starts.
 * Products and sums are never contracted into fused ones (-ffp-contract=off), so that an elementwise kernel
 * gives the same bits in every version (tests/unit/same_bits.py). LS_NO_CLONES: one version, for the
 * processor that the flags name. */
#ifndef LOCKSTEP_MATH_INTERNAL_H
#define LOCKSTEP_MATH_INTERNAL_H

#include "lockstep/math.h"

#include "winograd.h"

#if defined(LS_NO_CLONES)
#define CLONES
#elif defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 12
#define CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#elif defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CLONES
#endif

/* ----------------------------------------------------------- convolutions */

/* How one dim of a convolution is visited: destination q is at first + q step, and its tap t, which is tap
 * first_tap + t next_tap of the kernel, reads the source at source_first + q source_step + t tap_distance.
 * Sources outside the array are padding. n_taps may be 0. */
typedef struct math_sweep {
  size_t n, first, step;
  ptrdiff_t source_first;
  size_t source_step;
  size_t n_taps, tap_distance;
  size_t first_tap;
  ptrdiff_t next_tap;
} math_sweep;

/* From the outputs to the inputs that they see. */
void math_sweep_forward(const ls_window *w, size_t dim, math_sweep *out);

/* From the inputs phase, phase + stride, ... to the outputs that see them; phase < stride. The phases of a
 * dim cover its inputs. */
void math_sweep_backward(const ls_window *w, size_t dim, size_t phase, math_sweep *out);

/* A convolution visited box by box: a box has several images, or a part of one. Its sources are copied into
 * a padded tile that stays in the cache, unless none of them is padding.
 *
 * The groups are divided into bands of equal size. Usually a band is a group, whose destinations all see
 * the same sources. Groups with few destinations are depthwise instead: a band has several groups, and each
 * of its destinations has sources of its own, side by side: for each channel c of a group, (band_dests)
 * channels c of the destinations' groups. If groups have more than one source or destination, copying into
 * the tile brings them into this order (`expands`). */
typedef struct math_walk {
  math_sweep dims[LS_WINDOW_DIMS];
  size_t source[LS_WINDOW_DIMS], dest[LS_WINDOW_DIMS]; /* sizes */
  size_t source_channels, dest_channels;               /* of a position, over all groups */
  size_t groups;

  /* Set by math_walk_plan. Strides are in floats. */
  bool is_depthwise, expands, is_copied;
  bool has_dots;                          /* outputs so few that each is a dot product, see conv_dots.c */
  size_t bands, band_sources, band_dests; /* number, and channels of one */
  size_t tile_channels;                   /* of a position of the tile */
  int32_t *expand;                        /* (tile_channels) expands: the source in the band */
  size_t images, box[LS_WINDOW_DIMS];     /* of the largest box: images, and destinations of each dim */
  size_t extent[LS_WINDOW_DIMS];          /* its sources */
  size_t stride[LS_WINDOW_DIMS], image;   /* of the sources of a box, and of its images */
  size_t dest_stride[LS_WINDOW_DIMS], dest_image;
  size_t n_runs, run_length; /* terms of a destination; those of a run are contiguous */
  size_t n_taps;
  float *tile;
  size_t *from, *to; /* source and destination of each position of the box */
  size_t *runs;      /* (n_runs): from a position's source to the start of a run */

  /* The current box. */
  size_t n_images, first_image, first[LS_WINDOW_DIMS], count[LS_WINDOW_DIMS];
  size_t n; /* positions */
  const float *x;
  size_t y;                     /* offset of the first destination of the band */
  size_t table[LS_WINDOW_DIMS]; /* the counts for which `from` and `to` are set */
} math_walk;

/* Plans the boxes from dims, source, dest, channels and groups; takes the tables from the arena, as
 * ls_arena_take does. */
void math_walk_plan(math_walk *walk, ls_arena *arena);

/* The bytes of its tile, to which `tile` must point. */
size_t math_walk_tile_bytes(const math_walk *walk);

/* Moves to the first or the next box of `n` images, and fills its tables. False after the last. */
bool math_walk_next(math_walk *walk, size_t n);

/* Fills the tile for a band; the bands of a box are loaded in turn, from 0 on.  x: the sources */
void math_walk_load(math_walk *walk, size_t band, const float *x);

/* out[i][j] = x[i][expand[j]].  x: (n, sources), out: (n, channels), expand: (channels) */
typedef struct math_expansion {
  size_t n, sources, channels;
  const int32_t *expand;
  const float *x;
  float *out;
} math_expansion;

void math_conv_expand(const math_expansion *e);

/* The floats of a band's packed weights or of their gradient, and of the packed weights with those for dot
 * products, which follow them. */
size_t math_walk_packed_size(const math_walk *walk);
size_t math_walk_weights_size(const math_walk *walk);

/* The number of the kernel's tap that is the walk's tap `t`.  size: of the kernel */
size_t math_walk_tap(const math_walk *walk, const size_t *size, size_t t);

#define MATH_LANE  16  /* channels of a block of packed weights */
#define MATH_CHUNK 128 /* positions of a sum in the gradient of the weights */

/* The blocks of channels, and the channels of these blocks. */
static inline size_t math_blocks(size_t channels) {
  return (channels + MATH_LANE - 1) / MATH_LANE;
}

static inline size_t math_padded(size_t channels) {
  return math_blocks(channels) * MATH_LANE;
}

/* ---------------------------------------------------------------- weights */

static inline size_t math_conv_taps(const ls_conv *conv) {
  return ls_window_count(conv->window.size);
}

/* The floats of packed weights: (blocks, terms, MATH_LANE). */
static inline size_t math_conv_packed_size(size_t outputs, size_t terms) {
  return math_padded(outputs) * terms;
}

/* The weights of a band.
 *   pack_filters    for its filters as outputs.  w: (filters, terms)
 *   pack_channels   for its channels as outputs, with the taps of a walk.
 *                   w: of the first of its groups, (filters, taps, channels) each
 *   unpack_filters  w = beta w + packed, the inverse of pack_filters */
void math_conv_pack_filters(size_t filters, size_t terms, const float *w, float *out);
void math_conv_pack_channels(const ls_conv *conv, const math_walk *walk, const float *w, float *out);
void math_conv_unpack_filters(size_t filters, size_t terms, const float *packed, float beta, float *w);

/* What a thread of a convolution has for itself. */
typedef struct math_conv_part {
  math_walk forward; /* of the outputs, and of the gradient of the weights */
  math_walk *data;   /* (n_phases): of the gradient of x, for each phase of its positions */
  float *dw;         /* (n_dw): sums over the latest positions */
  double *total;     /* (n_dw): sums over the positions before */
  float *du;         /* (n_du): transformed dw, of the latest positions */
  size_t positions;
  bool has_total;
} math_conv_part;

struct ls_conv_plan {
  ls_conv conv;
  size_t n_parts;
  math_conv_part *parts; /* (n_parts), whose walks are alike */
  size_t part_bytes;     /* of workspace */
  float *filters;        /* (bands, packed weights) */
  float *b;              /* (bands, lanes) */
  bool has_b;
  size_t n_phases;
  float **packed;    /* (n_phases): for the gradient of x, (bands, packed weights) each */
  size_t *offsets;   /* of the terms of w from a position's source */
  size_t *packed_to; /* (MATH_CHUNK): the positions of a packed chunk of dz */
  size_t n_dw;       /* packed gradients, of all bands */
  size_t n_du;       /* transformed gradients */
  bool is_winograd;
  math_winograd outputs, inputs; /* the convolutions for y and for dx */
};

/* What a part computes: consecutive samples of a call, of which unused pointers are NULL. */
typedef struct math_conv_call {
  ls_conv_plan *plan;
  math_conv_part *part;
  size_t n; /* samples */
  const float *x, *dz;
  float *y, *dx;
  bool adds;
  ls_activation f;
  float alpha;
  unsigned char *workspace; /* of the part */
} math_conv_call;

/* Divides a call of all samples, with the workspace of all parts, among the parts, and runs them at the
 * same time. */
void math_conv_divide(const math_conv_call *call, void (*run)(const math_conv_call *call));

/* y = x * w for all positions of a box, plus b; adds: plus y. Blocks of MATH_LANE channels. For each output
 * the terms are added in the order of k, in fused steps where the processor has them, so that its bits do
 * not depend on the position.
 * w: packed (blocks, n_runs run_length, MATH_LANE); b: (blocks, MATH_LANE) or NULL */
typedef struct math_tiles {
  const float *x;
  size_t n; /* positions, at least 1 */
  const size_t *from, *to;
  size_t n_runs, run_length;
  const size_t *runs;
  const float *w, *b;
  size_t channels; /* to be stored */
  bool adds;
  float *y;
} math_tiles;

void math_conv_tiles(const math_tiles *t);

/* The same for a depthwise band: lane j of a block has its own sources, those at +j; runs have one term. */
void math_depthwise_tiles(const math_tiles *t);

/* The same for few outputs.  w: (channels, n_runs, run_length in whole blocks), aligned */
void math_dots_tiles(const math_tiles *t);

/* The floats of such weights of a band, and the weights from packed ones of one block. */
size_t math_dots_packed_size(const math_walk *walk);
void math_dots_pack(const math_walk *walk, const float *blocks, float *out);

/* dw += sum of x dz over positions: dw[block][k] += sum_q x[from[q] + offsets[k]] dz[to[q]][block]. The sum
 * over q is in the order of q.
 * dz: MATH_LANE floats for each position and block, with the distance dz_block between blocks; dw: packed
 * (blocks, n_k, MATH_LANE) */
typedef struct math_products {
  const float *x, *dz;
  size_t n; /* positions */
  const size_t *from, *to;
  size_t n_k;
  const size_t *offsets;
  size_t dz_block;
  size_t blocks;
  float *dw;
} math_products;

void math_conv_products(const math_products *p);

/* The same for a depthwise band of `channels`: lane j of a block multiplies the sources at +j. */
void math_depthwise_products(const math_products *p, size_t channels);

#endif
