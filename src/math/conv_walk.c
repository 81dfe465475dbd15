/* The boxes of a convolution: their sizes, padded tiles and tables of positions. */
#include "internal.h"

#include <string.h>

enum { D, H, W };

#define TILE_FLOATS ((size_t)48 << 10) /* of a padded tile: a part of the second-level cache */
#define POSITIONS   1024               /* of a box */

/* Of a depthwise band: the most destinations and sources of a group, and channels of the tile. */
#define GROUP_DESTS   8
#define GROUP_SOURCES 16
#define BAND_CHANNELS 512

/* The most outputs that are computed as dot products, if these fill their vectors. */
#define DOTS 6

/* ------------------------------------------------------------------ bands */

/* The number of groups in a depthwise band, which divides their number. */
static size_t groups_of_band(const math_walk *walk, size_t channels) {
  size_t n = ls_size_min(walk->groups, ls_size_max(BAND_CHANNELS / channels, 1));
  while (walk->groups % n != 0) n--;
  return n;
}

static void set_expand(const math_walk *walk) {
  const size_t sources = walk->source_channels / walk->groups;
  const size_t dests = walk->dest_channels / walk->groups;
  for (size_t i = 0; i < walk->tile_channels; i++)
    walk->expand[i] = (int32_t)(i % walk->band_dests / dests * sources + i / walk->band_dests);
}

static void choose_bands(math_walk *walk, ls_arena *arena) {
  const size_t sources = walk->source_channels / walk->groups;
  const size_t dests = walk->dest_channels / walk->groups;
  walk->is_depthwise = walk->groups > 1 && dests <= GROUP_DESTS && sources <= GROUP_SOURCES;
  walk->expands = walk->is_depthwise && sources * dests > 1;
  const size_t groups = walk->expands        ? groups_of_band(walk, sources * dests)
                        : walk->is_depthwise ? walk->groups
                                             : 1;
  walk->bands = walk->groups / groups;
  walk->band_sources = groups * sources;
  walk->band_dests = groups * dests;
  walk->tile_channels = walk->expands ? sources * walk->band_dests : walk->source_channels;
  walk->expand = ls_arena_take(arena, walk->expands ? walk->tile_channels : 0, sizeof *walk->expand);
  if (walk->expands && walk->expand) set_expand(walk);
}

/* ------------------------------------------------------------------ boxes */

/* The sources of `count` destinations. */
static size_t extent_of(const math_sweep *dim, size_t count) {
  if (dim->n_taps == 0 || count == 0) return 1;
  return (count - 1) * dim->source_step + (dim->n_taps - 1) * dim->tap_distance + 1;
}

/* The floats of a tile of one image; SIZE_MAX on overflow. */
static size_t tile_floats(const math_walk *walk) {
  size_t floats = walk->tile_channels;
  for (size_t i = 0; i < LS_WINDOW_DIMS; i++)
    if (!ls_size_mul(floats, extent_of(&walk->dims[i], walk->box[i]), &floats)) return SIZE_MAX;
  return floats;
}

/* Divides an image until its tile is small; or takes several images into a box. */
static void choose_box(math_walk *walk) {
  for (size_t i = 0; i < LS_WINDOW_DIMS; i++) walk->box[i] = ls_size_max(walk->dims[i].n, 1);
  for (size_t i = 0; i < LS_WINDOW_DIMS; i++)
    while (walk->box[i] > 1 && (tile_floats(walk) > TILE_FLOATS || ls_window_count(walk->box) > POSITIONS))
      walk->box[i] = (walk->box[i] + 1) / 2;
  const bool is_whole =
      walk->box[D] == walk->dims[D].n && walk->box[H] == walk->dims[H].n && walk->box[W] == walk->dims[W].n;
  const size_t floats = ls_size_max(tile_floats(walk), 1);
  const size_t positions = ls_size_max(ls_window_count(walk->box), 1);
  const size_t most = ls_size_min(TILE_FLOATS / floats, POSITIONS / positions);
  walk->images = is_whole ? ls_size_max(most, 1) : 1;
}

static bool needs_padding(const math_walk *walk) {
  for (size_t i = 0; i < LS_WINDOW_DIMS; i++) {
    const math_sweep *const dim = &walk->dims[i];
    const ptrdiff_t end = dim->source_first + (ptrdiff_t)extent_of(dim, dim->n);
    if (dim->n_taps > 0 && (dim->source_first < 0 || end > (ptrdiff_t)walk->source[i])) return true;
  }
  return false;
}

/* Row-major strides of positions with `channels` each. Returns the elements of all. */
static size_t set_strides(const size_t *sizes, size_t channels, size_t *strides) {
  for (size_t i = LS_WINDOW_DIMS; i-- > 0; channels *= sizes[i]) strides[i] = channels;
  return channels;
}

