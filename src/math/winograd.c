/* Winograd's convolutions (see winograd.h): for each block of tiles the transforms of the sources, the
 * products, and the transform to the outputs. All data of a block stay in the second-level cache. */
#include "internal.h"

#include <string.h>

enum { H, W };

#define CHANNELS     16 /* the smallest number for which this is faster */
#define TILES        24 /* of a block at least: a multiple of the rows of a product's tile */
#define BLOCK_FLOATS ((size_t)96 << 10)  /* transformed sources and outputs of a block */
#define MOST_FLOATS  ((size_t)224 << 10) /* the same, of at least TILES */
#define SPAN         16 /* tiles of a row at once: their rows stay in the first-level cache */
#define GAP          16 /* floats, so that elements are not in the same sets of a cache */

/* -------------------------------------------------------------------- plan */

/* The floats of a transformed tile. */
static size_t tile_floats(const ls_conv *conv) {
  return WINOGRAD_ELEMENTS * (math_padded(conv->channels) + math_padded(conv->filters));
}

/* Whether the products of an image's tiles are at most 2/3 of those of its positions and 9 taps. */
static bool saves(const size_t *size) {
  const size_t tiles = (size[1] + 1) / 2 * ((size[2] + 1) / 2);
  return WINOGRAD_ELEMENTS * tiles <= size[1] * size[2] * 6;
}

bool math_winograd_fits(const ls_conv *conv) {
  const ls_window *const w = &conv->window;
  bool is_fit = w->in[0] == 1 && w->out[0] == 1 && w->size[0] == 1 && w->before[0] == 0;
  for (size_t i = 1; i < LS_WINDOW_DIMS; i++)
    is_fit = is_fit && w->size[i] == 3 && w->stride[i] == 1 && w->dilation[i] == 1 && w->before[i] <= 2;
  return is_fit && conv->groups == 1 && conv->channels >= CHANNELS && conv->filters >= CHANNELS &&
         conv->channels + conv->filters <= MOST_FLOATS && tile_floats(conv) * TILES <= MOST_FLOATS &&
         saves(w->in) && saves(w->out);
}

void math_winograd_plan(const ls_conv *conv, bool is_data, ls_arena *arena, math_winograd *out) {
  const ls_window *const w = &conv->window;
  const size_t most = ls_size_min(2 * TILES, MOST_FLOATS / tile_floats(conv));
  const size_t tiles = ls_size_max(BLOCK_FLOATS / tile_floats(conv), most);
  *out = (math_winograd){.channels = is_data ? conv->filters : conv->channels,
                         .outputs = is_data ? conv->channels : conv->filters,
                         .block = tiles / TILES * TILES};
  for (size_t i = 0; i < 2; i++) {
    out->source[i] = is_data ? w->out[i + 1] : w->in[i + 1];
    out->dest[i] = is_data ? w->in[i + 1] : w->out[i + 1];
    out->before[i] = is_data ? 2 - w->before[i + 1] : w->before[i + 1];
    out->tiles[i] = (out->dest[i] + 1) / 2;
  }
  out->lanes = math_padded(out->outputs);
  if (!conv->twin)
    out->w = ls_arena_take(arena, WINOGRAD_ELEMENTS * out->lanes * sizeof *out->w, out->channels);
}

/* The parts of the workspace. */
typedef struct scratch {
  float *zeros;  /* (widest): a column of sources, or a bias */
  float *x;      /* (elements, block, channels): transformed sources */
  size_t x_size; /* of an element */
  float *m;      /* (elements, block, lanes): transformed outputs */
  size_t m_size;
  float *skipped; /* (widest): a column of outputs outside the image */
} scratch;

static size_t widest_of(const math_winograd *w) {
  return ls_size_max(math_padded(w->channels), w->lanes);
}

static scratch take_scratch(const math_winograd *w, ls_arena *arena) {
  scratch s = {.x_size = w->block * w->channels + GAP, .m_size = w->block * w->lanes + GAP};
  s.zeros = ls_arena_take(arena, widest_of(w), sizeof(float));
  s.x = ls_arena_take(arena, WINOGRAD_ELEMENTS * s.x_size, sizeof(float));
  s.m = ls_arena_take(arena, WINOGRAD_ELEMENTS * s.m_size, sizeof(float));
  s.skipped = ls_arena_take(arena, widest_of(w), sizeof(float));
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
  memset(s.zeros, 0, widest_of(w) * sizeof *s.zeros);
  memset(s.skipped, 0, widest_of(w) * sizeof *s.skipped);
  return s;
}

/* ------------------------------------------------------------------- tiles */

static size_t count_tiles(const math_winograd *w, size_t n) {
  return n * w->tiles[H] * w->tiles[W];
}

/* The tiles of a block of those of n images, so that blocks have about the same size. */
static size_t choose_block(const math_winograd *w, size_t n) {
  const size_t tiles = count_tiles(w, n);
  if (tiles == 0) return 0; /* a lane without rows */
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
  const size_t n = ls_size_min(w->tiles[W] - first, ls_size_min(SPAN, end - tile));
  return (span){.image = row / w->tiles[H], .row = row % w->tiles[H], .first = first, .n = n};
}

/* `n` rows of an image from row `row` on, and `columns` columns from column `column` on; either may be
 * negative.  image: (height, width, channels) */
