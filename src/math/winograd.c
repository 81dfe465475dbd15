/* Winograd's convolutions (see winograd.h): for each block of tiles the transforms of the sources, the
 * products, and the transform to the outputs. All data of a block stay in the second-level cache. */
#include "internal.h"

#include <string.h>

enum { H, W };

#define CHANNELS     32 /* the smallest number for which this is faster */
#define TILES        24 /* of a block at least: a multiple of the rows of a product's tile */
#define BLOCK_FLOATS ((size_t)96 << 10)  /* transformed sources and outputs of a block */
#define MOST_FLOATS  ((size_t)224 << 10) /* the same, at least TILES */
#define SPAN_FLOATS  ((size_t)6 << 10)   /* intermediate values */
#define GAP          16                  /* floats, so that elements are not in the same sets of a cache */

/* -------------------------------------------------------------------- plan */

static size_t lanes_of(size_t channels) {
  return math_lanes(channels) * MATH_LANE;
}

/* The floats of a transformed tile. */
static size_t tile_floats(const ls_conv *conv) {
  return WINOGRAD_ELEMENTS * (lanes_of(conv->channels) + lanes_of(conv->filters));
}

bool math_winograd_fits(const ls_conv *conv) {
  const ls_window *const w = &conv->window;
  const bool is_image = w->in[0] == 1 && w->size[0] == 1 && w->out[0] == 1 && w->before[0] == 0;
  return is_image && conv->groups == 1 && w->size[1] == 3 && w->size[2] == 3 && w->stride[1] == 1 &&
         w->stride[2] == 1 && w->dilation[1] == 1 && w->dilation[2] == 1 && conv->channels >= CHANNELS &&
         conv->filters >= CHANNELS && w->before[1] <= 2 && w->before[2] <= 2 &&
         conv->channels + conv->filters <= MOST_FLOATS && tile_floats(conv) * TILES <= MOST_FLOATS;
}

void math_winograd_plan(const ls_conv *conv, bool is_data, ls_arena *arena, math_winograd *out) {
  const ls_window *const w = &conv->window;
  const size_t tiles = BLOCK_FLOATS / tile_floats(conv) / TILES * TILES;
  *out = (math_winograd){.channels = is_data ? conv->filters : conv->channels,
                         .outputs = is_data ? conv->channels : conv->filters,
                         .block = ls_size_max(tiles, TILES)};
  for (size_t i = 0; i < 2; i++) {
    out->source[i] = is_data ? w->out[i + 1] : w->in[i + 1];
    out->dest[i] = is_data ? w->in[i + 1] : w->out[i + 1];
    out->before[i] = is_data ? 2 - w->before[i + 1] : w->before[i + 1];
    out->tiles[i] = (out->dest[i] + 1) / 2;
  }
  out->lanes = lanes_of(out->outputs);
  const size_t span = SPAN_FLOATS / (8 * ls_size_max(out->channels, out->lanes));
  out->span = ls_size_max(ls_size_min(span, out->tiles[W] + 1), 2) - 1;
  out->w = ls_arena_take(arena, WINOGRAD_ELEMENTS * out->lanes * sizeof *out->w, out->channels);
}

/* The parts of the workspace. */
typedef struct scratch {
  float *zeros;  /* a column of sources, a bias, and a column that is not stored */
  float *even;   /* (4, span + 1, channels): even columns of a span after the transform along H */
  float *odd;    /* the same for odd columns */
  size_t stride; /* of their rows */
  float *x;      /* (elements, block, channels): transformed sources */
  size_t x_size; /* of an element */
  float *m;      /* (elements, block, lanes): transformed outputs */
  size_t m_size;
  float *skipped; /* a column of outputs outside the image */
} scratch;