/* Taps along W are one run if their channels are contiguous. In a depthwise band each term is a run. */
static void count_runs(math_walk *walk) {
  const math_sweep *const w = &walk->dims[W];
  const size_t sources = walk->source_channels / walk->groups;
  const bool is_contiguous = walk->groups == 1 && (w->tap_distance == 1 || w->n_taps == 1);
  walk->n_taps = walk->dims[D].n_taps * walk->dims[H].n_taps * w->n_taps;
  walk->run_length = walk->is_depthwise ? 1 : sources * (is_contiguous ? w->n_taps : 1);
  walk->n_runs = walk->run_length ? walk->n_taps * sources / walk->run_length : 0;
}

static void set_runs(math_walk *walk) {
  const size_t per_row = walk->n_taps ? walk->n_runs / (walk->dims[D].n_taps * walk->dims[H].n_taps) : 0;
  const size_t per_tap = walk->is_depthwise ? walk->source_channels / walk->groups : 1;
  size_t r = 0;
  for (size_t d = 0; d < walk->dims[D].n_taps; d++)
    for (size_t h = 0; h < walk->dims[H].n_taps; h++)
      for (size_t w = 0; w < per_row; w++)
        walk->runs[r++] = d * walk->dims[D].tap_distance * walk->stride[D] +
                          h * walk->dims[H].tap_distance * walk->stride[H] +
                          w / per_tap * walk->dims[W].tap_distance * walk->stride[W] +
                          w % per_tap * walk->band_dests;
}

void math_walk_plan(math_walk *walk, ls_arena *arena) {
  choose_bands(walk, arena);
  choose_box(walk);
  walk->is_copied = needs_padding(walk) || walk->expands;
  for (size_t i = 0; i < LS_WINDOW_DIMS; i++) walk->extent[i] = extent_of(&walk->dims[i], walk->box[i]);
  walk->image =
      set_strides(walk->is_copied ? walk->extent : walk->source, walk->tile_channels, walk->stride);
  walk->dest_image = set_strides(walk->dest, walk->dest_channels, walk->dest_stride);
  count_runs(walk);
  walk->has_dots = !walk->is_depthwise && walk->n_runs > 0 &&
                   walk->band_dests * math_padded(walk->run_length) <= DOTS * walk->run_length;
  const size_t positions = walk->images * ls_window_count(walk->box);
  walk->from = ls_arena_take(arena, positions, sizeof *walk->from);
  walk->to = ls_arena_take(arena, positions, sizeof *walk->to);
  walk->runs = ls_arena_take(arena, walk->n_runs, sizeof *walk->runs);
  memset(walk->table, 0, sizeof walk->table);
  walk->n_images = 0;
  if (walk->runs) set_runs(walk);
}

size_t math_walk_tile_bytes(const math_walk *walk) {
  size_t bytes = 0;
  if (!walk->is_copied) return 0;
  return ls_size_mul(tile_floats(walk), walk->images * sizeof(float), &bytes) ? bytes : SIZE_MAX;
}

size_t math_walk_packed_size(const math_walk *walk) {
  return math_conv_packed_size(walk->band_dests, walk->n_taps * (walk->source_channels / walk->groups));
}

size_t math_walk_weights_size(const math_walk *walk) {
  return math_walk_packed_size(walk) + (walk->has_dots ? math_dots_packed_size(walk) : 0);
}

size_t math_walk_tap(const math_walk *walk, const size_t *size, size_t t) {
  size_t rest = t;
  size_t taps[LS_WINDOW_DIMS];
  for (size_t i = LS_WINDOW_DIMS; i-- > 0; rest /= walk->dims[i].n_taps) {
    const math_sweep *const dim = &walk->dims[i];
    taps[i] = (size_t)((ptrdiff_t)dim->first_tap + (ptrdiff_t)(rest % dim->n_taps) * dim->next_tap);
  }
  return (taps[D] * size[H] + taps[H]) * size[W] + taps[W];
}

/* -------------------------------------------------------- the current box */

/* Selects the box after the current one. */
static bool advance(math_walk *walk, size_t n) {
  if (walk->n_images == 0) {
    walk->first_image = 0;
    memset(walk->first, 0, sizeof walk->first);
  } else {
    size_t i = LS_WINDOW_DIMS;
    while (i > 0 && walk->first[i - 1] + walk->box[i - 1] >= walk->dims[i - 1].n) walk->first[--i] = 0;
    if (i > 0)
      walk->first[i - 1] += walk->box[i - 1];
    else
      walk->first_image += walk->n_images;
  }
  walk->n_images = walk->first_image < n ? ls_size_min(walk->images, n - walk->first_image) : 0;
  for (size_t i = 0; i < LS_WINDOW_DIMS; i++)
    walk->count[i] = ls_size_min(walk->box[i], walk->dims[i].n - walk->first[i]);
  walk->n = walk->n_images * ls_window_count(walk->count);
  return walk->n > 0;
}