static math_winograd_rows rows_of(const float *image, const size_t *size, size_t channels, ptrdiff_t row,
                                  size_t n, ptrdiff_t column, size_t columns, const float *zeros) {
  const ptrdiff_t end = (ptrdiff_t)size[W] - column;
  math_winograd_rows d = {.first = column < 0 ? (size_t)-column : 0};
  d.end = ls_size_max(d.first, end < 0 ? 0 : ls_size_min((size_t)end, columns));
  for (size_t i = 0; i < n; i++) {
    const ptrdiff_t at = row + (ptrdiff_t)i;
    const bool is_inside = at >= 0 && at < (ptrdiff_t)size[H] && d.first < d.end;
    const size_t from = is_inside ? (size_t)at * size[W] + (size_t)(column + (ptrdiff_t)d.first) : 0;
    d.row[i] = is_inside ? image + from * channels : zeros;
    d.step[i] = is_inside ? channels : 0;
  }
  return d;
}

/* Of n images, two rows from row `row` of image `image` on, which may be in the next image, at a column;
 * NULL if there are none. */
static const float *rows_ahead(const float *x, const size_t *size, size_t channels, size_t n, size_t image,
                               size_t row, size_t column) {
  const size_t at = image * size[H] + row;
  return at + 2 <= n * size[H] ? x + (at * size[W] + column) * channels : NULL;
}

/* s->x = B^T d B for the tiles from `tile` to `end` of n images.  x: the sources of all images */
static void transform_sources(const math_winograd *w, size_t n, size_t tile, size_t end, const float *x,
                              const scratch *s) {
  const size_t image = w->source[H] * w->source[W] * w->channels;
  float *out = s->x;
  while (tile < end) {
    const span at = span_at(w, tile, end);
    const ptrdiff_t row = 2 * (ptrdiff_t)at.row - (ptrdiff_t)w->before[H];
    const ptrdiff_t column = 2 * (ptrdiff_t)at.first - (ptrdiff_t)w->before[W];
    math_winograd_rows d =
        rows_of(x + at.image * image, w->source, w->channels, row, 4, column, 2 * at.n + 2, s->zeros);
    d.ahead =
        rows_ahead(x, w->source, w->channels, n, at.image, 2 * at.row + 4 - w->before[H], 2 * at.first);
    d.ahead_row = w->source[W] * w->channels;
    math_winograd_transform(at.n, w->channels, &d, s->x_size, out);
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

/* Stores the outputs of a span.  m: of its first tile; y: of its image */
static void put_span(const math_winograd *w, const span *at, const float *m, const scratch *s,
                     const epilogue *e, const float *ahead, float *y) {
  const size_t c = w->outputs;
  const math_winograd_outputs o = {.n = at->n,
                                   .channels = c,
                                   .lanes = w->lanes,
                                   .m = m,
                                   .stride = s->m_size,
                                   .b = e->b,
                                   .adds = e->adds,
                                   .is_relu = e->f == LS_RELU,
                                   .columns = ls_size_min(2 * at->n, w->dest[W] - 2 * at->first),
                                   .rows = ls_size_min(2, w->dest[H] - 2 * at->row),
                                   .y = y + (2 * at->row * w->dest[W] + 2 * at->first) * c,
                                   .row = w->dest[W] * c,
                                   .ahead = ahead,
                                   .skipped = s->skipped};
  math_winograd_put(&o);
  for (size_t i = 0; e->f != LS_RELU && e->f != LS_LINEAR && i < o.rows; i++)
    ls_math_activate(e->f, e->alpha, e->f == LS_SOFTMAX ? o.columns : 1,
                     e->f == LS_SOFTMAX ? c : o.columns * c, NULL, o.y + i * o.row);
}

/* Stores the outputs of the tiles from `tile` to `end` of n images. */
static void put_outputs(const math_winograd *w, size_t n, size_t tile, size_t end, const scratch *s,
                        const epilogue *e, float *y) {
  const size_t image = w->dest[H] * w->dest[W] * w->outputs;
  const float *m = s->m;
  while (tile < end) {
    const span at = span_at(w, tile, end);
    const float *const ahead =
        rows_ahead(y, w->dest, w->outputs, n, at.image, 2 * at.row + 2, 2 * at.first);
    put_span(w, &at, m, s, e, ahead, y + at.image * image);
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
    transform_sources(w, n, tile, end, x, &s);
    multiply(w, end - tile, &s);
    put_outputs(w, n, tile, end, &s, &e, y);
  }
}

/* -------------------------------------------------- gradient of the weights */

/* s->m = A dy A^T for the tiles from `tile` to `end` of n images. */
static void spread_gradients(const math_winograd *w, size_t n, size_t tile, size_t end, const float *dy,
                             const scratch *s) {
  const size_t image = w->dest[H] * w->dest[W] * w->outputs;
  float *out = s->m;
  if (w->lanes > w->outputs) memset(out, 0, WINOGRAD_ELEMENTS * s->m_size * sizeof *out);
  while (tile < end) {
    const span at = span_at(w, tile, end);
    math_winograd_rows d = rows_of(dy + at.image * image, w->dest, w->outputs, 2 * (ptrdiff_t)at.row, 2,
                                   2 * (ptrdiff_t)at.first, 2 * at.n, s->zeros);
    d.ahead = rows_ahead(dy, w->dest, w->outputs, n, at.image, 2 * at.row + 2, 2 * at.first);
    d.ahead_row = w->dest[W] * w->outputs;
    math_winograd_spread(at.n, w->outputs, w->lanes, &d, s->m_size, out);
    out += at.n * w->lanes;
    tile += at.n;
  }
}

size_t math_winograd_add_products(const math_winograd *w, size_t n, size_t first, const float *x,
                                  const float *dy, float *dw, void *workspace) {
  const scratch s = scratch_of(w, workspace);
  const size_t tiles = ls_size_min(choose_block(w, n), count_tiles(w, n) - first);
  if (tiles == 0) return 0;
  transform_sources(w, n, first, first + tiles, x, &s);
  spread_gradients(w, n, first, first + tiles, dy, &s);
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