static scratch take_scratch(const math_winograd *w, ls_arena *arena) {
  const size_t widest = ls_size_max(lanes_of(w->channels), w->lanes);
  scratch s = {.stride = (w->span + 1) * widest + GAP,
               .x_size = w->block * w->channels + GAP,
               .m_size = w->block * w->lanes + GAP};
  s.zeros = ls_arena_take(arena, widest, sizeof(float));
  s.even = ls_arena_take(arena, 4 * s.stride, sizeof(float));
  s.odd = ls_arena_take(arena, 4 * s.stride, sizeof(float));
  s.x = ls_arena_take(arena, WINOGRAD_ELEMENTS * s.x_size, sizeof(float));
  s.m = ls_arena_take(arena, WINOGRAD_ELEMENTS * s.m_size, sizeof(float));
  s.skipped = ls_arena_take(arena, w->lanes, sizeof(float));
  return s;
}

size_t math_winograd_bytes(const math_winograd *w) {
  ls_arena arena = {0};
  take_scratch(w, &arena);
  return arena.used;
}

static scratch scratch_of(const math_winograd *w, void *workspace) {
  ls_arena arena = {.base = workspace, .capacity = SIZE_MAX};
  const scratch s = take_scratch(w, &arena);
  memset(s.zeros, 0, ls_size_max(lanes_of(w->channels), w->lanes) * sizeof *s.zeros);
  return s;
}

/* ------------------------------------------------------------------- tiles */

static size_t count_tiles(const math_winograd *w, size_t n) {
  return n * w->tiles[H] * w->tiles[W];
}

/* The tiles of a block of those of n images, so that blocks have about the same size. */
static size_t choose_block(const math_winograd *w, size_t n) {
  const size_t tiles = count_tiles(w, n);
  const size_t blocks = (tiles + w->block - 1) / w->block;
  const size_t even = (tiles + blocks - 1) / blocks;
  return ls_size_min((even + 7) / 8 * 8, w->block);
}

/* Some tiles of a row of an image. */
typedef struct span {
  size_t image, row, first, n;
} span;

static span span_at(const math_winograd *w, size_t tile, size_t end) {
  const size_t first = tile % w->tiles[W];
  const size_t row = tile / w->tiles[W];
  const size_t n = ls_size_min(w->tiles[W] - first, ls_size_min(w->span, end - tile));
  return (span){.image = row / w->tiles[H], .row = row % w->tiles[H], .first = first, .n = n};
}

/* Row `row` of an image from column `column` on, or zeros where it is outside. */
static void set_row(const float *image, size_t height, size_t width, size_t channels, ptrdiff_t row,
                    size_t column, const float *zeros, math_winograd_rows *out, size_t i) {
  const bool is_inside = row >= 0 && row < (ptrdiff_t)height;
  out->row[i] = is_inside ? image + ((size_t)row * width + column) * channels : zeros;
  out->step[i] = is_inside ? 2 * channels : 0;
}

/* Sets `n` columns of four rows to 0. */
static void clear_columns(size_t n, size_t c, size_t stride, float *out) {
  for (size_t i = 0; i < 4; i++) memset(out + i * stride, 0, n * c * sizeof *out);
}

/* Every second column of a span's sources from `first` on, n columns, transformed along H; zeros where they
 * are padding.  image: of the span */
static void transform_half(const math_winograd *w, const span *at, ptrdiff_t first, const float *image,
                           const scratch *s, float *out) {
  const size_t c = w->channels;
  const size_t n = at->n + 1;
  const ptrdiff_t width = (ptrdiff_t)w->source[W];
  const ptrdiff_t top = 2 * (ptrdiff_t)at->row - (ptrdiff_t)w->before[H];
  const size_t before = ls_size_min(first < 0 ? (size_t)(1 - first) / 2 : 0, n);
  const ptrdiff_t low = first + 2 * (ptrdiff_t)before;
  const size_t left = width > low ? (size_t)(width - low + 1) / 2 : 0;
  const size_t inside = ls_size_min(left, n - before);
  math_winograd_rows d;
  for (size_t i = 0; i < 4; i++)
    set_row(image, w->source[H], w->source[W], c, top + (ptrdiff_t)i, inside ? (size_t)low : 0, s->zeros,
            &d, i);
  clear_columns(before, c, s->stride, out);
  math_winograd_transform_rows(inside, c, &d, s->stride, out + before * c);
  clear_columns(n - before - inside, c, s->stride, out + (before + inside) * c);
}