/* The source of the current box's first destination and first tap; may be negative. */
static ptrdiff_t source_of(const math_walk *walk, size_t dim) {
  return walk->dims[dim].source_first + (ptrdiff_t)(walk->first[dim] * walk->dims[dim].source_step);
}

/* Copies `n` sources of a row from `first` on, with zeros for padding.  row: of the band */
static void copy_row(const math_walk *walk, ptrdiff_t first, size_t n, const float *row, float *out) {
  const size_t c = walk->tile_channels;
  const ptrdiff_t size = (ptrdiff_t)walk->source[W];
  const ptrdiff_t end = first + (ptrdiff_t)n;
  const ptrdiff_t low = first < 0 ? 0 : first > size ? size : first;
  const ptrdiff_t high = end < low ? low : end > size ? size : end;
  const size_t before = ls_size_min((size_t)(low - first), n);
  const size_t inside = (size_t)(high - low);
  const float *const from = row + (size_t)low * walk->source_channels;
  memset(out, 0, before * c * sizeof *out);
  if (walk->expands)
    math_conv_expand(&(math_expansion){.n = inside,
                                       .sources = walk->source_channels,
                                       .channels = c,
                                       .expand = walk->expand,
                                       .x = from,
                                       .out = out + before * c});
  else
    memcpy(out + before * c, from, inside * c * sizeof *out);
  memset(out + (before + inside) * c, 0, (n - before - inside) * c * sizeof *out);
}

static void copy_image(const math_walk *walk, const float *image, float *out) {
  const ptrdiff_t at[LS_WINDOW_DIMS] = {source_of(walk, D), source_of(walk, H), source_of(walk, W)};
  const size_t c = walk->source_channels;
  size_t n[LS_WINDOW_DIMS];
  for (size_t i = 0; i < LS_WINDOW_DIMS; i++) n[i] = extent_of(&walk->dims[i], walk->count[i]);
  for (size_t d = 0; d < n[D]; d++)
    for (size_t h = 0; h < n[H]; h++) {
      const ptrdiff_t sd = at[D] + (ptrdiff_t)d;
      const ptrdiff_t sh = at[H] + (ptrdiff_t)h;
      float *const to = out + d * walk->stride[D] + h * walk->stride[H];
      const bool is_row =
          sd >= 0 && sd < (ptrdiff_t)walk->source[D] && sh >= 0 && sh < (ptrdiff_t)walk->source[H];
      if (is_row)
        copy_row(walk, at[W], n[W],
                 image + ((size_t)sd * walk->source[H] + (size_t)sh) * walk->source[W] * c, to);
      else
        memset(to, 0, n[W] * walk->tile_channels * sizeof *to);
    }
}

/* Sets the tables for the counts of the box, unless they are set. */
static void set_table(math_walk *walk) {
  size_t q = 0;
  if (memcmp(walk->table, walk->count, sizeof walk->count) == 0) return;
  memcpy(walk->table, walk->count, sizeof walk->count);
  for (size_t i = 0; i < walk->images; i++)
    for (size_t d = 0; d < walk->count[D]; d++)
      for (size_t h = 0; h < walk->count[H]; h++)
        for (size_t w = 0; w < walk->count[W]; w++, q++) {
          walk->from[q] = i * walk->image + d * walk->dims[D].source_step * walk->stride[D] +
                          h * walk->dims[H].source_step * walk->stride[H] +
                          w * walk->dims[W].source_step * walk->stride[W];
          walk->to[q] = i * walk->dest_image + d * walk->dims[D].step * walk->dest_stride[D] +
                        h * walk->dims[H].step * walk->dest_stride[H] +
                        w * walk->dims[W].step * walk->dest_stride[W];
        }
}

bool math_walk_next(math_walk *walk, size_t n) {
  const bool is_box = advance(walk, n);
  if (is_box)
    set_table(walk);
  else
    walk->n_images = 0;
  return is_box;
}

void math_walk_load(math_walk *walk, size_t band, const float *x) {
  const size_t image = ls_window_count(walk->source) * walk->source_channels;
  const float *const sources =
      x + walk->first_image * image + (walk->expands ? band * walk->band_sources : 0);
  if (walk->is_copied && (band == 0 || walk->expands))
    for (size_t i = 0; i < walk->n_images; i++)
      copy_image(walk, sources + i * image, walk->tile + i * walk->image);
  walk->x = walk->is_copied ? walk->tile : sources;
  if (!walk->expands) walk->x += band * walk->band_sources;
  walk->y = walk->first_image * walk->dest_image + band * walk->band_dests;
  for (size_t i = 0; i < LS_WINDOW_DIMS; i++) {
    if (!walk->is_copied && walk->n_taps > 0) walk->x += (size_t)source_of(walk, i) * walk->stride[i];
    walk->y += (walk->dims[i].first + walk->first[i] * walk->dims[i].step) * walk->dest_stride[i];
  }
}