/* s->x = B^T d B for the tiles from `tile` to `end`.  x: the sources of all images */
static void transform_sources(const math_winograd *w, size_t tile, size_t end, const float *x,
                              const scratch *s) {
  const size_t image = w->source[H] * w->source[W] * w->channels;
  float *out = s->x;
  while (tile < end) {
    const span at = span_at(w, tile, end);
    const ptrdiff_t first = 2 * (ptrdiff_t)at.first - (ptrdiff_t)w->before[W];
    transform_half(w, &at, first, x + at.image * image, s, s->even);
    transform_half(w, &at, first + 1, x + at.image * image, s, s->odd);
    for (size_t i = 0; i < 4; i++)
      math_winograd_transform_columns(at.n * w->channels, w->channels, s->even + i * s->stride,
                                      s->odd + i * s->stride, s->x_size, out + 4 * i * s->x_size);
    out += at.n * w->channels;
    tile += at.n;
  }
}

/* ----------------------------------------------------------------- outputs */

/* s->m = s->x w, for n tiles. */
static void multiply(const math_winograd *w, size_t n, const scratch *s) {
  for (size_t t = 0; t < WINOGRAD_ELEMENTS; t++)
    math_winograd_multiply(&(math_winograd_product){.m = n,
                                                    .k = w->channels,
                                                    .blocks = w->lanes / MATH_LANE,
                                                    .a = s->x + t * s->x_size,
                                                    .a_row = w->channels,
                                                    .a_column = 1,
                                                    .b = w->w + t * w->lanes * w->channels,
                                                    .b_row = MATH_LANE,
                                                    .b_block = w->channels * MATH_LANE,
                                                    .c = s->m + t * s->m_size,
                                                    .c_row = w->lanes,
                                                    .c_block = MATH_LANE});
}

/* What is applied to the outputs. */
typedef struct epilogue {
  const float *b; /* (lanes) */
  bool adds;
  ls_activation f;
  float alpha;
} epilogue;

/* Stores row i of the tiles of a span.  m: transformed along H, of its first tile; image: of the outputs */
static void put_row(const math_winograd *w, const span *at, size_t i, const float *m, const scratch *s,
                    const epilogue *e, float *image) {
  const size_t c = w->outputs;
  const size_t columns = ls_size_min(2 * at->n, w->dest[W] - 2 * at->first);
  const size_t n = columns / 2;
  float *const y = image + ((2 * at->row + i) * w->dest[W] + 2 * at->first) * c;
  math_winograd_gather_columns(n, c, w->lanes, m, s->m_size, e->b, e->adds, y, y + c);
  if (n < at->n)
    math_winograd_gather_columns(1, c, w->lanes, m + n * w->lanes, s->m_size, e->b, e->adds, y + 2 * n * c,
                                 s->skipped);
  ls_math_activate(e->f, e->alpha, e->f == LS_SOFTMAX ? columns : 1, e->f == LS_SOFTMAX ? c : columns * c,
                   NULL, y);
}

/* Stores the outputs of the tiles from `tile` to `end`. */
static void put_outputs(const math_winograd *w, size_t tile, size_t end, const scratch *s,
                        const epilogue *e, float *y) {
  const size_t image = w->dest[H] * w->dest[W] * w->outputs;
  const float *m = s->m;
  for (size_t j = 0; j < 4; j++)
    math_winograd_gather_rows((end - tile) * w->lanes, 4 * s->m_size, s->m + j * s->m_size);
  while (tile < end) {
    const span at = span_at(w, tile, end);
    for (size_t i = 0; i < 2 && 2 * at.row + i < w->dest[H]; i++)
      put_row(w, &at, i, m + 4 * i * s->m_size, s, e, y + at.image * image);
    m += at.n * w->lanes;
    tile += at.n;
  }
}

void math_winograd_convolve(const math_winograd *w, size_t n, const float *x, const float *b, bool adds,
                            ls_activation f, float alpha, float *y, void *workspace) {
  const scratch s = scratch_of(w, workspace);
  const epilogue e = {.b = b ? b : s.zeros, .adds = adds, .f = f, .alpha = alpha};
  const size_t tiles = count_tiles(w, n);
  size_t end = 0;
  for (size_t tile = 0; tile < tiles; tile = end) {
    end = ls_size_min(tile + choose_block(w, n), tiles);
    transform_sources(w, tile, end, x, &s);
    multiply(w, end - tile, &s);
    put_outputs(w, tile, end, &s, &e, y);
  }
}

/* -------------------------------------------------- gradient of the weights */

/* Every second column of a span's dy, from the span's first column plus `parity` on, transformed along H.
 */
static void spread_half(const math_winograd *w, const span *at, size_t parity, const float *image,
                        const scratch *s, float *out) {
  const size_t c = w->outputs;
  const size_t first = 2 * at->first + parity;
  const size_t n = ls_size_min(at->n, (w->dest[W] - first + 1) / 2);
  math_winograd_rows d;
  for (size_t i = 0; i < 2; i++)
    set_row(image, w->dest[H], w->dest[W], c, (ptrdiff_t)(2 * at->row + i), n ? first : 0, s->zeros, &d, i);
  clear_columns(at->n - n, w->lanes, s->stride, out + n * w->lanes);
  math_winograd_spread_rows(n, c, w->lanes, &d, s->stride, out);
}

/* s->m = A dy A^T for the tiles from `tile` to `end`. */
static void spread_gradients(const math_winograd *w, size_t tile, size_t end, const float *dy,
                             const scratch *s) {
  const size_t image = w->dest[H] * w->dest[W] * w->outputs;
  float *out = s->m;
  if (w->lanes > w->outputs) clear_columns(w->span, w->lanes, s->stride, s->even);
  if (w->lanes > w->outputs) clear_columns(w->span, w->lanes, s->stride, s->odd);
  while (tile < end) {
    const span at = span_at(w, tile, end);
    spread_half(w, &at, 0, dy + at.image * image, s, s->even);
    spread_half(w, &at, 1, dy + at.image * image, s, s->odd);
    for (size_t i = 0; i < 4; i++)
      math_winograd_spread_columns(at.n * w->lanes, s->even + i * s->stride, s->odd + i * s->stride,
                                   s->m_size, out + 4 * i * s->m_size);
    out += at.n * w->lanes;
    tile += at.n;
  }
}

size_t math_winograd_add_products(const math_winograd *w, size_t n, size_t first, const float *x,
                                  const float *dy, float *dw, void *workspace) {
  const scratch s = scratch_of(w, workspace);
  const size_t tiles = ls_size_min(choose_block(w, n), count_tiles(w, n) - first);
  if (tiles == 0) return 0;
  transform_sources(w, first, first + tiles, x, &s);
  spread_gradients(w, first, first + tiles, dy, &s);
  for (size_t t = 0; t < WINOGRAD_ELEMENTS; t++)
    math_winograd_multiply(&(math_winograd_product){.m = w->channels,
                                                    .k = tiles,
                                                    .blocks = w->lanes / MATH_LANE,
                                                    .a = s.x + t * s.x_size,
                                                    .a_row = 1,
                                                    .a_column = w->channels,
                                                    .b = s.m + t * s.m_size,
                                                    .b_row = w->lanes,
                                                    .b_block = MATH_LANE,
                                                    .c = dw + t * w->lanes * w->channels,
                                                    .c_row = MATH_LANE,
                                                    .c_block = w->channels * MATH_LANE,
                                                    .adds = true});
  return tiles;
}
